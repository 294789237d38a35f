"""What the site does to its pages that no plugin does.

It draws the blocks that ask for drawings: a custom fence would be imported before MkDocs finds
this folder. It links names in the reference: docstrings write them as code, and mkdocstrings links
only what is written as a link. The few names of other projects are here and not in inventories,
because a build needs no network. It puts the version in the header.
"""

import re
from typing import Any

from figures import windows

import jaxpool

ELSEWHERE = {
    "jax.export": "https://docs.jax.dev/en/latest/jax.export.html",
    "AveragePool": "https://onnx.ai/onnx/operators/onnx__AveragePool.html",
}
TORCH = "https://docs.pytorch.org/docs/stable/generated/{}.html"
DRAWING = re.compile(rf"^```({'|'.join(windows.DRAWINGS)})\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def on_config(config: Any) -> None:
    """The version on every page."""
    config.site_name = f"jaxpool {jaxpool.__version__}"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its drawings in place."""
    return DRAWING.sub(lambda match: windows.figures(*match.groups()), markdown)


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """The reference with names as links to where they are described, here or elsewhere."""
    if page.file.src_uri != "reference.md":
        return html
    places = {name: f"#{name}" for name in re.findall(r'id="(jaxpool\.[\w.]+)"', html)}
    places |= {name.split(".")[-1]: place for name, place in reversed(places.items())} | ELSEWHERE

    def linked(match: re.Match[str]) -> str:
        code, name = match.groups()
        place = TORCH.format(name) if name.startswith("torch.") else places.get(name)
        return f'<a href="{place}">{code}</a>' if place else code

    return re.sub(r"(?<!>)(<code>([\w.]+)</code>)", linked, html)
