"""Reads the text of a compiled program: kernels, the bytes of HBM that each moves, cycles."""

import re
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import NamedTuple

COLLECTIVES = "all-gather", "all-reduce", "all-to-all", "reduce-scatter", "collective-permute"
WIDTHS = {"pred": 1, "bf16": 2, "c64": 8, "c128": 16}  # other names end in their bits
NO_KERNELS = {"parameter", "constant", "bitcast", "tuple", "get-tuple-element", "after-all"}
UNKNOWN = {"while", "conditional", "call"}  # their bodies would have to be counted
BYTES_PER_CYCLE = 440  # of HBM, as XLA estimates a loop in float32 on a TPU v5e
_OPERATION = re.compile(r"\s+(?:ROOT )?%(\S+) = (\(.*?\)|\w+\[[\d,]*\]\S*) ([\w-]+)\((.*?)\)")
_PROGRAM = re.compile(r"^ENTRY .*?^}", re.MULTILINE | re.DOTALL)
_SHAPE = re.compile(r"(\w+)\[([\d,]*)\](?:\{([\d,]*)(?::([^}]*))?\})?")
_BUNDLE = re.compile(r"\s*(?:0x[0-9a-f]+|0)\s+(?:\w\w)?\s*: ((?:>\s?)*)")
_BOUND = re.compile(r"scmp\.ge\.s32\.totalorder %\S+,\s+(\d+)")


class Operation(NamedTuple):
    """A line of a program."""

    name: str
    shape: str
    kind: str
    operands: list[str]
    line: str


def operations(text: str) -> dict[str, Operation]:
    """All operations by name, also those that run within another one."""
    found = {}
    for parts in filter(None, map(_OPERATION.match, text.splitlines())):
        name, shape, kind, operands = parts.groups()
        names = re.findall(r"%([\w.\-]+)", operands)
        found[name] = Operation(name, shape, kind, names, parts.string)
    return found


def kernels(text: str) -> Iterator[tuple[Operation, int]]:
    """What the chip starts, each with the bytes of its operands and results in HBM.

    XLA's own count of bytes accessed includes those that never leave the chip.
    """
    program, in_hbm = operations(_PROGRAM.search(text)[0]), {}
    for operation in program.values():
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
            source = program[operation.operands[0]].operands[0]
            moved = written + (shape_bytes(operation.shape, on_chip=True) if in_hbm[source] else 0)
        yield operation, moved


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


def cycles(kernel: Operation, hbm_bytes: int, dump: Path) -> int:
    """How many cycles a kernel of a TPU v5e takes: good to some 20%, to compare programs by.

    The largest of XLA's own estimate, the bundles that it scheduled, and the traffic of HBM: a
    fusion has an estimate; a `reduce-window` that stands alone has none, but it has a schedule.
    """
    estimates = map(int, re.findall(r'"estimated_cycles":"(\d+)"', kernel.line))
    iterations = re.search(r'"iteration_bounds":\[([^\]]*)\]', kernel.line)
    trips = prod(map(int, re.findall(r"\d+", iterations[1]))) if iterations else None
    files = dump.glob(f"*-{kernel.name}-*final_bundles.txt")
    schedules = [bundles(f.read_text(), trips) for f in files if "schedule" not in f.name]
    return max([*estimates, *schedules, round(hbm_bytes / BYTES_PER_CYCLE)])


def bundles(schedule: str, trips: int | None) -> int:
    """Bundles of a schedule: each one is a cycle, those of a loop once for each of its trips.

    Loops within it count once for each of its trips, as their own bounds are not written down. If
    nobody knows its trips, they are the largest bound that a counter is compared with.
    """
    found = list(filter(None, map(_BUNDLE.match, schedule.splitlines())))
    loop = [bundle.string for bundle in found if ">" in bundle[1]]
    bounds = map(int, _BOUND.findall("\n".join(loop)))
    return len(found) - len(loop) + len(loop) * (trips or max([1, *bounds]))
