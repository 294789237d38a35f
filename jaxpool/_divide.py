"""The division: the number of taps of each window that count, and the average from the sum.

If no tap of a window counts, its sum is 0, and 0 times 1 / 0 is NaN, the right value. Its tangent
must be 0, so tangents are divided by at least 1.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from jaxpool._window import Divisor, Placed


class Counts(NamedTuple):
    """The number of taps that count: a number, times a vector for each axis along which windows
    differ. A vector has size 1 along the other axes.
    """

    number: float
    axes: tuple[int, ...]
    vectors: tuple[Any, ...]

    def over(self, shape: Sequence[int], dtype: DTypeLike) -> Any:
        """The product as an array that broadcasts against `shape`.

        JAX multiplies the vectors, so that no constant of a program is larger than a vector.
        """
        sizes = [size if axis in self.axes else 1 for axis, size in enumerate(shape)]
        number = np.full([1] * len(sizes), self.number, dtype)
        if not self.vectors:
            return number
        first, *others = (vector.astype(dtype) for vector in self.vectors)
        first = first * number
        if not others:
            return first
        every = range(len(sizes))
        arrays = (lax.broadcast_in_dim(vector, sizes, every) for vector in (first, *others))
        return reduce(lax.mul, arrays)


def count_taps(
    windows: Sequence[Placed], shape: Sequence[int], divisor: Divisor, at_least: int = 0
) -> Counts:
    """The counts of `windows` in a result of `shape`, or the number that overrides them."""
    if divisor.override is not None:
        return Counts(divisor.override, (), ())
    number, axes, vectors = 1, [], []
    for span in windows:
        xp: Any = np if isinstance(span.size, int) else jnp
        size = shape[span.axis]  # a symbol may be written in several ways
        index = np.arange(size) if xp is np else lax.iota(np.int32, size)
        counts = xp.maximum(span.counts(index, divisor.count_include_pad, xp), at_least)
        if xp is np and (counts == counts[0]).all():
            number *= int(counts[0])
        else:
            axes.append(span.axis)
            vectors.append(xp.expand_dims(counts, [a for a in range(len(shape)) if a != span.axis]))
    return Counts(number, tuple(axes), tuple(vectors))


def divide(
    total: jax.Array, windows: Sequence[Placed], divisor: Divisor, *, is_value: bool
) -> jax.Array:
    """`total` times the reciprocal of the count.

    XLA turns some divisions into such a product and leaves others, which round differently. An
    image in a batch would then differ in its last bits from the image alone.
    """
    counts = count_taps(windows, total.shape, divisor, at_least=0 if is_value else 1)
    count = counts.over(total.shape, total.real.dtype)
    if isinstance(count, jax.Array):
        scale = lax.div(lax.full_like(count, 1), count)
    else:
        with np.errstate(divide="ignore"):
            scale = 1 / count
    scale = lax.broadcast_in_dim(scale, total.shape, range(total.ndim))
    return by_parts(total, lambda part: lax.mul(part, scale))


def divide_by_array(total: jax.Array, count: jax.Array) -> jax.Array:
    """`total` times the reciprocal of `count`, which broadcasts against it; NaN where it is 0.

    Both may already be divided by the same number.
    """
    scale = 1 / lax.max(count, lax.full_like(count, 1e-12))
    # The NaN is 0 / 0, because jax_debug_nans would report a constant NaN for any input.
    return by_parts(total, lambda part: part * scale + 0 / count)


def by_parts(total: jax.Array, f: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """`f` of a real array, or of each part of a complex one: a complex divisor would turn inf + 0j
    into inf + nan j.
    """
    if jnp.iscomplexobj(total):
        return lax.complex(f(lax.real(total)), f(lax.imag(total)))
    return f(total)
