"""Times jaxpool and its peers on this machine's CPU.

python -m benchmarks.cpu --pools k31 32x512x7x7 --peers flax torch
python -m benchmarks.cpu --save benchmarks/results/cpu.csv

All libraries have the cores of this process, and take turns in one process on data that already
lies in the layout. All is measured twice: under the defaults of glibc and JAX, and with settings
that keep out of the figures what is not the pool. By default glibc maps a large buffer anew for
each result, and the kernel clears every page of it on first use, which can cost more than the
pool; and JAX hands a program that is not tiny to another thread, which has to wake up.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from time import perf_counter
from typing import Any

import jax
import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.measure import Clock, compare, this_cpu
from benchmarks.peers import IN_JAX, JAXPOOL, OTHERS, PACKAGES, TORCH, drawn_like, prepare
from benchmarks.pools import CPU, LAST, LAYOUTS, Case, cases
from benchmarks.tables import Table, read_options, versions

SETTINGS = {  # glibc reads them when a process starts
    "defaults": {},
    "tuned": {
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": "100000000000",
        "MALLOC_TOP_PAD_": "500000000",
    },
}
LONG = 100  # windows that take libraries that read each tap many seconds: these are left out
TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2}  # more is another result, or one with large errors
REST = 0.25  # seconds until PyTorch's threads sleep, which take the cores from whose turn is next


def clocks(case: Case, peers: Sequence[str]) -> Iterator[Clock]:
    """The calls of the peers that can do it."""
    read = partial(image, layout=case.layout)
    for peer in peers:
        about = {"peer": peer} | case._asdict()
        if case.pool.kernel > LONG and peer in (*IN_JAX, TORCH) and peer != JAXPOOL:
            continue
        if peer in OTHERS and (call := prepare(peer, case)):
            yield Clock(about, call, read, REST if peer == TORCH else 0)
        elif peer in IN_JAX and (program := prepare(peer, case)):
            function, shapes = program
            arguments, start = drawn_like(shapes), perf_counter()
            compiled = jax.jit(function).lower(*shapes).compile()
            about["compile_s"] = perf_counter() - start
            about["temporary_bytes"] = compiled.memory_analysis().temp_size_in_bytes
            yield Clock(about, lambda f=compiled, x=arguments: jax.block_until_ready(f(*x)), read)


def image(result: Any, layout: str) -> np.ndarray:
    """The first image of a result, channels first, in float32."""
    first = (result[0] if isinstance(result, tuple) else result)[0]
    if hasattr(first, "detach"):  # PyTorch's, which are channels first in each layout
        return first.detach().float().numpy()
    array = np.asarray(first).astype(np.float32)
    return np.moveaxis(array, -1, 0) if layout == LAST else array


def measure(settings: str, cases: Sequence[Case], peers: Sequence[str], seconds: float) -> Any:
    """The records under the settings of this process."""
    jax.config.update("jax_cpu_enable_async_dispatch", settings == "defaults")
    found = (compare(clocks(case, peers), seconds) for case in tqdm(cases, desc=settings))
    return [record | {"settings": settings} for records in found for record in records]


def main() -> None:
    """Measures, prints the ratios, and writes what --save names."""
    layouts = {"nargs": "+", "choices": LAYOUTS, "default": [LAST]}
    seconds = {"type": float, "default": 0.3, "help": "for each call; %(default)s"}
    peers = [*IN_JAX, *OTHERS]
    options = read_options(__doc__, CPU, peers, layouts=layouts, seconds=seconds)
    every, records = cases(options.pools, options.layouts), []
    for settings, variables in SETTINGS.items():
        for name in SETTINGS["tuned"]:
            os.environ.pop(name, None)
        os.environ.update(variables)
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            run = settings, every, [JAXPOOL, *options.peers], options.seconds
            records += process.submit(measure, *run).result()
    found = pd.DataFrame(records)
    Table(this_cpu(), versions(PACKAGES), found).report("us", options.save)
    differs = found["apart"] > found["dtype"].map(TOLERANCE)
    print("These differ from jaxpool:", found[differs].to_string() if any(differs) else "none")


if __name__ == "__main__":
    main()
