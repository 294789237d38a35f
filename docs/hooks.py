"""What the site does to its pages before Markdown sees them.

Drawings take the place of the blocks that ask for them, and sections of the repository's files the
place of the lines that name them: `--8<-- "README.md:masks"` is what stands in README.md between
`<!-- --8<-- [start:masks] -->` and `<!-- --8<-- [end:masks] -->`. Of a Python file a section is one
function or class, by its name. Links to files of the repository become links to the pages that show
them, so that they are right in both places.
"""

import ast
import posixpath
import re
import textwrap
from pathlib import Path
from typing import Any

from figures import windows

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "docs/index.md",
    "CHANGELOG.md": "docs/changelog.md",
    "CONTRIBUTING.md": "docs/contributing.md",
    "SECURITY.md": "docs/security.md",
}
ELSEWHERE = {
    "jax.export": "https://docs.jax.dev/en/latest/jax.export.html",
    "torch.nn.AvgPool2d": "https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html",
    "torch.nn.functional.adaptive_avg_pool2d": "https://docs.pytorch.org/docs/stable/generated/"
    "torch.nn.functional.adaptive_avg_pool2d.html",
    "torch.nn.functional.avg_pool2d": "https://docs.pytorch.org/docs/stable/generated/"
    "torch.nn.functional.avg_pool2d.html",
    "AveragePool": "https://onnx.ai/onnx/operators/onnx__AveragePool.html",
}
INCLUDE = re.compile(r'^( *)--8<-- "([^":]+)(?::(\w+))?"$', re.MULTILINE)
LINK = re.compile(r"(\]\()([^)#:]+)(?=[)#])")
DRAWING = re.compile(rf"^```({'|'.join(windows.DRAWINGS)})\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with sections, links and drawings in place."""
    markdown = include(markdown, f"docs/{page.file.src_uri}")
    return DRAWING.sub(lambda match: windows.figures(*match.groups()), markdown)


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """The reference with names as links to where they are described, here or elsewhere."""
    if page.file.src_uri != "reference.md":
        return html
    places = {name: f"#{name}" for name in re.findall(r'id="(jaxpool\.[\w.]+)"', html)}
    places |= {name.split(".")[-1]: place for name, place in places.items()} | ELSEWHERE

    def linked(match: re.Match[str]) -> str:
        code, name = match.groups()
        return f'<a href="{places[name]}">{code}</a>' if name in places else code

    html = re.sub(r"(?<!>)(<code>([\w.]+)</code>)", linked, html)
    return html.replace("jaxlib._jax.Array", "Array")  # what `jax.Array` says that it is


def include(markdown: str, page: str) -> str:
    """The text of `page`, a path from the root of the repository, with what it includes."""

    def included(match: re.Match[str]) -> str:
        indent, name, section = match.groups()
        text = (ROOT / name).read_text()
        code = name.endswith(".py")
        if section and code:
            (node,) = (n for n in ast.parse(text).body if getattr(n, "name", "") == section)
            text = f"{ast.get_source_segment(text, node)}\n"
        elif section:
            _, text = text.split(f"<!-- --8<-- [start:{section}] -->\n")
            text, _ = text.split(f"<!-- --8<-- [end:{section}] -->\n")
        text = f"```python\n{text}```" if code else relink(text, name, page)
        return textwrap.indent(text.rstrip("\n"), indent)

    return INCLUDE.sub(included, relink(markdown, page, page))


def relink(text: str, source: str, page: str) -> str:
    """`text` of the file `source` with its links as they must be in `page`."""

    def moved(match: re.Match[str]) -> str:
        opening, link = match.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        if target.startswith("examples/"):
            target = f"docs/examples.md#{posixpath.basename(target).removesuffix('.py')}"
        target = PAGES.get(target, target)
        return opening + posixpath.relpath(target, posixpath.dirname(page))

    return LINK.sub(moved, text)
