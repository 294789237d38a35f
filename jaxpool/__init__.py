"""Average pooling for JAX and Flax: PyTorch's semantics, float32 accumulation, masks.

- `avg_pool1d`, `avg_pool2d` and `avg_pool3d` pool over windows of a fixed size.
- `adaptive_avg_pool1d`, `adaptive_avg_pool2d` and `adaptive_avg_pool3d` pool to a given size.
- `pool_output_shape` gives the shape of a result, `pool_strips` cuts a pool into strips for images
  larger than memory.
- `portable` is a context in which pools are traced for converters to other runtimes.
- `AvgPool2d`, `AdaptiveAvgPool2d` and so on are layers for Flax Linen, and in `jaxpool.nnx` for
  Flax NNX.
"""

import typing as _typing

from jaxpool._adaptive import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from jaxpool._avg_pool import avg_pool1d, avg_pool2d, avg_pool3d
from jaxpool._portable import portable
from jaxpool._shapes import pool_output_shape, pool_strips
from jaxpool.linen import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
)

if _typing.TYPE_CHECKING:
    from jaxpool import nnx as nnx

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "pool_output_shape",
    "pool_strips",
    "portable",
]

__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    """Imports `jaxpool.nnx` when it is first used, because Flax NNX takes a second to import."""
    if name == "nnx":
        import jaxpool.nnx

        return jaxpool.nnx
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "nnx"})
