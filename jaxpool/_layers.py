"""The common part of the layers of Linen and NNX: their read-only arguments, and the call."""

from dataclasses import KW_ONLY, FrozenInstanceError, dataclass, fields
from inspect import signature
from typing import Any, ClassVar, Self

import jax
import numpy as np

from jaxpool._average import Mask, average
from jaxpool._parse import (
    DataFormat,
    ErrorContext,
    Int,
    Ints,
    OutputSize,
    Padding,
    Pool,
    is_sequence,
    parse_adaptive,
    parse_pool,
)


@dataclass(eq=False, repr=False)
class PoolingLayer:
    """A layer whose fields are its arguments: checked when it is constructed, then read-only.

    Python names this class in its own errors about a call, so its name has no underscore.
    """

    ndim: ClassVar[int]

    def __new__(cls, *args: Any, **keywords: Any) -> Self:
        init = signature(cls.__init__)
        try:
            init.bind_partial(None, *args, **keywords)
        except TypeError as error:
            names = [p.name for p in init.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
            must = str(error)
            if len(args) >= len(names):
                got = args[len(names) - 1]
                must = f"arguments after `{names[-1]}` are keyword-only, got {got!r}"
            raise TypeError(f"{cls.__name__}: {must}") from None
        return super().__new__(cls)

    def __post_init__(self) -> None:
        context = ErrorContext(type(self).__name__, kernel="kernel_size")
        self._parsed = context, self._parse(context)
        for name in self._arguments():  # lists cannot be hashed
            vars(self)[name] = _tuples(vars(self)[name])

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._arguments():
            super().__setattr__(name, value)
        elif "_parsed" in vars(self):
            raise self._read_only(type(self).__name__, name, value)
        else:
            vars(self)[name] = value  # NNX would treat an array as data, also once it is a tuple

    def __delattr__(self, name: str) -> None:
        if name in self._arguments():
            raise self._read_only(type(self).__name__, name, None)
        super().__delattr__(name)

    def __call__(self, x: jax.Array | np.ndarray, where: Mask | None = None) -> jax.Array:
        """Averages `x`, or its valid elements.

        Args:
          x: an array of shape (..., C, *spatial), or (..., *spatial, C) for "channels_last"; for
            dtypes see `jaxpool.avg_pool2d`.
          where: booleans that broadcast against `x` and mark the valid elements.

        Returns:
          The averages, in the layout of `x`. A window without a valid element gives NaN.

        Raises:
          TypeError, ValueError: if `x` or `where` is wrong, as in `jaxpool.avg_pool2d`.
        """
        return average(*self._parsed, x, where)

    @classmethod
    def _arguments(cls) -> set[str]:
        return {field.name for field in fields(cls)} - {"parent", "name"}

    @staticmethod
    def _read_only(layer: str, name: str, value: Any) -> Exception:
        hint = "construct a new layer, and assign it to the model"
        return FrozenInstanceError(f"{layer}: `{name}` is read-only, got {name}={value!r}: {hint}")

    def _parse(self, context: ErrorContext) -> Pool:
        raise NotImplementedError


@dataclass(eq=False, repr=False)
class AvgPool(PoolingLayer):
    """A pool over windows, of any number of spatial axes."""

    kernel_size: Ints
    stride: Ints | None = None
    padding: Padding = 0
    count_include_pad: bool = True
    _: KW_ONLY
    ceil_mode: bool = False
    divisor_override: Int | None = None
    dilation: Ints = 1
    data_format: DataFormat = "channels_first"

    def _parse(self, context: ErrorContext) -> Pool:
        if self.stride is None:
            self.stride = self.kernel_size
        return parse_pool(
            context,
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


@dataclass(eq=False, repr=False)
class AdaptiveAvgPool(PoolingLayer):
    """A pool to a given size, of any number of spatial axes."""

    output_size: OutputSize
    _: KW_ONLY
    data_format: DataFormat = "channels_first"

    def _parse(self, context: ErrorContext) -> Pool:
        return parse_adaptive(context, self.ndim, self.output_size, self.data_format)


def _tuples(value: Any) -> Any:
    """`value` with tuples for lists and arrays, so that it can be hashed and compared.

    >>> _tuples([np.array([0, 1]), [2]])
    ((0, 1), (2,))
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(map(_tuples, value)) if is_sequence(value) else value
