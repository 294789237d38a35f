"""Flax Linen layers: the pools of this library, with their arguments as fields."""

from collections.abc import Sequence
from dataclasses import KW_ONLY
from typing import Any, ClassVar

import jax
import numpy as np
from flax import linen as nn

from jaxpool._avg_pool import average
from jaxpool._window import Caller, Ints, Padding, Pool, parse_pool


class _AvgPool(nn.Module):
    """The layer over any number of spatial axes."""

    ndim: ClassVar[int]

    kernel_size: Ints
    stride: Ints | None = None
    padding: Padding = 0
    count_include_pad: bool = True
    _: KW_ONLY
    ceil_mode: bool = False
    divisor_override: int | None = None
    dilation: Ints = 1
    data_format: str = "channels_first"

    def __post_init__(self) -> None:
        if isinstance(self.parent, int):  # Flax adds `parent` and `name` behind our four
            raise TypeError(
                f"{type(self).__name__}: only the first four arguments, up to `count_include_pad`,"
                f" go without a name, got {self.parent!r} as the fifth"
            )
        self._parse()
        if self.stride is None:
            self.stride = self.kernel_size
        for field in ("kernel_size", "stride", "padding", "dilation"):
            setattr(self, field, _tuples(getattr(self, field)))
        super().__post_init__()

    def __call__(self, x: jax.Array | np.ndarray) -> jax.Array:
        """Averages `x`; shapes and errors as in `jaxpool.avg_pool2d`."""
        caller, pool = self._parse()
        return average(caller, pool, x)

    @nn.nowrap  # not a method of the model: no scope, and no row in nn.tabulate
    def _parse(self) -> tuple[Caller, Pool]:
        caller = Caller(type(self).__name__, kernel="kernel_size")
        return caller, parse_pool(
            caller,
            self.ndim,
            self.kernel_size,
            self.stride,
            self.padding,
            self.count_include_pad,
            self.ceil_mode,
            self.divisor_override,
            self.dilation,
            self.data_format,
        )


class AvgPool1d(_AvgPool):
    """Averages (..., C, L) over windows: `jaxpool.avg_pool1d` as a layer, see `AvgPool2d`."""

    ndim = 1


class AvgPool2d(_AvgPool):
    """Averages (..., C, H, W) over windows: `jaxpool.avg_pool2d` as a Flax Linen layer.

    It has no parameters and no state, so it can also be called by itself. The fields are the
    arguments of `jaxpool.avg_pool2d`, its `kernel` being named `kernel_size` as in PyTorch.

    Flax's convolutions are channels_last and the default here is channels_first, as in
    PyTorch: between `flax.linen.Conv` layers pass `data_format="channels_last"`.

    Raises:
      TypeError, ValueError: when constructed, if an argument is wrong; when called, if `x`
        does not suit. As `jaxpool.avg_pool2d` does.

    >>> pool = AvgPool2d(3, 2, padding=1)
    >>> pool(jax.numpy.ones((32, 64, 112, 112))).shape
    (32, 64, 56, 56)
    >>> AvgPool2d(3).stride
    3
    """

    ndim = 2


class AvgPool3d(_AvgPool):
    """Averages (..., C, D, H, W) over windows: `jaxpool.avg_pool3d` as a layer, see `AvgPool2d`."""

    ndim = 3


def _tuples(value: Any) -> Any:
    """`value` with its lists as tuples, so that a layer can be hashed and compared."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(map(_tuples, value))
    return value
