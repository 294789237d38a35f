"""The windows along one axis: what a user may write for them, where they lie, what counts.

Plain Python on static values. Sizes are ints or the symbolic dimensions of `jax.export`, so
formulas over them use `+`, `-`, `*`, `//` and `%` alone and never compare.
"""

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from textwrap import shorten
from typing import Any, NamedTuple, NoReturn, TypeAlias

Ints: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | Ints | Sequence[Sequence[int]]
OutputSize: TypeAlias = int | Sequence[int | None]


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
        return (self.kernel - 1) * self.dilation + 1

    def pads(self, size: int) -> tuple[int, int]:
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

    def output_size(self, size: int) -> int:
        """How many windows an axis of `size` has."""
        if isinstance(self.padding, str):
            return -(-size // self.stride)
        low, high = self.padding
        if not self.ceil_mode:
            return (size + low + high - self.extent) // self.stride + 1
        # The windows that start before size + low, the end of the input, and of which all but
        # less than a stride lies before size + low + high.
        return -(-(size + low + min(0, high + self.stride - self.extent)) // self.stride)

    def reach(self, size: int) -> tuple[int, int]:
        """Zeros to add on either side so that the windows that fit are the windows that count."""
        low, high = self.pads(size)
        if isinstance(size, Integral):
            end_of_last = (self.output_size(size) - 1) * self.stride + self.extent
            return low, max(0, end_of_last - low - size)
        if self.ceil_mode and not isinstance(self.padding, str):
            return low, min(self.extent, high + self.stride) - 1
        return low, high

    def taps_inside(self, size: int) -> range:
        """The taps of the first window that lie inside an axis of `size`."""
        low, _ = self.pads(size)
        stop = min(size, self.extent - low)
        return range(min(-low % self.dilation, stop), stop, self.dilation)

    def counts(self, size: int, index: Any, count_include_pad: bool, xp: Any) -> Any:
        """How many taps of the windows at `index`, an integer array of module `xp`, count."""
        low, high = self.pads(size)
        start = index * self.stride - low
        begin, end = (-low, size + high) if count_include_pad else (0, size)
        # Tap j lies at start + j * dilation: the first tap at or past `limit`, if there is one.
        first, past = (
            xp.clip(-((start - limit) // self.dilation), 0, self.kernel) for limit in (begin, end)
        )
        return past - first


class Bins(NamedTuple):
    """The windows of an adaptive pool: bin i of an axis of size n is [floor(i * n / outputs),
    ceil((i + 1) * n / outputs)). Neighbours share at most one element, and bins may repeat.
    """

    outputs: int

    def output_size(self, size: int) -> int:
        """How many bins there are, whatever the size."""
        del size
        return self.outputs

    def tiles(self, size: int) -> Window | None:
        """The bins as a fixed window, if they are of equal size and side by side."""
        if not isinstance(size, Integral) or size % self.outputs:
            return None
        return Window(size // self.outputs, size // self.outputs, 1, (0, 0), ceil_mode=False)

    def start(self, size: int, index: Any) -> Any:
        """The first element of the bins at `index`, an int or an integer array."""
        return index * size // self.outputs

    def counts(self, size: int, index: Any, count_include_pad: bool, xp: Any) -> Any:
        """How many elements the bins at `index` have; there is no padding."""
        del count_include_pad, xp
        return -(-(index + 1) * size // self.outputs) - self.start(size, index)


class Caller(NamedTuple):
    """What the user called, and what that calls its kernel: error messages name both."""

    name: str
    kernel: str = "kernel"

    def fail(
        self,
        error: type[Exception],
        argument: str,
        must: str,
        value: object,
        context: str = "",
    ) -> NoReturn:
        """Raises `error` with a message of the one form that this library has."""
        shown = shorten(repr(value), width=200)
        raise error(f"{self.name}: `{argument}` must {must}, got {argument}={shown}{context}")


def parse_windows(
    caller: Caller,
    ndim: int,
    kernel: Ints,
    stride: Ints | None,
    padding: Padding,
    ceil_mode: bool,
    dilation: Ints,
) -> tuple[Window, ...]:
    """One checked `Window` per axis from what the user passed."""
    kernels = _ints(caller, caller.kernel, kernel, ndim, minimum=1)
    strides = kernels if stride is None else _ints(caller, "stride", stride, ndim, minimum=1)
    dilations = _ints(caller, "dilation", dilation, ndim, minimum=1)
    pads = _pads(caller, padding, ndim)
    _check_bool(caller, "ceil_mode", ceil_mode)
    windows = tuple(map(Window, kernels, strides, dilations, pads, (ceil_mode,) * ndim))
    for window in windows:
        if not isinstance(window.padding, str) and max(window.padding) >= window.extent:
            must = "be smaller than the kernel's extent on every side"
            stretch = f" and dilation={dilation!r}" if window.dilation > 1 else ""
            given = f" for {caller.kernel}={kernel!r}{stretch}"
            caller.fail(ValueError, "padding", must, padding, given)
    return windows


class Pool(NamedTuple):
    """All that is known of a pool before its input: the windows of each axis and the divisor."""

    windows: tuple[Window | Bins, ...]
    count_include_pad: bool
    divisor_override: int | None
    channels_last: bool


def parse_pool(
    caller: Caller,
    ndim: int,
    kernel: Ints,
    stride: Ints | None,
    padding: Padding,
    count_include_pad: bool,
    ceil_mode: bool,
    divisor_override: int | None,
    dilation: Ints,
    data_format: str,
) -> Pool:
    """The checked `Pool` over `ndim` axes from what the user passed."""
    windows = parse_windows(caller, ndim, kernel, stride, padding, ceil_mode, dilation)
    _check_bool(caller, "count_include_pad", count_include_pad)
    must = "be None or a non-zero int"
    if divisor_override is not None and not _is_int(divisor_override):
        caller.fail(TypeError, "divisor_override", must, divisor_override)
    if divisor_override == 0:
        caller.fail(ValueError, "divisor_override", must, divisor_override)
    return Pool(windows, count_include_pad, divisor_override, _is_last(caller, data_format))


def parse_adaptive(caller: Caller, ndim: int, output_size: OutputSize, data_format: str) -> Pool:
    """The checked adaptive `Pool` over `ndim` axes from what the user passed."""
    outputs = _ints(caller, "output_size", output_size, ndim, minimum=1, or_none=True)
    kept = Window(1, 1, 1, (0, 0), ceil_mode=False)
    windows = tuple(kept if size is None else Bins(size) for size in outputs)
    return Pool(windows, True, None, _is_last(caller, data_format))


def check_sizes(
    caller: Caller,
    windows: Sequence[Window | Bins],
    sizes: Sequence[int],
    argument: str,
    value: object,
    layout: str = "",
) -> None:
    """Raises unless every axis holds a window; the sizes are those of `argument`, of `value`."""
    for size, window in zip(sizes, windows, strict=True):
        if not isinstance(size, Integral):  # a symbolic dimension: its value is not known yet
            if isinstance(window, Bins) and window.outputs > 1:
                must = f"have sizes that are known along axes that get {window.outputs} outputs"
                caller.fail(ValueError, argument, must, value, layout)
            continue
        if size < 1:
            must = "have spatial sizes of at least 1"
            caller.fail(ValueError, argument, must, value, layout)
        if isinstance(window, Bins):
            continue
        low, high = window.pads(size)
        if size + low + high < window.extent:
            must = f"fit in the padded input, {size} + {low} + {high} along one axis"
            kernel = tuple(w.kernel for w in windows if isinstance(w, Window))
            stretch = f" with dilation={window.dilation}" if window.dilation > 1 else ""
            given = f"{stretch} for {argument}={value!r}{layout}"
            caller.fail(ValueError, caller.kernel, must, kernel, given)


def pool_output_shape(
    spatial_shape: Sequence[int],
    kernel: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    *,
    ceil_mode: bool = False,
    dilation: Ints = 1,
) -> tuple[int, ...]:
    """The spatial shape of what `avg_pool1d`, `avg_pool2d` or `avg_pool3d` returns.

    Args:
      spatial_shape: the sizes of the input's spatial axes, one or more, without batch and
        channels; ints, or the symbolic dimensions of `jax.export`.
      kernel: as in `avg_pool2d`, and so are the others.
      stride: see there.
      padding: see there.
      ceil_mode: see there.
      dilation: see there.

    Returns:
      The number of windows along each axis.

    Raises:
      TypeError, ValueError: as `avg_pool2d` does.

    Examples:
      >>> pool_output_shape((224, 224), 3, 2, 1)
      (112, 112)
      >>> pool_output_shape((112, 112), 3, 2, ceil_mode=True)
      (56, 56)
    """
    caller = Caller("pool_output_shape")
    arguments = kernel, stride, padding, ceil_mode, dilation
    windows = _windows_of(caller, spatial_shape, *arguments)
    return tuple(w.output_size(size) for w, size in zip(windows, spatial_shape, strict=True))


class Strip(NamedTuple):
    """Neighbouring rows of a pool's output, and what they are pooled from: see `pool_strips`."""

    output: slice
    input: slice
    padding: tuple[tuple[int, int], ...]


def pool_strips(
    spatial_shape: Sequence[int],
    rows: int,
    kernel: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    *,
    ceil_mode: bool = False,
    dilation: Ints = 1,
) -> tuple[Strip, ...]:
    """Cuts a pool along its first spatial axis, for images that do not fit in memory.

    To pool the rows `strip.input` with the padding `strip.padding`, and all else as given here,
    gives the rows `strip.output` of the result, bit for bit in strips of two rows and more (but
    see docs/numerics.md). Strips overlap in the input as windows do.

    Args:
      spatial_shape: the sizes of the input's spatial axes, without batch and channels.
      rows: how many rows of the output a strip has, at least 1. The last strip may have fewer,
        or one more, for a single row that is left joins the strip before it.
      kernel: as in `avg_pool2d`, and so are the others.
      stride: see there.
      padding: see there.
      ceil_mode: see there.
      dilation: see there.

    Returns:
      The strips, first to last, each with the slices `output` and `input` of the first spatial
      axis, and `padding`, a (low, high) pair per spatial axis.

    Raises:
      TypeError, ValueError: as `avg_pool2d` does; if `rows` is not an int of at least 1.

    Examples:
      >>> image = jnp.arange(40.0).reshape(1, 8, 5)
      >>> strips = pool_strips((8, 5), 3, 3, 2, "SAME", ceil_mode=True)
      >>> parts = [avg_pool2d(image[:, s.input], 3, 2, s.padding, ceil_mode=True) for s in strips]
      >>> jnp.array_equal(jnp.concatenate(parts, axis=1), avg_pool2d(image, 3, 2, "SAME"))
      Array(True, dtype=bool)
    """
    caller = Caller("pool_strips")
    (rows,) = _ints(caller, "rows", rows, 1, minimum=1)
    arguments = kernel, stride, padding, ceil_mode, dilation
    windows = _windows_of(caller, spatial_shape, *arguments)
    if not all(map(_is_int, spatial_shape)):
        caller.fail(TypeError, "spatial_shape", "hold ints", spatial_shape)
    window, size = windows[0], spatial_shape[0]
    (low, high), *others = (w.pads(n) for w, n in zip(windows, spatial_shape, strict=True))
    outputs = window.output_size(size)
    # The last window may overhang under `ceil_mode`, and is then too long for a strip of its own.
    starts = [*range(0, max(1, outputs - 1), rows), outputs]
    strips = []
    for first, past in pairwise(starts):
        begin = first * window.stride - low
        end = (past - 1) * window.stride - low + window.extent if past < outputs else size + high
        pads = max(0, -begin), max(0, end - size)
        inside = slice(max(0, begin), min(size, end))
        strips.append(Strip(slice(first, past), inside, (pads, *others)))
    return tuple(strips)


def _windows_of(
    caller: Caller, spatial_shape: Sequence[int], *arguments: Any
) -> tuple[Window, ...]:
    """One checked `Window` per axis of `spatial_shape`, in which it fits."""
    if not is_sequence(spatial_shape):
        caller.fail(TypeError, "spatial_shape", "be a sequence of sizes", spatial_shape)
    # Symbolic dimensions are told by the `scope` of names that they belong to.
    if not all(_is_int(size) or hasattr(size, "scope") for size in spatial_shape):
        caller.fail(TypeError, "spatial_shape", "hold ints", spatial_shape)
    if not spatial_shape:
        caller.fail(ValueError, "spatial_shape", "have at least one size", spatial_shape)
    windows = parse_windows(caller, len(spatial_shape), *arguments)
    check_sizes(caller, windows, spatial_shape, "spatial_shape", spatial_shape)
    return windows


def _check_bool(caller: Caller, argument: str, value: bool) -> None:
    if not isinstance(value, bool):
        caller.fail(TypeError, argument, "be True or False", value)


def _is_int(value: object) -> bool:
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


def is_sequence(value: object) -> bool:
    """Whether `value` holds entries of an argument; a string is one value."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_last(caller: Caller, data_format: str) -> bool:
    """Whether the channels are the last axis."""
    must = 'be "channels_first" or "channels_last"'
    if not isinstance(data_format, str):
        caller.fail(TypeError, "data_format", must, data_format)
    if data_format not in ("channels_first", "channels_last"):
        caller.fail(ValueError, "data_format", must, data_format)
    return data_format == "channels_last"


def _ints(
    caller: Caller, argument: str, value: Any, ndim: int, minimum: int, or_none: bool = False
) -> tuple[Any, ...]:
    """`value`, an int or a sequence of one or `ndim`, as `ndim` ints of at least `minimum`.

    With `or_none` the entries of a sequence may be None as well.
    """
    entries = tuple(value) if is_sequence(value) else (value,)
    ints = [e for e in entries if not (or_none and e is None and is_sequence(value))]
    if not all(map(_is_int, ints)):
        must = "be an int" if ndim == 1 else f"be an int or a sequence of {ndim} ints"
        must += ", None for one to be kept" if or_none and ndim > 1 else ""
        if any(hasattr(entry, "aval") for entry in entries):  # a JAX array or tracer
            must += ", and static: known when jax.jit traces (see its static_argnames)"
        caller.fail(TypeError, argument, must, value)
    if len(entries) not in (1, ndim):
        must = "have one entry" if ndim == 1 else f"have one entry or {ndim}"
        caller.fail(ValueError, argument, must, value)
    if min(ints, default=minimum) < minimum:
        caller.fail(ValueError, argument, f"be at least {minimum}", value)
    return tuple(e if e is None else int(e) for e in entries) * (ndim // len(entries))


def _pads(caller: Caller, value: Any, ndim: int) -> tuple[tuple[int, int] | str, ...]:
    """`value` as one (low, high), "SAME" or "SAME_LOWER" per axis."""
    if isinstance(value, str):
        if value == "VALID":
            return ((0, 0),) * ndim
        if value in ("SAME", "SAME_LOWER"):
            return (value,) * ndim
        names = 'be ints, (low, high) pairs, "VALID", "SAME" or "SAME_LOWER"'
        caller.fail(ValueError, "padding", names, value)
    if not (is_sequence(value) and any(map(is_sequence, value))):
        return tuple((pad, pad) for pad in _ints(caller, "padding", value, ndim, minimum=0))
    must = f"have one (low, high) pair of ints per axis, {ndim} in all"
    if not all(is_sequence(pair) and all(map(_is_int, pair)) for pair in value):
        caller.fail(TypeError, "padding", must, value)
    if len(value) != ndim or any(len(pair) != 2 for pair in value):
        caller.fail(ValueError, "padding", must, value)
    if min(map(min, value)) < 0:
        caller.fail(ValueError, "padding", "be at least 0", value)
    return tuple((int(low), int(high)) for low, high in value)
