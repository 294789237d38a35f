"""Average pooling over windows of a fixed size: the windowed sum, divided once."""

from functools import partial, reduce
from numbers import Integral
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from jaxpool._sum import windowed_sum
from jaxpool._window import Bins, Caller, Ints, Padding, Pool, Window, check_sizes, parse_pool


def avg_pool1d(
    x: jax.Array | np.ndarray,
    kernel: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
    *,
    ceil_mode: bool = False,
    divisor_override: int | None = None,
    dilation: Ints = 1,
    data_format: str = "channels_first",
    where: jax.Array | np.ndarray | None = None,
) -> jax.Array:
    """Averages `x` of shape (..., C, L) over windows. Arguments and errors: see `avg_pool2d`.

    Examples:
      >>> avg_pool1d(jnp.arange(6.0).reshape(1, 6), 3)
      Array([[1., 4.]], dtype=float32)
    """
    caller = Caller("avg_pool1d")
    divisor = count_include_pad, ceil_mode, divisor_override
    pool = parse_pool(caller, 1, kernel, stride, padding, *divisor, dilation, data_format)
    return average(caller, pool, x, where)


def avg_pool2d(
    x: jax.Array | np.ndarray,
    kernel: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
    *,
    ceil_mode: bool = False,
    divisor_override: int | None = None,
    dilation: Ints = 1,
    data_format: str = "channels_first",
    where: jax.Array | np.ndarray | None = None,
) -> jax.Array:
    """Averages `x` over windows of its last two spatial axes, as `torch.nn.AvgPool2d` does.

    The order of the arguments is that of JavaScript's `torch.nn.AvgPool2d`. In PyTorch for
    Python `ceil_mode` is the fourth; here it is a keyword, and `count_include_pad` the fourth.

    Args:
      x: an array of shape (..., C, H, W), or (..., H, W, C) for "channels_last", with any
        number of leading axes, none included. Floats and complex numbers keep their dtype,
        integers and booleans give the default float. Floats of 16 and 8 bits are summed and
        divided in float32 and rounded once.
      kernel: the size of the window in pixels, one int for all axes or one per axis. (It is
        `kernel_size` in the layers.)
      stride: the step from one window to the next, likewise; the kernel's size if None.
      padding: how much to pad the input: an int, one per axis, one (low, high) pair per axis,
        each smaller than the kernel's extent; or "VALID" (none), "SAME" (as much as gives
        ceil(size / stride) windows, an odd pixel at the end) or "SAME_LOWER" (at the start).
      count_include_pad: whether padding counts in the divisor. It is never added.
      ceil_mode: whether a last window may overhang the padded input, as long as it starts
        before the padding at the end. What overhangs never counts in the divisor.
      divisor_override: a non-zero int to divide by instead.
      dilation: the step from one tap of the window to the next.
      data_format: "channels_first" or "channels_last".
      where: booleans that broadcast against `x`, as (H, W) or (H, W, 1) in channels_last for a
        mask of the pixels. Where False, an element neither adds nor counts, whatever it holds,
        and gets no gradient. Padding is not concerned: it goes by `count_include_pad`.

    Returns:
      The averages, of shape (..., C, *pool_output_shape(...)) or, for "channels_last",
      (..., *pool_output_shape(...), C). A window in which nothing counts gives NaN, and
      passes no gradient on.

    Raises:
      TypeError: if an argument is of a wrong type; a traced `kernel`, for one.
      ValueError: if its value is out of range, `x` has too few axes or an empty spatial
        one, the kernel is larger than the padded input, or `where` does not broadcast.

    Sources: `torch.nn.functional.avg_pool2d` of PyTorch for `count_include_pad`, `ceil_mode`
    and `divisor_override`; `AveragePool` of ONNX (opset 19) for `dilation` and the padding
    names; TensorFlow for where "SAME" puts the odd pixel.

    Examples:
      >>> image = jnp.arange(16.0).reshape(1, 4, 4)
      >>> avg_pool2d(image, 2)
      Array([[[ 2.5,  4.5],
              [10.5, 12.5]]], dtype=float32)
      >>> avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False).shape
      (1, 2, 2)
      >>> avg_pool2d(image, 2, where=image < 3)
      Array([[[0.5, 2. ],
              [nan, nan]]], dtype=float32)
    """
    caller = Caller("avg_pool2d")
    divisor = count_include_pad, ceil_mode, divisor_override
    pool = parse_pool(caller, 2, kernel, stride, padding, *divisor, dilation, data_format)
    return average(caller, pool, x, where)


def avg_pool3d(
    x: jax.Array | np.ndarray,
    kernel: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
    *,
    ceil_mode: bool = False,
    divisor_override: int | None = None,
    dilation: Ints = 1,
    data_format: str = "channels_first",
    where: jax.Array | np.ndarray | None = None,
) -> jax.Array:
    """Averages `x` of shape (..., C, D, H, W) over windows. The rest is as in `avg_pool2d`.

    Examples:
      >>> avg_pool3d(jnp.ones((2, 3, 8, 8, 8)), (2, 4, 4)).shape
      (2, 3, 4, 2, 2)
    """
    caller = Caller("avg_pool3d")
    divisor = count_include_pad, ceil_mode, divisor_override
    pool = parse_pool(caller, 3, kernel, stride, padding, *divisor, dilation, data_format)
    return average(caller, pool, x, where)


def average(
    caller: Caller,
    pool: Pool,
    x: jax.Array | np.ndarray,
    where: jax.Array | np.ndarray | None,
) -> jax.Array:
    """Checks `x` and `where`, and averages as `pool` says."""
    if isinstance(x, np.ma.MaskedArray):
        must = "be an array, and what is masked in it be passed as where=~mask"
        caller.fail(TypeError, "x", must, _shown(x))
    if not isinstance(x, (jax.Array, np.ndarray)):
        caller.fail(TypeError, "x", "be a JAX or NumPy array", x)
    ndim = len(pool.windows)
    first_axis = x.ndim - ndim - pool.channels_last
    shown = _shown(x)
    is_number = jnp.issubdtype(x.dtype, jnp.number) or x.dtype == bool
    if not is_number or (isinstance(x, np.ndarray) and x.real.dtype.itemsize > 8):
        caller.fail(TypeError, "x", "hold numbers or booleans that JAX has", shown)
    layout = " in channels_last" if pool.channels_last else " in channels_first"
    if x.ndim <= ndim:
        must = f"have at least {ndim + 1} axes, {ndim} of them spatial and one of channels"
        caller.fail(ValueError, "x", must, shown, layout)
    spatial = x.shape[first_axis : first_axis + ndim]
    check_sizes(caller, pool.windows, spatial, "x", shown, layout)
    if where is not None:
        if not isinstance(where, (jax.Array, np.ndarray)):
            caller.fail(TypeError, "where", "be a JAX or NumPy array of booleans or None", where)
        if where.dtype != bool:
            caller.fail(TypeError, "where", "hold booleans", _shown(where))
        lengths = zip(where.shape[::-1], x.shape[::-1], strict=False)
        if where.ndim > x.ndim or not all(n in (1, size) for n, size in lengths):
            must = f"broadcast against x of shape {x.shape}"
            if pool.channels_last:
                must += ", a mask of the pixels having 1 for its channels"
            caller.fail(ValueError, "where", must, _shown(where))
    averaged: jax.Array = _average(x, where, pool, first_axis)
    return averaged


def _shown(x: jax.Array | np.ndarray) -> Any:
    """What an error message shows of an array."""
    return jax.ShapeDtypeStruct(x.shape, x.dtype)  # type: ignore[no-untyped-call]


# The jit makes an eager call one dispatch; inline, it leaves no trace in a program around it.
@partial(jax.jit, static_argnums=(2, 3), inline=True)
def _average(x: jax.Array, where: jax.Array | None, pool: Pool, first_axis: int) -> jax.Array:
    result, accumulator = _dtypes(x.dtype)
    if where is not None:
        where = lax.expand_dims(where, range(x.ndim - where.ndim))
    total = windowed_sum(x, accumulator, pool.windows, first_axis, where)
    divide = partial(_divide, x=x, where=where, pool=pool, first_axis=first_axis)
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
    total: jax.Array, x: jax.Array, where: jax.Array | None, pool: Pool, first_axis: int
) -> jax.Array:
    """`total` divided by `divisor_override`, or by how many elements of each window count."""
    if pool.divisor_override is not None:
        return total / np.asarray(pool.divisor_override, total.dtype)
    count = partial(_count, total, x, pool.windows, first_axis)
    if where is None:
        divisor, may_be_empty = count(pool.count_include_pad)
    else:
        spatial = range(first_axis, first_axis + len(pool.windows))
        shape = [x.shape[a] if a in spatial else n for a, n in enumerate(where.shape)]
        where = jnp.broadcast_to(where, shape)  # not over batch and channels
        divisor = windowed_sum(where, total.dtype, pool.windows, first_axis)
        if pool.count_include_pad:
            divisor += count(True)[0] - count(False)[0]
        may_be_empty = True
    if may_be_empty:  # total / 0 would do for the value, but not for the tangent, which is 0
        divisor = jnp.asarray(divisor)
        # 0 / 0 is the NaN, for jax_debug_nans reports a constant one where nothing is empty.
        return jnp.where(divisor == 0, 0 / divisor, total / divisor)
    return total / divisor


def _count(
    total: jax.Array,
    x: jax.Array,
    windows: tuple[Window | Bins, ...],
    first_axis: int,
    count_include_pad: bool,
) -> tuple[jax.Array | np.ndarray, bool]:
    """How many elements of each window of `x` count, and whether that may be none.

    It is one number, or the product of one vector for each axis along which windows differ.
    """
    number, vectors, may_be_empty = 1, [], False
    for axis, window in enumerate(windows, first_axis):
        xp = np if isinstance(x.shape[axis], Integral) else jnp
        index = xp.arange(total.shape[axis])
        counts = window.counts(x.shape[axis], index, count_include_pad, xp)
        may_be_empty |= xp is jnp or not counts.all()
        if xp is np and (counts == counts[0]).all():
            number *= int(counts[0])
        else:
            others = [a for a in range(total.ndim) if a != axis]
            vectors.append(xp.expand_dims(counts.astype(total.dtype), others))
    product: jax.Array | np.ndarray = np.asarray(number, total.dtype)
    if vectors:  # multiplied by JAX, so that no constant of the program is more than a vector
        product = reduce(jnp.multiply, vectors[1:], product * vectors[0])
    return product, may_be_empty
