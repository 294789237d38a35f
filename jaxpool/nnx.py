"""Flax NNX layers: the pools of this library, with their arguments as attributes."""

from inspect import Signature, signature
from types import MethodType
from typing import Any

from flax import nnx

from jaxpool import _layers, linen


class _SignatureOfInit:
    def __get__(self, layer: object, cls: Any) -> Signature:
        if layer is None:
            return signature(MethodType(cls.__init__, cls))
        raise AttributeError("__signature__")  # a layer is called as its `__call__` says


class _Layer(nnx.Module):
    __signature__ = _SignatureOfInit()  # otherwise `inspect` shows the call of NNX's metaclass


class AvgPool1d(_layers.AvgPool, _Layer):
    __doc__ = linen.AvgPool1d.__doc__
    ndim = 1


class AvgPool2d(_layers.AvgPool, _Layer):
    __doc__ = linen.AvgPool2d.__doc__
    ndim = 2


class AvgPool3d(_layers.AvgPool, _Layer):
    __doc__ = linen.AvgPool3d.__doc__
    ndim = 3


class AdaptiveAvgPool1d(_layers.AdaptiveAvgPool, _Layer):
    __doc__ = linen.AdaptiveAvgPool1d.__doc__
    ndim = 1


class AdaptiveAvgPool2d(_layers.AdaptiveAvgPool, _Layer):
    __doc__ = linen.AdaptiveAvgPool2d.__doc__
    ndim = 2


class AdaptiveAvgPool3d(_layers.AdaptiveAvgPool, _Layer):
    __doc__ = linen.AdaptiveAvgPool3d.__doc__
    ndim = 3
