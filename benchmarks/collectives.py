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

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from itertools import product
from math import dist
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from jax import shard_map
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from tqdm import tqdm

from benchmarks.chips import CHIPS, TPU, described
from benchmarks.hlo import COLLECTIVES, collectives, computations, shape_bytes
from benchmarks.peers import IN_JAX, JAXPOOL, YARDSTICK
from benchmarks.pools import DIRECTIONS, FIRST, Pool
from benchmarks.programs import of_pool
from benchmarks.tables import Table, versions
from examples.halos import avg_pool_of_shards

BY_HAND = "jaxpool, shard_map"
IMAGE = (8, 8, 128, 128)
ON_CPU = (
    Pool(IMAGE, 2, 2),
    Pool(IMAGE, 8, 8),
    Pool(IMAGE, 3, 1, 1),
    Pool(IMAGE, 3, 2, 1),
    Pool(IMAGE, 5, 1, 2),
    Pool(IMAGE, 11, 1, 5),
    Pool(IMAGE, 31, 1, 15),
    Pool(IMAGE, bins=16),
    Pool(IMAGE, bins=48),
    Pool(IMAGE, bins=192),
    Pool(IMAGE, bins=1),
    Pool(IMAGE, 3, 1, 1, counts=False),
    Pool(IMAGE, 3, 2, 1, masked=True),
)
UNEVEN = (  # with rows that 8 devices divide, of the input and the output, and that they do not
    Pool(IMAGE, 16, 16),
    Pool(IMAGE, 64, 64),
    Pool((8, 8, 64, 64), 2, 2),
    Pool((8, 8, 56, 56), 2, 2),
    Pool((8, 8, 96, 96), bins=48),
    Pool((8, 8, 96, 96), bins=60),
    Pool((1, 8, 1024, 1024), 3, 1, 1),
    Pool((1, 8, 1024, 1024), 3, 1),
)
SHARDED = {  # the devices along each axis of the mesh, and the axes of the array that they share
    "batch": ((8,), P("a")),
    "channels": ((8,), P(None, "a")),
    "height": ((8,), P(None, None, "a")),
    "width": ((8,), P(None, None, None, "a")),
    "height and width": ((4, 2), P(None, None, "a", "b")),
}
PODS = {8: (4, 2), 64: (8, 8), 256: (16, 16)}
SIDE = 4096  # of the square of an image that each chip of a pod holds
WINDOWS = ((2, 2, 0), (3, 1, 1), (3, 2, 1), (9, 1, 4), (31, 1, 15))


class Case(NamedTuple):
    """A pool of an array of a dtype whose axes lie on those of a mesh as `spec` says."""

    pool: Pool
    dtype: str
    sharded: str
    mesh: Mesh
    spec: P


def on_cpu() -> Iterator[Case]:
    """The pools of one array in all ways to shard it, and pools of arrays of other sizes."""
    for pool, (name, (shape, spec)) in product(ON_CPU, SHARDED.items()):
        yield Case(pool, "float32", name, mesh_of(jax.devices(), shape), spec)
    for pool in UNEVEN:
        yield Case(pool, "float32", "rows", mesh_of(jax.devices(), (8,)), P(None, None, "a"))


def on_pods(chip: str, chips: Sequence[int]) -> Iterator[Case]:
    """Pools of one large image, and of as many images as there are chips."""
    for number in chips:
        devices = described(chip, "x".join(map(str, PODS[number])))
        mesh = mesh_of(sorted(devices, key=lambda device: device.coords), PODS[number])
        sizes = tuple(n * SIDE for n in PODS[number])
        for window in WINDOWS:
            image, batch = Pool((1, 1, *sizes), *window), Pool((number, 1, SIDE, SIDE), *window)
            yield Case(image, "bfloat16", "image", mesh, P(None, None, "a", "b"))
            yield Case(batch, "bfloat16", "batch", mesh, P(("a", "b")))
        bins = tuple(size // 8 * 3 for size in sizes)
        yield Case(
            Pool((1, 1, *sizes), bins=bins), "bfloat16", "image", mesh, P(None, None, "a", "b")
        )


def mesh_of(devices: Sequence[Any], shape: tuple[int, ...]) -> Mesh:
    """A mesh of the axes "a" and "b"."""
    return Mesh(np.reshape(devices, shape), tuple("ab")[: len(shape)])


def in_shards(case: Case) -> Any:
    """The pool by `shard_map`, which exchanges the borders as examples/halos.py does."""
    window = case.pool.kernel, case.pool.stride, case.pool.padding
    names = [case.spec[axis] if axis < len(case.spec) else None for axis in (2, 3)]
    return shard_map(
        lambda x: avg_pool_of_shards(x, names, *window),
        mesh=case.mesh,
        in_specs=case.spec,
        out_specs=case.spec,
    )


def records(case: Case) -> Iterator[dict[str, Any]]:
    """What the programs of all who can express the pool exchange and hold."""
    pool, mesh = case.pool, case.mesh
    on_pod = case.sharded == "image"
    for peer, direction in product(
        (JAXPOOL, BY_HAND, YARDSTICK) if on_pod else (JAXPOOL,), DIRECTIONS
    ):
        if pool.bins and peer != JAXPOOL:
            continue
        function = in_shards(case) if peer == BY_HAND else IN_JAX[peer](pool, FIRST)
        program = of_pool(pool, function, case.dtype, FIRST, direction)
        placed = jax.tree.map(lambda a: fitting(case.spec, a.shape, mesh), program.arguments)
        result = jax.eval_shape(program.function, *program.arguments)
        out = fitting(case.spec, result.shape, mesh)
        jitted = jax.jit(program.function, in_shardings=placed, out_shardings=out)
        compiled = jitted.lower(*program.arguments).compile()
        text, memory = compiled.as_text(), compiled.memory_analysis()
        counts = zip(collectives(text), COLLECTIVES, strict=True)
        far, sent = exchanged(text, [getattr(d, "coords", (0,)) for d in mesh.devices.flat])
        yield {
            **{"peer": peer, "pool": pool.name, "sharded": case.sharded, "chips": mesh.size},
            **{"dtype": case.dtype, "direction": direction, "far": far, "sent_bytes": sent},
            "collectives": ", ".join(f"{n} {name}" for n, name in counts if n) or "none",
            "argument_bytes": memory.argument_size_in_bytes,
            "temporary_bytes": memory.temp_size_in_bytes,
            "result_bytes": memory.output_size_in_bytes,
        }


def fitting(spec: P, shape: Sequence[int], mesh: Mesh) -> NamedSharding:
    """Sharded by `spec`, except for the axes that are too short to divide."""
    pairs = zip(spec, shape, strict=False)  # the last axes may go without saying
    names = [
        name if name and size % np.prod([mesh.shape[n] for n in np.ravel(name)]) == 0 else None
        for name, size in pairs
    ]
    return NamedSharding(mesh, P(*names))


def exchanged(text: str, places: Sequence[Any]) -> tuple[int, int]:
    """How many collective-permutes send far, and the bytes that a chip sends in all of them.

    Args:
      text: the compiled program.
      places: the coordinates of its chips, in the order of the mesh.
    """
    far, sent = 0, 0
    for operations in computations(text).values():
        shapes = {operation.name: operation.shape for operation in operations}
        for operation in operations:
            if operation.kind not in ("collective-permute", "collective-permute-start"):
                continue
            pairs = re.findall(r"(?<=[{,])\{(\d+),(\d+)\}", operation.line)
            far += any(dist(places[int(a)], places[int(b)]) > 1 for a, b in pairs)
            sent += sum(shape_bytes(shapes[name].split("{")[0]) for name in operation.operands)
    return far, sent


def main() -> None:
    """Compiles, prints what is found, and writes what --save names."""
    formatter = argparse.RawDescriptionHelpFormatter
    name = "benchmarks.collectives"
    parser = argparse.ArgumentParser(name, None, __doc__, formatter_class=formatter)
    parser.add_argument("--chip", choices=TPU, help="compile for a pod of these")
    parser.add_argument("--chips", nargs="+", type=int, choices=PODS, default=[*PODS])
    parser.add_argument("--pools", nargs="+", metavar="WORD", help="words of their names")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write all records")
    options = parser.parse_args()
    if not options.chip:  # before JAX counts its devices
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8"
    cases = list(on_pods(options.chip, options.chips) if options.chip else on_cpu())
    if options.pools:
        cases = [case for case in cases if {*options.pools} & {*case.pool.name.split()}]
    found = pd.DataFrame([record for case in tqdm(cases) for record in records(case)])
    packages = CHIPS[options.chip].packages if options.chip else ("jax", "jaxlib")
    hardware = CHIPS[options.chip].title if options.chip else "8 simulated CPU devices"
    print(found.to_string())
    if options.save:
        Table(hardware, versions(packages), found).save(options.save)


if __name__ == "__main__":
    main()
