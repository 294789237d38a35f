"""Flax NNX layers: the pools of this library, with their arguments as attributes."""

from flax import nnx

from jaxpool import _layers


class AvgPool1d(_layers.AvgPool1d, nnx.Module):
    __doc__ = _layers.AvgPool1d.__doc__


class AvgPool2d(_layers.AvgPool2d, nnx.Module):
    __doc__ = _layers.AvgPool2d.__doc__


class AvgPool3d(_layers.AvgPool3d, nnx.Module):
    __doc__ = _layers.AvgPool3d.__doc__


class AdaptiveAvgPool1d(_layers.AdaptiveAvgPool1d, nnx.Module):
    __doc__ = _layers.AdaptiveAvgPool1d.__doc__


class AdaptiveAvgPool2d(_layers.AdaptiveAvgPool2d, nnx.Module):
    __doc__ = _layers.AdaptiveAvgPool2d.__doc__


class AdaptiveAvgPool3d(_layers.AdaptiveAvgPool3d, nnx.Module):
    __doc__ = _layers.AdaptiveAvgPool3d.__doc__
