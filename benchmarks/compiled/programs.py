"""What is made of a pool: a program forward or backward, alone or in a block."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.compiled.cells import Cell
from benchmarks.compiled.pools import EVERYONE
from benchmarks.results import Setting


class Program(NamedTuple):
    """A function and the shapes of its arguments."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def prepare(name: str, cell: Cell, setting: Setting) -> Program | None:
    """The program of a library; None if it cannot express the cell."""
    pool = EVERYONE[name](cell, setting.layout)
    if pool is None:
        return None
    dtype, channels = jnp.dtype(setting.dtype), cell.shape[1]
    x = jax.ShapeDtypeStruct(_shape(cell.shape, setting.layout), dtype)
    mask = _shape((cell.shape[0], 1, *cell.shape[2:]), setting.layout)
    masks = [jax.ShapeDtypeStruct(mask, jnp.bool_)] if cell.masked else []
    size = 3 if cell.block == "conv+pool" else 1
    kernel = jax.ShapeDtypeStruct((size, size, channels, channels), dtype)
    kernels = [kernel] if "conv" in cell.block else []

    def value(x: jax.Array, masks: list[jax.Array], kernels: list[jax.Array]) -> jax.Array:
        if cell.block == "conv+pool":
            x = _convolution(x, kernels[0], setting.layout)
        elif cell.block == "relu+pool":
            x = jax.nn.relu(x)
        y: jax.Array = pool(x, *masks)
        if cell.block == "pool+conv":
            return _convolution(y, kernels[0], setting.layout)
        if cell.block == "pool+mean":
            return y.mean((1, 2) if setting.layout == "channels_last" else (2, 3))
        return y

    # Not those of the kernels as well: they take XLA most of a minute to compile.
    def gradient(cotangent: jax.Array, x: jax.Array, *others: list[jax.Array]) -> jax.Array:
        gradient: jax.Array = jax.vjp(lambda x: value(x, *others), x)[1](cotangent)[0]
        return gradient

    if setting.direction == "forward":
        return Program(value, (x, masks, kernels))
    return Program(gradient, (jax.eval_shape(value, x, masks, kernels), x, masks, kernels))


def _shape(channels_first: tuple[int, ...], layout: str) -> tuple[int, ...]:
    batch, channels, *spatial = channels_first
    return (batch, *spatial, channels) if layout == "channels_last" else channels_first


def _convolution(x: jax.Array, weights: jax.Array, layout: str) -> jax.Array:
    axes = "NHWC" if layout == "channels_last" else "NCHW"
    return lax.conv_general_dilated(
        x, weights, (1, 1), "SAME", dimension_numbers=(axes, "HWIO", axes)
    )
