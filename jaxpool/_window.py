"""The geometry of one axis: the windows of a pool, and their places on an axis of some size.

Plain Python on static values. Sizes are ints or the symbolic dimensions of `jax.export`, so
formulas over them use only `+`, `-`, `*`, `//` and `%`, and never compare.
"""

from math import gcd
from typing import Any, NamedTuple, TypeAlias


class Span(NamedTuple):
    """Windows of a fixed size, placed on an axis.

    `low` and `high` are the padding that may count. The zeros that windows reach are `low` before
    the input and `end` behind it, which includes the overhang of `ceil_mode`.
    """

    axis: int
    size: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    low: int = 0
    high: int = 0
    outputs: int = 1
    end: int = 0

    @property
    def extent(self) -> int:
        """Distance from the first tap of a window to one past its last."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def is_known(self) -> bool:
        """Whether the size of the axis is a number, not a symbol."""
        return isinstance(self.size, int)

    @property
    def is_identity(self) -> bool:
        """Whether every window is one element, in order."""
        return self.kernel == self.stride == 1

    @property
    def is_inside(self) -> bool:
        """Whether it is known that no window reads padding."""
        return self.is_known and self.low == self.end == 0

    @property
    def is_padded(self) -> bool:
        """Whether there may be padding that counts."""
        return not (self.low == self.high == 0)

    @property
    def is_tiling(self) -> bool:
        """Whether the windows lie side by side on an axis of a known size."""
        return self.is_known and self.kernel == self.stride and self.dilation == 1

    @property
    def is_all(self) -> bool:
        """Whether the only window is all of the axis."""
        return self.kernel == self.size and self.dilation == 1 and self.low == 0

    def taps_inside(self) -> range:
        """The elements that the first window reads."""
        stop = min(self.size, self.extent - self.low)
        return range(min(-self.low % self.dilation, stop), stop, self.dilation)

    def counts(self, index: Any, count_include_pad: bool, xp: Any) -> Any:
        """How many taps of the windows at `index`, an integer array of module `xp`, count."""
        start = index * self.stride - self.low
        begin, end = (-self.low, self.size + self.high) if count_include_pad else (0, self.size)
        # Tap j lies at start + j * dilation: the first tap at or past `limit`, if there is one.
        places = begin - start, end - start
        if self.dilation > 1:
            places = -(-places[0] // self.dilation), -(-places[1] // self.dilation)
        first, past = (xp.clip(place, 0, self.kernel) for place in places)
        return past - first


class AdaptiveBins(NamedTuple):
    """Bins of different lengths, placed on an axis: bin i is [floor(i * size / outputs),
    ceil((i + 1) * size / outputs)). Neighbours share at most one element, and bins may repeat.
    """

    axis: int
    size: int
    outputs: int

    @property
    def is_known(self) -> bool:
        """Whether the size of the axis is a number, not a symbol."""
        return isinstance(self.size, int)

    @property
    def is_padded(self) -> bool:
        """Whether there may be padding that counts."""
        return False

    @property
    def blocks(self) -> int:
        """The number of equal blocks of bins: 48 bins of 128 elements are 16 blocks of 3 of 8."""
        return gcd(self.size, self.outputs)

    @property
    def block(self) -> "AdaptiveBins":
        """The bins of one block. The axis of the blocks comes before the axis of the bins."""
        return AdaptiveBins(self.axis + 1, self.size // self.blocks, self.outputs // self.blocks)

    @property
    def uniform(self) -> Span | None:
        """The bins as windows of a fixed size, if they are; their padding never counts."""
        if not self.is_known:
            return None
        step, rest = divmod(self.size, self.outputs)
        if rest == 1 and step:
            return Span(self.axis, self.size, step + 1, step, outputs=self.outputs)
        if rest == self.outputs - 1:
            windows = Span(self.axis, self.size, step + 2, step + 1, outputs=self.outputs)
            return windows._replace(low=1, end=1)
        return None

    def start(self, index: Any) -> Any:
        """The first element of the bins at `index`, an int or an integer array."""
        return index * self.size // self.outputs

    def counts(self, index: Any, count_include_pad: bool = True, xp: Any = None) -> Any:
        """How many elements the bins at `index` have; there is no padding."""
        del count_include_pad, xp
        return -(-(index + 1) * self.size // self.outputs) - self.start(index)


Placed: TypeAlias = Span | AdaptiveBins


class Window(NamedTuple):
    """The pooling window of one axis; `padding` is (low, high), "SAME" or "SAME_LOWER"."""

    kernel: int
    stride: int = 1
    dilation: int = 1
    padding: tuple[int, int] | str = (0, 0)
    ceil_mode: bool = False

    @property
    def extent(self) -> int:
        """Distance from the first tap to one past the last."""
        return (self.kernel - 1) * self.dilation + 1

    def on(self, axis: int, size: int) -> Span:
        """The windows, placed on an axis of this size."""
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
        # Windows that start before size + low, the end of the input, and that overhang
        # size + low + high by less than a stride.
        return -(-(size + low + min(0, high + self.stride - self.extent)) // self.stride)


class Bins(NamedTuple):
    """The windows of an adaptive pool along one axis, as many as `outputs`."""

    outputs: int

    def on(self, axis: int, size: int) -> Placed:
        """The bins, placed on an axis of this size: as fixed windows if they are of equal size."""
        rest = size % self.outputs
        if isinstance(rest, int) and rest == 0:  # a symbol may be a multiple, as 8 * h to 8
            length = size // self.outputs
            return Span(axis, size, length, length, outputs=self.outputs)
        return AdaptiveBins(axis, size, self.outputs)


class Divisor(NamedTuple):
    """The divisor of a sum: `override`, or the number of taps that count if it is None."""

    override: int | None = None
    count_include_pad: bool = True


UNDIVIDED = Divisor(override=1)
