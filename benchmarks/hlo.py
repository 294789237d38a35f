"""Reads the text of a compiled program: kernels, the bytes of HBM that each moves, cycles."""

import re
from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import NamedTuple

COLLECTIVES = "all-gather", "all-reduce", "all-to-all", "reduce-scatter", "collective-permute"
WIDTHS = {"pred": 1, "bf16": 2, "c64": 8, "c128": 16}  # other names end in their bits
NO_KERNELS = {"parameter", "constant", "bitcast", "tuple", "get-tuple-element", "after-all"}
UNKNOWN = {"while", "conditional", "call"}  # their bodies would have to be counted
BYTES_PER_CYCLE = 440  # of HBM, as XLA estimates a loop in float32 on a TPU v5e
_OPERATION = re.compile(r"\s+(?:ROOT )?%(\S+) = (\(.*?\)|\w+\[[\d,]*\]\S*) ([\w-]+)\((.*?)\)")
_COMPUTATION = re.compile(r"(?:ENTRY )?%(\S+) \(.*\{$")
_SHAPE = re.compile(r"(\w+)\[([\d,]*)\](?:\{([\d,]*)(?::([^}]*))?\})?")
_BUNDLE = re.compile(r"\s*(?:0x[0-9a-f]+|0)\s+(?:\w\w)?\s*: ((?:>\s?)*)")
_BOUND = re.compile(r"scmp\.ge\.s32\.totalorder %\S+,\s+(\d+)")


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

    XLA's own count of bytes accessed includes those that never leave the chip.
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
        bits = re.search(r"\d+$", dtype)  # `token` and the like have none
        total += prod(dims) * WIDTHS.get(dtype, int(bits[0]) // 8 if bits else 0)
    return total


def collectives(text: str) -> str:
    """The collectives of a program, such as "1 all-gather, 2 collective-permute", or "none"."""
    counts = {name: len(re.findall(rf" {name}(-start)?\(", text)) for name in COLLECTIVES}
    return ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "none"


def cycles(kernel: Kernel, dump: Path) -> int:
    """How many cycles a kernel of a TPU v5e takes: good to some 20%, to compare programs by.

    The largest of XLA's own estimate, the bundles that it scheduled, and the traffic of HBM: a
    fusion has an estimate; a `reduce-window` that stands alone has none, but it has a schedule.
    """
    name, line = kernel.operation.name, kernel.operation.line
    estimates = map(int, re.findall(r'"estimated_cycles":"(\d+)"', line))
    iterations = re.search(r'"iteration_bounds":\[([^\]]*)\]', line)
    trips = prod(map(int, re.findall(r"\d+", iterations[1]))) if iterations else None
    schedules = [
        bundles(path.read_text().splitlines(), trips)
        for path in dump.glob(f"*-{name}-*final_bundles.txt")
        if "schedule" not in path.name
    ]
    return max(*estimates, *schedules, round(kernel.hbm_bytes / BYTES_PER_CYCLE), 0)


def bundles(lines: Iterable[str], trips: int | None) -> int:
    """Bundles of a schedule: each one is a cycle, those of a loop once for each of its trips.

    Loops within it count once for each of its trips, as their own bounds are not written down. If
    nobody knows its trips, they are the largest bound that a counter is compared with.
    """
    outside, inside, bound = 0, 0, 1
    for line in lines:
        bundle = _BUNDLE.match(line)
        if bundle and ">" in bundle[1]:
            inside += 1
            bound = max(bound, *map(int, _BOUND.findall(line)), 1)
        elif bundle:
            outside += 1
    return outside + inside * (trips or bound)
