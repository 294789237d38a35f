"""Pools over an explicit mesh of 8 devices; run by test_sharding.py in a new process."""

import json
import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from sharded_programs import SHAPE, SHARDED, WINDOWS

import jaxpool


def main():
    """Prints [[window, sharding, direction, largest difference from one device]]."""
    rows = []
    x = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    for name, window in (WINDOWS | {"k7 s7": (7, 7, 0), "global": (128, 128, 0)}).items():

        def pool(x, window=window):
            return jaxpool.avg_pool2d(x, *window, count_include_pad=False)

        def gradient(x, pool=pool):
            return jax.grad(lambda x: (pool(x) ** 2).sum())(x)

        for where, (devices, spec) in SHARDED.items():
            axes = tuple("ab")[: len(devices)]
            mesh = jax.make_mesh(devices, axes, axis_types=(AxisType.Explicit,) * len(axes))
            for direction, f in (("forward", pool), ("gradient", gradient)):
                expected = jax.jit(f)(jnp.asarray(x))
                with jax.set_mesh(mesh):
                    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec(*spec)))
                    found = jax.jit(f)(sharded)
                    if all(n % 8 == 0 for n in found.shape):
                        assert tuple(jax.typeof(found).sharding.spec)[: len(spec)] == tuple(spec)
                apart = np.abs(np.asarray(found) - np.asarray(expected)).max()
                rows.append([name, where, direction, float(apart)])
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
