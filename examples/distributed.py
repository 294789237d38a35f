"""Pools an image of 16384 x 16384 pixels that no process holds whole, over several processes.

Each makes some rows of the image, `jax.distributed` joins them, and two pools run over the whole:
a 9x9 window, for which neighbours swap a few rows, and 8x8 tiles, which need no communication. Both
programs are searched for collectives, and each process compares its rows with NumPy's. Alone, one
process takes 4.5 GB of memory for this; each of four takes 1.3 GB. If one dies, it is named, and
the others are ended.

    python examples/distributed.py [--processes 4] [--size 16384] [--repeats 5]

Here all processes are on one machine, joined by Gloo on the CPU. On a cluster of GPUs or TPUs the
scheduler starts the script on all hosts, `launch` and `join` go, and `main` becomes two lines:

    jax.distributed.initialize()  # finds the others on Cloud TPUs, under Slurm and Open MPI
    work(size=16384, repeats=5)

Elsewhere `initialize` is told the first host's address, how many processes there are, and which of
them this is, as in `join`.
"""

import argparse
import os
import queue
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import IO, NoReturn

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxpool import avg_pool2d

POOLS = (9, 1), (8, 8)  # kernel and stride
STRIP = 64  # rows that NumPy works on at a time, for it to need little memory
COLLECTIVES = "all-gather|all-reduce|all-to-all|reduce-scatter|collective-[a-z]+"
HEADER = "pool   process   image rows  compile s  pool s  MPixel/s  max error  peak MB"


def join(coordinator: str, processes: int, process_id: int) -> None:
    """Joins this process with the others, the first of which listens at `coordinator`."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        coordinator,
        processes,
        process_id,
        [0],  # the first device; without it JAX would look whether this is a cluster
        initialization_timeout=60,  # in seconds
        coordinator_bind_address=coordinator,  # or it would listen on all of the network
    )


def build(size: int) -> jax.Array:
    """The image, of shape (1, size, size), its rows spread over all devices of all processes."""
    mesh = Mesh(np.array(jax.devices()), ("rows",))
    sharding = NamedSharding(mesh, PartitionSpec(None, "rows"))

    def piece(index: tuple[slice, ...]) -> np.ndarray:
        start, stop, _ = index[1].indices(size)
        pixels = np.empty((1, stop - start, size), np.float32)
        for row in range(start, stop, STRIP):
            end = min(row + STRIP, stop)
            pixels[0, row - start : end - start] = make_rows(size, row, end)
        return pixels

    return jax.make_array_from_callback((1, size, size), sharding, piece)


def pool_and_check(image: jax.Array, kernel: int, stride: int, repeats: int) -> list[float]:
    """Pools the image, and returns this process's part of the table."""
    pool = jax.jit(partial(avg_pool2d, kernel=kernel, stride=stride, padding="SAME"))
    start = time.perf_counter()
    program = pool.lower(image).compile()
    compile_time = time.perf_counter() - start
    check_collectives(program.as_text(), kernel, stride)
    times = []
    for _ in range(1 + repeats):  # the first one connects the processes, and is not counted
        pooled = None  # or the last result would be in memory beside the next
        start = time.perf_counter()
        pooled = jax.block_until_ready(program(image))
        times.append(time.perf_counter() - start)
    pool_time = float(np.median(times[1:]))
    error = largest_error(pooled, image.shape[1], kernel, stride)
    rows = [shard.index[1].indices(image.shape[1])[:2] for shard in image.addressable_shards]
    pixels = sum(shard.data.size for shard in image.addressable_shards)
    speed = pixels / pool_time / 1e6
    return [min(rows)[0], max(rows)[1], compile_time, pool_time, speed, error, peak_memory()]


def check_collectives(program: str, kernel: int, stride: int) -> None:
    """Prints which collectives a compiled program has, and raises if it should have others."""
    found = Counter(re.findall(rf" ({COLLECTIVES})(?:-start)?\(", program))
    swaps = kernel != stride and jax.device_count() > 1
    if set(found) != ({"collective-permute"} if swaps else set()):
        raise RuntimeError(f"the program of k{kernel} s{stride} has {dict(found)}")
    if jax.process_index() == 0:
        counts = [f"{count} {name}" for name, count in found.items()] or ["none"]
        print(f"collectives of k{kernel} s{stride}: {', '.join(counts)}", flush=True)


def largest_error(pooled: jax.Array, size: int, kernel: int, stride: int) -> float:
    """How far this process's rows are from NumPy's; raises if by more than rounding explains."""
    error = 0.0
    for shard in pooled.addressable_shards:
        start, stop, _ = shard.index[1].indices(pooled.shape[1])
        rows = np.asarray(shard.data)[0]
        for row in range(start, stop, STRIP):
            end = min(row + STRIP, stop)
            difference = rows[row - start : end - start] - reference(size, row, end, kernel, stride)
            error = float(np.maximum(error, np.abs(difference).max()))  # which keeps a NaN
    # kernel - 1 additions along each axis and the division round by at most half an eps each, the
    # average being at most 1.
    tolerance = kernel * float(np.finfo(np.float32).eps)
    if not error <= tolerance:
        raise RuntimeError(f"k{kernel} s{stride} is off by {error:.1e}, more than {tolerance:.1e}")
    return error


def make_rows(size: int, start: int, stop: int) -> np.ndarray:
    """Rows of the image, the same in whichever process: rings that get finer, and some noise."""
    phase = np.pi / size * (np.arange(size) - size / 2) ** 2
    cos, sin = np.cos(phase), np.sin(phase)
    rings = np.outer(cos[start:stop], cos) - np.outer(sin[start:stop], sin)
    noise = np.arange(start * size, stop * size, dtype=np.uint32).reshape(rings.shape)
    for shift, factor in (16, 0x7FEB352D), (15, 0x846CA68B):
        noise ^= noise >> shift
        noise *= np.uint32(factor)
    noise ^= noise >> 16
    return (0.5 + 0.4 * rings + 0.1 * (noise / 2**32 - 0.5)).astype(np.float32)


def reference(size: int, start: int, stop: int, kernel: int, stride: int) -> np.ndarray:
    """Rows of the pooled image, the windows summed in float64 as they are defined."""
    pad = (kernel - stride) // 2
    first, last = start * stride - pad, (stop - 1) * stride - pad + kernel
    rows = make_rows(size, max(first, 0), min(last, size)).astype(np.float64)
    rows = np.pad(rows, [(max(-first, 0), max(last - size, 0)), (pad, pad)])
    height, width = rows.shape[0] - kernel + 1, rows.shape[1] - kernel + 1
    rows = sum(rows[i : i + height : stride] for i in range(kernel))
    return sum(rows[:, i : i + width : stride] for i in range(kernel)) / kernel**2


def peak_memory() -> float:
    """The most that this process has had in memory, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def work(size: int, repeats: int) -> None:
    """What every process does once it has joined. The first prints a table for all."""
    image = build(size)
    first = jax.process_index() == 0
    if first:
        print(
            f"{jax.process_count()} processes with {jax.device_count()} devices, "
            f"an image of {size} x {size} pixels, {image.nbytes / 1e6:.0f} MB",
            flush=True,
        )
    tables = [process_allgather(np.array(pool_and_check(image, *p, repeats))) for p in POOLS]
    if not first:
        return
    print(HEADER)
    for (kernel, stride), table in zip(POOLS, tables, strict=True):
        for i, (start, stop, compile_time, pool_time, speed, error, peak) in enumerate(table):
            print(
                f"k{kernel} s{stride}{i:10}{f'{start:.0f}-{stop - 1:.0f}':>13}"
                f"{compile_time:11.2f}{pool_time:8.3f}{speed:10.0f}{error:11.1e}{peak:9.0f}"
            )


def launch(processes: int, size: int, repeats: int) -> None:
    """Starts the processes and waits for them; if one fails, ends the others and exits."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        coordinator = f"127.0.0.1:{server.getsockname()[1]}"
    command = [sys.executable, __file__, "--processes", processes, "--size", size]
    command += ["--repeats", repeats, "--coordinator", coordinator, "--process-id"]
    environment = os.environ | {"no_grpc_proxy": "127.0.0.1"}  # a proxy would not get there
    children: list[subprocess.Popen[bytes]] = []
    ended: queue.SimpleQueue[int] = queue.SimpleQueue()

    def await_end(i: int) -> None:
        children[i].wait()
        ended.put(i)

    with ExitStack() as stack:
        logs = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(processes)]
        try:
            for i, log in enumerate(logs):
                argv = [str(word) for word in [*command, i]]
                child = subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=log, env=environment)
                children.append(child)
                print(f"process {i} is pid {child.pid}", flush=True)
                threading.Thread(target=await_end, args=[i], daemon=True).start()
            for _ in children:
                if children[ended.get()].returncode:
                    i = first_to_fail(children, logs)
                    fail(i, children[i], logs[i])
        finally:
            for child in children:
                child.kill()  # terminate() would not do: JAX catches SIGTERM
            for child in children:
                child.wait()


def first_to_fail(children: list[subprocess.Popen[bytes]], logs: list[IO[bytes]]) -> int:
    """Which of the processes took the others with it: the one whose last words are the oldest.

    One that loses its connection to it writes so, and may be gone before it is.
    """
    time.sleep(0.2)
    failed = [i for i, child in enumerate(children) if child.returncode]
    return min(failed, key=lambda i: os.fstat(logs[i].fileno()).st_mtime_ns)


def fail(i: int, child: subprocess.Popen[bytes], log: IO[bytes]) -> NoReturn:
    """Exits with the end of what a process said, and how it ended."""
    log.seek(0)
    print(*log.read().decode(errors="replace").splitlines()[-20:], sep="\n", file=sys.stderr)
    code = child.returncode
    how = f"with exit code {code}" if code > 0 else f"by {signal.Signals(-code).name}"
    sys.exit(f"process {i} (pid {child.pid}) ended {how}, and all others were ended")


def end_with_launcher() -> None:
    """Waits for the launcher's end of a pipe to close, as it does however the launcher ends."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Launches the processes, or is one of them if it was launched."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--size", type=int, default=16384, help="rows and columns of the image")
    parser.add_argument("--repeats", type=int, default=5, help="how often each pool is timed")
    parser.add_argument("--coordinator", help=argparse.SUPPRESS)
    parser.add_argument("--process-id", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    processes, size, repeats = options.processes, options.size, options.repeats
    if min(processes, size, repeats) < 1 or size % (8 * processes):
        parser.error("--size must be a multiple of 8 times --processes, and no option less than 1")

    if options.process_id is None:
        try:
            launch(processes, size, repeats)
        except KeyboardInterrupt:
            sys.exit("interrupted, and all processes were ended")
        return
    threading.Thread(target=end_with_launcher, daemon=True).start()
    # Gloo greets on the standard output of C: among the errors it does not disturb the table.
    sys.stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        join(options.coordinator, processes, options.process_id)
        work(size, repeats)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # sys.exit would wait for the others, who may be waiting for this process


if __name__ == "__main__":
    main()
