"""Long windows as windows of shorter windows: more ways to sum, like the ways in `_ways.py`."""

from collections.abc import Sequence
from functools import cache, reduce

import jax
from jax import lax

from jaxpool._ways import barrier, pad_zeros, tap_of, window, with_transpose
from jaxpool._window import Span


def windows_of_windows(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """Along each axis, for example 127 taps as 14 windows of 9 taps and one more tap. The cost
    grows with the square root of the kernel.
    """
    for span in spans:
        kernel = span.kernel
        short = min(range(2, kernel), key=lambda k: k + kernel // k + 2 * (kernel % k))
        x = _in_levels(x, span, (short, kernel))
    return x


def levels(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """Windows of windows along each axis, in as many levels as pay: 1001 taps as 13 windows of 77
    taps, each of these as 11 windows of 7. The cost grows with the logarithm of the kernel.
    """
    for span in spans:
        x = _in_levels(x, span, _cheapest_levels(span.kernel)[1])
    return x


def turned_levels(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """`levels`, with a transpose that is a sum by `levels` too: as many taps of stride 1, over the
    cotangent with zeros in between if the stride is larger than 1.

    Otherwise XLA would try each tap at each place, as it does for windows over a dilated array.
    """
    return with_transpose(levels, _turned, x, spans)


def _turned(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """The transpose of `levels`."""
    for span in reversed(spans):
        padding = [(0, 0, 0)] * x.ndim
        padding[span.axis] = 0, 0, span.stride - 1
        x = barrier(pad_zeros(x, padding), ()) if span.stride > 1 else x
        size, low = x.shape[span.axis], span.extent - 1 - span.low
        end = max(0, span.size + span.low - size)
        turned = Span(span.axis, size, span.kernel, 1, span.dilation, low, 0, span.size, end)
        x = lax.slice_in_dim(levels(x, [turned]), 0, span.size, axis=span.axis)
    return x


def _in_levels(x: jax.Array, span: Span, lengths: Sequence[int]) -> jax.Array:
    """The windows along an axis, summed from shorter windows and from the elements behind them.
    `lengths` are the lengths of all levels; the last is the kernel.
    """
    *shorter, kernel = lengths
    if not shorter:
        return window(x, [span])
    axis, stride, dilation, short = span.axis, span.stride, span.dilation, shorter[-1]
    # As many short windows as the long ones reach, and no more padding than that takes.
    reach = (span.outputs - 1) * stride + (kernel // short - 1) * short * dilation + 1
    end = max(0, reach + (short - 1) * dilation - span.low - span.size)
    inner = Span(axis, span.size, short, 1, dilation, span.low, outputs=reach, end=end)
    outer = Span(axis, reach, kernel // short, stride, short * dilation, outputs=span.outputs)
    summed = window(_in_levels(x, inner, shorter), [outer])
    if summed.shape[axis] > span.outputs:
        summed = lax.slice_in_dim(summed, 0, span.outputs, axis=axis)
    rest = [tap_of(x, [span], [j]) for j in range(short * outer.kernel, kernel)]
    return reduce(lax.add, rest, summed)


@cache
def _cheapest_levels(kernel: int) -> tuple[int, tuple[int, ...]]:
    """The least cost of a window, and the lengths of its levels.

    The first level, which pads, costs 3 for each tap. Each further level costs 2 for each window
    and element that it adds, and 20 for its traffic. So up to some 120 taps there are two levels.
    """
    costs: list[tuple[int, tuple[int, ...]]] = [(3 * kernel, (kernel,))]
    for short in {kernel // count for count in range(2, 17)} - {0, 1}:
        cost, lengths = _cheapest_levels(short)
        costs.append((cost + 2 * sum(divmod(kernel, short)) + 20, (*lengths, kernel)))
    return min(costs)
