"""Pools of arrays sharded over meshes of 8 devices, against one device.

Run with 8 devices, as `python tests/helpers/on_meshes.py KIND FIRST COUNT`. Prints a JSON list of
failures, each a case and what is wrong with it.
"""

import json
import sys
import time
from contextlib import nullcontext
from functools import partial
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxpool

in_mesh = jax.set_mesh if hasattr(jax, "set_mesh") else jax.sharding.use_mesh
IS_NEW = tuple(map(int, jax.__version__.split(".")[:2])) >= (0, 11)
TYPES = {"explicit": "EE", "automatic": "AA", "mixed": "EA", "mixed, turned": "AE"}
NAMES = {"E": AxisType.Explicit, "A": AxisType.Auto}


class Case(NamedTuple):
    """A pool, the array, and how that is sharded."""

    function: str
    arguments: dict
    shape: tuple[int, ...]
    mesh: tuple[int, ...]
    types: str  # of its axes: a key of TYPES
    spec: tuple[str | tuple[str, ...] | None, ...]
    mask: str  # "", "full" or "channels": the same for each channel
    in_context: bool  # of the mesh, which is otherwise that of the arrays alone
    seed: int


def random_case(seed):
    """Sizes that the devices divide, with windows whose outputs they often do not."""
    draw = np.random.default_rng(seed)
    ndim = int(draw.integers(1, 3))
    mesh = ((8,), (4, 2), (2, 4))[draw.integers(3)]
    types = ("explicit", "explicit", "automatic", "mixed", "mixed, turned")[draw.integers(5)]
    data_format = ("channels_first", "channels_last")[draw.integers(2)]
    spec = random_spec(draw, mesh, ndim, data_format)
    shape = list(map(int, draw.integers(1, 4, 2 + ndim)))
    spatial = spatial_axes(ndim, data_format)
    for axis in spatial:
        shape[axis] = int(draw.integers(3, 15))
    for axis, names in enumerate(spec):
        devices = prod(mesh["ab".index(name)] for name in names or ())
        if devices > 1:
            most = max(1, 56 // devices) if axis in spatial else 1
            shape[axis] = devices * int(draw.integers(1, most + 1))
    function, arguments = random_pool(draw, [shape[axis] for axis in spatial])
    mask = ("", "", "full", "channels")[draw.integers(4)]
    return Case(
        function,
        arguments | {"data_format": data_format},
        tuple(shape),
        mesh,
        types,
        tuple(spec),
        mask,
        bool(draw.integers(2)),
        seed,
    )


def spatial_axes(ndim, data_format):
    first = 1 if data_format == "channels_last" else 2
    return range(first, first + ndim)


def random_spec(draw, mesh, ndim, data_format):
    """Each axis of the mesh along some axis of the array, a spatial one more often."""
    spec = [()] * (2 + ndim)
    spatial = list(spatial_axes(ndim, data_format))
    for name in "ab"[: len(mesh)]:
        axis = int(draw.choice(3 * spatial + [*range(2 + ndim)]))
        if draw.random() < 0.9:
            spec[axis] = (*spec[axis], name)
    return [names or None for names in spec]


def random_pool(draw, spatial):
    ndim = len(spatial)
    if draw.random() < 0.25:
        sizes = [int(draw.integers(1, min(n + 3, 40))) for n in spatial]
        return f"adaptive_avg_pool{ndim}d", {"output_size": tuple(sizes)}
    while True:
        kernel = [int(draw.choice([1, 2, 2, 3, 3, 3, 4, 5, 7, 16])) for _ in spatial]
        arguments = {
            "kernel": tuple(kernel),
            "stride": tuple(int(draw.choice([1, 1, 2, 2, 3, 4, k])) for k in kernel),
            "padding": tuple((int(draw.integers(k)), int(draw.integers(k))) for k in kernel),
            "dilation": tuple(int(draw.choice([1, 1, 1, 2])) for _ in spatial),
            "ceil_mode": bool(draw.integers(2)),
        }
        if draw.random() < 0.4:
            arguments["padding"] = 0
        try:
            jaxpool.pool_output_shape(tuple(spatial), **arguments)
        except ValueError:
            continue
        return f"avg_pool{ndim}d", arguments | {"count_include_pad": bool(draw.integers(2))}


def whole_numbers(shape, seed):
    """Whose sums are exact in any order."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype("float32")


def mesh_of(shape, types):
    names = ("a", "b")[: len(shape)]
    kinds = tuple(NAMES[letter] for letter in TYPES[types][: len(shape)])
    return jax.make_mesh(shape, names, axis_types=kinds)


def sharded(x, mesh, spec):
    return jax.device_put(x, NamedSharding(mesh, P(*spec)))


def apart(found, wanted):
    """What is wrong with an array, or nothing."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if found.shape != wanted.shape:
        return f"shape {found.shape} instead of {wanted.shape}"
    if np.isnan(wanted).tolist() != np.isnan(found).tolist():
        return "NaN elsewhere"
    wrong = np.abs(np.nan_to_num(found - wanted)) > 1e-6 * max(1, np.nanmax(np.abs(wanted)))
    return f"{wrong.sum()} of {wrong.size} elements" if wrong.any() else ""


def checked(steps):
    """The failures of named steps, each of which gives two arrays to compare."""
    failures = {}
    for name, step in steps.items():
        try:
            wrong = apart(*step())
        except Exception as error:
            wrong = f"{type(error).__name__}: {error}"[:300]
        if wrong:
            failures[name] = wrong
    return failures


def on_one_device(pool, x0, ct):
    """Value and gradient."""
    with jax.default_device(jax.devices()[0]):

        def both(x):
            value, transposed = jax.vjp(pool, x)
            return value, transposed(ct)[0]

        return jax.jit(both)(x0)


def failures_of(case):
    """Values, jitted and not, and gradients: a jitted one, and a vjp step by step."""
    mesh = mesh_of(case.mesh, case.types)
    x0 = whole_numbers(case.shape, case.seed)
    where = where0 = where_spec = None
    if case.mask:
        shape, where_spec = list(case.shape), list(case.spec)
        if case.mask == "channels":
            channels = -1 if case.arguments["data_format"] == "channels_last" else 1
            shape[channels], where_spec[channels] = 1, None
        where0 = np.random.default_rng(case.seed).random(shape) < 0.8

    def pool(x, where):
        return getattr(jaxpool, case.function)(x, **case.arguments, where=where)

    pool0 = partial(pool, where=where0)
    ct0 = whole_numbers(jax.eval_shape(pool0, x0).shape, case.seed + 1)
    value, gradient = on_one_device(pool0, x0, ct0)
    with in_mesh(mesh) if case.in_context else nullcontext():
        x = sharded(x0, mesh, case.spec)
        if case.mask:
            where = sharded(where0, mesh, where_spec)

        def product(x, where):
            y = pool(x, where)
            return jnp.where(jnp.isnan(y), 0, y * ct0).sum()

        def vjp():
            y, transposed = jax.vjp(lambda x: pool(x, where), x)
            wrong = apart(y, value)
            assert not wrong, f"the value: {wrong}"
            return transposed(jax.device_put(ct0, y.sharding))[0], gradient

        steps = {
            "jitted value": lambda: (jax.jit(pool)(x, where), value),
            "vjp": vjp,
            "jitted gradient": lambda: (jax.jit(jax.grad(product))(x, where), gradient),
        }
        return checked(steps)


POOLS = {
    "tiles": partial(jaxpool.avg_pool2d, kernel=2),
    "overlapping": partial(jaxpool.avg_pool2d, kernel=3, stride=2, padding=1),
    "long": partial(jaxpool.avg_pool2d, kernel=(3, 15), stride=1, padding=(1, 7)),
    "bins": partial(jaxpool.adaptive_avg_pool2d, output_size=(5, 6)),
    "global": partial(jaxpool.adaptive_avg_pool2d, output_size=1),
}
SHAPE = (8, 2, 16, 24)


def masked(pool):
    """The pool with a mask, the same for all of a batch, as a function of the array alone."""
    where = np.random.default_rng(5).random(SHAPE[1:]) < 0.8
    return lambda x: pool(x, where=where)


def named_pools():
    return POOLS | {f"{name}, masked": masked(pool) for name, pool in POOLS.items()}


class Steps(NamedTuple):
    """What is compared, step by step, in the context of a mesh."""

    name: str
    context: Mesh | None
    steps: dict

    def failures(self):
        with in_mesh(self.context) if self.context else nullcontext():
            return checked(self.steps)


def value_and_gradient(pool, x, ct, wanted):
    """Steps: both of them jitted, against those wanted."""

    def product(x, ct):
        y = pool(x)
        return jnp.where(jnp.isnan(y), 0, y * ct).sum()

    return {
        "value": lambda: (jax.jit(pool)(x), wanted[0]),
        "gradient": lambda: (jax.jit(jax.grad(product))(x, ct), wanted[1]),
    }


def example(pool, shape):
    """An array, a cotangent of the pool, and what one device gives."""
    x = whole_numbers(shape, 1)
    ct = whole_numbers(jax.eval_shape(pool, x).shape, 2)
    return x, ct, on_one_device(pool, x, ct)


def partly_manual():
    """shard_map over one axis of a mesh, the other of which shards the image."""
    for types in ("explicit", "automatic", "mixed, turned"):
        mesh = mesh_of((4, 2), types)
        for name, pool in named_pools().items():
            x, ct, wanted = example(pool, SHAPE)
            x, ct = sharded(x, mesh, ("a", None, None, "b")), sharded(ct, mesh, ("a",))
            mapped = jax.shard_map(
                pool, mesh=mesh, in_specs=P("a"), out_specs=P("a"), axis_names={"a"}
            )
            yield Steps(f"{types}, {name}", mesh, value_and_gradient(mapped, x, ct, wanted))


def mapped_twice():
    """vmap with an spmd_axis_name of a shard_map."""
    for types in ("automatic", "explicit"):
        mesh = mesh_of((4, 2), types)
        for name, pool in named_pools().items():
            x, ct, wanted = example(jax.vmap(pool), (4, *SHAPE))
            x, ct = sharded(x, mesh, ("a", "b")), sharded(ct, mesh, ("a", "b"))
            mapped = jax.shard_map(pool, mesh=mesh, in_specs=P("b"), out_specs=P("b"))
            mapped = jax.vmap(mapped, spmd_axis_name="a")
            yield Steps(f"{types}, {name}", mesh, value_and_gradient(mapped, x, ct, wanted))


def transposed():
    """jax.linear_transpose of an array sharded over explicit axes."""
    mesh = mesh_of((4, 2), "explicit")
    for spec in (("a", None, None, "b"), (None, None, ("a", "b"), None), (None, None, "b", "a")):
        for context in (None, mesh):
            for name, pool in named_pools().items():
                if not (context or IS_NEW) and "masked" in name:
                    continue  # where JAX before 0.11 cannot transpose jnp.where either
                x0, ct0, (_, gradient) = example(pool, SHAPE)

                def step(pool=pool, x0=x0, ct0=ct0, spec=spec, gradient=gradient):
                    x = sharded(x0, mesh, spec)
                    ct = jax.device_put(ct0, pool(x).sharding)
                    return jax.linear_transpose(pool, x)(ct)[0], gradient

                where = "in context" if context else "out of context"
                yield Steps(f"{spec}, {name}, {where}", context, {"transposed": step})


def hard():
    """What was wrong, or ended the process: over 8 devices, the image's width sharded."""
    mesh = mesh_of((8,), "explicit")
    for name, width, function, arguments in (
        ("zeros between elements", 56, "avg_pool2d", {"kernel": 3, "stride": 2, "padding": 1}),
        ("the same, other shards", 32, "avg_pool2d", {"kernel": 3, "stride": 2}),
        ("bins", 56, "adaptive_avg_pool2d", {"output_size": 5}),
        (
            "one element with a stride",
            8,
            "avg_pool2d",
            {
                "kernel": 3,
                "stride": 8,
                "padding": [(0, 0), (1, 2)],
                "dilation": (1, 2),
                "ceil_mode": True,
            },
        ),
    ):
        pool = partial(getattr(jaxpool, function), **arguments)
        x, ct, wanted = example(pool, (1, 1, 8, width))
        x = sharded(x, mesh, (None, None, None, "a"))
        yield Steps(name, None, value_and_gradient(pool, x, ct, wanted))


KINDS = {
    "hard": hard,
    "partly manual": partly_manual,
    "transposed": transposed,
    "mapped twice": mapped_twice,
}


def few():
    """One case of each, with two pools."""
    for kind in (partly_manual, transposed, mapped_twice):
        for pools in ("overlapping", "bins, masked"):
            yield next(case for case in kind() if pools in case.name)


def main(kind, first=0, count=0):
    """Prints failures as JSON, and each case before it runs, as XLA may end the process."""
    start, failures, ran = time.time(), [], 0
    if kind == "random":
        for seed in range(int(first), int(first) + int(count)):
            case = random_case(seed)
            print(case, file=sys.stderr, flush=True)
            found = failures_of(case)
            print(*found.items(), sep="\n", file=sys.stderr, flush=True)
            failures += [(case._asdict(), *failure) for failure in found.items()]
            ran += 1
    else:
        for case in (KINDS | {"few": few})[kind]():
            print(case.name, file=sys.stderr, flush=True)
            failures += [(case.name, *failure) for failure in case.failures().items()]
            ran += 1
    print(f"{ran} cases in {time.time() - start:.0f} s", file=sys.stderr)
    print(json.dumps(failures))


if __name__ == "__main__":
    main(*sys.argv[1:])
