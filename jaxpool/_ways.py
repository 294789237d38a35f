"""The ways to sum: each is a linear function of an array and of the spans along its axes.

A way adds and does nothing else, so a NaN stays in its windows. None of them chooses: `_plan.py`
says which one serves which geometry on which platform.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxpool._plan import Plan
from jaxpool._window import Ragged, Span

Way: TypeAlias = Callable[[jax.Array, Sequence[Any]], jax.Array]


def carry_out(plan: Plan, x: jax.Array) -> jax.Array:
    """The sum of `x`, step by step."""
    for step in plan:
        x = WAYS[step.way](x, step.spans)
    return x


def differing(
    value: Callable[[jax.Array], jax.Array], tangent: Callable[[jax.Array], jax.Array]
) -> Callable[[jax.Array], jax.Array]:
    """The linear function `value`, whose tangents, and so whose transpose, are those of `tangent`,
    the same function written otherwise.
    """
    summed = jax.custom_jvp(value)
    summed.defjvp(lambda primals, tangents: (summed(*primals), tangent(*tangents)))
    return summed


def whole(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """A plain sum over the only window of each axis. It transposes to a broadcast.

    XLA gets one reduce_window of this kind wrong (seen up to JAX 0.12): it copies the pixel between
    two dilated taps.
    """
    for span in spans:
        if span.kernel == span.size and span.dilation == 1 and not span.low:
            continue  # it reads all, though the size may be a symbol
        taps = span.taps_inside()
        if len(taps) < span.size:
            x = lax.slice_in_dim(x, taps.start, taps.stop, taps.step, span.axis)
    return jnp.sum(x, [span.axis for span in spans], keepdims=True)


def window(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """One reduce_window over all the axes."""
    zero = np.zeros((), x.dtype)
    dimensions, strides, dilations = [1] * x.ndim, [1] * x.ndim, [1] * x.ndim
    padding = [(0, 0)] * x.ndim
    for span in spans:
        dimensions[span.axis], strides[span.axis] = span.kernel, span.stride
        dilations[span.axis], padding[span.axis] = span.dilation, (span.low, span.end)
    if not all(span.is_known for span in spans):
        # Under jax.export the padding for "SAME" may depend on the size, which only lax.pad takes.
        x = lax.pad(x, zero, [(low, high, 0) for low, high in padding])
        padding = [(0, 0)] * x.ndim
    pooled: jax.Array = lax.reduce_window(
        x, zero, lax.add, dimensions, strides, padding, window_dilation=dilations
    )
    return pooled


def taps(x: jax.Array, spans: Sequence[Span], place: tuple[int, ...] = ()) -> jax.Array:
    """A strided slice for each tap, added up along one axis after the other: the bits are those of
    taps along each axis alone.
    """
    if len(place) == len(spans):
        return _tap(x, spans, place)
    last = spans[-1 - len(place)]
    return reduce(lax.add, [taps(x, spans, (j, *place)) for j in range(last.kernel)])


def _tap(x: jax.Array, spans: Sequence[Span], place: Sequence[int]) -> jax.Array:
    """What the tap at `place` of each window reads: a strided slice, zero in the padding."""
    starts, limits, strides = [0] * x.ndim, list(x.shape), [1] * x.ndim
    padding = [(0, 0, 0)] * x.ndim
    for span, j in zip(spans, place, strict=True):
        axis, stride, outputs = span.axis, span.stride, span.outputs
        start = j * span.dilation - span.low
        first = min(outputs, max(0, -(start // stride)))
        last = max(first, min(outputs, (span.size - 1 - start) // stride + 1))  # one past it
        limits[axis] = 0
        if first < last:
            starts[axis], limits[axis] = start + first * stride, start + (last - 1) * stride + 1
        strides[axis], padding[axis] = stride, (first, outputs - last, 0)
    read = lax.slice(x, starts, limits, strides)
    return lax.pad(read, np.zeros((), x.dtype), padding) if any(map(any, padding)) else read


def tiles(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """Each axis cut into windows by a reshape, and summed. It transposes to a broadcast."""
    shape, padding = list(x.shape), [(0, 0, 0)] * x.ndim
    for span in spans:
        shape[span.axis] = span.outputs * span.kernel
        behind = shape[span.axis] - span.low - span.size  # negative: cut off
        padding[span.axis] = (span.low, behind, 0)
    x = lax.pad(x, np.zeros((), x.dtype), padding)
    for span in reversed(spans):
        shape[span.axis : span.axis + 1] = [span.outputs, span.kernel]
    return jnp.sum(x.reshape(shape), [span.axis + 1 + i for i, span in enumerate(spans)])


def nested(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """Windows of windows along each axis: 127 taps as 14 times 9, and one more. The cost grows with
    the root of the kernel.
    """
    for span in spans:
        x = _nested(x, span)
    return x


def _nested(x: jax.Array, span: Span) -> jax.Array:
    axis, kernel, stride, dilation = span.axis, span.kernel, span.stride, span.dilation
    short = min(range(2, kernel), key=lambda k: k + kernel // k + 2 * (kernel % k))
    # As many short windows as the long ones reach, and no more padding than that takes.
    outer = Span(axis, 0, kernel // short, stride, short * dilation, 0, 0, span.outputs, 0)
    reached = (span.outputs - 1) * stride + outer.extent
    end = max(0, reached + (short - 1) * dilation - span.low - span.size)
    inner = Span(axis, span.size, short, 1, dilation, span.low, 0, reached, end)
    summed = window(window(x, [inner]), [outer])
    if summed.shape[axis] > span.outputs:
        summed = lax.slice_in_dim(summed, 0, span.outputs, axis=axis)
    rest = [_tap(x, [span], [j]) for j in range(short * outer.kernel, kernel)]
    return reduce(lax.add, rest, summed)


def picked(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """The sums over far windows, each one that over the near window which reads the same."""
    for span in spans:
        nearest = span.nearest(np.arange(span.outputs), np)
        place = (slice(None),) * span.axis + (nearest,)
        x = x.at[place].get(mode="fill", fill_value=0)
    return x


def bins(x: jax.Array, spans: Sequence[Ragged]) -> jax.Array:
    """The elements of the bins gathered and added."""
    return _in_blocks(x, spans, _gathered)


def sliced_bins(x: jax.Array, spans: Sequence[Ragged]) -> jax.Array:
    """The elements of the bins sliced, one by one, and added."""
    return _in_blocks(x, spans, _sliced)


def _in_blocks(
    x: jax.Array, spans: Sequence[Ragged], read: Callable[[jax.Array, Ragged], jax.Array]
) -> jax.Array:
    """The bins of each axis by `read`, all blocks at once.

    Where the axis is sharded and the shards hold whole blocks, nothing needs to be exchanged.
    """
    for span in spans:
        before, after = x.shape[: span.axis], x.shape[span.axis + 1 :]
        x = x.reshape(*before, span.blocks, span.block.size, *after)
        x = _bins(x, span.block, read)
        x = x.reshape(*before, span.outputs, *after)
    return x


def _bins(x: jax.Array, span: Ragged, read: Callable[[jax.Array, Ragged], jax.Array]) -> jax.Array:
    """The bins of an axis, by `read`.

    The tangent is written as the transpose of the transpose, which is a sum over bins again. For
    bin i has element k if and only if, of `size` bins over the outputs, bin k has element i. So a
    gradient reads as the value does, where a transposed gather would scatter. In exchange forward
    mode scatters.
    """
    turned = Ragged(span.axis, span.outputs, span.size)

    def tangent(t: jax.Array) -> jax.Array:
        cotangent = read(t, span)  # for its type
        transposed = jax.linear_transpose(partial(_bins, span=turned, read=read), cotangent)
        summed: jax.Array = transposed(t)[0]
        return summed

    return differing(lambda x: read(x, span), tangent)(x)


def _sliced(x: jax.Array, span: Ragged) -> jax.Array:
    """The bins' elements, sliced and added, first to last."""

    def one(i: int) -> jax.Array:
        start = span.start(i)
        taken = range(start, start + span.counts(i))
        return reduce(lax.add, [lax.slice_in_dim(x, j, j + 1, axis=span.axis) for j in taken])

    return lax.concatenate([one(i) for i in range(span.outputs)], span.axis)


def _gathered(x: jax.Array, span: Ragged) -> jax.Array:
    """The bins' elements, gathered and added, first to last.

    All bins are of the length of the shortest, or one more. Up to 16 elements are added in one
    pass, which writes nothing else.
    """
    axis, index = span.axis, np.arange(span.outputs)
    start, counts = span.start(index), span.counts(index)
    shortest = counts.min()

    def read(index: np.ndarray) -> jax.Array:
        place = (slice(None),) * axis + (index,)
        return x.at[place].get(mode="promise_in_bounds", indices_are_sorted=True)

    if shortest <= 16:
        total = reduce(lax.add, [read(start + j) for j in range(shortest)])
    else:
        total = jnp.sum(read(start[:, None] + np.arange(shortest)), axis + 1)
    if counts.max() == shortest:
        return total
    others = tuple(a for a in range(x.ndim) if a != axis)
    longer = np.expand_dims(counts > shortest, others)
    return total + jnp.where(longer, read(start + counts - 1), np.zeros((), x.dtype))


def stored(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """`x`, which XLA does not compute anew wherever it is read."""
    del spans
    kept: jax.Array = lax.optimization_barrier(x)  # type: ignore[no-untyped-call]
    return kept


WAYS: Mapping[str, Way] = {
    way.__name__: way
    for way in (whole, window, taps, tiles, nested, picked, bins, sliced_bins, stored)
}
