"""The average: `x` and `where` are checked, the windows summed, the sum divided once."""

import sys
from collections.abc import Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from jaxpool._parse import Caller, Pool, Shaped, lay
from jaxpool._sum import windowed_sum
from jaxpool._window import Ragged, Span


def average(
    caller: Caller,
    pool: Pool,
    x: jax.Array | np.ndarray,
    where: jax.Array | np.ndarray | None,
) -> jax.Array:
    """Checks `x` and `where`, and averages as `pool` says."""
    if isinstance(x, np.ma.MaskedArray):
        must = "not be a masked array: pass its data, and its mask as where=~mask"
        caller.fail(TypeError, "x", must, _shown(x))
    if not isinstance(x, (jax.Array, np.ndarray)):
        caller.fail(TypeError, "x", "be a JAX or NumPy array", x)
    ndim = len(pool.windows)
    first_axis = x.ndim - ndim - pool.channels_last
    shown = _shown(x)
    is_number = jnp.issubdtype(x.dtype, jnp.number) or x.dtype == bool
    if not is_number or (isinstance(x, np.ndarray) and x.real.dtype.itemsize > 8):
        caller.fail(TypeError, "x", "hold numbers or booleans of a dtype of JAX", shown)
    layout = " in channels_last" if pool.channels_last else " in channels_first"
    if x.ndim <= ndim:
        must = f"have at least {ndim + 1} axes: {ndim} spatial and one of channels"
        caller.fail(ValueError, "x", must, shown, layout)
    sizes = x.shape[first_axis : first_axis + ndim]
    spans = lay(caller, pool.windows, sizes, first_axis, "x", shown, layout)
    if where is not None:
        if not isinstance(where, (jax.Array, np.ndarray)):
            caller.fail(TypeError, "where", "be a JAX or NumPy array of booleans or None", where)
        if where.dtype != bool:
            caller.fail(TypeError, "where", "hold booleans", _shown(where))
        lengths = zip(where.shape[::-1], x.shape[::-1], strict=False)
        if where.ndim > x.ndim or not all(n in (1, size) for n, size in lengths):
            must = f"broadcast against x of shape {x.shape}"
            if pool.channels_last:
                must += ", with 1 for the channels in a mask of the pixels"
            caller.fail(ValueError, "where", must, _shown(where))
    if "jax2onnx" in sys.modules:
        import jaxpool._jax2onnx  # noqa: F401
    averaged: jax.Array = _average(
        x,
        where,
        scope=f"jaxpool.{caller.name}",
        spans=spans,
        count_include_pad=pool.count_include_pad,
        divisor_override=pool.divisor_override,
    )
    return averaged


def _shown(x: jax.Array | np.ndarray) -> Shaped:
    return Shaped(x.shape, x.dtype)


# The jit makes an eager call one dispatch; inline, it leaves no trace in a program around it.
@partial(
    jax.jit,
    static_argnames=("scope", "spans", "count_include_pad", "divisor_override"),
    inline=True,
)
def _average(
    x: jax.Array,
    where: jax.Array | None,
    *,
    scope: str,
    spans: tuple[Span | Ragged, ...],
    count_include_pad: bool,
    divisor_override: int | None,
) -> jax.Array:
    """The averages over the windows of `spans`, of the dtype that `x` asks for.

    Profiles and dumps of programs name its operations after `scope`.
    """
    with jax.named_scope(scope):
        result, accumulator = _dtypes(x.dtype)
        if where is not None:
            where = lax.expand_dims(where, range(x.ndim - where.ndim))
        total = windowed_sum(x, accumulator, spans, where)
        divide = partial(
            _divide,
            where=where,
            spans=spans,
            count_include_pad=count_include_pad,
            divisor_override=divisor_override,
        )
        if jnp.iscomplexobj(total):  # by a complex divisor, inf + 0j would become inf + nan j
            return lax.complex(divide(total.real), divide(total.imag))
        return lax.convert_element_type(divide(total), result)


def _dtypes(dtype: DTypeLike) -> tuple[DTypeLike, DTypeLike]:
    """The dtypes of the result and of the sum for an input of `dtype`."""
    if not jnp.issubdtype(dtype, jnp.inexact):
        return (jnp.result_type(float),) * 2
    narrow = jnp.finfo(dtype).bits < 32  # type: ignore[no-untyped-call]
    return dtype, jnp.float32 if narrow else dtype


def _divide(
    total: jax.Array,
    where: jax.Array | None,
    spans: Sequence[Span | Ragged],
    count_include_pad: bool,
    divisor_override: int | None,
) -> jax.Array:
    """`total` divided by `divisor_override`, or by how many elements of each window count.

    It is multiplied by the reciprocal. XLA turns some divisions into that and leaves others, which
    round otherwise, so that an image of a batch would not have the bits that it has alone.
    """
    divisor: jax.Array | np.ndarray
    if divisor_override is not None:
        divisor, may_be_empty = np.asarray(divisor_override, total.dtype), False
    elif where is None:
        divisor, may_be_empty = _count(total, spans, count_include_pad)
    else:
        shape = list(where.shape)
        for span in spans:
            shape[span.axis] = span.size
        where = jnp.broadcast_to(where, shape)  # not over batch and channels
        divisor, may_be_empty = windowed_sum(where, total.dtype, spans), True
        if count_include_pad:
            divisor += _count(total, spans, True)[0] - _count(total, spans, False)[0]
    if not may_be_empty:
        return total * (1 / divisor)
    # total / 0 would do for the value, but not for the tangent, which is 0. And 0 / 0 is the NaN,
    # for jax_debug_nans reports a constant one where nothing is empty.
    divisor = jnp.asarray(divisor)
    return jnp.where(divisor == 0, 0 / divisor, total * (1 / divisor))


def _count(
    total: jax.Array, spans: Sequence[Span | Ragged], count_include_pad: bool
) -> tuple[jax.Array | np.ndarray, bool]:
    """How many elements of each window count, and whether that may be none.

    It is one number, or the product of one vector for each axis along which windows differ.
    """
    number, vectors, may_be_empty = 1, [], False
    for span in spans:
        xp = np if isinstance(span.size, int) else jnp
        index = xp.arange(total.shape[span.axis])  # a symbol may be written in several ways
        counts = span.counts(index, count_include_pad, xp)
        may_be_empty |= xp is jnp or not counts.all()
        if xp is np and (counts == counts[0]).all():
            number *= int(counts[0])
        else:
            others = [a for a in range(total.ndim) if a != span.axis]
            vectors.append(xp.expand_dims(counts.astype(total.dtype), others))
    product: jax.Array | np.ndarray = np.asarray(number, total.dtype)
    if vectors:  # multiplied by JAX, so that no constant of the program is more than a vector
        product = reduce(jnp.multiply, vectors[1:], product * vectors[0])
    return product, may_be_empty
