"""Counts the collectives in programs for 8 devices, and compares results with those of one.

    python -m benchmarks.sharding [--json] [--ways WAY ...] [--pools POOL ...]

prints the tables of docs/scaling.md. The devices are simulated on the CPU; what XLA exchanges is
decided before it knows the kind of device.
"""

import argparse
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import product
from typing import NamedTuple

if __name__ == "__main__":  # before JAX counts its devices
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import numpy as np
from jax import lax, shard_map
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxpool

Pool = Callable[[jax.Array], jax.Array]

COLLECTIVES = "all-gather", "all-reduce", "all-to-all", "reduce-scatter", "collective-permute"
SHAPE = (8, 8, 128, 128)
SPATIAL = (2, 3)
WINDOWS = {  # kernel, stride, padding
    "k2 s2": (2, 2, 0),
    "k8 s8": (8, 8, 0),
    "k3 s1 p1": (3, 1, 1),
    "k3 s2 p1": (3, 2, 1),
    "k5 s1 p2": (5, 1, 2),
    "k11 s1 p5": (11, 1, 5),
    "k31 s1 p15": (31, 1, 15),
}
BINS = {"adaptive to 16": 16, "adaptive to 48": 48, "adaptive to 192": 192, "global": 1}
SHARDED = {  # the devices along each axis of the mesh, and the axes of the array that they share
    "batch": ((8,), P("a")),
    "channels": ((8,), P(None, "a")),
    "height": ((8,), P(None, None, "a")),
    "width": ((8,), P(None, None, None, "a")),
    "height and width": ((4, 2), P(None, None, "a", "b")),
}
WAYS = {
    "jit": "`jax.jit` of arrays with a `NamedSharding`",
    "explicit": "`jax.jit` over a mesh of explicit axes",
    "shard_map": "`jax.shard_map`, borders exchanged as above",
}
HAS_EXPLICIT = hasattr(jax.sharding, "auto_axes")  # older JAX has no such meshes


class Row(NamedTuple):
    """What was found for one pool, sharded in one way."""

    way: str
    pool: str
    sharded: str
    direction: str
    collectives: list[int]
    plain: list[int] | None  # those of one lax.reduce_window
    apart: float  # the largest difference from one device


def with_neighbours(
    x: jax.Array,
    axis: int,
    name: str,
    low: int,
    high: int,
) -> jax.Array:
    """`x` with `low` elements of the previous device and `high` of the next.

    The first device has no previous one and the last no next: they get zeros.
    """
    last = lax.psum(1, name) - 1  # of the devices along the mesh axis `name`
    onward = [(i, i + 1) for i in range(last)]
    parts = [x]
    if low:
        border = lax.slice_in_dim(x, x.shape[axis] - low, None, axis=axis)
        parts.insert(0, lax.ppermute(border, name, onward))
    if high:
        border = lax.slice_in_dim(x, 0, high, axis=axis)
        parts.append(lax.ppermute(border, name, [(b, a) for a, b in onward]))
    return lax.concatenate(parts, axis)


def avg_pool_of_shards(
    x: jax.Array,
    names: Sequence[str | None],
    kernel: int,
    stride: int,
    padding: int,
) -> jax.Array:
    """Inside `shard_map`, `avg_pool2d` of images sharded over `names`.

    These are the mesh axes of the image's axes, None where it is not sharded.
    """
    pads = []
    for axis, name in enumerate(names, x.ndim - 2):
        if name is None:
            pads.append((padding, padding))
        else:  # the windows that start in this shard also read the borders
            after = kernel - stride - padding
            x = with_neighbours(x, axis, name, padding, after)
            pads.append((0, 0))
    return jaxpool.avg_pool2d(x, kernel, stride, pads)


def pools() -> Iterator[tuple[str, Pool, Pool | None]]:
    """By name, each pool and the one lax.reduce_window to compare its exchanges with, or None."""
    for name, window in WINDOWS.items():
        yield name, lambda x, w=window: jaxpool.avg_pool2d(x, *w), lambda x, w=window: plain(x, *w)
    for name, size in BINS.items():
        yield name, lambda x, size=size: jaxpool.adaptive_avg_pool2d(x, size), None
    yield "k3 s1 p1, excluding", lambda x: jaxpool.avg_pool2d(x, 3, 1, 1, False), None
    mask = np.random.default_rng(0).random(SHAPE[2:]) < 0.5
    yield "k3 s2 p1, masked", lambda x: jaxpool.avg_pool2d(x, 3, 2, 1, where=mask), None


def plain(x: jax.Array, kernel: int, stride: int, padding: int) -> jax.Array:
    """The same average by one lax.reduce_window."""
    sizes, strides = (1, 1, kernel, kernel), (1, 1, stride, stride)
    pads = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    return lax.reduce_window(x, 0.0, lax.add, sizes, strides, pads) / np.float32(kernel**2)


def of_shards(name: str, pool: Pool, mesh: Mesh, spec: P) -> Pool | None:
    """The pool by `shard_map`, if it can be had from the shards and their borders."""
    names = [spec[axis] if axis < len(spec) else None for axis in SPATIAL]
    if name in WINDOWS:
        kernel, stride, padding = WINDOWS[name]

        def local(x: jax.Array) -> jax.Array:
            return avg_pool_of_shards(x, names, kernel, stride, padding)
    elif not any(names):
        local = pool
    elif BINS.get(name, 1) > 1:
        outputs = [BINS[name] // (mesh.shape[axis] if axis else 1) for axis in names]

        def local(x: jax.Array) -> jax.Array:
            return jaxpool.adaptive_avg_pool2d(x, outputs)
    else:
        return None
    return shard_map(local, mesh=mesh, in_specs=spec, out_specs=spec)


def pullback(f: Pool) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The gradient of `f` at an array, of a cotangent."""
    return lambda x, cotangent: jax.vjp(f, x)[1](cotangent)[0]


def compiled(
    f: Callable[..., jax.Array], arrays: Sequence[np.ndarray], mesh: Mesh, spec: P, explicit: bool
) -> tuple[list[int], np.ndarray]:
    """How many of each collective the program for arrays so sharded has, and what it gives."""
    with jax.set_mesh(mesh) if explicit else nullcontext():
        result = jax.eval_shape(f, *arrays)
        placed = [jax.device_put(a, fitting(spec, a.shape, mesh)) for a in arrays]
        out = None if explicit else fitting(spec, result.shape, mesh)
        program = jax.jit(f, out_shardings=out).lower(*placed).compile()
        return occurrences(program.as_text()), np.asarray(program(*placed))


def occurrences(text: str) -> list[int]:
    """How many of each collective the text of a compiled program has."""
    return [len(re.findall(rf" {c}(-start)?\(", text)) for c in COLLECTIVES]


def fitting(spec: P, shape: Sequence[int], mesh: Mesh) -> NamedSharding:
    """Sharded by `spec`, but for the axes that are too short to divide."""
    pairs = zip(spec, shape, strict=False)  # the last axes may go without saying
    names = [name if name and size % mesh.shape[name] == 0 else None for name, size in pairs]
    return NamedSharding(mesh, P(*names))


def rows(ways: Sequence[str], names: Sequence[str]) -> Iterator[Row]:
    """All that is found of the pools of these names in these ways of sharding."""
    x = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    for name, pool, reference in pools():
        if name not in names:
            continue
        value = np.asarray(jax.jit(pool)(x))
        cotangent = np.random.default_rng(1).standard_normal(value.shape, np.float32)
        gradient = np.asarray(jax.jit(pullback(pool))(x, cotangent))
        directions = {
            "forward": (lambda f: f, (x,), value),
            "backward": (pullback, (x, cotangent), gradient),
        }
        for way, (sharded, (devices, spec)) in product(ways, SHARDED.items()):
            explicit = way == "explicit"
            mesh = mesh_of(devices, explicit)
            f = of_shards(name, pool, mesh, spec) if way == "shard_map" else pool
            if f is None:
                continue
            for direction, (derive, arrays, expected) in directions.items():
                counts, found = compiled(derive(f), arrays, mesh, spec, explicit)
                others = None
                if reference and way == "jit":
                    others, _ = compiled(derive(reference), arrays, mesh, spec, explicit)
                both_empty = np.isnan(found) & np.isnan(expected)  # windows under the mask
                apart = float(np.where(both_empty, 0, np.abs(found - expected)).max())
                yield Row(way, name, sharded, direction, counts, others, apart)


def mesh_of(devices: tuple[int, ...], explicit: bool) -> Mesh:
    """A mesh of all devices; "a" and "b" are its axes."""
    names = tuple("ab")[: len(devices)]
    array = np.array(jax.devices()).reshape(devices)
    if explicit:
        return Mesh(array, names, axis_types=(jax.sharding.AxisType.Explicit,) * len(names))
    return Mesh(array, names)


def table(found: Sequence[Row]) -> str:
    """Collective-permutes, forward and backward, as Markdown; all-reduces are named."""
    lines = [
        f"| window | {' | '.join(SHARDED)} |",
        "|---" * (len(SHARDED) + 1) + "|",
    ]
    for name in dict.fromkeys(row.pool for row in found):
        cells = []
        for sharded in SHARDED:
            both = [row for row in found if (row.pool, row.sharded) == (name, sharded)]
            cells.append(" / ".join(dict.fromkeys(counted(row.collectives) for row in both)))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def counted(collectives: Sequence[int]) -> str:
    """Such as "2", if these are collective-permutes, or "1 all-reduce"."""
    named = [f"{n} {c}" for n, c in zip(collectives[:-1], COLLECTIVES, strict=False) if n]
    if collectives[-1] or not named:
        named.insert(0, str(collectives[-1]))
    return ", ".join(named)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables, or all rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [name for name, *_ in pools()]
    ways = [way for way in WAYS if way != "explicit" or HAS_EXPLICIT]
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ways", nargs="+", choices=ways, default=ways)
    parser.add_argument("--pools", nargs="+", choices=names, default=names)
    options = parser.parse_args(arguments)
    found = list(rows(options.ways, options.pools))
    if options.json:
        print(json.dumps(found))
        return
    for way in options.ways:
        print(f"{WAYS[way]}:\n\n{table([row for row in found if row.way == way])}\n")


if __name__ == "__main__":
    main()
