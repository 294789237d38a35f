"""Flax Linen layers: the pools of this library, with their arguments as fields."""

from dataclasses import fields

import jax
import numpy as np
from flax import linen as nn

from jaxpool import _layers


class _Layer(_layers.Layer, nn.Module):
    """The base that makes Linen modules of the layers."""

    def __post_init__(self) -> None:
        if isinstance(self.parent, int | str):  # Flax adds `parent` and `name` behind our own
            last = [field.name for field in fields(self) if not field.kw_only][-3]
            raise TypeError(
                f"{type(self).__name__}: arguments after `{last}` are keyword-only,"
                f" got {self.parent!r}"
            )
        self._prepare()
        nn.Module.__post_init__(self)

    def __call__(
        self, x: jax.Array | np.ndarray, where: jax.Array | np.ndarray | None = None
    ) -> jax.Array:
        """Averages `x` where `where` is True; for shapes and errors see `jaxpool.avg_pool2d`."""
        return super().__call__(x, where)  # Flax follows only calls of its own methods


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
