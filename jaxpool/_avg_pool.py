"""The public functions over windows of a fixed size."""

import jax
import numpy as np

from jaxpool._average import average
from jaxpool._parse import Caller, Ints, Padding, parse_pool


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
    pool = parse_pool(
        caller,
        1,
        kernel,
        stride,
        padding,
        count_include_pad,
        ceil_mode=ceil_mode,
        divisor_override=divisor_override,
        dilation=dilation,
        data_format=data_format,
    )
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
      ceil_mode: whether a last window may overhang the padded input by less than a stride, as
        long as it starts before the padding at the end. It may be the only one: the kernel may
        be larger than the padded input. What overhangs never counts in the divisor.
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
        one, no window fits in the padded input, or `where` does not broadcast.

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
    pool = parse_pool(
        caller,
        2,
        kernel,
        stride,
        padding,
        count_include_pad,
        ceil_mode=ceil_mode,
        divisor_override=divisor_override,
        dilation=dilation,
        data_format=data_format,
    )
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
    pool = parse_pool(
        caller,
        3,
        kernel,
        stride,
        padding,
        count_include_pad,
        ceil_mode=ceil_mode,
        divisor_override=divisor_override,
        dilation=dilation,
        data_format=data_format,
    )
    return average(caller, pool, x, where)
