"""The layers without a framework: arguments, documentation, checks. Linen and NNX add a base."""

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar

import jax
import numpy as np
from flax.errors import SetAttributeFrozenModuleError

from jaxpool._average import average
from jaxpool._parse import (
    Caller,
    Ints,
    OutputSize,
    Padding,
    Pool,
    is_sequence,
    parse_adaptive,
    parse_pool,
)


@dataclass(eq=False, repr=False)
class Layer:
    """What all layers do with their arguments, which are the fields of a dataclass."""

    ndim: ClassVar[int]

    def __setattr__(self, name: str, value: Any) -> None:
        self._check_open(name, value)
        # NNX takes an attribute that was once an array for data, and would train it.
        super().__setattr__(name, _tuples(value) if isinstance(value, np.ndarray) else value)

    def __delattr__(self, name: str) -> None:
        self._check_open(name)
        super().__delattr__(name)

    def _check_open(self, name: str, value: Any = None) -> None:
        """Arguments that have been checked stay; Flax's own attributes are its own affair."""
        is_argument = name in {field.name for field in fields(self)} - {"parent", "name"}
        # NNX makes a copy by setting all attributes of an empty object, in any order.
        if is_argument and {name, "_parsed"} <= vars(self).keys():
            cls = type(self).__name__
            raise SetAttributeFrozenModuleError(cls, name, value)  # type: ignore[no-untyped-call]

    def __post_init__(self) -> None:
        self._prepare()

    def _prepare(self) -> None:
        """Checks the arguments once, and makes tuples of lists, to be hashed and compared.

        Linen runs it again when a model adopts the layer.
        """
        if "_parsed" in vars(self):
            return
        parsed = self._parse()
        for field in fields(self):
            if is_sequence(value := getattr(self, field.name)):
                setattr(self, field.name, _tuples(value))
        self._parsed = parsed

    def __call__(
        self, x: jax.Array | np.ndarray, where: jax.Array | np.ndarray | None = None
    ) -> jax.Array:
        """Averages `x` where `where` is True; for shapes and errors see `jaxpool.avg_pool2d`."""
        caller, pool = self._parsed
        return average(caller, pool, x, where)

    def _parse(self) -> tuple[Caller, Pool]:
        """The checked arguments, and what errors call them."""
        raise NotImplementedError


@dataclass(eq=False, repr=False)
class _AvgPool(Layer):
    """Over any number of spatial axes."""

    kernel_size: Ints
    stride: Ints | None = None
    padding: Padding = 0
    count_include_pad: bool = True
    _: KW_ONLY
    ceil_mode: bool = False
    divisor_override: int | None = None
    dilation: Ints = 1
    data_format: str = "channels_first"

    def _prepare(self) -> None:
        if self.stride is None:
            self.stride = self.kernel_size
        super()._prepare()

    def _parse(self) -> tuple[Caller, Pool]:
        caller = Caller(type(self).__name__, kernel="kernel_size")
        return caller, parse_pool(
            caller,
            self.ndim,
            self.kernel_size,
            self.stride,
            self.padding,
            self.count_include_pad,
            ceil_mode=self.ceil_mode,
            divisor_override=self.divisor_override,
            dilation=self.dilation,
            data_format=self.data_format,
        )


@dataclass(eq=False, repr=False)
class _AdaptiveAvgPool(Layer):
    """Over any number of spatial axes."""

    output_size: OutputSize
    _: KW_ONLY
    data_format: str = "channels_first"

    def _parse(self) -> tuple[Caller, Pool]:
        caller = Caller(type(self).__name__)
        return caller, parse_adaptive(caller, self.ndim, self.output_size, self.data_format)


class AvgPool1d(_AvgPool):
    """Averages (..., C, L) over windows: `jaxpool.avg_pool1d` as a layer.

    The fields are the arguments of `jaxpool.avg_pool1d`, except that `kernel` is `kernel_size`.
    The call takes `x` and, for a mask, `where`. `AvgPool2d` says what holds of all layers.

    Examples:
      >>> AvgPool1d(2)(jax.numpy.ones((8, 16, 100))).shape
      (8, 16, 50)
    """

    ndim = 1


class AvgPool2d(_AvgPool):
    """Averages (..., C, H, W) over windows: `jaxpool.avg_pool2d` as a layer.

    It has no parameters and no state, so it can also be called outside of a model. The fields
    are the arguments of `jaxpool.avg_pool2d`, except that `kernel` is `kernel_size`, as in
    PyTorch. They are read-only. The call takes `x` and, for a mask, `where`.

    Flax's convolutions are channels-last and the default here is "channels_first", as in
    PyTorch. Between Flax's layers pass `data_format="channels_last"`.

    Raises:
      TypeError, ValueError: as `jaxpool.avg_pool2d`; for arguments when constructed, for `x`
        and `where` when called.

    Examples:
      >>> pool = AvgPool2d(3, 2, padding=1)
      >>> pool(jax.numpy.ones((32, 64, 112, 112))).shape
      (32, 64, 56, 56)
      >>> AvgPool2d(3).stride
      3
    """

    ndim = 2


class AvgPool3d(_AvgPool):
    """Averages (..., C, D, H, W) over windows: `jaxpool.avg_pool3d` as a layer.

    The fields are the arguments of `jaxpool.avg_pool3d`, except that `kernel` is `kernel_size`.
    The call takes `x` and, for a mask, `where`. `AvgPool2d` says what holds of all layers.

    Examples:
      >>> AvgPool3d(2)(jax.numpy.ones((8, 16, 20, 30, 30))).shape
      (8, 16, 10, 15, 15)
    """

    ndim = 3


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Averages (..., C, L) to a given size: `jaxpool.adaptive_avg_pool1d` as a layer.

    The fields are the arguments of `jaxpool.adaptive_avg_pool1d`. The call takes `x` and, for a
    mask, `where`. `AvgPool2d` says what holds of all layers.

    Examples:
      >>> AdaptiveAvgPool1d(7)(jax.numpy.ones((8, 16, 100))).shape
      (8, 16, 7)
    """

    ndim = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Averages (..., C, H, W) to a given size: `jaxpool.adaptive_avg_pool2d` as a layer.

    The fields are the arguments of `jaxpool.adaptive_avg_pool2d`. The call takes `x` and, for
    a mask, `where`. As for `AvgPool2d`, there are no parameters, invalid arguments raise when
    the layer is constructed, and between Flax's layers pass `data_format="channels_last"`.

    Examples:
      >>> pool = AdaptiveAvgPool2d(1, data_format="channels_last")
      >>> pool(jax.numpy.ones((8, 7, 7, 512))).shape
      (8, 1, 1, 512)
    """

    ndim = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Averages (..., C, D, H, W) to a given size: `jaxpool.adaptive_avg_pool3d` as a layer.

    The fields are the arguments of `jaxpool.adaptive_avg_pool3d`. The call takes `x` and, for a
    mask, `where`. `AvgPool2d` says what holds of all layers.

    Examples:
      >>> AdaptiveAvgPool3d((1, 7, 7))(jax.numpy.ones((8, 16, 20, 30, 30))).shape
      (8, 16, 1, 7, 7)
    """

    ndim = 3


def _tuples(value: Any) -> Any:
    """`value` with its lists and arrays as tuples, the numbers of an array as Python's."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(map(_tuples, value)) if is_sequence(value) else value
