"""What is made of a pool: a program of JAX forward or backward, of the pool alone or in a block."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.peers import IN_JAX, Function, drawn
from benchmarks.pools import LAST, Case, in_layout


class Program(NamedTuple):
    """A function, not yet jitted, and the shapes of its arguments."""

    function: Function
    arguments: tuple[Any, ...]

    def draw(self) -> Any:
        """Arguments of these shapes on the device: numbers from 0 to 1, masks half of true."""

        def draw(a: jax.ShapeDtypeStruct) -> jax.Array:
            numbers = drawn(a.shape)
            return jnp.asarray(numbers > 0.5 if a.dtype == bool else numbers, a.dtype)

        return jax.tree.map(draw, self.arguments)


def prepare(peer: str, case: Case) -> Program | None:
    """The program of a library; None if it cannot express the pool or is not installed."""
    try:
        pooled = IN_JAX[peer](case.pool, case.layout)
    except ImportError:
        return None
    return program_of(pooled, case) if pooled else None


def program_of(pooled: Function, case: Case) -> Program:
    """The program of a function that pools."""
    pool, dtype, layout, direction = case
    size, channels = 3 if pool.block == "conv+pool" else 1, pool.shape[1]
    x = jax.ShapeDtypeStruct(in_layout(pool.shape, layout), dtype)
    mask = jax.ShapeDtypeStruct(in_layout((pool.shape[0], 1, *pool.sizes), layout), bool)
    weights = jax.ShapeDtypeStruct((size, size, channels, channels), dtype)
    masks, kernels = [mask] * pool.masked, [weights] * ("conv" in pool.block)
    axes, spatial = ("NHWC", (1, 2)) if layout == LAST else ("NCHW", (2, 3))
    convolution = partial(
        lax.conv_general_dilated,
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=(axes, "HWIO", axes),
    )

    def value(x: jax.Array, masks: list[jax.Array], kernels: list[jax.Array]) -> jax.Array:
        if pool.block == "conv+pool":
            x = convolution(x, *kernels)
        elif pool.block == "relu+pool":
            x = jax.nn.relu(x)
        y = pooled(x, where=masks[0]) if masks else pooled(x)
        if pool.block == "pool+conv":
            return convolution(y, *kernels)
        return y.mean(spatial) if pool.block == "pool+mean" else y

    # Not those of the kernels as well: they take XLA most of a minute to compile.
    def gradient(cotangent: jax.Array, x: jax.Array, *others: list[jax.Array]) -> jax.Array:
        return jax.vjp(lambda x: value(x, *others), x)[1](cotangent)[0]

    if direction == "forward":
        return Program(value, (x, masks, kernels))
    return Program(gradient, (jax.eval_shape(value, x, masks, kernels), x, masks, kernels))
