"""Reads the text of a compiled program: its kernels, and the bytes of HBM that each one moves."""

import re
from collections.abc import Iterator
from math import prod
from typing import NamedTuple

WIDTHS = {"pred": 1, "bf16": 2, "c64": 8, "c128": 16}  # other names end in their bits
NO_KERNELS = {"parameter", "constant", "bitcast", "tuple", "get-tuple-element", "after-all"}
UNKNOWN = {"while", "conditional", "call"}  # their bodies would have to be counted
_OPERATION = re.compile(r"\s+(?:ROOT )?%(\S+) = (\(.*?\)|\w+\[[\d,]*\]\S*) ([\w-]+)\((.*?)\)")
_COMPUTATION = re.compile(r"(?:ENTRY )?%(\S+) \(.*\{$")
_SHAPE = re.compile(r"(\w+)\[([\d,]*)\](?:\{([\d,]*)(?::([^}]*))?\})?")


class Operation(NamedTuple):
    """A line of a computation."""

    name: str
    shape: str
    kind: str
    operands: tuple[str, ...]
    line: str


class Kernel(NamedTuple):
    """An operation of the program itself that the chip starts, and the bytes that it moves."""

    operation: Operation
    hbm_bytes: int


def computations(text: str) -> dict[str, list[Operation]]:
    """The operations of every computation by its name, and those of the program as "ENTRY"."""
    found: dict[str, list[Operation]] = {}
    operations: list[Operation] = []
    for line in text.splitlines():
        if start := _COMPUTATION.match(line):
            operations = found["ENTRY" if line.startswith("ENTRY") else start[1]] = []
        elif parts := _OPERATION.match(line):
            name, shape, kind, operands = parts.groups()
            names = tuple(re.findall(r"%([\w.\-]+)", operands))
            operations.append(Operation(name, shape, kind, names, line))
    return found


def kernels(text: str) -> Iterator[Kernel]:
    """The kernels of the program, each with the bytes of its operands and results in HBM.

    XLA's own count of bytes accessed has those that never leave the chip as well.
    """
    entry = {operation.name: operation for operation in computations(text)["ENTRY"]}
    in_hbm: dict[str, int] = {}
    for operation in entry.values():
        if operation.kind in UNKNOWN:
            raise ValueError(f"cannot count what a {operation.kind} does: {operation.line.strip()}")
        read = [in_hbm[name] for name in dict.fromkeys(operation.operands)]
        written = shape_bytes(operation.shape)
        if operation.kind == "bitcast":
            written = sum(read)  # it lies where its operand does
        in_hbm[operation.name] = written
        if operation.kind in NO_KERNELS or operation.kind.endswith("-start"):
            continue
        moved = written + sum(read)
        if operation.kind in ("copy-done", "slice-done"):
            source = entry[operation.operands[0]].operands[0]
            moved = written + (shape_bytes(operation.shape, on_chip=True) if in_hbm[source] else 0)
        yield Kernel(operation, moved)


def shape_bytes(shape: str, on_chip: bool = False) -> int:
    """Bytes of the arrays of a shape in HBM, tiles padded; `on_chip` counts what lies in VMEM."""
    total = 0
    for dtype, sizes, order, layout in _SHAPE.findall(shape):
        if "S(" in layout and not on_chip:
            continue
        dims = [int(size) for size in sizes.split(",") if size]
        if tile := re.search(r"T\(([\d,]+)\)", layout):
            minor_first = [int(axis) for axis in order.split(",") if axis]
            for axis, size in zip(minor_first, reversed(tile[1].split(",")), strict=False):
                dims[axis] = -(-dims[axis] // int(size)) * int(size)
        total += prod(dims) * width(dtype)
    return total


def elements(shape: str) -> int:
    """How many elements the first array of a shape has."""
    found = _SHAPE.search(shape)
    return prod(int(size) for size in found[2].split(",") if size) if found else 0


def width(dtype: str) -> int:
    """Bytes of an element; `token` and the like have none."""
    bits = re.search(r"\d+$", dtype)
    return WIDTHS.get(dtype, int(bits[0]) // 8 if bits else 0)
