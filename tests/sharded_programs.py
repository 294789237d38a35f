"""Counts the collectives in programs for 8 devices; run by test_sharding.py in a new process."""

import json
import os
import re

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jaxpool

COLLECTIVES = "all-gather", "all-reduce", "all-to-all", "reduce-scatter", "collective-permute"
SHAPE = (8, 8, 128, 128)
ADAPTIVE = {"to 16": 16, "to 48": 48, "to 192": 192, "to 1": 1}
WINDOWS = {  # kernel, stride, padding
    "k2 s2": (2, 2, 0),
    "k3 s1 p1": (3, 1, 1),
    "k3 s2 p1": (3, 2, 1),
    "k5 s1 p2": (5, 1, 2),
    "k8 s8": (8, 8, 0),
    "k11 s1 p5": (11, 1, 5),
    "k31 s1 p15": (31, 1, 15),
}
SHARDED = {
    "batch": ((8,), PartitionSpec("a")),
    "channels": ((8,), PartitionSpec(None, "a")),
    "height": ((8,), PartitionSpec(None, None, "a")),
    "width": ((8,), PartitionSpec(None, None, None, "a")),
    "height and width": ((4, 2), PartitionSpec(None, None, "a", "b")),
}


def plain(x, kernel, stride, padding):
    """The same average by one lax.reduce_window."""
    sizes, strides = (1, 1, kernel, kernel), (1, 1, stride, stride)
    pads = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    return lax.reduce_window(x, 0.0, lax.add, sizes, strides, pads) / np.float32(kernel**2)


def programs(forward):
    """A pool and its pullback, each with an argument."""
    x = jax.random.normal(jax.random.key(0), SHAPE)

    def backward(cotangent):
        return jax.vjp(forward, x)[1](cotangent)[0]

    shape = jax.eval_shape(forward, x).shape
    return (forward, x), (backward, jax.random.normal(jax.random.key(1), shape))


def pools():
    """By name, each pool and the one lax.reduce_window to compare its exchanges with, or None."""
    mask = np.random.default_rng(0).random(SHAPE[2:]) < 0.5
    for name, window in WINDOWS.items():
        yield name, lambda x, w=window: jaxpool.avg_pool2d(x, *w), lambda x, w=window: plain(x, *w)
    for name, size in ADAPTIVE.items():
        yield name, lambda x, size=size: jaxpool.adaptive_avg_pool2d(x, size), None
    yield "masked", lambda x: jaxpool.avg_pool2d(x, 3, 2, 1, where=mask), None


def counts_and_result(f, x, sharding):
    """How many of each collective are in the program for `x` so sharded, and what it gives."""
    sharded = [jax.device_put(x, sharding)] if divides(x.shape, sharding) else [x]
    compiled = jax.jit(f, out_shardings=result_sharding(f, x, sharding)).lower(*sharded).compile()
    text = compiled.as_text()
    return [len(re.findall(rf" {c}(-start)?\(", text)) for c in COLLECTIVES], compiled(*sharded)


def divides(shape, sharding):
    """Whether an array of `shape` can be sharded so."""
    try:
        sharding.shard_shape(shape)
    except ValueError:
        return False
    return True


def result_sharding(f, x, sharding):
    """That of the argument, if the result can have it."""
    return sharding if divides(jax.eval_shape(f, x).shape, sharding) else None


def main():
    """Prints [[pool, sharding, direction, our counts, plain counts, largest difference]]."""
    rows = []
    for name, pool, reference in pools():
        for where, (devices, spec) in SHARDED.items():
            mesh = Mesh(np.array(jax.devices()).reshape(devices), tuple("ab")[: len(devices)])
            sharding = NamedSharding(mesh, spec)
            theirs = programs(reference) if reference else (None, None)
            directions = zip(("forward", "backward"), programs(pool), theirs, strict=True)
            for direction, (f, x), other in directions:
                counts, result = counts_and_result(f, x, sharding)
                plain_counts = counts_and_result(*other, sharding)[0] if other else None
                apart = float(jnp.abs(result - jax.jit(f)(x)).max())
                rows.append([name, where, direction, counts, plain_counts, apart])
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
