"""Who is compared: how the users of each library would ask it for the pool of a case.

A function here takes a case and returns a function on arrays of that library, or raises
`CannotError` with the reason. Each peer is asked in its own words, in the layouts that it has
kernels for, and in 16 bits it gets what its users would give it: the 16-bit array as it is.
Packages are imported on use, so that those that are not installed are peers that cannot.
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
from benchmarks.cells import Case

Pool: TypeAlias = Callable[[Any], Any]


class CannotError(Exception):
    """Why a peer cannot do a case."""


class OtherLayoutError(CannotError):
    """The peer can do the cell, but only in the other layout."""


def cores() -> int:
    """How many cores this process may use, which is how many threads each peer gets."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def copy(case: Case) -> Pool:
    """Not a pool: what reading and writing the input once costs."""
    if case.layout == "channels_last":
        raise OtherLayoutError("the same in either layout")
    return lambda x: x + 1


def jaxpool_(case: Case) -> Pool:
    """`jaxpool.avg_pool2d`, or 1d or 3d."""
    cell = case.cell
    pool = getattr(jaxpool, f"avg_pool{cell.ndim}d")
    window = {"kernel": cell.kernel, "stride": cell.stride, "padding": cell.padding}
    counting = {"count_include_pad": cell.count_include_pad, "ceil_mode": cell.ceil_mode}
    return partial(pool, **window, **counting, data_format=case.layout)


def flax(case: Case) -> Pool:
    """`flax.linen.avg_pool`."""
    from flax import linen

    cell = case.cell
    if case.layout == "channels_first":
        raise OtherLayoutError("is channels_last only")
    return partial(
        linen.avg_pool,
        window_shape=(cell.kernel,) * cell.ndim,
        strides=(cell.stride,) * cell.ndim,
        padding=tuple(cell.pads),
        count_include_pad=cell.count_include_pad,
    )


def equinox(case: Case) -> Pool:
    """`equinox.nn.AvgPool2d`, or 1d or 3d, mapped over the batch."""
    import equinox

    cell = case.cell
    if not cell.count_include_pad:
        raise CannotError("always counts the padding")
    if case.layout == "channels_last":
        raise OtherLayoutError("is channels_first only")
    layer = getattr(equinox.nn, f"AvgPool{cell.ndim}d")
    pool: Pool = jax.vmap(layer(cell.kernel, cell.stride, cell.padding))
    return pool


def keras(case: Case) -> Pool:
    """`keras.layers.AveragePooling2D`, or 1D or 3D."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    if keras.backend.backend() != "jax":
        raise CannotError("was imported with another backend than JAX")
    layer = getattr(keras.layers, f"AveragePooling{case.cell.ndim}D")
    padding = _named_padding(case).lower()
    window = case.cell.kernel, case.cell.stride
    pool: Pool = layer(*window, padding, data_format=case.layout, dtype=case.dtype)
    return pool


def haiku(case: Case) -> Pool:
    """`haiku.avg_pool`."""
    import haiku

    window, strides = _all_axes(case, case.cell.kernel), _all_axes(case, case.cell.stride)
    padding = _named_padding(case)
    return partial(haiku.avg_pool, window_shape=window, strides=strides, padding=padding)


def reduce_window(case: Case) -> Pool:
    """`lax.reduce_window` as one writes it by hand."""
    cell = case.cell
    window, strides = _all_axes(case, cell.kernel), _all_axes(case, cell.stride)
    around = [(0, 0)]
    last = case.layout == "channels_last"
    padding = around + (cell.pads + around if last else around + cell.pads)

    def total(x: jax.Array) -> jax.Array:
        summed: jax.Array = lax.reduce_window(x, 0.0, lax.add, window, strides, padding)
        return summed

    def pool(x: jax.Array) -> jax.Array:
        if cell.count_include_pad:
            return total(x) / prod(window)
        one_image = [n if k > 1 else 1 for n, k in zip(x.shape, window, strict=True)]
        return total(x) / total(jnp.ones(one_image, x.dtype))

    return pool


def torch(case: Case) -> Pool:
    """`torch.nn.functional.avg_pool2d`, or 1d or 3d."""
    # PyTorch's threads spin for milliseconds before they sleep: at the expense of whose turn is
    # next and, whenever anything else runs on the cores, of PyTorch itself, which was then up to
    # 8x slower. Spinning for less costs it nothing on idle cores; not at all costs it up to 3x.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    import torch

    torch.set_num_threads(cores())
    cell = case.cell
    if cell.ndim == 3 and case.dtype == "bfloat16":
        raise CannotError("has no 3-d kernel for bfloat16 on CPUs")
    if cell.ndim == 3 and case.layout == "channels_last":
        raise OtherLayoutError("is channels_first only in 3-d")
    return partial(
        getattr(torch.nn.functional, f"avg_pool{cell.ndim}d"),
        kernel_size=cell.kernel,
        stride=cell.stride,
        padding=cell.padding,
        ceil_mode=cell.ceil_mode,
        count_include_pad=cell.count_include_pad,
    )


def scipy(case: Case) -> Pool:
    """`scipy.ndimage.uniform_filter`."""
    from scipy import ndimage

    _check_box_filter(case)
    size = case.cell.kernel
    axes = [axis for axis, k in enumerate(_all_axes(case, size)) if k > 1]
    return partial(ndimage.uniform_filter, size=size, mode="constant", axes=axes)


def opencv(case: Case) -> Pool:
    """`cv2.blur`, image by image, or in channels_first plane by plane."""
    import cv2

    _check_box_filter(case)
    if case.cell.ndim != 2:
        raise CannotError("is 2-d only")
    cv2.setNumThreads(cores())
    size = case.cell.kernel, case.cell.kernel
    image_axes = 3 if case.layout == "channels_last" else 2

    def pool(x: np.ndarray) -> np.ndarray:
        blurred = np.empty_like(x)
        images, results = (a.reshape(-1, *a.shape[-image_axes:]) for a in (x, blurred))
        for image, result in zip(images, results, strict=True):
            cv2.blur(image, size, dst=result, borderType=cv2.BORDER_CONSTANT)
        return blurred

    return pool


def _all_axes(case: Case, value: int, others: int = 1) -> tuple[int, ...]:
    """`value` for the spatial axes, and `others` for batch and channels."""
    spatial = (value,) * case.cell.ndim
    if case.layout == "channels_last":
        return (others, *spatial, others)
    return (others, others, *spatial)


def _named_padding(case: Case) -> str:
    """The padding in the only words that Keras and Haiku have for it."""
    cell = case.cell
    if cell.is_valid:
        return "VALID"
    if not cell.is_same:
        raise CannotError("pads as VALID or SAME only")
    if cell.count_include_pad:
        raise CannotError("never counts the padding")
    return "SAME"


def _check_box_filter(case: Case) -> None:
    cell = case.cell
    if cell.stride != 1 or not cell.is_same:
        raise CannotError("is a filter: stride 1, and an output of the input's size")
    if not cell.count_include_pad:
        raise CannotError("always counts the padding")
    if case.dtype != "float32":
        raise CannotError(f"has no {case.dtype}")
