"""The ways to sum: each is a linear function of an array and of the windows along its axes.

A way only adds, so a NaN stays in its windows. It does not choose: `_plan.py` chooses the way for
each geometry on each platform.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, mlir

from jaxpool._window import AdaptiveBins, Span

Way: TypeAlias = Callable[[jax.Array, Sequence[Any]], jax.Array]


def whole(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """A plain sum over the only window of each axis. It transposes to a broadcast.

    A reduce_window of this kind would be wrong: up to JAX 0.12 XLA copies the pixel between two
    dilated taps.
    """
    for span in spans:
        if not span.is_all and len(taps := span.taps_inside()) < span.size:
            if len(taps) == 1:  # a stride would be wrong: see `tap_of`
                taps = range(taps.start, taps.start + 1)
            x = lax.slice_in_dim(x, taps.start, taps.stop, taps.step, span.axis)
    axes = [span.axis for span in spans]
    return lax.expand_dims(plain_sum(x, axes), axes)


def window(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """One reduce_window over all the axes."""
    if not all(isinstance(span.low, int) and isinstance(span.end, int) for span in spans):
        # Under jax.export the padding for "SAME" may depend on the size, which only lax.pad takes.
        return padded_window(x, spans)
    dimensions, strides, dilations = [1] * x.ndim, [1] * x.ndim, [1] * x.ndim
    padding = [(0, 0)] * x.ndim
    for span in spans:
        dimensions[span.axis], strides[span.axis] = span.kernel, span.stride
        dilations[span.axis], padding[span.axis] = span.dilation, (span.low, span.end)
    zero = np.zeros((), x.dtype)
    pooled: jax.Array = lax.reduce_window(
        x, zero, lax.add, dimensions, strides, padding, window_dilation=dilations
    )
    return pooled


def padded_window(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """One reduce_window, with the zeros written around its operand first."""
    padding = [(0, 0, 0)] * x.ndim
    for span in spans:
        padding[span.axis] = span.low, span.end, 0
    return window(pad_zeros(x, padding), [span._replace(low=0, end=0) for span in spans])


def slices(x: jax.Array, spans: Sequence[Span], place: tuple[int, ...] = ()) -> jax.Array:
    """A strided slice for each tap, added along one axis after the other, with the same bits as one
    pass of slices along each axis.
    """
    if len(place) == len(spans):
        return tap_of(x, spans, place)
    last = spans[-1 - len(place)]
    return reduce(lax.add, [slices(x, spans, (j, *place)) for j in range(last.kernel)])


def tap_of(x: jax.Array, spans: Sequence[Span], place: Sequence[int]) -> jax.Array:
    """The elements under the tap at `place` of each window: a strided slice, with zeros for the
    padding.
    """
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
        # XLA gets a strided slice of one element of a sharded axis wrong.
        strides[axis] = stride if last - first > 1 else 1
        padding[axis] = first, outputs - last, 0
    if any(starts) or limits != list(x.shape) or any(stride > 1 for stride in strides):
        x = lax.slice(x, starts, limits, strides)
    return pad_zeros(x, padding)


def tiles(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """Each axis, cut into windows by a reshape, and summed. It transposes to a broadcast."""
    shape, padding = list(x.shape), [(0, 0, 0)] * x.ndim
    for span in spans:
        shape[span.axis] = span.outputs * span.kernel
        behind = shape[span.axis] - span.low - span.size  # negative: cut off
        padding[span.axis] = (span.low, behind, 0)
    x = pad_zeros(x, padding)
    for span in reversed(spans):
        shape[span.axis : span.axis + 1] = [span.outputs, span.kernel]
    return plain_sum(lax.reshape(x, shape), [span.axis + 1 + i for i, span in enumerate(spans)])


def bins(x: jax.Array, spans: Sequence[AdaptiveBins]) -> jax.Array:
    """The elements of the bins gathered and added, all blocks of an axis at once.

    Where the axis is sharded and the shards hold whole blocks, nothing needs to be exchanged.
    """
    return in_blocks(_gathered, x, spans)


def sliced_bins(x: jax.Array, spans: Sequence[AdaptiveBins]) -> jax.Array:
    """`bins` with slices, because a TPU gathers a few elements in a loop."""
    return in_blocks(_sliced, x, spans)


def turned_bins(x: jax.Array, spans: Sequence[AdaptiveBins]) -> jax.Array:
    """`bins` with a transpose that gathers too, and does not scatter."""
    return _turned(bins, x, spans)


def turned_sliced_bins(x: jax.Array, spans: Sequence[AdaptiveBins]) -> jax.Array:
    """`sliced_bins` with a transpose that slices too."""
    return _turned(sliced_bins, x, spans)


def _turned(way: Way, x: jax.Array, spans: Sequence[AdaptiveBins]) -> jax.Array:
    """The sum by `way` in both directions. Bin i has element k if and only if bin k of `size` bins
    over the outputs has element i.
    """

    def transpose(x: jax.Array, spans: Sequence[AdaptiveBins]) -> jax.Array:
        return way(x, [AdaptiveBins(s.axis, s.outputs, s.size) for s in reversed(spans)])

    return with_transpose(way, transpose, x, spans)


def in_blocks(
    bins_of: Callable[[jax.Array, AdaptiveBins], jax.Array],
    x: jax.Array,
    spans: Sequence[AdaptiveBins],
) -> jax.Array:
    """The bins of each axis, with its blocks on an axis of their own."""
    for span in spans:
        before, after = x.shape[: span.axis], x.shape[span.axis + 1 :]
        x = lax.reshape(x, (*before, span.blocks, span.block.size, *after))
        x = lax.reshape(bins_of(x, span.block), (*before, span.outputs, *after))
    return x


def _sliced(x: jax.Array, span: AdaptiveBins) -> jax.Array:
    """The elements of the bins, sliced and added, first to last."""

    def one(i: int) -> jax.Array:
        elements = range(span.start(i), span.start(i) + span.counts(i))
        return reduce(lax.add, [lax.slice_in_dim(x, j, j + 1, axis=span.axis) for j in elements])

    return lax.concatenate([one(i) for i in range(span.outputs)], span.axis)


# A way with its own transpose, because `jax.custom_derivatives.linear_call` leaks tracers.
with_transpose_p: Any = Primitive("sum_with_transpose")
with_transpose_p.def_abstract_eval(lambda x, *, shape, **_: x.update(shape=shape))
ad.primitive_transposes[with_transpose_p] = lambda cotangent, _, *, transpose, windows, **__: [
    transpose(cotangent, windows)
]
mlir.register_lowering(
    with_transpose_p,
    mlir.lower_fun(lambda x, *, way, windows, **_: way(x, windows), multiple_results=False),
)


def with_transpose(way: Way, transpose: Way, x: jax.Array, spans: Sequence[Any]) -> jax.Array:
    """The sum by `way`; its transpose is `transpose` of the cotangent and the windows."""
    shape = list(x.shape)
    for span in spans:
        shape[span.axis] = span.outputs
    params = {"way": way, "transpose": transpose, "windows": tuple(spans), "shape": tuple(shape)}
    summed: jax.Array = with_transpose_p.bind(x, **params)
    return summed


def _gathered(x: jax.Array, span: AdaptiveBins) -> jax.Array:
    """The elements of the bins, gathered and added, first to last.

    A bin is as long as the shortest, or one longer. Up to 16 elements are added in one pass, which
    writes nothing in between.
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
        total = plain_sum(read(start[:, None] + np.arange(shortest)), [axis + 1])
    if counts.max() == shortest:
        return total
    longer = lax.broadcast_in_dim(counts > shortest, total.shape, [axis])
    more = read(start + counts - 1)
    return total + lax.select(longer, more, lax.full_like(more, 0))


def bins_of_any_size(x: jax.Array, spans: Sequence[AdaptiveBins]) -> jax.Array:
    """Bins on axes of symbolic sizes: the program computes their indices, and leaves out the
    elements behind each bin.
    """
    for span in spans:
        axis, index = span.axis, jnp.arange(span.outputs)
        start, counts = span.start(index), span.counts(index)
        place = jnp.arange(span.size // span.outputs + 2)  # no bin is longer
        read = x.at[(slice(None),) * axis + (start[:, None] + place,)].get(mode="clip")
        inside = lax.broadcast_in_dim(place < counts[:, None], read.shape, [axis, axis + 1])
        x = plain_sum(lax.select(inside, read, lax.full_like(read, 0)), [axis + 1])
    return x


def barrier(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """`x`, which XLA then stores, instead of computing it again for each element that is read."""
    del spans
    kept: jax.Array = lax.optimization_barrier(x)  # type: ignore[no-untyped-call]
    return kept


def plain_sum(x: jax.Array, axes: Sequence[int]) -> jax.Array:
    """A plain sum, in the dtype of `x`."""
    summed: jax.Array = lax.reduce(x, np.zeros((), x.dtype), lax.add, axes)
    return summed


def pad_zeros(x: jax.Array, padding: Sequence[tuple[int, int, int]]) -> jax.Array:
    """`x` among zeros: (low, high, interior) along each axis."""
    if all(pads == (0, 0, 0) for pads in padding):
        return x
    padded: jax.Array = lax.pad(x, np.zeros((), x.dtype), padding)
    return padded
