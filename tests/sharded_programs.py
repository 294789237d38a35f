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


def programs(pool, window):
    """The pool and its pullback, each with an argument."""
    x = jax.random.normal(jax.random.key(0), SHAPE)

    def forward(x):
        return pool(x, *window)

    def backward(cotangent):
        return jax.vjp(forward, x)[1](cotangent)[0]

    shape = jax.eval_shape(forward, x).shape
    return (forward, x), (backward, jax.random.normal(jax.random.key(1), shape))


def main():
    """Prints [[window, sharding, direction, our counts, plain counts, largest difference]]."""
    rows = []
    for name, window in WINDOWS.items():
        for where, (devices, spec) in SHARDED.items():
            mesh = Mesh(np.array(jax.devices()).reshape(devices), tuple("ab")[: len(devices)])
            sharding = NamedSharding(mesh, spec)
            pairs = zip(programs(jaxpool.avg_pool2d, window), programs(plain, window), strict=True)
            for direction, pair in zip(("forward", "backward"), pairs, strict=True):
                compiled = [
                    jax.jit(f, in_shardings=sharding, out_shardings=sharding).lower(x).compile()
                    for f, x in pair
                ]
                counts = [
                    [len(re.findall(rf" {c}(-start)?\(", program.as_text())) for c in COLLECTIVES]
                    for program in compiled
                ]
                ours, x = pair[0]
                apart = jnp.abs(compiled[0](jax.device_put(x, sharding)) - jax.jit(ours)(x)).max()
                rows.append([name, where, direction, *counts, float(apart)])
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
