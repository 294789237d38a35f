"""The one path of all functions and layers: check `x` and `where`, mask, average."""

from collections.abc import Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from jaxpool._divide import count_taps, divide_by_array
from jaxpool._parse import ErrorContext, Pool, is_sequence, place_windows
from jaxpool._portable import is_portable
from jaxpool._primitive import accumulator, windowed_average
from jaxpool._window import UNDIVIDED, Divisor, Placed

Mask: TypeAlias = jax.Array | np.ndarray | np.bool_ | bool


def average(
    context: ErrorContext,
    pool: Pool,
    x: jax.Array | np.ndarray,
    where: Mask | None,
) -> jax.Array:
    """Checks `x` and `where`, and averages as `pool` says."""
    x = _checked(context, x)
    ndim = len(pool.windows)
    layout = " in channels_last" if pool.channels_last else " in channels_first"
    if x.ndim <= ndim:
        must = f"have at least {ndim + 1} axes: {ndim} spatial and one of channels"
        context.fail(ValueError, "x", must, x, layout)
    first_axis = x.ndim - ndim - pool.channels_last
    sizes = x.shape[first_axis : first_axis + ndim]
    windows = place_windows(context, pool.windows, sizes, first_axis, "x", x, layout)
    if where is not None:
        where = _checked_mask(context, where, x, pool.channels_last)
    run: Any = _average if is_portable() else _jitted_average
    averaged: jax.Array = run(
        x,
        where,
        scope=f"jaxpool.{context.name}",
        windows=windows,
        divisor=pool.divisor,
    )
    return averaged


def _checked(context: ErrorContext, x: Any) -> Any:
    """`x`, if it is an array of numbers; arrays of NumPy as JAX reads them correctly."""
    if isinstance(x, np.ma.MaskedArray):
        must = "not be a masked array: pass x.data, and where=~np.ma.getmaskarray(x)"
        context.fail(TypeError, "x", must, x)
    if not isinstance(x, (jax.Array, np.ndarray)):
        context.fail(TypeError, "x", "be a JAX or NumPy array", x, _instead("x", x))
    is_number = jnp.issubdtype(x.dtype, jnp.number) or x.dtype == bool
    is_numpy = isinstance(x, np.ndarray)
    if not is_number or (is_numpy and (x.dtype.kind == "m" or x.real.dtype.itemsize > 8)):
        context.fail(TypeError, "x", "hold numbers or booleans, in a dtype that JAX has", x)
    if is_numpy and x.dtype.kind in "iu" and x.dtype.itemsize == 8:
        return x.astype(accumulator(x.dtype))  # without x64 JAX would cut off the upper 32 bits
    # JAX reads other byte orders, as of FITS files, the wrong way round.
    return x.astype(x.dtype.newbyteorder("="), copy=False) if is_numpy else x


def _checked_mask(context: ErrorContext, where: Any, x: Any, channels_last: bool) -> Any:
    """`where`, if it is an array of booleans that broadcasts against `x`."""
    if isinstance(where, (bool, np.bool_)):
        return None if where else np.full((1,) * x.ndim, where)
    if not isinstance(where, (jax.Array, np.ndarray)):
        must = "be a JAX or NumPy array of booleans, True, False or None"
        context.fail(TypeError, "where", must, where, _instead("where", where))
    if where.dtype != bool:
        context.fail(TypeError, "where", "hold booleans", where)
    lengths = zip(where.shape[::-1], x.shape[::-1], strict=False)
    if where.ndim > x.ndim or not all(n in (1, size) for n, size in lengths):
        must = f"broadcast against x of shape {x.shape}"
        if channels_last:
            must += ", with 1 for the channels in a mask of the pixels"
        context.fail(ValueError, "where", must, where)
    return where


def _instead(argument: str, value: Any) -> str:
    """The end of an error message: the array to pass, if `value` can become one."""
    if hasattr(value, "numpy"):  # a tensor of PyTorch or TensorFlow
        return f": pass {argument}.numpy()"
    return f": pass jnp.asarray({argument})" if is_sequence(value) else ""


def _average(
    x: jax.Array,
    where: jax.Array | None,
    *,
    scope: str,
    windows: Sequence[Placed],
    divisor: Divisor,
) -> jax.Array:
    """The averages over `windows`, in the dtype that `x` asks for.

    Profiles and dumps of programs name the operations after `scope`. Without a jit around this
    function, `x` may have a NumPy dtype that JAX does not have.
    """
    x = jnp.asarray(x) if isinstance(x, np.ndarray) else x
    wide = accumulator(x.dtype)
    dtype: DTypeLike = x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else wide
    with jax.named_scope(scope):
        if where is None:
            return windowed_average(x, windows, divisor, dtype)
        where = lax.expand_dims(where, range(x.ndim - where.ndim))
        # Converted first, because not every dtype has a zero.
        kept = lax.convert_element_type(x, wide)
        sharding = jax.typeof(kept).sharding
        everywhere = lax.broadcast_in_dim(where, x.shape, range(x.ndim), out_sharding=sharding)
        kept = lax.select(everywhere, kept, lax.full_like(kept, 0))
        if divisor.override is not None:
            averaged = windowed_average(kept, windows, divisor, wide, is_masked=True)
        else:
            averaged = _average_of_valid(kept, where, windows, divisor)
        return lax.convert_element_type(averaged, dtype)


# The jit makes an eager call one dispatch; inline, it leaves no trace in a program around it.
_jitted_average = jax.jit(_average, static_argnames=("scope", "windows", "divisor"), inline=True)


def _average_of_valid(
    kept: jax.Array, where: jax.Array, windows: Sequence[Placed], divisor: Divisor
) -> jax.Array:
    """The sums of `kept` divided by the number of valid elements and of zeros that count.

    In the plain form both are first divided by the number of taps that count, because converters
    recognise averages.
    """
    unit = divisor if is_portable() else UNDIVIDED
    average = partial(windowed_average, windows=windows, divisor=unit, part="tangent")
    total = average(kept, dtype=kept.dtype, is_masked=True)
    dtype, shape = total.real.dtype, list(where.shape)
    for span in windows:
        shape[span.axis] = span.size
    where = lax.broadcast_in_dim(where, shape, range(where.ndim))  # not over batch and channels
    count = average(where, dtype=dtype)
    if divisor.count_include_pad and any(span.is_padded for span in windows):
        both, inside = (
            count_taps(windows, total.shape, Divisor(count_include_pad=included)).over(
                total.shape, dtype
            )
            for included in (True, False)
        )
        count += (both - inside) / both if is_portable() else both - inside
    return divide_by_array(total, count)
