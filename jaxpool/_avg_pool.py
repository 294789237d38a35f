"""The public functions over windows of a fixed size."""

from typing import Any

import jax
import numpy as np

from jaxpool._average import Mask, average
from jaxpool._parse import DataFormat, ErrorContext, Int, Ints, Padding, parse_pool


def avg_pool1d(
    x: jax.Array | np.ndarray,
    kernel: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
    *,
    ceil_mode: bool = False,
    divisor_override: Int | None = None,
    dilation: Ints = 1,
    data_format: DataFormat = "channels_first",
    where: Mask | None = None,
) -> jax.Array:
    """Averages `x` over windows of its last spatial axis, as `torch.nn.AvgPool1d` does.

    Args:
      x: an array of shape (..., C, L), or (..., L, C) for "channels_last"; for dtypes see
        `avg_pool2d`.
      kernel: the number of taps of a window.
      stride: the step from one window to the next; the kernel if None.
      padding: the zeros around the input: an int, ((low, high),), "VALID", "SAME" or
        "SAME_LOWER".
      count_include_pad: whether padding counts in the divisor.
      ceil_mode: whether a last window may overhang the padded input.
      divisor_override: a non-zero int to divide by instead of the count.
      dilation: the step from one tap to the next.
      data_format: "channels_first" or "channels_last".
      where: booleans that broadcast against `x` and mark the valid elements. A mask of the
        places has shape (L,), or (L, 1) for "channels_last".

    Returns:
      The averages, of shape (..., C, *pool_output_shape(...)) or, for "channels_last",
      (..., *pool_output_shape(...), C). A window in which no tap counts gives NaN.

    Raises:
      TypeError, ValueError: as in `avg_pool2d`, which gives the limits of each argument.

    Examples:
      >>> avg_pool1d(jnp.arange(6.0).reshape(1, 6), 3)
      Array([[1., 4.]], dtype=float32)
    """
    padded = kernel, stride, padding, count_include_pad
    others = ceil_mode, divisor_override, dilation, data_format
    return _avg_pool(1, x, where, *padded, *others)


def avg_pool2d(
    x: jax.Array | np.ndarray,
    kernel: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
    *,
    ceil_mode: bool = False,
    divisor_override: Int | None = None,
    dilation: Ints = 1,
    data_format: DataFormat = "channels_first",
    where: Mask | None = None,
) -> jax.Array:
    """Averages `x` over windows of its last two spatial axes, as `torch.nn.AvgPool2d` does.

    The argument after `padding` is `count_include_pad`, as in the torch library for JavaScript.
    In PyTorch for Python it is `ceil_mode`, which is a keyword here.

    Args:
      x: an array of shape (..., C, H, W), or (..., H, W, C) for "channels_last", with any
        number of leading axes, including none. Floats and complex numbers keep their dtype;
        integers and booleans give the default float. 16-bit and 8-bit floats are summed and
        divided in float32 and rounded once.
      kernel: the number of taps of a window, one int for all axes or one per axis. Layers
        call it `kernel_size`.
      stride: the step from one window to the next, one int or one per axis; the kernel if None.
      padding: the zeros around the input: an int, one int per axis, or one (low, high) pair per
        axis, each smaller than the kernel's extent, (kernel - 1) * dilation + 1. "VALID" is no
        padding. "SAME" pads for ceil(size / stride) outputs, an odd zero at the end, and
        "SAME_LOWER" for as many, an odd zero at the start.
      count_include_pad: whether padding counts in the divisor.
      ceil_mode: whether a last window may overhang the padded input by less than a stride, if
        it starts before the padding at the end. It may be the only window, so the kernel may be
        larger than the padded input. The overhang never counts in the divisor.
      divisor_override: a non-zero int to divide by instead of the count.
      dilation: the step from one tap to the next, one int or one per axis.
      data_format: "channels_first" or "channels_last".
      where: booleans that broadcast against `x` and mark the valid elements. A mask of the
        pixels has shape (H, W), or (H, W, 1) for "channels_last". Masked elements may hold any
        value: they neither add nor count, and receive no gradient. Whether padding counts depends
        only on `count_include_pad`.

    Returns:
      The averages, of shape (..., C, *pool_output_shape(...)) or, for "channels_last",
      (..., *pool_output_shape(...), C). A window in which no tap counts gives NaN and passes
      no gradient on.

    Raises:
      TypeError: if an argument has a wrong type, for example if `kernel` is traced.
      ValueError: if an argument is out of range, `x` has too few axes or an empty spatial
        axis, no window fits in the padded input, or `where` does not broadcast.

    Sources: `torch.nn.functional.avg_pool2d` of PyTorch for `count_include_pad`, `ceil_mode`
    and `divisor_override`; `AveragePool` of ONNX (opset 19) for `dilation` and the padding
    names; TensorFlow for the place of the odd zero of "SAME".

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
    padded = kernel, stride, padding, count_include_pad
    others = ceil_mode, divisor_override, dilation, data_format
    return _avg_pool(2, x, where, *padded, *others)


def avg_pool3d(
    x: jax.Array | np.ndarray,
    kernel: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
    *,
    ceil_mode: bool = False,
    divisor_override: Int | None = None,
    dilation: Ints = 1,
    data_format: DataFormat = "channels_first",
    where: Mask | None = None,
) -> jax.Array:
    """Averages `x` over windows of its last three spatial axes, as `torch.nn.AvgPool3d` does.

    Args:
      x: an array of shape (..., C, D, H, W), or (..., D, H, W, C) for "channels_last"; for
        dtypes see `avg_pool2d`.
      kernel: the number of taps of a window, one int for all axes or one per axis.
      stride: the step from one window to the next, one int or one per axis; the kernel if None.
      padding: the zeros around the input: an int, one per axis, one (low, high) pair per axis,
        "VALID", "SAME" or "SAME_LOWER".
      count_include_pad: whether padding counts in the divisor.
      ceil_mode: whether a last window may overhang the padded input.
      divisor_override: a non-zero int to divide by instead of the count.
      dilation: the step from one tap to the next, one int or one per axis.
      data_format: "channels_first" or "channels_last".
      where: booleans that broadcast against `x` and mark the valid elements. A mask of the
        voxels has shape (D, H, W), or (D, H, W, 1) for "channels_last".

    Returns:
      The averages, of shape (..., C, *pool_output_shape(...)) or, for "channels_last",
      (..., *pool_output_shape(...), C). A window in which no tap counts gives NaN.

    Raises:
      TypeError, ValueError: as in `avg_pool2d`, which gives the limits of each argument.

    Examples:
      >>> avg_pool3d(jnp.ones((2, 3, 8, 8, 8)), (2, 4, 4)).shape
      (2, 3, 4, 2, 2)
    """
    padded = kernel, stride, padding, count_include_pad
    others = ceil_mode, divisor_override, dilation, data_format
    return _avg_pool(3, x, where, *padded, *others)


def _avg_pool(
    ndim: int,
    x: jax.Array | np.ndarray,
    where: Mask | None,
    *arguments: Any,
) -> jax.Array:
    """The pool over `ndim` spatial axes; `arguments` go to `parse_pool`, in its order."""
    context = ErrorContext(f"avg_pool{ndim}d")
    return average(context, parse_pool(context, ndim, *arguments), x, where)
