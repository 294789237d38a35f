"""Flax NNX layers: the pools of this library, with their arguments as attributes."""

import jax
import numpy as np
from flax import nnx

from jaxpool import _layers


class _Layer(_layers.Layer, nnx.Module):
    """The base that makes NNX modules of the layers."""

    def __call__(
        self, x: jax.Array | np.ndarray, where: jax.Array | np.ndarray | None = None
    ) -> jax.Array:
        """Averages `x` where `where` is True; shapes and errors as in `jaxpool.avg_pool2d`."""
        return self._average(x, where)


class AvgPool1d(_layers.AvgPool1d, _Layer):
    __doc__ = _layers.AvgPool1d.__doc__


class AvgPool2d(_layers.AvgPool2d, _Layer):
    __doc__ = _layers.AvgPool2d.__doc__


class AvgPool3d(_layers.AvgPool3d, _Layer):
    __doc__ = _layers.AvgPool3d.__doc__


class AdaptiveAvgPool1d(_layers.AdaptiveAvgPool1d, _Layer):
    __doc__ = _layers.AdaptiveAvgPool1d.__doc__


class AdaptiveAvgPool2d(_layers.AdaptiveAvgPool2d, _Layer):
    __doc__ = _layers.AdaptiveAvgPool2d.__doc__


class AdaptiveAvgPool3d(_layers.AdaptiveAvgPool3d, _Layer):
    __doc__ = _layers.AdaptiveAvgPool3d.__doc__
