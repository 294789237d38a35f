"""Counts what programs for many devices exchange and hold, in compiled programs that are not run.

python -m benchmarks.collectives --save benchmarks/results/collectives_cpu.csv
python -m benchmarks.collectives --chip v5e --save benchmarks/results/collectives_v5e.csv

The first has 8 devices that are simulated on the CPU; the second needs libtpu, and minutes.

collectives      how many there are, by name
far              collective-permutes that send to other chips than the next ones
sent_bytes       that a chip with neighbours on all sides sends, without the padding of tiles
argument_bytes, temporary_bytes, result_bytes
                 that a device holds
"""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from math import dist, prod
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from jax import shard_map
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from tqdm import tqdm

from benchmarks.chips import CHIPS, PACKAGES, add_xla_flag, described
from benchmarks.hlo import collectives, operations, shape_bytes
from benchmarks.peers import IN_JAX, JAXPOOL, YARDSTICK, program_of
from benchmarks.pools import DIRECTIONS, FIRST, Case, Pool, pools
from benchmarks.tables import Table, read_options, versions
from examples.halos import avg_pool_of_shards

BY_HAND = "jaxpool, shard_map"
SIDE = 4096  # of the square of an image that each chip of a pod holds
BOTH = P(None, None, "a", "b")


class Shards(NamedTuple):
    """A pool of an array whose axes lie on those of a mesh of some shape as `spec` says."""

    pool: Pool
    sharded: str
    shape: tuple[int, ...]
    spec: P


ON_CPU = [
    Shards(pool, *way)
    for pool in pools("""
        8x8x128x128: k2 s2, k8 s8, k3 s1 p1, k3 s2 p1, k5 s1 p2, k11 s1 p5, k31 s1 p15
        8x8x128x128: to16, to48, to192, to1, k3 s1 p1 excl, k3 s2 p1 masked
    """)
    for way in (
        ("batch", (8,), P("a")),
        ("channels", (8,), P(None, "a")),
        ("height", (8,), P(None, None, "a")),
        ("width", (8,), P(None, None, None, "a")),
        ("height and width", (4, 2), BOTH),
    )
] + [  # 8 devices divide the rows of the input and of the output, or do not
    Shards(pool, "rows", (8,), P(None, None, "a"))
    for pool in pools("""
        8x8x128x128: k16 s16, k64 s64
        8x8x64x64: k2 s2
        8x8x56x56: k2 s2
        8x8x96x96: to48, to60
        1x8x1024x1024: k3 s1 p1, k3 s1
    """)
]
PODS = (4, 2), (8, 8), (16, 16)
ON_PODS = [  # one large image, and as many images as there are chips
    shards
    for (a, b), words in product(PODS, ("k2 s2", "k3 s1 p1", "k3 s2 p1", "k9 s1 p4", "k31 s1 p15"))
    for shards in (
        Shards(Pool(f"1x1x{a * SIDE}x{b * SIDE} {words}"), "image", (a, b), BOTH),
        Shards(Pool(f"{a * b}x1x{SIDE}x{SIDE} {words}"), "batch", (a, b), P(("a", "b"))),
    )
] + [
    Shards(Pool(f"1x1x{8 * n * a}x{8 * n * b} to{3 * n * a}x{3 * n * b}"), "image", (a, b), BOTH)
    for n, (a, b) in product([SIDE // 8], PODS)
]


@cache
def mesh_of(shape: tuple[int, ...], chip: str | None) -> Mesh:
    """A mesh of the axes "a" and "b", of chips that need not be there or of this machine."""
    if chip:
        topology = "x".join(map(str, shape))
        devices = sorted(described(chip, topology), key=lambda device: device.coords)
    else:
        devices = jax.devices()
    return Mesh(np.reshape(devices, shape), tuple("ab")[: len(shape)])


def in_shards(pool: Pool, mesh: Mesh, spec: P) -> Any:
    """The pool by `shard_map`, which exchanges the borders as examples/halos.py does."""
    window = pool.kernel, pool.stride, pool.padding
    return shard_map(
        lambda x: avg_pool_of_shards(x, spec[2:], *window), mesh=mesh, in_specs=spec, out_specs=spec
    )


def records(shards: Shards, chip: str | None) -> Iterator[dict[str, Any]]:
    """What the programs of all who can express the pool exchange and hold."""
    pool, sharded, shape, spec = shards
    mesh, dtype = mesh_of(shape, chip), "bfloat16" if chip else "float32"
    functions = {JAXPOOL: IN_JAX[JAXPOOL](pool, FIRST)}
    if sharded == "image" and not pool.bins:
        functions[BY_HAND] = in_shards(pool, mesh, spec)
        functions[YARDSTICK] = IN_JAX[YARDSTICK](pool, FIRST)
    for (peer, function), direction in product(functions.items(), DIRECTIONS):
        program, shapes = program_of(function, Case(pool, dtype, FIRST, direction))
        result = jax.eval_shape(program, *shapes)
        placed, out = jax.tree.map(lambda a: fitting(spec, a.shape, mesh), (shapes, result))
        compiled = jax.jit(program, in_shardings=placed, out_shardings=out).lower(*shapes).compile()
        text, memory = compiled.as_text(), compiled.memory_analysis()
        far, sent = exchanged(text, [getattr(d, "coords", (0,)) for d in mesh.devices.flat])
        yield {
            **{"peer": peer, "pool": pool.name, "sharded": sharded, "chips": mesh.size},
            **{"dtype": dtype, "direction": direction, "far": far, "sent_bytes": sent},
            "collectives": collectives(text),
            "argument_bytes": memory.argument_size_in_bytes,
            "temporary_bytes": memory.temp_size_in_bytes,
            "result_bytes": memory.output_size_in_bytes,
        }


def fitting(spec: P, shape: Sequence[int], mesh: Mesh) -> NamedSharding:
    """Sharded by `spec`, except for the axes that are too short to divide."""
    names = []
    for name, size in zip(spec, shape, strict=False):  # the last axes may go without saying
        devices = prod(mesh.shape[n] for n in np.ravel(name or []))
        names.append(None if size % devices else name)
    return NamedSharding(mesh, P(*names))


def exchanged(text: str, places: Sequence[Any]) -> tuple[int, int]:
    """How many collective-permutes send far, and the bytes that a chip sends in all of them.

    Args:
      text: the compiled program.
      places: the coordinates of its chips, in the order of the mesh.
    """
    far, sent = 0, 0
    every = operations(text)
    for operation in every.values():
        if operation.kind in ("collective-permute", "collective-permute-start"):
            pairs = re.findall(r"(?<=[{,])\{(\d+),(\d+)\}", operation.line)
            far += any(dist(places[int(a)], places[int(b)]) > 1 for a, b in pairs)
            sent += sum(shape_bytes(every[name].shape.split("{")[0]) for name in operation.operands)
    return far, sent


def main() -> None:
    """Compiles, prints what is found, and writes what --save names."""
    pools = dict.fromkeys(shards.pool for shards in ON_CPU + ON_PODS)
    of_pods = {"choices": ["v5e"], "help": "compile for pods of these"}
    options = read_options(__doc__, pools, chip=of_pods)
    chip, every = options.chip, ON_PODS if options.chip else ON_CPU
    cases = [shards for shards in every if shards.pool in options.pools]
    if not chip:  # before JAX counts its devices
        add_xla_flag("--xla_force_host_platform_device_count=8")
    found = pd.DataFrame([record for case in tqdm(cases) for record in records(case, chip)])
    packages = PACKAGES[chip] if chip else ("jax", "jaxlib")
    hardware = CHIPS[chip] if chip else "8 simulated CPU devices"
    print(found.to_string())
    if options.save:
        Table(hardware, versions(packages), found).save(options.save)


if __name__ == "__main__":
    main()
