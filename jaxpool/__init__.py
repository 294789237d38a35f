"""Average pooling for JAX and Flax: PyTorch's semantics, rounded correctly, fast.

Functions: `avg_pool1d`, `avg_pool2d`, `avg_pool3d` and `pool_output_shape`.
Flax Linen layers: `AvgPool1d`, `AvgPool2d`, `AvgPool3d`.
"""

from jaxpool._avg_pool import avg_pool1d, avg_pool2d, avg_pool3d
from jaxpool._window import pool_output_shape
from jaxpool.linen import AvgPool1d, AvgPool2d, AvgPool3d

__all__ = [
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "pool_output_shape",
]

__version__ = "0.1.0"
