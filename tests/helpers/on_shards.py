"""Pools of an array sharded over 8 devices: their exchanges, and their distance from one device.

Run with 8 devices, as `python tests/helpers/on_shards.py Auto|Explicit POOL ...`. Prints a JSON
list of rows.
"""

import json
import re
import sys
from collections import Counter
from contextlib import nullcontext
from functools import partial
from math import prod

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxpool import adaptive_avg_pool2d, avg_pool2d

SHAPE = (8, 8, 128, 128)
MASK = np.random.default_rng(0).random(SHAPE[2:]) < 0.5
WINDOWS = {  # kernel, stride, padding
    "k2 s2": (2, 2, 0),
    "k8 s8": (8, 8, 0),
    "k3 s1 p1": (3, 1, 1),
    "k3 s2 p1": (3, 2, 1),
    "k5 s1 p2": (5, 1, 2),
    "k11 s1 p5": (11, 1, 5),
    "k31 s1 p15": (31, 1, 15),
}
POOLS = {name: (lambda x, w=window: avg_pool2d(x, *w)) for name, window in WINDOWS.items()}
POOLS |= {f"to {n}": partial(adaptive_avg_pool2d, output_size=n) for n in (16, 48, 192, 1)}
POOLS["k3 s1 p1 excluding"] = lambda x: avg_pool2d(x, 3, 1, 1, False)
POOLS["k3 s2 p1 masked"] = lambda x: avg_pool2d(x, 3, 2, 1, where=MASK)
SHARDED = {  # the devices along each axis of the mesh, and the axes of the array that they share
    "batch": ((8,), P("a")),
    "channels": ((8,), P(None, "a")),
    "height": ((8,), P(None, None, "a")),
    "width": ((8,), P(None, None, None, "a")),
    "height and width": ((4, 2), P(None, None, "a", "b")),
}


def one_reduce_window(x, window):
    """The pool as one operation of XLA, to compare exchanges with."""
    kernel, stride, padding = window
    sizes, strides = (1, 1, kernel, kernel), (1, 1, stride, stride)
    pads = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    return lax.reduce_window(x, 0.0, lax.add, sizes, strides, pads) / np.float32(kernel**2)


def pullback(f):
    return lambda x, cotangent: jax.vjp(f, x)[1](cotangent)[0]


def fitting(mesh, spec, shape):
    """Sharded by `spec`, except for axes that are too short to divide."""
    pairs = zip(spec, shape, strict=False)
    names = [name if name and size % mesh.shape[name] == 0 else None for name, size in pairs]
    return NamedSharding(mesh, P(*names))


def collectives(text):
    pattern = r" (all-gather|all-reduce|all-to-all|reduce-scatter|collective-permute)(?:-start)?\("
    return Counter(re.findall(pattern, text))


def sharded(f, arrays, mesh, spec, explicit):
    """The collectives of the program for arrays so sharded, and its value."""
    with jax.set_mesh(mesh) if explicit else nullcontext():
        result = jax.eval_shape(f, *arrays)
        placed = [jax.device_put(a, fitting(mesh, spec, a.shape)) for a in arrays]
        out = None if explicit else fitting(mesh, spec, result.shape)
        program = jax.jit(f, out_shardings=out).lower(*placed).compile()
        return collectives(program.as_text()), np.asarray(program(*placed))


def mesh_of(shape, explicit):
    axes = tuple("ab")[: len(shape)]
    devices = np.array(jax.devices()[: prod(shape)]).reshape(shape)
    kind = {"axis_types": (jax.sharding.AxisType.Explicit,) * len(axes)} if explicit else {}
    return Mesh(devices, axes, **kind)


def rows(names, explicit):
    """For each pool, direction and way to shard it."""
    x = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    for name in names:
        pool, plain = POOLS[name], None
        if name in WINDOWS and not explicit:
            plain = partial(one_reduce_window, window=WINDOWS[name])
        cotangent = np.random.default_rng(1).standard_normal(jax.eval_shape(pool, x).shape)
        for direction, derive, arrays in (
            ("forward", lambda f: f, (x,)),
            ("backward", pullback, (x, cotangent.astype(np.float32))),
        ):
            expected = np.asarray(jax.jit(derive(pool))(*arrays))
            for how, (shape, spec) in SHARDED.items():
                mesh = mesh_of(shape, explicit)
                found, value = sharded(derive(pool), arrays, mesh, spec, explicit)
                row = {"pool": name, "sharded": how, "direction": direction, "collectives": found}
                if plain:
                    row["plain"], _ = sharded(derive(plain), arrays, mesh, spec, explicit)
                row["apart"] = float(np.nanmax(np.abs(value - expected)))
                row["same bits"] = value.tobytes() == expected.tobytes()
                yield row


if __name__ == "__main__":
    print(json.dumps(list(rows(sys.argv[2:], sys.argv[1] == "Explicit"))))
