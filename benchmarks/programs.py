"""What is made of a pool: a program of JAX forward or backward, of the pool alone or in a block."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.peers import IN_JAX, drawn
from benchmarks.pools import LAST, Pool, in_layout


class Program(NamedTuple):
    """A function, not yet jitted, and the shapes of its arguments."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def draw(self) -> Any:
        """Arguments of these shapes on the device: numbers from 0 to 1, masks half of true."""
        return jax.tree.map(
            lambda a: jnp.asarray(
                drawn(a.shape) > 0.5 if a.dtype == bool else drawn(a.shape), a.dtype
            ),
            self.arguments,
        )


def prepare(peer: str, pool: Pool, dtype: str, layout: str, direction: str) -> Program | None:
    """The program of a library; None if it cannot express the pool or is not installed."""
    try:
        pooled = IN_JAX[peer](pool, layout)
    except ImportError:
        return None
    return of_pool(pool, pooled, dtype, layout, direction) if pooled else None


def of_pool(
    pool: Pool, pooled: Callable[..., Any], dtype: str, layout: str, direction: str
) -> Program:
    """The program of a function that pools."""
    channels = pool.shape[1]
    x = jax.ShapeDtypeStruct(in_layout(pool.shape, layout), jnp.dtype(dtype))
    mask = in_layout((pool.shape[0], 1, *pool.shape[2:]), layout)
    masks = [jax.ShapeDtypeStruct(mask, jnp.bool_)] if pool.masked else []
    size = 3 if pool.block == "conv+pool" else 1
    kernel = jax.ShapeDtypeStruct((size, size, channels, channels), jnp.dtype(dtype))
    kernels = [kernel] if "conv" in pool.block else []

    def value(x: jax.Array, masks: list[jax.Array], kernels: list[jax.Array]) -> jax.Array:
        if pool.block == "conv+pool":
            x = _convolution(x, kernels[0], layout)
        elif pool.block == "relu+pool":
            x = jax.nn.relu(x)
        y: jax.Array = pooled(x, where=masks[0]) if masks else pooled(x)
        if pool.block == "pool+conv":
            return _convolution(y, kernels[0], layout)
        if pool.block == "pool+mean":
            return y.mean((1, 2) if layout == LAST else (2, 3))
        return y

    # Not those of the kernels as well: they take XLA most of a minute to compile.
    def gradient(cotangent: jax.Array, x: jax.Array, *others: list[jax.Array]) -> jax.Array:
        gradient: jax.Array = jax.vjp(lambda x: value(x, *others), x)[1](cotangent)[0]
        return gradient

    if direction == "forward":
        return Program(value, (x, masks, kernels))
    return Program(gradient, (jax.eval_shape(value, x, masks, kernels), x, masks, kernels))


def _convolution(x: jax.Array, weights: jax.Array, layout: str) -> jax.Array:
    axes = "NHWC" if layout == LAST else "NCHW"
    return lax.conv_general_dilated(
        x, weights, (1, 1), "SAME", dimension_numbers=(axes, "HWIO", axes)
    )
