"""What is pooled: the cells of the benchmark, and the cases that each of them is measured in."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from math import prod
from typing import NamedTuple, Protocol, TypeVar

from jaxpool import pool_output_shape

LAYOUTS = ("channels_first", "channels_last")
DTYPES = ("float32", "bfloat16")
DIRECTIONS = ("forward", "backward", "both")


class Cell(NamedTuple):
    """A pool over an input of `shape`: batch, channels and one to three spatial sizes."""

    shape: tuple[int, ...]
    kernel: int
    stride: int
    padding: int = 0
    count_include_pad: bool = True

    @property
    def name(self) -> str:
        """For tables and `--cells`, such as "16x64x32x32 k2 s2 p1 excl"."""
        padding = f" p{self.padding}" if self.padding else ""
        excluding = "" if self.count_include_pad else " excl"
        shape = "x".join(map(str, self.shape))
        return f"{shape} k{self.kernel} s{self.stride}{padding}{excluding}"

    @property
    def ndim(self) -> int:
        """How many spatial axes there are."""
        return len(self.shape) - 2

    @property
    def output(self) -> tuple[int, ...]:
        """The shape of the result, channels first."""
        spatial = self.shape[2:]
        pooled = pool_output_shape(spatial, self.kernel, self.stride, self.padding)
        return (*self.shape[:2], *pooled)

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
        return self.padding == 0

    @property
    def is_same(self) -> bool:
        """Whether "SAME" says the same as the padding, which is then known to be symmetric."""
        totals = [(-size % self.stride) + self.kernel - self.stride for size in self.shape[2:]]
        return all(max(total, 0) == 2 * self.padding for total in totals)

    @property
    def overlaps(self) -> bool:
        """Whether an element of the input lies in more than one window."""
        return self.stride < self.kernel and max(self.output[2:]) > 1

    def strip(self, times: int) -> "Cell":
        """The same on an image with `times` fewer rows, if the window still fits."""
        batch, channels, rows, *others = self.shape
        rows = max(rows // times, self.kernel - 2 * self.padding)
        return self._replace(shape=(batch, channels, rows, *others))


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
    Cell((16, 64, 32, 32), 2, 2, 1, False),
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
QUICK = tuple(CELLS[i] for i in (3, 4, 6, 7, 10))


class Named(Protocol):
    """A cell of any benchmark."""

    @property
    def name(self) -> str:
        """Words that say what is pooled."""


SomeCell = TypeVar("SomeCell", bound=Named)


def choose(patterns: Sequence[str], cells: Sequence[SomeCell]) -> tuple[SomeCell, ...]:
    """The cells with a word of their name among `patterns`, or a name that matches one."""
    return tuple(
        cell
        for cell in cells
        if any(p in cell.name.split() or fnmatchcase(cell.name, p) for p in patterns)
    )
