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
from functools import cache, partial
from itertools import product
from math import dist, prod
from typing import Any

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
BOTH = P(None, None, "a", "b")
WAYS = {  # the devices along each axis of the mesh, and the axes of the array that they share
    "batch": ((8,), P("a")),
    "channels": ((8,), P(None, "a")),
    "height": ((8,), P(None, None, "a")),
    "width": ((8,), P(None, None, None, "a")),
    "height and width": ((4, 2), BOTH),
}
ALL_WAYS = pools("""
    8x8x128x128: k2 s2, k8 s8, k3 s1 p1, k3 s2 p1, k5 s1 p2, k11 s1 p5, k31 s1 p15
    8x8x128x128: to16, to48, to192, to1, k3 s1 p1 excl, k3 s2 p1 masked
""")
BY_ROWS = pools("""
    8x8x128x128: k16 s16, k64 s64
    8x8x64x64: k2 s2
    8x8x56x56: k2 s2
    8x8x96x96: to48, to60
    1x8x1024x1024: k3 s1 p1, k3 s1
""")  # 8 devices divide the rows of the input and of the output, or do not
ON_CPU = [(pool, name, *way) for pool in ALL_WAYS for name, way in WAYS.items()]
ON_CPU += [(pool, "rows", *WAYS["height"]) for pool in BY_ROWS]
ON_PODS = []  # each chip holds a square of one large image, or an image
for a, b in ((4, 2), (8, 8), (16, 16)):
    for words in ("k2 s2", "k3 s1 p1", "k3 s2 p1", "k9 s1 p4", "k31 s1 p15"):
        ON_PODS.append((Pool(f"1x1x{a * 4096}x{b * 4096} {words}"), "image", (a, b), BOTH))
        ON_PODS.append((Pool(f"{a * b}x1x4096x4096 {words}"), "batch", (a, b), P(("a", "b"))))
    bins = Pool(f"1x1x{a * 4096}x{b * 4096} to{a * 1536}x{b * 1536}")
    ON_PODS.append((bins, "image", (a, b), BOTH))


@cache
def mesh_of(shape: tuple[int, ...], chip: str | None) -> Mesh:
    """A mesh of the axes "a" and "b", of chips that need not be there or of this machine."""
    if chip:
        topology = "x".join(map(str, shape))
        devices = sorted(described(chip, topology), key=lambda device: device.coords)
    else:
        devices = jax.devices()
    return Mesh(np.reshape(devices, shape), tuple("ab")[: len(shape)])


def records(
    pool: Pool, sharded: str, shape: tuple[int, ...], spec: P, chip: str | None
) -> Iterator[dict[str, Any]]:
    """What the programs of all who can express the pool exchange and hold."""
    mesh, dtype = mesh_of(shape, chip), "bfloat16" if chip else "float32"
    functions = {JAXPOOL: IN_JAX[JAXPOOL](pool, FIRST)}
    if sharded == "image" and not pool.bins:
        window = {"kernel": pool.kernel, "stride": pool.stride, "padding": pool.padding}
        by_hand = partial(avg_pool_of_shards, names=spec[2:], **window)
        functions[BY_HAND] = shard_map(by_hand, mesh=mesh, in_specs=spec, out_specs=spec)
        functions[YARDSTICK] = IN_JAX[YARDSTICK](pool, FIRST)
    for (peer, function), direction in product(functions.items(), DIRECTIONS):
        program, shapes = program_of(function, Case(pool, dtype, FIRST, direction))
        result = jax.eval_shape(program, *shapes)
        placed, out = jax.tree.map(lambda a: fitting(spec, a.shape, mesh), (shapes, result))
        compiled = jax.jit(program, in_shardings=placed, out_shardings=out).lower(*shapes).compile()
        text, memory = compiled.as_text(), compiled.memory_analysis()
        far, sent = exchanged(text, [getattr(d, "coords", (0,)) for d in mesh.devices.flat])
        yield {
            **{"peer": peer, "pool": pool, "sharded": sharded, "chips": mesh.size},
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

    `places` are the coordinates of its chips, in the order of the mesh.
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
    of_pods = {"choices": ["v5e"], "help": "compile for pods of these"}
    every = dict.fromkeys(pool for pool, *_ in ON_CPU + ON_PODS)
    options = read_options(__doc__, every, chip=of_pods)
    chip = options.chip
    if not chip:  # before JAX counts its devices
        add_xla_flag("--xla_force_host_platform_device_count=8")
    cases = [case for case in (ON_PODS if chip else ON_CPU) if case[0] in options.pools]
    found = pd.DataFrame([record for case in tqdm(cases) for record in records(*case, chip)])
    packages = PACKAGES[chip] if chip else ("jax", "jaxlib")
    hardware = CHIPS[chip] if chip else "8 simulated CPU devices"
    print(found.to_string())
    if options.save:
        Table(hardware, versions(packages), found).save(options.save)


if __name__ == "__main__":
    main()
