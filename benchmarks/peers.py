"""Who is compared: how the users of each library would ask it for a pool, in their own words.

A function of `IN_JAX` takes a pool and a layout and returns a function of arrays in that layout,
and of the mask if there is one; None if the library cannot express the pool with the same numbers,
or has no kernel for the layout. Arrays of 16 bits are given to each library as they are. Packages
are imported on use, so that a peer that is not installed is one that cannot.
"""

import os
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxpool
from benchmarks.pools import FIRST, LAST, Pool, in_layout

Function: TypeAlias = Callable[..., Any]


def cores() -> int:
    """How many cores this process may use, which is how many threads each peer gets."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def jaxpool_(pool: Pool, layout: str) -> Function:
    """`jaxpool.avg_pool2d`, or 1d or 3d, or `jaxpool.adaptive_avg_pool2d`."""
    name = f"avg_pool{pool.ndim}d"
    if pool.bins:
        adaptive = getattr(jaxpool, f"adaptive_{name}")
        return partial(adaptive, output_size=pool.bins, data_format=layout)
    window = {"kernel": pool.kernel, "stride": pool.stride, "padding": pool.padding}
    more = {"count_include_pad": pool.counts, "ceil_mode": pool.ceil, "dilation": pool.dilation}
    return partial(getattr(jaxpool, name), **window, **more, data_format=layout)


def reduce_window(pool: Pool, layout: str) -> Function | None:
    """`lax.reduce_window` in float32, as one writes it who knows the errors of 16-bit sums."""
    if pool.bins:
        return None
    window, strides, dilation = (
        pool.laid_out(layout, [n] * pool.ndim, 1) for n in (pool.kernel, pool.stride, pool.dilation)
    )
    padding = pool.laid_out(layout, pool.pads, (0, 0))

    def total(x: jax.Array) -> jax.Array:
        wide = x.astype(jnp.float32)
        more = {"window_dilation": dilation}
        summed: jax.Array = lax.reduce_window(
            wide, np.float32(0), lax.add, window, strides, padding, **more
        )
        return summed

    def function(x: jax.Array, where: jax.Array | None = None) -> jax.Array:
        if where is not None:
            return (total(jnp.where(where, x, 0)) / total(where)).astype(x.dtype)
        if pool.counts:
            return (total(x) / prod(window)).astype(x.dtype)
        one_image = pool.laid_out(layout, pool.shape[2:], 1)
        return (total(x) / total(jnp.ones(one_image, jnp.float32))).astype(x.dtype)

    return function


def flax(pool: Pool, layout: str) -> Function | None:
    """`flax.linen.avg_pool`; of bins, those of one size."""
    if pool.masked or layout == FIRST or pool.dilation > 1:
        return None
    if pool.bins:
        if any(size % pool.bins for size in pool.shape[2:]):
            return None
        kernel = pool.shape[2] // pool.bins
        pool = pool._replace(kernel=kernel, stride=kernel, bins=0)
    from flax import linen

    window, strides = ((value,) * pool.ndim for value in (pool.kernel, pool.stride))
    padding = tuple(pool.pads)
    return lambda x: linen.avg_pool(x, window, strides, padding, count_include_pad=pool.counts)


def equinox(pool: Pool, layout: str) -> Function | None:
    """`equinox.nn.AvgPool2d`, mapped over the batch; its adaptive pool has other bins."""
    if pool.bins or pool.masked or layout == LAST or not pool.counts or pool.dilation > 1:
        return None
    import equinox

    layer = getattr(equinox.nn, f"AvgPool{pool.ndim}d")
    return jax.vmap(layer(pool.kernel, pool.stride, pool.padding))


def keras(pool: Pool, layout: str) -> Function | None:
    """`keras.layers.AveragePooling2D`, whose "same" never counts the padding."""
    if pool.bins or pool.masked or not pool.name_of_padding or pool.dilation > 1:
        return None
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    layer = getattr(keras.layers, f"AveragePooling{pool.ndim}D")
    padding = pool.name_of_padding.lower()

    def function(x: jax.Array) -> Any:
        more = {"data_format": layout, "dtype": str(x.dtype)}
        return layer(pool.kernel, pool.stride, padding, **more)(x)

    return function


JAXPOOL, YARDSTICK, TORCH = "jaxpool", "reduce_window", "torch"
IN_JAX: dict[str, Callable[[Pool, str], Function | None]] = {
    JAXPOOL: jaxpool_,
    "flax": flax,
    YARDSTICK: reduce_window,
    "equinox": equinox,
    "keras": keras,
}


def torch(pool: Pool, dtype: str, layout: str, direction: str, device: str) -> Function | None:
    """A call without arguments of PyTorch's pool, or of its gradient on a graph that is kept."""
    if pool.block or pool.masked or pool.ndim != 2:
        return None
    # PyTorch's threads spin for milliseconds before they sleep: at the expense of whose turn is
    # next and, whenever anything else runs on the cores, of PyTorch itself, which was then up to
    # 8x slower. Spinning for less costs it nothing on idle cores; not at all costs it up to 3x.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    import torch

    torch.set_num_threads(cores())
    if pool.bins:
        function = partial(torch.nn.functional.adaptive_avg_pool2d, output_size=pool.bins)
    else:
        window = {"kernel_size": pool.kernel, "stride": pool.stride, "padding": pool.padding}
        more = {"ceil_mode": pool.ceil, "count_include_pad": pool.counts}
        function = partial(torch.nn.functional.avg_pool2d, **window, **more)
    x, ct = (
        torch.from_numpy(drawn(in_layout(shape, layout))).to(device, getattr(torch, dtype))
        for shape in (pool.shape, pool.output)
    )
    if layout == LAST:  # in PyTorch a matter of strides, not of shape
        x, ct = x.movedim(-1, 1), ct.movedim(-1, 1)
    if direction == "forward":
        return torch.no_grad()(partial(function, x))
    y = function(x.requires_grad_())
    return partial(torch.autograd.grad, y, x, ct, retain_graph=True)


def scipy(pool: Pool, layout: str) -> Function | None:
    """A call without arguments of `scipy.ndimage.uniform_filter`."""
    if not _is_box_filter(pool):
        return None
    from scipy import ndimage

    axes = [axis for axis, k in enumerate(pool.laid_out(layout, [2] * pool.ndim, 1)) if k > 1]
    x = drawn(in_layout(pool.shape, layout))
    return partial(ndimage.uniform_filter, x, size=pool.kernel, mode="constant", axes=axes)


def opencv(pool: Pool, layout: str) -> Function | None:
    """A call without arguments of `cv2.blur`, image by image, or channels first plane by plane."""
    if not _is_box_filter(pool) or pool.ndim != 2:
        return None
    import cv2

    cv2.setNumThreads(cores())
    size, image_axes = (pool.kernel, pool.kernel), 3 if layout == LAST else 2
    x = drawn(in_layout(pool.shape, layout))

    def blur() -> np.ndarray:
        blurred = np.empty_like(x)
        images, results = (a.reshape(-1, *a.shape[-image_axes:]) for a in (x, blurred))
        for image, result in zip(images, results, strict=True):
            cv2.blur(image, size, dst=result, borderType=cv2.BORDER_CONSTANT)
        return blurred

    return blur


FILTERS = {"scipy": scipy, "opencv": opencv}  # of float32, forward


def drawn(shape: tuple[int, ...]) -> np.ndarray:
    """Numbers from 0 to 1, the same each time, in float32."""
    return np.random.default_rng(0).random(shape, np.float32)


def _is_box_filter(pool: Pool) -> bool:
    """Whether it has stride 1, an output of the input's size, and a padding of zeros that count."""
    return pool.stride == 1 and pool.output == pool.shape and pool.counts and not pool.masked
