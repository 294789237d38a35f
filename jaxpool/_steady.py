"""Sums on the CPU with the same bits for an image alone and in a batch.

XLA leaves plain sums and tiles of an array of at least `LIBRARY_FROM` elements to a library,
YNNPACK, which adds in another order than XLA. From JAX 0.11 on this order does not depend on the
batch. So a smaller array is summed as the first of many, and the others are zeros.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jax import lax

from jaxpool._ways import Way, barrier, bins, pad_zeros, whole, window
from jaxpool._window import AdaptiveBins, Placed, Span

LIBRARY_FROM = 4096


def steady_whole(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """`whole`, with bits that do not depend on the batch."""
    shares = [(len(span.taps_inside()), span.size) for span in spans if span.is_known]
    return _among_zeros(whole, x, spans, shares)


def steady_window(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """`window` over tiles, likewise. XLA itself adds windows that overlap."""
    return _among_zeros(window, x, spans, [])


def steady_bins(x: jax.Array, spans: Sequence[AdaptiveBins]) -> jax.Array:
    """`bins`, likewise. Short bins are no plain sum."""
    for span in spans:
        shortest = span.counts(np.arange(span.outputs)).min()
        if shortest > 16:
            x = _among_zeros(bins, x, [span], [(span.outputs * shortest, span.size)])
        else:
            x = bins(x, [span])
    return x


def _among_zeros(
    way: Way, x: jax.Array, spans: Sequence[Placed], shares: Sequence[tuple[int, int]]
) -> jax.Array:
    """The sums of `x` by `way`, which reads some `shares` of it: (elements read, elements)."""
    if not all(isinstance(size, int) for size in x.shape):
        return way(x, spans)
    size = x.size
    for read, among in shares:
        size = size // among * read
    if not 0 < size < LIBRARY_FROM:
        return way(x, spans)
    others = -(-LIBRARY_FROM // size) - 1
    padding = [(0, others, 0), *[(0, 0, 0)] * x.ndim]
    many = pad_zeros(lax.expand_dims(x, [0]), padding)
    # Without a barrier XLA folds the zeros into a reduce_window, and sees a small array again.
    summed = way(barrier(many, ()), [span._replace(axis=span.axis + 1) for span in spans])
    first: jax.Array = lax.index_in_dim(summed, 0, keepdims=False)
    return first
