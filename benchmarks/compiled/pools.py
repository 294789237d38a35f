"""Who is compared: how the users of each library would ask it for the pool of a cell.

Each function here returns one of arrays, or None if the library cannot express the cell in that
layout with the same numbers. The pool of a masked cell takes the mask as well.
"""

import os
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxpool
from benchmarks.cells import pads
from benchmarks.compiled.cells import Cell

Pool: TypeAlias = Callable[..., Any]


def jaxpool_(cell: Cell, layout: str) -> Pool:
    """`jaxpool.avg_pool2d`, or `jaxpool.adaptive_avg_pool2d`."""

    def pool(x: jax.Array, where: jax.Array | None = None) -> jax.Array:
        if cell.outputs:
            return jaxpool.adaptive_avg_pool2d(x, cell.outputs, data_format=layout, where=where)
        return jaxpool.avg_pool2d(
            x,
            cell.kernel,
            cell.stride,
            cell.padding,
            count_include_pad=not cell.ceil,
            ceil_mode=cell.ceil,
            data_format=layout,
            where=where,
        )

    return pool


def reduce_window(cell: Cell, layout: str) -> Pool | None:
    """One `lax.reduce_window` in float32, as one writes it who knows what 16 bits do to a sum."""
    if cell.outputs:
        return None
    window, strides = (_laid_out(layout, value, 1) for value in (cell.kernel, cell.stride))
    padding = _laid_out(layout, _padding(cell), (0, 0))

    def total(x: jax.Array) -> jax.Array:
        wide = x.astype(jnp.float32)
        summed: jax.Array = lax.reduce_window(
            wide, np.float32(0), lax.add, window, strides, padding
        )
        return summed

    def pool(x: jax.Array, where: jax.Array | None = None) -> jax.Array:
        if where is not None:
            return (total(jnp.where(where, x, 0)) / total(where)).astype(x.dtype)
        return (total(x) / _divisor(cell, layout)).astype(x.dtype)

    return pool


def flax(cell: Cell, layout: str) -> Pool | None:
    """`flax.linen.avg_pool`."""
    if cell.outputs or cell.masked or layout == "channels_first":
        return None
    from flax import linen

    window, strides, padding = (
        (value,) * 2 for value in (cell.kernel, cell.stride, _padding(cell))
    )
    counting = not cell.ceil
    return lambda x: linen.avg_pool(x, window, strides, padding, count_include_pad=counting)


def equinox(cell: Cell, layout: str) -> Pool | None:
    """`equinox.nn.AvgPool2d`, mapped over the batch; its adaptive pool has other bins."""
    if cell.outputs or cell.masked or cell.ceil or layout == "channels_last":
        return None
    import equinox

    pool: Pool = jax.vmap(equinox.nn.AvgPool2d(cell.kernel, cell.stride, cell.padding))
    return pool


def keras(cell: Cell, layout: str) -> Pool | None:
    """`keras.layers.AveragePooling2D`, whose "same" never counts the padding."""
    if cell.outputs or cell.masked or cell.padding:
        return None
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    padding = "same" if cell.ceil else "valid"

    def pool(x: jax.Array) -> Any:
        settings = {"data_format": layout, "dtype": str(x.dtype)}
        return keras.layers.AveragePooling2D(cell.kernel, cell.stride, padding, **settings)(x)

    return pool


JAXPOOL, YARDSTICK = "jaxpool", "reduce_window"
EVERYONE: dict[str, Callable[[Cell, str], Pool | None]] = {
    JAXPOOL: jaxpool_,
    YARDSTICK: reduce_window,
    "flax": flax,
    "equinox": equinox,
    "keras": keras,
}
PEERS = tuple(name for name in EVERYONE if name != JAXPOOL)


def _laid_out(layout: str, spatial: Any, others: Any) -> tuple[Any, ...]:
    """A value for each of four axes."""
    if layout == "channels_last":
        return others, spatial, spatial, others
    return others, others, spatial, spatial


def _padding(cell: Cell) -> tuple[int, int]:
    """What lies before and after an axis, so that all windows fit."""
    return pads(cell.shape[2], cell.kernel, cell.stride, cell.padding, cell.ceil)


def _divisor(cell: Cell, layout: str) -> np.ndarray:
    """A number, or where the padding does not count, one for each window."""
    if not cell.ceil:
        return np.asarray(cell.kernel**2, np.float32)
    size, (low, high) = cell.shape[2], _padding(cell)
    starts = np.arange(-low, size + high - cell.kernel + 1, cell.stride)
    counts = np.minimum(starts + cell.kernel, size) - np.maximum(starts, 0)
    areas = (counts[:, None] * counts).astype(np.float32)
    return areas[..., None] if layout == "channels_last" else areas
