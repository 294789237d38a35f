"""Times the kernels of jaxpool and its peers on this machine's GPU.

python -m benchmarks.gpu --save benchmarks/results/h100.csv
python -m benchmarks.gpu --pools k31 to6 --peers flax torch

The programs are those of `benchmarks.compiled`, and PyTorch's own pools. Of each program it takes
the median of 20 calls, and of each call the time that its kernels run, as CUDA's profiler reports
it. Inputs that fit in the L2 cache stay there.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
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


def record(peer: str, case: Case, seconds: Sequence[float]) -> dict[str, Any]:
    """What is kept of the kernels of `CALLS` calls."""
    calls = np.reshape(seconds, (CALLS, -1))
    return {"peer": peer} | case._asdict() | figures(calls.sum(1)) | {"kernels": calls.shape[1]}


def of_jax(pool: Pool, peers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The times of all programs of a pool, called in random order."""
    programs, lowered, order = {}, [], np.random.default_rng(0)
    for peer, case in product(peers, cases([pool])):
        if program := prepare(peer, case):
            function, shapes = program
            function.__name__ = f"program{len(lowered)}"
            lowered.append(jax.jit(function).lower(*shapes))
            programs[f"jit_{function.__name__}"] = peer, case, drawn_like(shapes)
    with ThreadPoolExecutor() as threads:
        compiled = threads.map(lambda one: one.compile(), lowered)
    pairs = zip(compiled, programs.values(), strict=True)
    calls = [partial(program, *arguments) for program, (*_, arguments) in pairs]

    def call(times: int) -> None:
        for _ in range(times):
            for i in order.permutation(len(calls)):  # what runs before leaves the caches changed
                jax.block_until_ready(calls[i]())

    call(WARM_UP)
    with TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            call(CALLS)
        (path,) = Path(folder).rglob("*.xplane.pb")
        found = list(kernels(path))
    for module, (peer, case, _) in programs.items():
        yield record(peer, case, [seconds for name, seconds in found if name == module])


def kernels(path: Path) -> Iterator[tuple[str, float]]:
    """The module of each kernel that a profile holds, and its seconds, in their order."""
    planes = jax.profiler.ProfileData.from_file(str(path)).planes
    gpus = (plane for plane in planes if plane.name.startswith("/device:GPU"))
    streams = (line for gpu in gpus for line in gpu.lines if line.name.startswith("Stream"))
    events = (event for stream in streams for event in stream.events)
    for event in sorted(events, key=lambda event: event.start_ns):
        yield dict(event.stats).get("hlo_module"), event.duration_ns / 1e9


def of_torch(pools: Sequence[Pool]) -> list[dict[str, Any]]:
    """The times of PyTorch's pools."""
    from torch import autograd, cuda, profiler

    def repeat(call: Any, times: int) -> None:
        for _ in range(times):
            call()
        cuda.synchronize()

    records = []
    for case in cases(pools):
        if call := torch(case, "cuda"):
            repeat(call, WARM_UP)
            with profiler.profile(activities=[profiler.ProfilerActivity.CUDA]) as profile:
                repeat(call, CALLS)
            events = (e for e in profile.events() if e.device_type == autograd.DeviceType.CUDA)
            found = sorted((e.time_range for e in events), key=lambda kernel: kernel.start)
            records.append(record(TORCH, case, [kernel.elapsed_us() / 1e6 for kernel in found]))
    return records


def main() -> None:
    """Measures, prints the ratios, and writes what --save names."""
    options = read_options(__doc__, ACCELERATOR, [*IN_JAX, TORCH])
    add_xla_flag(NO_GRAPHS)
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # PyTorch needs memory as well
    peers = [JAXPOOL, *(peer for peer in options.peers if peer != TORCH)]
    records = [record for pool in tqdm(options.pools) for record in of_jax(pool, peers)]
    if TORCH in options.peers:  # with a profiler, and so a process, of its own
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            records += process.submit(of_torch, options.pools).result()
    hardware = jax.devices("gpu")[0].device_kind
    Table(hardware, versions(PACKAGES), pd.DataFrame(records)).report("us", options.save)


if __name__ == "__main__":
    main()
