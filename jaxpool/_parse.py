"""What a user may write for a pool, checked; and the one form of every error message."""

from collections.abc import Sequence
from numbers import Integral
from textwrap import shorten
from typing import Any, NamedTuple, NoReturn, TypeAlias

import numpy as np

from jaxpool._window import Bins, Ragged, Span, Window

Ints: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | Ints | Sequence[Sequence[int]]
OutputSize: TypeAlias = int | Sequence[int | None]

NAMED_PADDINGS = ("VALID", "SAME", "SAME_LOWER")
LAYOUTS = dict.fromkeys(("CHANNELS_FIRST", "NCL", "NCW", "NCHW", "NCDHW"), "channels_first")
LAYOUTS |= dict.fromkeys(("CHANNELS_LAST", "NLC", "NWC", "NHWC", "NDHWC"), "channels_last")


class Shaped(NamedTuple):
    """An array, as error messages show it."""

    shape: tuple[int, ...]
    dtype: Any


def given(argument: str, value: object) -> str:
    """How error messages say what was passed."""
    if isinstance(value, Shaped):
        return f"{argument} of shape {value.shape}, {value.dtype}"
    return f"{argument}={shorten(repr(value), width=200)}"


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
        raise error(f"{self.name}: `{argument}` must {must}, got {given(argument, value)}{context}")


class Pool(NamedTuple):
    """All that is known of a pool before its input: the windows of each axis and the divisor."""

    windows: tuple[Window | Bins, ...]
    count_include_pad: bool
    divisor_override: int | None
    channels_last: bool


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
    kernels = parse_ints(caller, caller.kernel, kernel, ndim, minimum=1)
    strides = kernels if stride is None else parse_ints(caller, "stride", stride, ndim, minimum=1)
    dilations = parse_ints(caller, "dilation", dilation, ndim, minimum=1)
    pads = _pads(caller, padding, ndim)
    _check_bool(caller, "ceil_mode", ceil_mode)
    windows = tuple(map(Window, kernels, strides, dilations, pads, (ceil_mode,) * ndim))
    for window in windows:
        if not isinstance(window.padding, str) and max(window.padding) >= window.extent:
            must = "be smaller than the kernel's extent on every side"
            stretch = f" and dilation={dilation!r}" if window.dilation > 1 else ""
            context = f" for {given(caller.kernel, kernel)}{stretch}"
            caller.fail(ValueError, "padding", must, padding, context)
    return windows


def parse_pool(
    caller: Caller,
    ndim: int,
    kernel: Ints,
    stride: Ints | None,
    padding: Padding,
    count_include_pad: bool,
    *,
    ceil_mode: bool,
    divisor_override: int | None,
    dilation: Ints,
    data_format: str,
) -> Pool:
    """The checked `Pool` over `ndim` axes from what the user passed."""
    windows = parse_windows(caller, ndim, kernel, stride, padding, ceil_mode, dilation)
    _check_bool(caller, "count_include_pad", count_include_pad)
    must = "be None or a non-zero int"
    if divisor_override is not None and not is_int(divisor_override):
        caller.fail(TypeError, "divisor_override", must, divisor_override)
    if divisor_override == 0:
        caller.fail(ValueError, "divisor_override", must, divisor_override)
    return Pool(windows, count_include_pad, divisor_override, _is_last(caller, data_format))


def parse_adaptive(caller: Caller, ndim: int, output_size: OutputSize, data_format: str) -> Pool:
    """The checked adaptive `Pool` over `ndim` axes from what the user passed."""
    outputs = parse_ints(caller, "output_size", output_size, ndim, minimum=1, or_none=True)
    kept = Window(1, 1, 1, (0, 0), ceil_mode=False)
    windows = tuple(kept if size is None else Bins(size) for size in outputs)
    return Pool(windows, True, None, _is_last(caller, data_format))


def lay(
    caller: Caller,
    windows: Sequence[Window | Bins],
    sizes: Sequence[int],
    first_axis: int,
    argument: str,
    value: object,
    layout: str = "",
) -> tuple[Span | Ragged, ...]:
    """The windows on consecutive axes of these sizes, the first of them `first_axis`.

    Raises unless every axis holds a window; the sizes are those of `argument`, of `value`.
    """
    spans = []
    for axis, (size, window) in enumerate(zip(sizes, windows, strict=True), first_axis):
        is_known = isinstance(size, int)  # else it is a symbolic dimension
        if is_known and size < 1:
            must = "have spatial sizes of at least 1"
            caller.fail(ValueError, argument, must, value, layout)
        if not is_known and isinstance(window, Bins) and window.outputs > 1:
            must = f"have a known size along an axis with {window.outputs} outputs"
            caller.fail(ValueError, argument, must, value, layout)
        span = window.on(axis, size)
        spans.append(span)
        if is_known and isinstance(span, Span) and span.outputs < 1:
            must = f"fit in the padded input, {size} + {span.low} + {span.high} along one axis"
            if isinstance(window, Window) and window.ceil_mode:
                must += f", or exceed it by less than the stride of {span.stride}"
            kernel = tuple(w.kernel for w in windows if isinstance(w, Window))
            stretch = f" with dilation={span.dilation}" if span.dilation > 1 else ""
            context = f"{stretch} for {given(argument, value)}{layout}"
            caller.fail(ValueError, caller.kernel, must, kernel, context)
    return tuple(spans)


def _check_bool(caller: Caller, argument: str, value: bool) -> None:
    if not isinstance(value, bool):
        caller.fail(TypeError, argument, "be True or False", value)


def is_int(value: object) -> bool:
    """Whether `value` is an int of Python or NumPy, not a bool."""
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


def is_sequence(value: object) -> bool:
    """Whether `value` holds entries of an argument; a string is one value."""
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_last(caller: Caller, data_format: str) -> bool:
    """Whether the channels are the last axis."""
    must = 'be "channels_first" or "channels_last"'
    if not isinstance(data_format, str):
        caller.fail(TypeError, "data_format", must, data_format)
    if data_format not in ("channels_first", "channels_last"):
        hint = _hint(LAYOUTS.get(data_format.upper()))
        caller.fail(ValueError, "data_format", must, data_format, hint)
    return data_format == "channels_last"


def _hint(meant: str | None) -> str:
    return f': did you mean "{meant}"?' if meant else ""


def parse_ints(
    caller: Caller, argument: str, value: Any, ndim: int, minimum: int, or_none: bool = False
) -> tuple[Any, ...]:
    """`value`, an int or a sequence of one or `ndim`, as `ndim` ints of at least `minimum`.

    With `or_none` the entries of a sequence may be None as well.
    """
    entries = tuple(value) if is_sequence(value) else (value,)
    ints = [e for e in entries if not (or_none and e is None and is_sequence(value))]
    if not all(map(is_int, ints)):
        must = "be an int" if ndim == 1 else f"be an int or {ndim} ints"
        must += " (use None to keep an axis)" if or_none and ndim > 1 else ""
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
        if value in NAMED_PADDINGS:
            return (value,) * ndim
        names = 'be ints, (low, high) pairs, "VALID", "SAME" or "SAME_LOWER"'
        hint = _hint(value.upper() if value.upper() in NAMED_PADDINGS else None)
        caller.fail(ValueError, "padding", names, value, hint)
    if not (is_sequence(value) and any(map(is_sequence, value))):
        return tuple((pad, pad) for pad in parse_ints(caller, "padding", value, ndim, minimum=0))
    must = f"have one (low, high) pair of ints per axis, {ndim} in all"
    if not all(is_sequence(pair) and all(map(is_int, pair)) for pair in value):
        caller.fail(TypeError, "padding", must, value)
    if len(value) != ndim or any(len(pair) != 2 for pair in value):
        caller.fail(ValueError, "padding", must, value)
    if min(map(min, value)) < 0:
        caller.fail(ValueError, "padding", "be at least 0", value)
    return tuple((int(low), int(high)) for low, high in value)
