"""Times the kernels of jaxpool and its peers on this machine's GPU.

python -m benchmarks.gpu --save benchmarks/results/h100.csv
python -m benchmarks.gpu --pools k31 to6 --peers flax torch

The programs are those of `benchmarks.compiled`, and PyTorch's own pools. Of each program it takes
the median of 20 calls, and of each call the time that its kernels run, as CUDA's profiler reports
it. Inputs that fit in the L2 cache stay there.
"""

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.measure import warn_of_noise
from benchmarks.peers import IN_JAX, JAXPOOL, TORCH, torch
from benchmarks.pools import ACCELERATOR, DIRECTIONS, DTYPES, LAYOUTS, Pool, add_choice, union
from benchmarks.programs import prepare
from benchmarks.tables import Table, show_ratios, versions

SETTINGS = list(product(DTYPES, LAYOUTS, DIRECTIONS))
PACKAGES = ("jaxpool", "jax", "jaxlib", "flax", "equinox", "keras", "torch")
WARM_UP, CALLS = 3, 20
Record = dict[str, Any]


def record(peer: str, pool: Pool, setting: Sequence[str], microseconds: Sequence[float]) -> Record:
    """What is kept of the kernels of `CALLS` calls."""
    calls = np.asarray(microseconds).reshape(CALLS, -1)
    lower, median, upper = np.quantile(calls.sum(1), [0.25, 0.5, 0.75])
    key = {"peer": peer, "pool": pool.name}
    key |= dict(zip(("dtype", "layout", "direction"), setting, strict=True))
    spread = (upper - lower) / 2 / median
    return key | {"us": median, "spread": spread, "kernels": calls.shape[1]}


def of_jax(pool: Pool, peers: Sequence[str]) -> list[Record]:
    """The times of all programs of a pool, called in random order."""
    programs, lowered = {}, []
    for peer, setting in product(peers, SETTINGS):
        if program := prepare(peer, pool, *setting):
            name = f"program{len(programs)}"
            program.function.__name__ = name
            lowered.append(jax.jit(program.function).lower(*program.arguments))
            programs[f"jit_{name}"] = peer, setting, program.draw()
    with ThreadPoolExecutor() as threads:
        compiled = list(threads.map(lambda one: one.compile(), lowered))
    calls = list(zip(compiled, (arguments for *_, arguments in programs.values()), strict=True))
    order = np.random.default_rng(0)

    def call(times: int) -> None:
        for _ in range(times):
            for i in order.permutation(len(calls)):  # what runs before leaves the caches changed
                program, arguments = calls[i]
                jax.block_until_ready(program(*arguments))

    call(WARM_UP)
    with TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            call(CALLS)
        (path,) = Path(folder).rglob("*.xplane.pb")
        times: dict[str, list[float]] = {module: [] for module in programs}
        for module, microseconds in kernels(path):
            times[module].append(microseconds)
    return [
        record(peer, pool, setting, times[module])
        for module, (peer, setting, _) in programs.items()
    ]


def kernels(path: Path) -> list[tuple[str, float]]:
    """The module of each kernel that a profile holds, and its microseconds, in their order."""
    planes = jax.profiler.ProfileData.from_file(str(path)).planes
    gpus = (plane for plane in planes if plane.name.startswith("/device:GPU"))
    streams = (line for gpu in gpus for line in gpu.lines if line.name.startswith("Stream"))
    events = sorted((event for line in streams for event in line.events), key=lambda e: e.start_ns)
    modules = ((dict(event.stats).get("hlo_module"), event.duration_ns / 1e3) for event in events)
    return [(module, microseconds) for module, microseconds in modules if module]


def of_torch(pools: Sequence[Pool]) -> list[Record]:
    """The times of PyTorch's pools."""
    import torch as library

    records = []
    for pool, setting in product(pools, SETTINGS):
        if not (call := torch(pool, *setting, device="cuda")):
            continue
        for _ in range(WARM_UP):
            call()
        library.cuda.synchronize()
        activities = [library.profiler.ProfilerActivity.CUDA]
        with library.profiler.profile(activities=activities) as profile:
            for _ in range(CALLS):
                call()
            library.cuda.synchronize()
        on_gpu = library.autograd.DeviceType.CUDA
        found = [event.time_range for event in profile.events() if event.device_type == on_gpu]
        found.sort(key=lambda kernel: kernel.start)
        records.append(record(TORCH, pool, setting, [kernel.elapsed_us() for kernel in found]))
    return records


def main() -> None:
    """Measures, prints the ratios, and writes what --save names."""
    every = [peer for peer in (*IN_JAX, TORCH) if peer != JAXPOOL]
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks.gpu", None, __doc__, formatter_class=formatter)
    add_choice(parser, ACCELERATOR)
    parser.add_argument("--peers", nargs="*", choices=every, default=every)
    parser.add_argument("--save", type=Path, metavar="FILE", help="write all times")
    options = parser.parse_args()
    # Kernels of a CUDA graph would not say whose they are; PyTorch needs memory as well.
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_enable_command_buffer="
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    pools, records = union(options.pools), []
    in_jax = [JAXPOOL, *(peer for peer in options.peers if peer != TORCH)]
    for pool in tqdm(pools):
        records += of_jax(pool, in_jax)
    if TORCH in options.peers:  # with a profiler, and so a process, of its own
        with get_context("spawn").Pool(1) as process:
            records += process.apply(of_torch, (pools,))
    table = Table(jax.devices("gpu")[0].device_kind, versions(PACKAGES), pd.DataFrame(records))
    print(f"Times over jaxpool's on one {table.hardware}: above 1, jaxpool is faster.")
    print(show_ratios(table.records, "us"))
    keys = table.records[["peer", "pool", "dtype", "layout", "direction"]].agg(" ".join, axis=1)
    warn_of_noise(dict(zip(keys, table.records["spread"], strict=True)))
    if options.save:
        table.save(options.save)


if __name__ == "__main__":
    main()
