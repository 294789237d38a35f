"""What is pooled: one description of a pool, and the pools of each command."""

from argparse import ArgumentParser
from collections.abc import Iterable
from math import prod
from typing import Any, NamedTuple

import numpy as np

from jaxpool import pool_output_shape

FIRST, LAST = LAYOUTS = ("channels_first", "channels_last")
DTYPES = ("float32", "bfloat16")
DIRECTIONS = ("forward", "backward")
BLOCKS = ("conv+pool", "relu+pool", "pool+conv", "pool+mean")


class Pool(NamedTuple):
    """A pool over an input of `shape`: batch, channels and one to three spatial sizes.

    Args:
      shape: channels first, whatever the layout.
      kernel, stride, padding, dilation: as for `jaxpool.avg_pool2d`, the same along all axes.
      counts: whether the padding counts.
      ceil: `ceil_mode`.
      bins: the output size of an adaptive pool, which has no kernel; a number for all axes.
      masked: whether there is a mask, one for all channels.
      block: one of `BLOCKS`, or nothing for the pool alone.
    """

    shape: tuple[int, ...]
    kernel: int = 0
    stride: int = 0
    padding: int = 0
    counts: bool = True
    ceil: bool = False
    dilation: int = 1
    bins: int | tuple[int, ...] = 0
    masked: bool = False
    block: str = ""

    @property
    def name(self) -> str:
        """For tables and `--pools`, such as "16x64x32x32 k2 s2 p1 excl"."""
        words = [("x".join(map(str, self.shape)), True)]
        words += [
            ("to" + "x".join(map(str, np.ravel(self.bins))), self.bins),
            (f"k{self.kernel}", self.kernel),
        ]
        words += [(f"s{self.stride}", self.stride), (f"p{self.padding}", self.padding)]
        words += [("excl", not self.counts), ("ceil", self.ceil), ("masked", self.masked)]
        words += [(f"d{self.dilation}", self.dilation > 1), (self.block, self.block)]
        return " ".join(word for word, is_said in words if is_said)

    @classmethod
    def named(cls, name: str) -> "Pool":
        """The pool of a name."""
        shape, *words = name.split()
        pool = cls(tuple(map(int, shape.split("x"))))
        numbers = {"k": "kernel", "s": "stride", "p": "padding", "d": "dilation"}
        others = {"excl": {"counts": False}, "ceil": {"ceil": True}, "masked": {"masked": True}}
        for word in words:
            if word.startswith("to"):
                bins = tuple(map(int, word[2:].split("x")))
                pool = pool._replace(bins=bins if len(bins) > 1 else bins[0])
            elif word[1:].isdigit():
                pool = pool._replace(**{numbers[word[0]]: int(word[1:])})
            else:
                pool = pool._replace(**others.get(word, {"block": word}))
        return pool

    @property
    def title(self) -> str:
        """For readers, such as "3x3, stride 1, padding 1 not counted"."""
        sizes, n = self.shape[2:], self.ndim
        if self.is_global:
            return f"global, {'x'.join(map(str, sizes))}"
        if self.bins:
            size, bins = sizes[0], int(np.ravel(self.bins)[0])
            return f"bins, {size} to {bins}"
        words = ["x".join([str(self.kernel)] * n) if n > 1 else f"1-d, {self.kernel}"]
        words += [f"stride {self.stride}"] if self.stride != self.kernel else []
        words += [f"dilation {self.dilation}"] if self.dilation > 1 else []
        words += [f"padding {self.padding}"] if self.padding else []
        words[-1] += " not counted" if self.padding and not self.counts else ""
        words += ["`ceil_mode`"] if self.ceil else []
        words += ["masked"] if self.masked else []
        return ", ".join([*words, self.block] if self.block else words)

    @property
    def ndim(self) -> int:
        """How many spatial axes there are."""
        return len(self.shape) - 2

    @property
    def is_global(self) -> bool:
        """Whether one window or bin is the whole image."""
        return self.bins == 1 or (self.kernel,) * self.ndim == self.shape[2:]

    @property
    def is_common(self) -> bool:
        """Whether it is one of the 2-d pools that vision models use most, alone."""
        window = self.kernel, self.stride, self.padding
        common = window in {(2, 2, 0), (3, 1, 1), (3, 2, 1)} or self.is_global
        return common and self.ndim == 2 and not self.block

    @property
    def is_large(self) -> bool:
        """Whether its windows have 15 elements and more along an axis, and there are several."""
        return self.kernel >= 15 and not self.is_global

    @property
    def taps(self) -> int:
        """How many taps all windows have together, which a simple pool reads one by one."""
        return 0 if self.bins else prod(self.output) * self.kernel**self.ndim

    @property
    def output(self) -> tuple[int, ...]:
        """The shape of the result, channels first."""
        if self.bins:
            return (*self.shape[:2], *np.broadcast_to(self.bins, self.ndim).tolist())
        window = self.kernel, self.stride, self.padding
        more = {"ceil_mode": self.ceil, "dilation": self.dilation}
        return (*self.shape[:2], *pool_output_shape(self.shape[2:], *window, **more))

    @property
    def pads(self) -> list[tuple[int, int]]:
        """The padding before and behind each spatial axis, with the last window's overhang."""
        extent = (self.kernel - 1) * self.dilation + 1
        ends = [(n - 1) * self.stride + extent - self.padding for n in self.output[2:]]
        overhangs = [end - size for end, size in zip(ends, self.shape[2:], strict=True)]
        return [(self.padding, max(self.padding, overhang)) for overhang in overhangs]

    @property
    def name_of_padding(self) -> str | None:
        """The padding in the only words that Keras and TensorFlow have for it, if it is one."""
        if not any(map(any, self.pads)):
            return "VALID"
        totals = [max((-n % self.stride) + self.kernel - self.stride, 0) for n in self.shape[2:]]
        same = [(total // 2, total - total // 2) for total in totals]
        return "SAME" if same == self.pads and not self.counts else None

    def laid_out(self, layout: str, spatial: Iterable[Any], others: Any) -> tuple[Any, ...]:
        """`spatial`, a value for each spatial axis, with `others` for batch and channels."""
        return (others, *spatial, others) if layout == LAST else (others, others, *spatial)


def in_layout(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """A shape that is given channels first."""
    batch, channels, *spatial = shape
    return (batch, *spatial, channels) if layout == LAST else shape


CPU = (
    Pool((32, 64, 224, 224), 2, 2),
    Pool((32, 128, 56, 56), 3, 1, 1),
    Pool((32, 64, 112, 112), 3, 2, 1),
    Pool((16, 192, 35, 35), 3, 1, 1, counts=False),
    Pool((32, 512, 7, 7), 7, 7),
    Pool((16, 1280, 7, 7), 7, 7),
    Pool((16, 2048, 8, 8), 8, 8),
    Pool((16, 64, 113, 113), 2, 2, counts=False, ceil=True),
    Pool((4, 16, 128, 128), 31, 1, 15),
    Pool((1, 8, 512, 512), 127, 1, 63),
)
_ALONE = (
    Pool((8, 64, 224, 224), 2, 2),
    Pool((8, 64, 128, 128), 2, 2),
    Pool((32, 128, 56, 56), 3, 1, 1),
    Pool((16, 64, 112, 112), 3, 2, 1),
    Pool((16, 192, 35, 35), 3, 1, 1),
    Pool((16, 128, 28, 28), 5, 1, 2),
    Pool((32, 512, 7, 7), 7, 7),
    Pool((32, 128, 56, 56), 56, 56),
    Pool((16, 64, 113, 113), 2, 2, counts=False, ceil=True),
    Pool((8, 32, 64, 64), 11, 1),
    Pool((4, 16, 128, 128), 31, 1, 15),
    Pool((1, 8, 512, 512), 127, 1, 63),
    Pool((32, 256, 13, 13), bins=6),
    Pool((8, 64, 100, 100), bins=60),
    Pool((8, 64, 128, 128), 8, 8, masked=True),
    Pool((64, 128, 56, 56), 3, 1, 1),  # in float32 above an H100's L2 cache
)
ACCELERATOR = _ALONE + tuple(_ALONE[i]._replace(block=b) for i in (1, 3) for b in BLOCKS)
_IMAGE = (1, 64, 56, 56)
DEPLOYED = (
    Pool(_IMAGE, 2, 2),
    Pool(_IMAGE, 3, 1, 1),
    Pool(_IMAGE, 3, 1, 1, counts=False),
    Pool(_IMAGE, 3, 2, 1, counts=False),
    Pool(_IMAGE, 3, 2, counts=False, ceil=True),
    Pool(_IMAGE, 7, 1),
    Pool(_IMAGE, 7, 7),
    Pool(_IMAGE, 11, 1),
    Pool((1, 512, 7, 7), bins=1),
    Pool(_IMAGE, bins=7),
    Pool(_IMAGE, bins=6),
    Pool((1, 64, 1000), 4, 2),
    Pool((1, 32, 16, 28, 28), 2, 2),
    Pool(_IMAGE, 3, 1, 2, dilation=2),
    Pool(_IMAGE, 3, 1, 1, counts=False, masked=True),
)


def add_choice(parser: ArgumentParser, pools: Iterable[Pool]) -> None:
    """The option `--pools`, for those pools that have one of its words in their names."""
    pools = tuple(pools)

    def chosen(word: str) -> tuple[Pool, ...]:
        found = tuple(pool for pool in pools if word == pool.name or word in pool.name.split())
        if not found:
            names = ", ".join(pool.name for pool in pools)
            parser.error(f"--pools: no pool has the word {word} in its name. They are {names}")
        return found

    about = "a word of their names, such as k3, excl or 32x512x7x7; all by default"
    parser.add_argument(
        "--pools", nargs="+", type=chosen, default=[pools], metavar="WORD", help=about
    )


def union(chosen: Iterable[Iterable[Pool]]) -> tuple[Pool, ...]:
    """The pools of all words, each once."""
    return tuple(dict.fromkeys(pool for pools in chosen for pool in pools))
