"""What is pooled: the cells of the benchmark, and the cases that each of them is measured in."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from math import prod
from typing import NamedTuple, Protocol, TypeVar

from jaxpool import pool_output_shape

LAYOUTS = ("channels_first", "channels_last")
DTYPES = ("float32", "bfloat16")
DIRECTIONS = ("forward", "backward")


class Cell(NamedTuple):
    """A pool over an input of `shape`: batch, channels and one to three spatial sizes."""

    shape: tuple[int, ...]
    kernel: int
    stride: int
    padding: int = 0
    count_include_pad: bool = True
    ceil_mode: bool = False

    @property
    def name(self) -> str:
        """For tables and `--cells`, such as "16x64x32x32 k2 s2 p1 excl"."""
        words = ["x".join(map(str, self.shape)), f"k{self.kernel}", f"s{self.stride}"]
        words += [f"p{self.padding}"] if self.padding else []
        words += [] if self.count_include_pad else ["excl"]
        return " ".join([*words, "ceil"] if self.ceil_mode else words)

    @property
    def ndim(self) -> int:
        """How many spatial axes there are."""
        return len(self.shape) - 2

    @property
    def output(self) -> tuple[int, ...]:
        """The shape of the result, channels first."""
        spatial = self.shape[2:]
        window = self.kernel, self.stride, self.padding
        pooled = pool_output_shape(spatial, *window, ceil_mode=self.ceil_mode)
        return (*self.shape[:2], *pooled)

    @property
    def pads(self) -> list[tuple[int, int]]:
        """The padding before and behind each spatial axis, with what overhangs."""
        window = self.kernel, self.stride, self.padding, self.ceil_mode
        return [pads(size, *window) for size in self.shape[2:]]

    @property
    def taps(self) -> int:
        """How many taps of all windows lie in the input, which is what a simple pool reads."""
        taps = prod(self.shape[:2])
        for size, windows in zip(self.shape[2:], self.output[2:], strict=True):
            starts = [i * self.stride - self.padding for i in range(windows)]
            taps *= sum(min(start + self.kernel, size) - max(start, 0) for start in starts)
        return taps

    @property
    def is_valid(self) -> bool:
        """Whether "VALID" says the same as the padding."""
        return not any(map(any, self.pads))

    @property
    def is_same(self) -> bool:
        """Whether "SAME" says the same as the padding."""
        totals = [(-size % self.stride) + self.kernel - self.stride for size in self.shape[2:]]
        halves = [(total // 2, total - total // 2) for total in (max(t, 0) for t in totals)]
        return halves == self.pads

    @property
    def overlaps(self) -> bool:
        """Whether an element of the input lies in more than one window."""
        return self.stride < self.kernel and max(self.output[2:]) > 1

    def strip(self, times: int) -> "Cell":
        """The same on an image with `times` fewer rows, if the window still fits."""
        batch, channels, rows, *others = self.shape
        rows = max(rows // times, self.kernel - 2 * self.padding)
        return self._replace(shape=(batch, channels, rows, *others))


def pads(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> tuple[int, int]:
    """The padding before and behind an axis, with what overhangs."""
    (outputs,) = pool_output_shape((size,), kernel, stride, padding, ceil_mode=ceil_mode)
    overhang = (outputs - 1) * stride + kernel - padding - size
    return padding, max(padding, overhang)


class Case(NamedTuple):
    """A cell in a dtype and a layout."""

    cell: Cell
    dtype: str
    layout: str


# Adjacent cells share their input where one is compared with the other: k127 and k7.
CELLS = (
    Cell((32, 64, 224, 224), 2, 2),
    Cell((32, 128, 56, 56), 3, 1, 1),
    Cell((32, 512, 7, 7), 7, 7),
    Cell((16, 1280, 7, 7), 7, 7),
    Cell((16, 2048, 8, 8), 8, 8),
    Cell((16, 64, 32, 32), 2, 2, 1, False),
    Cell((16, 64, 113, 113), 2, 2, 0, False, ceil_mode=True),
    Cell((32, 64, 112, 112), 3, 2, 1),
    Cell((16, 192, 35, 35), 3, 1, 1, False),
    Cell((16, 128, 28, 28), 5, 1, 2),
    Cell((8, 32, 64, 64), 11, 1),
    Cell((4, 16, 128, 128), 31, 1, 15),
    Cell((1, 8, 512, 512), 7, 1, 3),
    Cell((1, 8, 512, 512), 127, 1, 63),
    Cell((4, 16, 32, 32, 32), 3, 2, 1),
    Cell((16, 64, 16384), 4, 4),
)

# A few that take little time and in which each peer can do something.
QUICK = tuple(CELLS[i] for i in (3, 5, 8, 9, 12))


class AnyCell(Protocol):
    """A cell of any benchmark."""

    @property
    def name(self) -> str:
        """Words that say what is pooled."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the input, channels first."""

    @property
    def kernel(self) -> int:
        """Of the window, along each axis; 0 of adaptive pools."""

    @property
    def stride(self) -> int:
        """Of the window."""

    @property
    def padding(self) -> int:
        """Before each axis."""


def is_common(cell: AnyCell) -> bool:
    """Whether it is one of the 2-d pools that vision models use most."""
    window = cell.kernel, cell.stride, cell.padding
    common = window in {(2, 2, 0), (3, 1, 1), (3, 2, 1)} or cell.kernel == cell.shape[2]
    return common and len(cell.shape) == 4


def is_large(cell: AnyCell) -> bool:
    """Whether its windows have 15 elements and more along an axis, and there are several."""
    return cell.kernel >= 15 and cell.kernel != cell.shape[2]


# What the headline is over.
GROUPS: dict[str, Callable[[Cell], bool]] = {
    "common pools": is_common,
    "windows from 15x15": is_large,
    "all cells": lambda cell: bool(cell),
}

SomeCell = TypeVar("SomeCell", bound=AnyCell)


def parser_of(module: str, about: str | None, cells: Sequence[AnyCell]) -> ArgumentParser:
    """A parser for the command that is a module, without options yet; its help names the cells."""
    return ArgumentParser(
        prog=f"python -m {module}",
        usage="%(prog)s [options]",
        description=about,
        epilog="cells:\n" + "\n".join(f"  {cell.name}" for cell in cells),
        formatter_class=RawDescriptionHelpFormatter,
    )


def choose(
    patterns: Sequence[str], cells: Sequence[SomeCell], parser: ArgumentParser
) -> tuple[SomeCell, ...]:
    """The cells with a word of their name among `patterns`, or a name that matches one.

    If there are none, the parser ends the command, and says which cells there are.
    """
    chosen = tuple(
        cell
        for cell in cells
        if any(p in cell.name.split() or fnmatchcase(cell.name, p) for p in patterns)
    )
    if not chosen:
        parser.error(f"--cells: no cell has such a word in its name\n\n{parser.epilog}")
    return chosen
