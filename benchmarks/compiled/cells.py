"""What is compiled: pools alone and inside blocks, and the groups that the headline is over."""

from collections.abc import Callable
from typing import NamedTuple

from benchmarks.cells import is_common, is_large

BLOCKS = ("conv+pool", "relu+pool", "pool+conv", "pool+mean")


class Cell(NamedTuple):
    """A 2-d pool over an input of `shape`: batch, channels, rows and columns.

    Args:
      shape, kernel, stride, padding: as for `jaxpool.avg_pool2d`, the same along both axes.
      outputs: of an adaptive pool along each axis, which has no kernel.
      ceil: whether the last windows may hang over, and the padding does not count.
      masked: whether there is a mask, one for all channels.
      block: one of `BLOCKS`, or nothing for the pool alone.
    """

    shape: tuple[int, int, int, int]
    kernel: int = 0
    stride: int = 0
    padding: int = 0
    outputs: int = 0
    ceil: bool = False
    masked: bool = False
    block: str = ""

    @property
    def name(self) -> str:
        """For tables and `--cells`, such as "16x64x112x112 k3 s2 p1 relu+pool"."""
        words = ["x".join(map(str, self.shape))]
        words += [f"to{self.outputs}"] if self.outputs else [f"k{self.kernel}", f"s{self.stride}"]
        words += [f"p{self.padding}"] if self.padding else []
        words += ["ceil"] if self.ceil else []
        words += ["masked"] if self.masked else []
        return " ".join([*words, self.block] if self.block else words)


POOLS = (
    Cell((8, 64, 224, 224), 2, 2),
    Cell((8, 64, 128, 128), 2, 2),
    Cell((32, 128, 56, 56), 3, 1, 1),
    Cell((16, 64, 112, 112), 3, 2, 1),
    Cell((16, 192, 35, 35), 3, 1, 1),
    Cell((16, 128, 28, 28), 5, 1, 2),
    Cell((32, 512, 7, 7), 7, 7),
    Cell((32, 128, 56, 56), 56, 56),
    Cell((16, 64, 113, 113), 2, 2, ceil=True),
    Cell((8, 32, 64, 64), 11, 1),
    Cell((4, 16, 128, 128), 31, 1, 15),
    Cell((1, 8, 512, 512), 127, 1, 63),
    Cell((32, 256, 13, 13), outputs=6),
    Cell((8, 64, 100, 100), outputs=60),
    Cell((8, 64, 128, 128), 8, 8, masked=True),
    Cell((64, 128, 56, 56), 3, 1, 1),  # in float32 above an H100's L2 cache
)
CELLS = POOLS + tuple(POOLS[i]._replace(block=block) for i in (1, 3) for block in BLOCKS)

# Most rows of the plan, in little time.
QUICK_NAMES = (
    "8x64x128x128 k2 s2",
    "16x64x112x112 k3 s2 p1",
    "32x512x7x7 k7 s7",
    "32x128x56x56 k56 s56",
    "4x16x128x128 k31 s1 p15",
    "32x256x13x13 to6",
    "8x64x128x128 k8 s8 masked",
)
QUICK = tuple(cell for cell in CELLS if cell.name in QUICK_NAMES)

GROUPS: dict[str, Callable[[Cell], bool]] = {
    "common pools": lambda cell: is_common(cell) and not cell.block,
    "windows from 15x15": is_large,
    "all cells": lambda cell: bool(cell),
}
