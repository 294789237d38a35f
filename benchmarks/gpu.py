"""Times the kernels of jaxpool and its peers on this machine's GPU.

python -m benchmarks.gpu --save benchmarks/results/h100.csv
python -m benchmarks.gpu --pools k31 to6 --peers flax torch

The programs are those of `benchmarks.compiled`, and PyTorch's own pools. Of each program it takes
the median of 20 calls, and of each call the time that its kernels run, as CUDA's profiler reports
it. Inputs that fit in the L2 cache stay there.
"""

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

from benchmarks.chips import NO_GRAPHS, add_xla_flag
from benchmarks.measure import figures
from benchmarks.peers import IN_JAX, JAXPOOL, PACKAGES, TORCH, drawn_like, prepare, torch
from benchmarks.pools import ACCELERATOR, Case, Pool, cases
from benchmarks.tables import Table, read_options, versions

WARM_UP, CALLS = 3, 20
Record = dict[str, Any]


def record(peer: str, case: Case, seconds: Sequence[float]) -> Record:
    """What is kept of the kernels of `CALLS` calls."""
    calls = np.reshape(seconds, (CALLS, -1))
    return {"peer": peer} | case.key | figures(calls.sum(1)) | {"kernels": calls.shape[1]}


def of_jax(pool: Pool, peers: Sequence[str]) -> list[Record]:
    """The times of all programs of a pool, called in random order."""
    programs, lowered = {}, []
    for peer, case in product(peers, cases([pool])):
        if program := prepare(peer, case):
            function, shapes = program
            function.__name__ = f"program{len(programs)}"
            lowered.append(jax.jit(function).lower(*shapes))
            programs[f"jit_{function.__name__}"] = peer, case, drawn_like(shapes)
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
        for module, seconds in kernels(path):
            times[module].append(seconds)
    return [record(peer, case, times[module]) for module, (peer, case, _) in programs.items()]


def kernels(path: Path) -> list[tuple[str, float]]:
    """The module of each kernel that a profile holds, and its seconds, in their order."""
    planes = jax.profiler.ProfileData.from_file(str(path)).planes
    gpus = (plane for plane in planes if plane.name.startswith("/device:GPU"))
    streams = (line for gpu in gpus for line in gpu.lines if line.name.startswith("Stream"))
    events = sorted((event for line in streams for event in line.events), key=lambda e: e.start_ns)
    modules = ((dict(event.stats).get("hlo_module"), event.duration_ns / 1e9) for event in events)
    return [(module, seconds) for module, seconds in modules if module]


def of_torch(pools: Sequence[Pool]) -> list[Record]:
    """The times of PyTorch's pools."""
    import torch as library

    records = []
    for case in cases(pools):
        if not (call := torch(case, "cuda")):
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
        records.append(record(TORCH, case, [kernel.elapsed_us() / 1e6 for kernel in found]))
    return records


def main() -> None:
    """Measures, prints the ratios, and writes what --save names."""
    options = read_options("gpu", __doc__, ACCELERATOR, [*IN_JAX, TORCH])
    add_xla_flag(NO_GRAPHS)
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # PyTorch needs memory as well
    peers = [JAXPOOL, *(peer for peer in options.peers if peer != TORCH)]
    records = [record for pool in tqdm(options.pools) for record in of_jax(pool, peers)]
    if TORCH in options.peers:  # with a profiler, and so a process, of its own
        with get_context("spawn").Pool(1) as process:
            records += process.apply(of_torch, (options.pools,))
    hardware = jax.devices("gpu")[0].device_kind
    Table(hardware, versions(PACKAGES), pd.DataFrame(records)).report("us", options.save)


if __name__ == "__main__":
    main()
