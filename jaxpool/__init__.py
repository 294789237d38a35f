"""Average pooling for JAX and Flax: PyTorch's semantics, rounded correctly, fast.

Functions: `avg_pool1d`, `avg_pool2d` and `avg_pool3d` over windows of a fixed size, with their
`pool_output_shape`, and `pool_strips` for images larger than memory; `adaptive_avg_pool1d`,
`adaptive_avg_pool2d` and `adaptive_avg_pool3d` to a given output size. Flax Linen layers:
`AvgPool2d`, `AdaptiveAvgPool2d` and so on; in `jaxpool.nnx` the same for Flax NNX.
"""

from jaxpool._adaptive import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from jaxpool._avg_pool import avg_pool1d, avg_pool2d, avg_pool3d
from jaxpool._shapes import pool_output_shape, pool_strips
from jaxpool.linen import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
)

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
]

__version__ = "0.2.0"
