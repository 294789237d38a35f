"""Pools an image that no process holds whole, its rows spread over several processes.

    python examples/distributed.py [--processes 4] [--size 16384]

Each process makes its rows of the image. Two pools run over the whole image under `jit`: 9x9
windows, for which neighbours exchange a few rows, and 8x8 tiles, for which they exchange nothing.
Each process compares its rows of the results with sums of NumPy in float64.

Here all processes are on one machine, and Gloo joins them on the CPU. On a cluster, the scheduler
starts this script on every host, and `main` becomes two lines:

    jax.distributed.initialize()  # finds the others on Cloud TPUs, under Slurm and Open MPI
    work(size=16384)
"""

import argparse
import multiprocessing
import os
import re
import socket
import sys
import traceback
from collections import Counter
from functools import partial
from multiprocessing.connection import wait

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxpool import avg_pool2d

POOLS = {"9x9 windows": (9, 1, 4), "8x8 tiles": (8, 8, 0)}  # kernel, stride and padding
STRIP = 64  # rows that NumPy pools at a time, to need little memory


def work(size: int) -> None:
    """Makes this process's rows of the image, and pools and checks them."""
    mesh = Mesh(np.array(jax.devices()), ("rows",))  # the devices of all processes
    sharding = NamedSharding(mesh, PartitionSpec(None, "rows"))

    def piece(index: tuple[slice, ...]) -> np.ndarray:
        rows = range(size)[index[1]]
        say(f"pid {os.getpid()}, makes rows {rows[0]}-{rows[-1]} of {size}")
        return np.stack([make_row(size, row) for row in rows])[None]

    image = jax.make_array_from_callback((1, size, size), sharding, piece)
    for name, (kernel, stride, padding) in POOLS.items():
        pool = jax.jit(partial(avg_pool2d, kernel=kernel, stride=stride, padding=padding))
        program = pool.lower(image).compile()
        found = re.findall(r" (all-[a-z-]+|collective-[a-z]+|reduce-scatter)\(", program.as_text())
        counts = ", ".join(f"{n} {what}" for what, n in Counter(found).items()) or "no collective"
        for shard in program(image).addressable_shards:
            rows, pooled = range(size // stride)[shard.index[1]], np.asarray(shard.data)[0]
            for i in range(0, len(rows), STRIP):
                expected = numpy_rows(size, rows[i : i + STRIP], kernel, stride, padding)
                tolerance = kernel * np.finfo(np.float32).eps  # 2 * kernel roundings by half an eps
                np.testing.assert_allclose(pooled[i : i + STRIP], expected, rtol=0, atol=tolerance)
            say(f"{name}, rows {rows[0]}-{rows[-1]}: as by NumPy, {counts}")


def say(words: str) -> None:
    """Prints a line about this process, in one piece, because all write to the same place."""
    print(f"process {jax.process_index()}: {words}\n", end="", flush=True)


def make_row(size: int, row: int) -> np.ndarray:
    """A row of the image: random pixels from 0 to 1, the same in every process."""
    return np.random.default_rng(row).random(size, np.float32)


def numpy_rows(size: int, outputs: range, kernel: int, stride: int, padding: int) -> np.ndarray:
    """Rows of the pooled image, summed in float64."""
    taps = range(outputs[0] * stride - padding, outputs[-1] * stride - padding + kernel)
    x = np.zeros((len(taps), size + 2 * padding))
    for i, row in enumerate(taps):
        if 0 <= row < size:
            x[i, padding : padding + size] = make_row(size, row)
    height, width = x.shape[0] - kernel + 1, x.shape[1] - kernel + 1
    x = sum(x[i : i + height : stride] for i in range(kernel))
    return sum(x[:, i : i + width : stride] for i in range(kernel)) / kernel**2


def join_and_work(coordinator: str, processes: int, process_id: int, size: int) -> None:
    """Joins this process with the others, the first of which listens at `coordinator`."""
    try:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        # The first process would listen on the whole network if it had no address to bind to.
        local = {"cluster_detection_method": "deactivate", "coordinator_bind_address": coordinator}
        jax.distributed.initialize(coordinator, processes, process_id, **local)
        work(size)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # sys.exit would wait for the others, which may wait for this process


def launch(processes: int, size: int) -> None:
    """Starts the processes; if one fails, ends the others and names it and its exit code."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        coordinator = f"127.0.0.1:{server.getsockname()[1]}"
    for variable in ("grpc_proxy", "https_proxy", "http_proxy"):
        os.environ.pop(variable, None)  # a proxy would not reach this machine
    running = {}
    try:
        for i in range(processes):
            child = multiprocessing.get_context("spawn").Process(
                target=join_and_work, args=(coordinator, processes, i, size), name=f"process {i}"
            )
            child.start()
            running[child.sentinel] = child
        while running:
            ended = [running.pop(sentinel) for sentinel in wait(running)]
            for child in ended:
                child.join()
            if failed := [child for child in ended if child.exitcode]:
                sys.exit(f"all processes were ended, because of {failed}")
    finally:
        for child in running.values():
            child.kill()  # terminate() would not do: JAX catches SIGTERM


def main() -> None:
    """Launches the processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--size", type=int, default=16384, help="rows and columns of the image")
    options = parser.parse_args()
    if min(options.processes, options.size) < 1 or options.size % (8 * options.processes):
        parser.error("--size must be a multiple of 8 times --processes")
    launch(options.processes, options.size)


if __name__ == "__main__":
    main()
