"""The reference as one reads and calls it, for mkdocstrings."""

import re
from inspect import get_annotations
from typing import Any

import griffe

import jaxpool
from jaxpool import _average, _parse

# Python shows what an alias stands for. The page says what `int` and `Sequence` include.
READABLE = {
    _parse.Int: "int",
    _parse.SomeInts: "Sequence[int]",
    _parse.Ints: "int | Sequence[int]",
    _parse.Padding: 'Literal["VALID", "SAME", "SAME_LOWER"] | int | Sequence[int]'
    " | Sequence[Sequence[int]]",
    _parse.OutputSize: "int | Sequence[int | None]",
    _average.Mask: "Array | ndarray | bool",
}
READABLE |= {alias | None: f"{text} | None" for alias, text in READABLE.items()}

# Docstrings write names as code. Addresses of others are here and not in inventories, because a
# build needs no network.
PLACES = {
    "jax.export": "(https://docs.jax.dev/en/latest/jax.export.html)",
    "AveragePool": "(https://onnx.ai/onnx/operators/onnx__AveragePool.html)",
    **{name: f"[jaxpool.{name}]" for name in jaxpool.__all__},
    **{f"jaxpool.{name}": f"[jaxpool.{name}]" for name in jaxpool.__all__},
}
TORCH = "(https://docs.pytorch.org/docs/stable/generated/{}.html)"


def linked(match: re.Match[str]) -> str:
    """A name that is written as code, as a link to where it is described."""
    code, name = match.groups()
    place = TORCH.format(name) if name.startswith("torch.") else PLACES.get(name)
    return f"[{code}]{place}" if place else code


class AsCalled(griffe.Extension):
    """Links names, leaves out what Flax adds to its modules, and shortens types."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"(`([\w.]+)`)", linked, obj.docstring.value)

    def on_function_instance(
        self, *, node: griffe.ObjectNode, func: griffe.Function, **_: Any
    ) -> None:
        """Called by griffe."""
        annotations = get_annotations(node.obj)
        if func.name == "__init__":
            own = [p for p in func.parameters if p.name not in ("parent", "name")]
            func.parameters = griffe.Parameters(*own)
        for parameter in func.parameters:
            readable = READABLE.get(annotations.get(parameter.name))
            parameter.annotation = readable or parameter.annotation
        if "jaxlib" in str(func.returns):
            func.returns = "Array"
