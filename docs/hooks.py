"""What the site does to its pages that no plugin does.

It draws the blocks that ask for drawings: a custom fence would be imported before MkDocs finds
this folder. It links names in the reference, because docstrings write them as code and mkdocstrings
links only what is written as a link; and a build needs no network, so the few names of other projects
are here, not in inventories. It puts the version in the footer.
"""

import re
from typing import Any

from figures import windows

import jaxpool

ELSEWHERE = {
    "jax.export": "https://docs.jax.dev/en/latest/jax.export.html",
    "torch.nn.AvgPool2d": "https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html",
    "torch.nn.functional.adaptive_avg_pool2d": "https://docs.pytorch.org/docs/stable/generated/"
    "torch.nn.functional.adaptive_avg_pool2d.html",
    "torch.nn.functional.avg_pool2d": "https://docs.pytorch.org/docs/stable/generated/"
    "torch.nn.functional.avg_pool2d.html",
    "AveragePool": "https://onnx.ai/onnx/operators/onnx__AveragePool.html",
}
DRAWING = re.compile(rf"^```({'|'.join(windows.DRAWINGS)})\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def on_config(config: Any) -> None:
    """The version on every page."""
    config.copyright = f"jaxpool {jaxpool.__version__}. {config.copyright}"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its drawings in place."""
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

    return re.sub(r"(?<!>)(<code>([\w.]+)</code>)", linked, html)
