"""Flax Linen layers: the pools of this library, with their arguments as fields."""

from flax import linen as nn
from flax.errors import SetAttributeFrozenModuleError

from jaxpool import _layers


class _Layer(_layers.PoolingLayer, nn.Module):
    """Subclasses say `kw_only`, so that `parent` and `name`, which Flax adds, are keyword-only."""

    __call__ = _layers.PoolingLayer.__call__  # Flax follows only calls of its own methods
    _read_only = SetAttributeFrozenModuleError

    def __post_init__(self) -> None:
        super().__post_init__()
        nn.Module.__post_init__(self)


class AvgPool1d(_layers.AvgPool, _Layer, kw_only=True):
    """Averages (..., C, L) over windows: `jaxpool.avg_pool1d` as a layer.

    See `AvgPool2d` for the arguments, the call and the errors.

    Examples:
      >>> AvgPool1d(2)(jax.numpy.ones((8, 16, 100))).shape
      (8, 16, 50)
    """

    ndim = 1


class AvgPool2d(_layers.AvgPool, _Layer, kw_only=True):
    """Averages (..., C, H, W) over windows: `jaxpool.avg_pool2d` as a layer.

    Call the layer with `x` and, for a mask, `where`. It has no parameters and no state, so it can
    also be called outside of a model. Its arguments are read-only attributes.

    `data_format` is "channels_first" by default, as in PyTorch. Flax's convolutions are
    channels-last: between them, pass `data_format="channels_last"`.

    Args:
      kernel_size: the number of taps of a window, one int for all axes or one per axis.
      stride: the step from one window to the next; the kernel if None.
      padding: the zeros around the input: an int, one int or (low, high) pair per axis, "VALID",
        "SAME" or "SAME_LOWER".
      count_include_pad: whether padding counts in the divisor.
      ceil_mode: whether a last window may overhang the padded input.
      divisor_override: a non-zero int to divide by instead of the count.
      dilation: the step from one tap to the next.
      data_format: "channels_first" or "channels_last".

    Raises:
      TypeError, ValueError: as in `jaxpool.avg_pool2d`, which gives the limits of each argument.
        Wrong arguments raise when the layer is constructed, a wrong `x` or `where` when it is
        called.

    Examples:
      >>> pool = AvgPool2d(3, 2, padding=1)
      >>> pool(jax.numpy.ones((32, 64, 112, 112))).shape
      (32, 64, 56, 56)
      >>> AvgPool2d(3).stride
      3
    """

    ndim = 2


class AvgPool3d(_layers.AvgPool, _Layer, kw_only=True):
    """Averages (..., C, D, H, W) over windows: `jaxpool.avg_pool3d` as a layer.

    See `AvgPool2d` for the arguments, the call and the errors.

    Examples:
      >>> AvgPool3d(2)(jax.numpy.ones((8, 16, 20, 30, 30))).shape
      (8, 16, 10, 15, 15)
    """

    ndim = 3


class AdaptiveAvgPool1d(_layers.AdaptiveAvgPool, _Layer, kw_only=True):
    """Averages (..., C, L) to a given size: `jaxpool.adaptive_avg_pool1d` as a layer.

    See `AdaptiveAvgPool2d` for the arguments, the call and the errors.

    Examples:
      >>> AdaptiveAvgPool1d(7)(jax.numpy.ones((8, 16, 100))).shape
      (8, 16, 7)
    """

    ndim = 1


class AdaptiveAvgPool2d(_layers.AdaptiveAvgPool, _Layer, kw_only=True):
    """Averages (..., C, H, W) to a given size: `jaxpool.adaptive_avg_pool2d` as a layer.

    Call the layer with `x` and, for a mask, `where`. It has no parameters and no state. Its
    arguments are read-only attributes. Between Flax's convolutions, pass
    `data_format="channels_last"`.

    Args:
      output_size: the number of outputs: one int for all axes, or one entry per axis, where None
        keeps the axis. 1 is global average pooling.
      data_format: "channels_first" or "channels_last".

    Raises:
      TypeError, ValueError: as in `jaxpool.adaptive_avg_pool2d`. Wrong arguments raise when the
        layer is constructed, a wrong `x` or `where` when it is called.

    Examples:
      >>> pool = AdaptiveAvgPool2d(1, data_format="channels_last")
      >>> pool(jax.numpy.ones((8, 7, 7, 512))).shape
      (8, 1, 1, 512)
    """

    ndim = 2


class AdaptiveAvgPool3d(_layers.AdaptiveAvgPool, _Layer, kw_only=True):
    """Averages (..., C, D, H, W) to a given size: `jaxpool.adaptive_avg_pool3d` as a layer.

    See `AdaptiveAvgPool2d` for the arguments, the call and the errors.

    Examples:
      >>> AdaptiveAvgPool3d((1, 7, 7))(jax.numpy.ones((8, 16, 20, 30, 30))).shape
      (8, 16, 1, 7, 7)
    """

    ndim = 3
