"""The public functions to a given output size: windows that follow from the sizes."""

import jax
import numpy as np

from jaxpool._average import Mask, average
from jaxpool._parse import DataFormat, ErrorContext, OutputSize, parse_adaptive


def adaptive_avg_pool1d(
    x: jax.Array | np.ndarray,
    output_size: OutputSize,
    *,
    data_format: DataFormat = "channels_first",
    where: Mask | None = None,
) -> jax.Array:
    """Averages `x` to a given size, as `torch.nn.AdaptiveAvgPool1d` does.

    Args:
      x: an array of shape (..., C, L), or (..., L, C) for "channels_last".
      output_size: the number of outputs, or None to keep the axis.
      data_format: "channels_first" or "channels_last".
      where: booleans that broadcast against `x` and mark the valid elements. A mask of the
        places has shape (L,), or (L, 1) for "channels_last".

    Returns:
      The averages, of shape (..., C, output_size) or (..., output_size, C). A bin without a valid
      element gives NaN.

    Raises:
      TypeError, ValueError: as in `adaptive_avg_pool2d`, which also describes bins and dtypes.

    Examples:
      >>> adaptive_avg_pool1d(jnp.arange(5.0).reshape(1, 5), 3)
      Array([[0.5, 2. , 3.5]], dtype=float32)
    """
    return _adaptive_avg_pool(1, x, where, output_size, data_format)


def adaptive_avg_pool2d(
    x: jax.Array | np.ndarray,
    output_size: OutputSize,
    *,
    data_format: DataFormat = "channels_first",
    where: Mask | None = None,
) -> jax.Array:
    """Averages `x` to a given size, as `torch.nn.AdaptiveAvgPool2d` does.

    On an axis of n elements, output i of m averages the bin from floor(i * n / m) to
    ceil((i + 1) * n / m), the end excluded. If m divides n, the bins are tiles. Otherwise
    neighbouring bins may share an element. If m is larger than n, an element is in several bins.

    Args:
      x: an array of shape (..., C, H, W), or (..., H, W, C) for "channels_last"; for dtypes see
        `avg_pool2d`.
      output_size: the number of outputs: one int for all axes, or one entry per axis, where None
        keeps the axis. 1 is global average pooling.
      data_format: "channels_first" or "channels_last".
      where: booleans that broadcast against `x` and mark the valid elements. A mask of the
        pixels has shape (H, W), or (H, W, 1) for "channels_last". Masked elements may hold any
        value: they neither add nor count, and receive no gradient.

    Returns:
      The averages, of shape (..., C, *output_size) or (..., *output_size, C). A bin without a
      valid element gives NaN and passes no gradient on.

    Raises:
      TypeError: if an argument has a wrong type.
      ValueError: if `output_size` is less than 1, `x` has too few axes or an empty spatial
        axis, or `where` does not broadcast.

    Source: `torch.nn.functional.adaptive_avg_pool2d` of PyTorch.

    Examples:
      >>> image = jnp.arange(16.0).reshape(1, 4, 4)
      >>> adaptive_avg_pool2d(image, (None, 3))[0, 0]
      Array([0.5, 1.5, 2.5], dtype=float32)
      >>> adaptive_avg_pool2d(image, 1).shape
      (1, 1, 1)
    """
    return _adaptive_avg_pool(2, x, where, output_size, data_format)


def adaptive_avg_pool3d(
    x: jax.Array | np.ndarray,
    output_size: OutputSize,
    *,
    data_format: DataFormat = "channels_first",
    where: Mask | None = None,
) -> jax.Array:
    """Averages `x` to a given size, as `torch.nn.AdaptiveAvgPool3d` does.

    Args:
      x: an array of shape (..., C, D, H, W), or (..., D, H, W, C) for "channels_last".
      output_size: the number of outputs: one int for all axes, or one entry per axis, where None
        keeps the axis.
      data_format: "channels_first" or "channels_last".
      where: booleans that broadcast against `x` and mark the valid elements. A mask of the
        voxels has shape (D, H, W), or (D, H, W, 1) for "channels_last".

    Returns:
      The averages, of shape (..., C, *output_size) or (..., *output_size, C). A bin without a valid
      element gives NaN.

    Raises:
      TypeError, ValueError: as in `adaptive_avg_pool2d`, which also describes bins and dtypes.

    Examples:
      >>> adaptive_avg_pool3d(jnp.ones((2, 3, 8, 8, 8)), (4, 1, None)).shape
      (2, 3, 4, 1, 8)
    """
    return _adaptive_avg_pool(3, x, where, output_size, data_format)


def _adaptive_avg_pool(
    ndim: int,
    x: jax.Array | np.ndarray,
    where: Mask | None,
    output_size: OutputSize,
    data_format: str,
) -> jax.Array:
    """The adaptive pool over `ndim` spatial axes."""
    context = ErrorContext(f"adaptive_avg_pool{ndim}d")
    return average(context, parse_adaptive(context, ndim, output_size, data_format), x, where)
