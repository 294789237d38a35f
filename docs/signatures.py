"""Signatures in the reference as one calls them, for mkdocstrings."""

from inspect import get_annotations
from typing import Any

import griffe

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


class AsCalled(griffe.Extension):
    """Leaves out what Flax adds to its modules, and shortens types."""

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
