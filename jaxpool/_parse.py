"""The arguments of a pool as users write them, checked; and the one form of every error message."""

from collections.abc import Sequence
from textwrap import shorten
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias

import numpy as np

from jaxpool._window import Bins, Divisor, Placed, Span, Window

Int: TypeAlias = int | np.integer
IntArray: TypeAlias = np.ndarray[Any, np.dtype[np.integer]]
SomeInts: TypeAlias = Sequence[Int] | IntArray
Ints: TypeAlias = Int | SomeInts
Padding: TypeAlias = Literal["VALID", "SAME", "SAME_LOWER"] | Ints | Sequence[SomeInts]
OutputSize: TypeAlias = Int | Sequence[Int | None] | IntArray
DataFormat: TypeAlias = Literal["channels_first", "channels_last"]

NAMED_PADDINGS = ("VALID", "SAME", "SAME_LOWER")
PADDINGS = 'be ints, (low, high) pairs, "VALID", "SAME" or "SAME_LOWER"'
LAYOUTS = dict.fromkeys(("CHANNELS_FIRST", "NCL", "NCW", "NCHW", "NCDHW"), "channels_first")
LAYOUTS |= dict.fromkeys(("CHANNELS_LAST", "NLC", "NWC", "NHWC", "NDHWC"), "channels_last")


def describe(argument: str, value: Any) -> str:
    """The argument and its value for an error message; of arrays only the dtype and shape."""
    if argument not in ("x", "where"):
        return f"{argument}={shorten(repr(value), width=200)}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{argument}={value.dtype}[{','.join(map(str, value.shape))}]"  # as JAX has it
    return f"{argument} of type {type(value).__name__}"


class ErrorContext(NamedTuple):
    """The name of the called function or layer, and its name for the kernel, for error messages."""

    name: str
    kernel: str = "kernel"

    def fail(
        self, error: type[Exception], argument: str, must: str, value: Any, context: str = ""
    ) -> NoReturn:
        """Raises `error` with a message of the one form: function, argument, demand, value."""
        got = describe(argument, value)
        raise error(f"{self.name}: `{argument}` must {must}, got {got}{context}")


class Pool(NamedTuple):
    """All that is known about a pool before its input: the windows of each axis, the divisor."""

    windows: tuple[Window | Bins, ...]
    divisor: Divisor
    channels_last: bool


def parse_pool(
    context: ErrorContext,
    ndim: int,
    kernel: Ints,
    stride: Ints | None,
    padding: Padding,
    count_include_pad: bool,
    ceil_mode: bool,
    divisor_override: Int | None,
    dilation: Ints,
    data_format: str,
) -> Pool:
    """The `Pool` over `ndim` axes, from arguments that are checked."""
    windows = parse_windows(context, ndim, kernel, stride, padding, ceil_mode, dilation)
    _check_bool(context, "count_include_pad", count_include_pad)
    must = "be None or a non-zero int"
    if divisor_override is not None and not is_int(divisor_override):
        context.fail(TypeError, "divisor_override", must, divisor_override)
    if divisor_override == 0:
        context.fail(ValueError, "divisor_override", must, divisor_override)
    override = None if divisor_override is None else int(divisor_override)
    divisor = Divisor(override, count_include_pad)
    return Pool(windows, divisor, _is_last(context, data_format))


def parse_adaptive(
    context: ErrorContext, ndim: int, output_size: OutputSize, data_format: str
) -> Pool:
    """The adaptive `Pool` over `ndim` axes, from arguments that are checked."""
    outputs = parse_ints(context, "output_size", output_size, ndim, or_none=True)
    windows = tuple(Window(1) if size is None else Bins(size) for size in outputs)
    return Pool(windows, Divisor(), _is_last(context, data_format))


def parse_windows(
    context: ErrorContext,
    ndim: int,
    kernel: Ints,
    stride: Ints | None,
    padding: Padding,
    ceil_mode: bool,
    dilation: Ints,
) -> tuple[Window, ...]:
    """One `Window` per axis, from arguments that are checked."""
    kernels = parse_ints(context, context.kernel, kernel, ndim, or_symbol=True)
    strides = kernels
    if stride is not None:
        strides = parse_ints(context, "stride", stride, ndim, or_symbol=True)
    dilations = parse_ints(context, "dilation", dilation, ndim)
    pads = _pads(context, padding, ndim)
    _check_bool(context, "ceil_mode", ceil_mode)
    windows = tuple(map(Window, kernels, strides, dilations, pads, (ceil_mode,) * ndim))
    for window in windows:
        if isinstance(window.padding, str) or is_symbol(window.kernel):
            continue
        if max(window.padding) >= window.extent:
            must = "be smaller than the kernel's extent on every side"
            stretch = f" and dilation={dilation!r}" if window.dilation > 1 else ""
            where = f" for {describe(context.kernel, kernel)}{stretch}"
            context.fail(ValueError, "padding", must, padding, where)
    return windows


def place_windows(
    context: ErrorContext,
    windows: Sequence[Window | Bins],
    sizes: Sequence[int],
    first_axis: int,
    argument: str,
    value: Any,
    layout: str = "",
) -> tuple[Placed, ...]:
    """The windows on consecutive axes of these sizes, from `first_axis` on.

    Raises an error unless every axis holds a window. Errors about sizes name `argument`, and show
    its `value` and `layout`.
    """
    placed = []
    for axis, (size, window) in enumerate(zip(sizes, windows, strict=True), first_axis):
        if isinstance(size, int) and size < 1:
            must = "have spatial sizes of at least 1"
            context.fail(ValueError, argument, must, value, layout)
        if isinstance(window, Window) and (is_symbol(window.kernel) or is_symbol(window.stride)):
            if window != Window(size, window.stride, ceil_mode=window.ceil_mode):
                must = "be ints, or all of an axis without padding, as in AdaptiveAvgPool2d(1)"
                if is_symbol(window.kernel):
                    context.fail(ValueError, context.kernel, must, window.kernel)
                context.fail(ValueError, "stride", must, window.stride)
            window = Bins(1)
        span = window.on(axis, size)
        placed.append(span)
        if isinstance(span, Span) and span.is_known and span.outputs < 1:
            must = f"fit in the padded input, {size} + {span.low} + {span.high} along axis {axis}"
            if isinstance(window, Window) and window.ceil_mode:
                must += f", or exceed it by less than the stride of {span.stride}"
            kernel = tuple(w.kernel for w in windows if isinstance(w, Window))
            stretch = f" with dilation={span.dilation}" if span.dilation > 1 else ""
            where = f"{stretch} for {describe(argument, value)}{layout}"
            context.fail(ValueError, context.kernel, must, kernel, where)
    return tuple(placed)


def is_int(value: object) -> bool:
    """Whether `value` is an int of Python or NumPy, and not a bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_symbol(value: object) -> bool:
    """Whether `value` is a symbolic dimension of `jax.export`: it has a `scope` of names."""
    return hasattr(value, "scope")


def is_sequence(value: object) -> bool:
    """Whether `value` holds entries of an argument; a string is one value."""
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str)


def parse_ints(
    context: ErrorContext,
    argument: str,
    value: Any,
    ndim: int,
    *,
    or_none: bool = False,
    or_symbol: bool = False,
) -> tuple[Any, ...]:
    """`value`, an int or a sequence of one int or `ndim`, as `ndim` ints.

    The ints must be at least 1, or at least 0 for `padding`. With `or_none` entries of a sequence
    may be None, with `or_symbol` they may be symbolic dimensions.
    """
    entries = tuple(value) if is_sequence(value) else (value,)
    others = [e for e in entries if not (or_none and e is None and is_sequence(value))]
    ints = [e for e in others if not (or_symbol and is_symbol(e))]
    if not all(map(is_int, ints)):
        must = "be an int" if ndim == 1 else f"be an int or {ndim} ints"
        if argument == "padding":
            must = PADDINGS
        if or_none and ndim > 1:
            must = f"be an int, or {ndim} entries that are ints, or None to keep an axis"
        if any(hasattr(entry, "aval") for entry in entries):  # a JAX array or tracer
            must += ", and static: known when jax.jit traces (see its static_argnames)"
        context.fail(TypeError, argument, must, value)
    if len(entries) not in (1, ndim):
        must = "have 1 entry" if ndim == 1 else f"have 1 or {ndim} entries"
        context.fail(ValueError, argument, must, value)
    minimum = 0 if argument == "padding" else 1
    if min(ints, default=minimum) < minimum:
        context.fail(ValueError, argument, f"be at least {minimum}", value)
    return tuple(int(e) if is_int(e) else e for e in entries) * (ndim // len(entries))


def _pads(context: ErrorContext, value: Any, ndim: int) -> tuple[tuple[int, int] | str, ...]:
    """`value` as one (low, high), "SAME" or "SAME_LOWER" per axis."""
    if isinstance(value, str):
        if value == "VALID":
            return ((0, 0),) * ndim
        if value in NAMED_PADDINGS:
            return (value,) * ndim
        hint = _hint(value.upper() if value.upper() in NAMED_PADDINGS else None)
        context.fail(ValueError, "padding", PADDINGS, value, hint)
    if not (is_sequence(value) and any(map(is_sequence, value))):
        return tuple((pad, pad) for pad in parse_ints(context, "padding", value, ndim))
    must = f"have one (low, high) pair of ints per axis, {ndim} in all"
    if not all(is_sequence(pair) and all(map(is_int, pair)) for pair in value):
        context.fail(TypeError, "padding", must, value)
    if len(value) != ndim or any(len(pair) != 2 for pair in value):
        context.fail(ValueError, "padding", must, value)
    if min(map(min, value)) < 0:
        context.fail(ValueError, "padding", "be at least 0", value)
    return tuple((int(low), int(high)) for low, high in value)


def _is_last(context: ErrorContext, data_format: str) -> bool:
    """Whether the channels are the last axis."""
    must = 'be "channels_first" or "channels_last"'
    if not isinstance(data_format, str):
        context.fail(TypeError, "data_format", must, data_format)
    if data_format not in ("channels_first", "channels_last"):
        hint = _hint(LAYOUTS.get(data_format.upper()))
        context.fail(ValueError, "data_format", must, data_format, hint)
    return data_format == "channels_last"


def _check_bool(context: ErrorContext, argument: str, value: bool) -> None:
    if not isinstance(value, bool):
        context.fail(TypeError, argument, "be True or False", value)


def _hint(meant: str | None) -> str:
    return f': did you mean "{meant}"?' if meant else ""
