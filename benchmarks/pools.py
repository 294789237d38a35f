"""What is pooled. A pool is described by its name, such as "16x64x113x113 k3 s2 p1 excl".

16x64x113x113  the shape: batch, channels and one to three sizes, whatever the layout
k3 s2 p1 d1    kernel, stride, padding and dilation, the same along all axes
to6, to6x4     an adaptive pool, which has no kernel: its output size
excl           the padding does not count
ceil           `ceil_mode`
masked         there is a mask, one for all channels
conv+pool      the pool behind a convolution; or relu+pool, pool+conv, pool+mean
"""

from collections.abc import Iterable
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from jaxpool import pool_output_shape

FIRST, LAST = LAYOUTS = ("channels_first", "channels_last")
DTYPES = ("float32", "bfloat16")
DIRECTIONS = ("forward", "backward")


class Pool(str):
    """A pool by its name, with what that says.

    It is plain if it has only what all libraries have, large if it has several windows with 15
    elements and more along an axis, and common if vision models use it most, in 2-d and alone.
    """

    def __init__(self, name: str) -> None:
        shape, *words = name.split()
        numbers = {word[0]: int(word[1:]) for word in words if word[1:].isdigit()}
        bins = [word[2:].split("x") for word in words if word.startswith("to")]
        self.shape = tuple(map(int, shape.split("x")))
        self.sizes = self.shape[2:]
        self.ndim = len(self.sizes)
        self.kernel, self.stride, self.padding = (numbers.get(letter, 0) for letter in "ksp")
        self.window, self.strides = (self.kernel,) * self.ndim, (self.stride,) * self.ndim
        self.dilation = numbers.get("d", 1)
        self.bins = tuple(np.resize(bins[0], self.ndim).astype(int).tolist()) if bins else ()
        self.counts = "excl" not in words
        self.ceil, self.masked = "ceil" in words, "masked" in words
        self.block = "".join(word for word in words if "+" in word)

        window = self.kernel, self.stride, self.padding
        more = {"ceil_mode": self.ceil, "dilation": self.dilation}
        self.output = self.shape[:2] + (self.bins or pool_output_shape(self.sizes, *window, **more))
        self.is_global = {*self.bins} == {1} or {*self.sizes} == {self.kernel}
        self.is_plain = not (self.bins or self.masked or self.dilation > 1)
        self.is_large = self.kernel >= 15 and not self.is_global
        common = self.is_global or window in {(2, 2, 0), (3, 1, 1), (3, 2, 1)}
        self.is_common = common and self.ndim == 2 and not self.block

    @property
    def as_title(self) -> str:
        """For readers, such as "3x3, stride 1, padding 1 not counted"."""
        if self.is_global:
            return f"global, {'x'.join(map(str, self.sizes))}"
        if self.bins:
            return f"bins, {self.sizes[0]} to {self.bins[0]}"
        kernel = "x".join(map(str, self.window))
        words = {
            kernel if self.ndim > 1 else f"1-d, {kernel}": True,
            f"stride {self.stride}": self.stride != self.kernel,
            f"dilation {self.dilation}": self.dilation > 1,
            f"padding {self.padding}{'' if self.counts else ' not counted'}": self.padding,
            "`ceil_mode`": self.ceil,
            "masked": self.masked,
            self.block: self.block,
        }
        return ", ".join(word for word, is_said in words.items() if is_said)

    @property
    def pads(self) -> list[tuple[int, int]]:
        """The padding before and behind each spatial axis, with the last window's overhang."""
        extent = (self.kernel - 1) * self.dilation + 1
        ends = [(n - 1) * self.stride + extent - self.padding for n in self.output[2:]]
        overhangs = [end - size for end, size in zip(ends, self.sizes, strict=True)]
        return [(self.padding, max(self.padding, overhang)) for overhang in overhangs]


class Case(NamedTuple):
    """A pool of a dtype in a layout, forward or backward."""

    pool: Pool
    dtype: str
    layout: str
    direction: str


def cases(pools: Iterable[Pool], layouts: Iterable[str] = LAYOUTS) -> list[Case]:
    """All cases of pools."""
    return [Case(*values) for values in product(pools, DTYPES, layouts, DIRECTIONS)]


def in_layout(values: tuple[Any, ...], layout: str) -> tuple[Any, ...]:
    """A value for each axis, such as a shape, that is given channels first."""
    batch, channels, *spatial = values
    return (batch, *spatial, channels) if layout == LAST else values


def pools(lines: str) -> list[Pool]:
    """Pools, from lines of a shape and the words of one or more pools of it."""
    pairs = (line.strip().split(": ") for line in lines.strip().splitlines())
    return [Pool(f"{shape} {words}") for shape, each in pairs for words in each.split(", ")]


CPU = pools("""
    32x64x224x224: k2 s2
    32x128x56x56: k3 s1 p1
    32x64x112x112: k3 s2 p1
    16x192x35x35: k3 s1 p1 excl
    32x512x7x7: k7 s7
    16x1280x7x7: k7 s7
    16x2048x8x8: k8 s8
    16x64x113x113: k2 s2 excl ceil
    4x16x128x128: k31 s1 p15
    1x8x512x512: k127 s1 p63
""")
ACCELERATOR = pools("""
    8x64x128x128: k2 s2, k8 s8 masked
    16x64x112x112: k3 s2 p1
    32x512x7x7: k7 s7
    32x128x56x56: k56 s56
    4x16x128x128: k31 s1 p15
    32x256x13x13: to6
    8x64x224x224: k2 s2
    8x64x128x128: k2 s2 conv+pool, k2 s2 relu+pool, k2 s2 pool+conv, k2 s2 pool+mean
    16x64x112x112: k3 s2 p1 conv+pool, k3 s2 p1 relu+pool, k3 s2 p1 pool+conv, k3 s2 p1 pool+mean
    32x128x56x56: k3 s1 p1
    16x192x35x35: k3 s1 p1
    16x128x28x28: k5 s1 p2
    16x64x113x113: k2 s2 excl ceil
    8x32x64x64: k11 s1
    1x8x512x512: k127 s1 p63
    8x64x100x100: to60
    64x128x56x56: k3 s1 p1
""")  # the last one is in float32 above an H100's L2 cache
QUICK = ACCELERATOR[:7]  # most rows of the plan, in little time
DEPLOYED = pools("""
    1x64x56x56: k2 s2, k3 s1 p1, k3 s1 p1 excl, k3 s2 p1 excl, k3 s2 excl ceil, k7 s1, k7 s7, k11 s1
    1x512x7x7: to1
    1x64x56x56: to7, to6
    1x64x1000: k4 s2
    1x32x16x28x28: k2 s2
    1x64x56x56: k3 s1 p2 d2, k3 s1 p1 excl masked
""")
