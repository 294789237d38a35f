"""Counts what the chips of TPU pods exchange, in programs that are compiled without the chips.

    python -m benchmarks.pods [--json] [--chips CHIPS ...] [--pools POOL ...]

prints the table of docs/scaling.md. It needs libtpu (`benchmarks/chips.py`) and ten minutes.
"""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from itertools import product
from math import dist
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import shard_map
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxpool
from benchmarks.chips import described
from benchmarks.compiled.cells import Cell
from benchmarks.compiled.chips import CHIPS, versions
from benchmarks.compiled.hlo import computations, shape_bytes
from benchmarks.compiled.pools import JAXPOOL, YARDSTICK, jaxpool_, reduce_window
from benchmarks.sharding import Pool, avg_pool_of_shards, counted, occurrences, pullback

CHIP = "v5e"
MESHES = {8: (4, 2), 64: (8, 8), 256: (16, 16)}
SIDE = 4096  # of the square of an image that each chip holds
WINDOWS = {  # kernel, stride, padding
    "k2 s2": (2, 2, 0),
    "k3 s1 p1": (3, 1, 1),
    "k3 s2 p1": (3, 2, 1),
    "k9 s1 p4": (9, 1, 4),
    "k31 s1 p15": (31, 1, 15),
}
BINS = {"adaptive, 8 to 3": (8, 3)}  # elements of an axis, and the bins that they are cut into
POOLS = (*WINDOWS, *BINS)
BY_HAND = "jaxpool, `shard_map`"  # which exchanges borders as docs/scaling.md says
PEERS = JAXPOOL, BY_HAND, YARDSTICK
SHARDED = {  # the shape for a mesh, and the axes of the mesh that each of its axes lies on
    "image": (lambda rows, columns: (1, 1, rows * SIDE, columns * SIDE), P(None, None, "a", "b")),
    "batch": (lambda rows, columns: (rows * columns, 1, SIDE, SIDE), P(("a", "b"))),
}


class Row(NamedTuple):
    """What a compiled program exchanges and holds.

    Args:
      collectives: how many there are of each of `sharding.COLLECTIVES`.
      far: how many collective-permutes send to other chips than the next ones.
      sent_bytes: that a chip sends if it has neighbours on all sides; the padding of tiles in its
        memory is not counted.
      temporary_bytes: of HBM that a chip holds besides its parts of the arguments and the result.
    """

    pool: str
    direction: str
    peer: str
    sharded: str
    chips: int
    collectives: list[int]
    far: int
    sent_bytes: int
    temporary_bytes: int


def rows(chips: Sequence[int], pools: Sequence[str]) -> Iterator[Row]:
    """All that is found of these pools on meshes of so many chips."""
    meshes = {n: mesh(n) for n in chips}
    for name, n, (sharded, (shape_of, spec)) in product(pools, chips, SHARDED.items()):
        x = jax.ShapeDtypeStruct(shape_of(*MESHES[n]), "bfloat16")
        sharding = NamedSharding(meshes[n], spec)
        places = [device.coords for device in meshes[n].devices.flat]
        for peer, pool in asked(name, meshes[n], x.shape).items():
            if sharded == "batch" and peer != JAXPOOL:
                continue
            pooled = jax.eval_shape(pool, x)
            programs = {"forward": (pool, (x,)), "backward": (pullback(pool), (x, pooled))}
            for direction, (f, arguments) in programs.items():
                jitted = jax.jit(f, in_shardings=sharding, out_shardings=sharding)
                compiled = jitted.lower(*arguments).compile()
                text = compiled.as_text()
                temporary = compiled.memory_analysis().temp_size_in_bytes
                figures = occurrences(text), *exchanged(text, places), temporary
                yield Row(name, direction, peer, sharded, n, *figures)


def mesh(chips: int) -> Mesh:
    """A mesh of chips of which each lies beside those that it is connected with."""
    shape = MESHES[chips]
    devices = sorted(described(CHIP, "x".join(map(str, shape))), key=lambda device: device.coords)
    return Mesh(np.reshape(devices, shape), ("a", "b"))


def asked(name: str, mesh: Mesh, shape: tuple[int, ...]) -> dict[str, Pool]:
    """Those of `PEERS` that can express the pool of an array of that shape."""
    if name in BINS:
        elements, bins = BINS[name]
        outputs = [size // elements * bins for size in shape[2:]]
        return {JAXPOOL: lambda x: jaxpool.adaptive_avg_pool2d(x, outputs)}
    window = WINDOWS[name]
    cell = Cell(shape, *window)
    _, spec = SHARDED["image"]
    return {
        JAXPOOL: jaxpool_(cell, "channels_first"),
        BY_HAND: shard_map(
            lambda x: avg_pool_of_shards(x, ("a", "b"), *window),
            mesh=mesh,
            in_specs=spec,
            out_specs=spec,
        ),
        YARDSTICK: reduce_window(cell, "channels_first"),
    }


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


def table(found: Sequence[Row]) -> str:
    """What each program has, as Markdown; numbers of chips with the same figures share a line."""
    cells = {row[:5]: cell(row) for row in found}
    merged: dict[tuple[str, ...], list[str]] = {}
    for pool, direction, chips in dict.fromkeys(
        (row.pool, row.direction, row.chips) for row in found
    ):
        figures = [cells.get((pool, direction, peer, "image", chips), "") for peer in PEERS]
        merged.setdefault((f"{pool} {direction}", *figures), []).append(str(chips))
    lines = [f"| window | chips | {' | '.join(PEERS)} |", "|---" * (2 + len(PEERS)) + "|"]
    for (window, *figures), numbers in merged.items():
        lines.append(f"| {window} | {', '.join(numbers)} | {' | '.join(figures)} |")
    return "\n".join(lines)


def cell(row: Row) -> str:
    """Such as "4 / 66 / 70"."""
    sent, temporary = row.sent_bytes / 1e3, row.temporary_bytes / 1e6
    return f"{counted(row.collectives)} / {sent:.0f} / {temporary:.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, or all rows as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pods", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--chips", nargs="+", type=int, choices=MESHES, default=list(MESHES))
    parser.add_argument("--pools", nargs="+", choices=POOLS, default=POOLS)
    options = parser.parse_args(arguments)
    found = list(rows(options.chips, options.pools))
    if options.json:
        print(json.dumps(found))
        return
    about = ", ".join(f"{name} {version}" for name, version in versions(CHIP).items())
    print(f"Compiled for {CHIPS[CHIP].title}, not run on it: {about}.\n\n{table(found)}\n")
    batch = [sum(row.collectives) for row in found if row.sharded == "batch"]
    print(f"Sharded by batch, {len(batch)} programs of jaxpool have {sum(batch)} collectives.")


if __name__ == "__main__":
    main()
