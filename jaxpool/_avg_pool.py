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
from jaxpool._window import Caller, Ints, Padding, Pool, check_sizes, parse_pool


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
) -> jax.Array:
    """Averages `x` of shape (..., C, L) over windows. Arguments and errors: see `avg_pool2d`.

    >>> avg_pool1d(jnp.arange(6.0).reshape(1, 6), 3)
    Array([[1., 4.]], dtype=float32)
    """
    caller = Caller("avg_pool1d")
    divisor = count_include_pad, ceil_mode, divisor_override
    pool = parse_pool(caller, 1, kernel, stride, padding, *divisor, dilation, data_format)
    return average(caller, pool, x)


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

    Returns:
      The averages, of shape (..., C, *pool_output_shape(...)) or, for "channels_last",
      (..., *pool_output_shape(...), C). A window in which nothing counts gives NaN, and
      passes no gradient on.

    Raises:
      TypeError: if an argument is of a wrong type; a traced `kernel`, for one.
      ValueError: if its value is out of range, `x` has too few axes or an empty spatial
        one, or the kernel is larger than the padded input.

    Sources: `torch.nn.functional.avg_pool2d` of PyTorch for `count_include_pad`, `ceil_mode`
    and `divisor_override`; `AveragePool` of ONNX (opset 19) for `dilation` and the padding
    names; TensorFlow for where "SAME" puts the odd pixel.

    >>> image = jnp.arange(16.0).reshape(1, 4, 4)
    >>> avg_pool2d(image, 2)
    Array([[[ 2.5,  4.5],
            [10.5, 12.5]]], dtype=float32)
    >>> avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False).shape
    (1, 2, 2)
    """
    caller = Caller("avg_pool2d")
    divisor = count_include_pad, ceil_mode, divisor_override
    pool = parse_pool(caller, 2, kernel, stride, padding, *divisor, dilation, data_format)
    return average(caller, pool, x)


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
) -> jax.Array:
    """Averages `x` of shape (..., C, D, H, W) over windows. The rest is as in `avg_pool2d`.

    >>> avg_pool3d(jnp.ones((2, 3, 8, 8, 8)), (2, 4, 4)).shape
    (2, 3, 4, 2, 2)
    """
    caller = Caller("avg_pool3d")
    divisor = count_include_pad, ceil_mode, divisor_override
    pool = parse_pool(caller, 3, kernel, stride, padding, *divisor, dilation, data_format)
    return average(caller, pool, x)


def average(caller: Caller, pool: Pool, x: jax.Array | np.ndarray) -> jax.Array:
    """Checks `x` and averages it as `pool` says."""
    if not isinstance(x, (jax.Array, np.ndarray)):
        caller.fail(TypeError, "x", "be a JAX or NumPy array", x)
    ndim = len(pool.windows)
    first_axis = x.ndim - ndim - pool.channels_last
    shown: Any = jax.ShapeDtypeStruct(x.shape, x.dtype)  # type: ignore[no-untyped-call]
    is_number = jnp.issubdtype(x.dtype, jnp.number) or x.dtype == bool
    if not is_number or (isinstance(x, np.ndarray) and x.real.dtype.itemsize > 8):
        caller.fail(TypeError, "x", "hold numbers or booleans that JAX has", shown)
    layout = " in channels_last" if pool.channels_last else " in channels_first"
    if x.ndim <= ndim:
        must = f"have at least {ndim + 1} axes, {ndim} of them spatial and one of channels"
        caller.fail(ValueError, "x", must, shown, layout)
    spatial = x.shape[first_axis : first_axis + ndim]
    check_sizes(caller, pool.windows, spatial, "x", shown, layout)
    averaged: jax.Array = _average(x, pool, first_axis)
    return averaged


# The jit makes an eager call one dispatch; inline, it leaves no trace in a program around it.
@partial(jax.jit, static_argnums=(1, 2), inline=True)
def _average(x: jax.Array, pool: Pool, first_axis: int) -> jax.Array:
    result, accumulator = _dtypes(x.dtype)
    total = windowed_sum(x, accumulator, pool.windows, first_axis)
    sizes = x.shape[first_axis : first_axis + len(pool.windows)]
    if jnp.iscomplexobj(total):  # by a complex divisor, inf + 0j would become inf + nan j
        parts = (_divide(part, sizes, pool, first_axis) for part in (total.real, total.imag))
        return lax.complex(*parts)
    return lax.convert_element_type(_divide(total, sizes, pool, first_axis), result)


def _dtypes(dtype: DTypeLike) -> tuple[DTypeLike, DTypeLike]:
    """The dtypes of the result and of the sum for an input of `dtype`."""
    if not jnp.issubdtype(dtype, jnp.inexact):
        return (jnp.result_type(float),) * 2
    narrow = jnp.finfo(dtype).bits < 32  # type: ignore[no-untyped-call]
    return dtype, jnp.float32 if narrow else dtype


def _divide(total: jax.Array, sizes: tuple[int, ...], pool: Pool, first_axis: int) -> jax.Array:
    """`total` divided by `divisor_override`, or by how many taps of each window count."""
    override = pool.divisor_override
    scale, vectors, may_be_empty = override or 1, [], False
    windows = zip(pool.windows, sizes, strict=True) if override is None else ()
    for axis, (window, size) in enumerate(windows, first_axis):
        xp = np if isinstance(size, Integral) else jnp
        counts = window.counts(size, xp.arange(total.shape[axis]), pool.count_include_pad, xp)
        if xp is np and (counts == window.kernel).all():
            scale *= window.kernel
            continue
        may_be_empty |= xp is jnp or not counts.all()
        others = [a for a in range(total.ndim) if a != axis]
        vectors.append(xp.expand_dims(counts.astype(total.dtype), others))
    divisor: jax.Array | np.ndarray = np.asarray(scale, total.dtype)
    if vectors:  # multiplied by JAX, so that no constant of the program is more than a vector
        divisor = reduce(jnp.multiply, vectors[1:], divisor * vectors[0])
    if may_be_empty:  # 0 / 0 would do for the value, but not for the gradient
        empty = divisor == 0
        return jnp.where(empty, jnp.nan, total / jnp.where(empty, 1, divisor))
    return total / divisor
