"""The geometry of one axis: what windows a pool has, and where they lie on an axis of some size.

Plain Python on static values. Sizes are ints or the symbolic dimensions of `jax.export`, so
formulas over them use only `+`, `-`, `*`, `//` and `%`, and never compare.
"""

from math import gcd
from typing import Any, NamedTuple


class Span(NamedTuple):
    """Windows of a fixed size, laid on an axis.

    `low` and `high` are the padding that may count. Of zeros there are `low` before the input, and
    `end` behind it: as many as the windows reach, what overhangs under `ceil_mode` included.
    """

    axis: int
    size: int
    kernel: int
    stride: int
    dilation: int
    low: int
    high: int
    outputs: int
    end: int

    @property
    def extent(self) -> int:
        """Distance from the first tap of a window to one past its last."""
        return _extent(self.kernel, self.dilation)

    @property
    def is_known(self) -> bool:
        """Whether the size of the axis is a number, not a symbol."""
        return isinstance(self.size, int)

    @property
    def is_identity(self) -> bool:
        """Whether every window is one element, in order."""
        return self.kernel * self.stride == 1

    @property
    def is_inside(self) -> bool:
        """Whether it is known that no window reads padding."""
        return self.is_known and self.low == self.end == 0

    @property
    def is_tiling(self) -> bool:
        """Whether the windows lie side by side on an axis of a known size."""
        return self.kernel == self.stride and self.dilation == 1 and self.is_known

    @property
    def is_all(self) -> bool:
        """Whether the only window is all of an axis of a known size."""
        return self.is_known and self.kernel == self.size and self.dilation == 1 and not self.low

    @property
    def tile(self) -> int:
        """The size of tiles that the axis can be cut into, even if it is sharded.

        It is the odd part of the size of the axis: shards of equal size, over an even number of
        devices, consist of such tiles. For a power of 2 it is 4, which up to size / 4 shards do.
        """
        odd = self.size // (self.size & -self.size)
        return odd if odd > 1 or self.size < 16 else 4

    @property
    def tiled(self) -> tuple["Span", "Span"]:
        """The tiles of an axis, and the window over all of them."""
        tile, count = self.tile, self.size // self.tile
        tiles = Span(self.axis, self.size, tile, tile, 1, 0, 0, count, 0)
        return tiles, Span(self.axis, count, count, count, 1, 0, 0, 1, 0)

    def taps_inside(self) -> range:
        """The elements that the first window reads."""
        stop = min(self.size, self.extent - self.low)
        return range(min(-self.low % self.dilation, stop), stop, self.dilation)

    @property
    def is_far(self) -> bool:
        """Whether there are several windows, and beside the input they reach over more than twice
        its size.
        """
        return self.is_known and self.outputs > 1 and self.low + self.end > 2 * self.size

    @property
    def near(self) -> "Span":
        """The windows from which far ones are picked: of no more taps than may lie in the input,
        one for each place from which a tap may reach it.
        """
        kernel = min(self.kernel, -(-self.size // self.dilation))
        pad = (kernel - 1) * self.dilation
        return Span(self.axis, self.size, kernel, 1, self.dilation, pad, pad, self.size + pad, pad)

    def nearest(self, index: Any, xp: Any) -> Any:
        """Which windows of `near` read what the windows at `index`, an integer array of module
        `xp`, read; one past the last for a window that reads nothing.
        """
        near, start = self.near, index * self.stride - self.low
        taps = xp.clip(-((start - self.size) // self.dilation), 0, self.kernel)
        # Of the taps before the end of the input those that `near` lacks come before its start.
        place = near.low + start + xp.maximum(0, taps - near.kernel) * self.dilation
        return xp.where((place >= 0) & (place < near.outputs), place, near.outputs)

    def counts(self, index: Any, count_include_pad: bool, xp: Any) -> Any:
        """How many taps of the windows at `index`, an integer array of module `xp`, count."""
        start = index * self.stride - self.low
        begin, end = (-self.low, self.size + self.high) if count_include_pad else (0, self.size)
        # Tap j lies at start + j * dilation: the first tap at or past `limit`, if there is one.
        first, past = (
            xp.clip(-((start - limit) // self.dilation), 0, self.kernel) for limit in (begin, end)
        )
        return past - first


class Ragged(NamedTuple):
    """Adaptive bins of different lengths, laid on an axis: bin i is [floor(i * size / outputs),
    ceil((i + 1) * size / outputs)). Neighbours share at most one element, and bins may repeat.
    """

    axis: int
    size: int
    outputs: int

    @property
    def blocks(self) -> int:
        """How many blocks of whole bins repeat: 48 of 128 elements are 16 times 3 of 8."""
        return gcd(self.size, self.outputs)

    @property
    def block(self) -> "Ragged":
        """The bins of a block, which is laid on the axis behind that of the blocks."""
        return Ragged(self.axis + 1, self.size // self.blocks, self.outputs // self.blocks)

    @property
    def uniform(self) -> Span | None:
        """The bins as windows of a fixed size, padded by what never counts, if they are such."""
        step, rest = divmod(self.size, self.outputs)
        if rest == 1 and step:
            return Span(self.axis, self.size, step + 1, step, 1, 0, 0, self.outputs, 0)
        if rest == self.outputs - 1:
            return Span(self.axis, self.size, step + 2, step + 1, 1, 1, 0, self.outputs, 1)
        return None

    def start(self, index: Any) -> Any:
        """The first element of the bins at `index`, an int or an integer array."""
        return index * self.size // self.outputs

    def counts(self, index: Any, count_include_pad: bool = True, xp: Any = None) -> Any:
        """How many elements the bins at `index` have; there is no padding."""
        del count_include_pad, xp
        return -(-(index + 1) * self.size // self.outputs) - self.start(index)


class Window(NamedTuple):
    """The pooling window of one axis; `padding` is (low, high), "SAME" or "SAME_LOWER"."""

    kernel: int
    stride: int
    dilation: int
    padding: tuple[int, int] | str
    ceil_mode: bool

    @property
    def extent(self) -> int:
        """Distance from the first tap to one past the last."""
        return _extent(self.kernel, self.dilation)

    def on(self, axis: int, size: int) -> Span:
        """The windows laid on an axis of that size."""
        low, high = self._pads(size)
        outputs = self._outputs(size)
        if isinstance(size, int):
            end = max(0, (outputs - 1) * self.stride + self.extent - low - size)
        elif self.ceil_mode and not isinstance(self.padding, str):
            end = min(self.extent, high + self.stride) - 1
        else:
            end = high
        return Span(axis, size, self.kernel, self.stride, self.dilation, low, high, outputs, end)

    def _pads(self, size: int) -> tuple[int, int]:
        """The (low, high) padding of an axis of `size`, without the overhang of `ceil_mode`."""
        if not isinstance(self.padding, str):
            return self.padding
        # total = max(extent - (distance from the last start to the end of the axis), 0)
        to_next_start = -size % self.stride
        total = to_next_start + self.extent - self.stride
        if self.extent < self.stride:
            total *= (to_next_start + self.extent) // self.stride  # 0 where negative, else 1
        smaller = total // 2
        return (smaller, total - smaller) if self.padding == "SAME" else (total - smaller, smaller)

    def _outputs(self, size: int) -> int:
        """How many windows an axis of `size` has."""
        if isinstance(self.padding, str):
            return -(-size // self.stride)
        low, high = self.padding
        if not self.ceil_mode:
            return (size + low + high - self.extent) // self.stride + 1
        # The windows that start before size + low, the end of the input, and of which all but
        # less than a stride lies before size + low + high.
        return -(-(size + low + min(0, high + self.stride - self.extent)) // self.stride)


class Bins(NamedTuple):
    """The windows of an adaptive pool along one axis, as many as `outputs`."""

    outputs: int

    def on(self, axis: int, size: int) -> Span | Ragged:
        """The bins laid on an axis of that size: a fixed window, if they are of equal size."""
        if self.outputs == 1:
            return Span(axis, size, size, size, 1, 0, 0, 1, 0)
        if size % self.outputs:
            return Ragged(axis, size, self.outputs)
        length = size // self.outputs
        return Span(axis, size, length, length, 1, 0, 0, self.outputs, 0)


def _extent(kernel: int, dilation: int) -> int:
    return (kernel - 1) * dilation + 1
