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
from itertools import product
from multiprocessing import get_context
from time import perf_counter
from typing import Any

import jax
import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.measure import Clock, figures, take_turns, this_cpu
from benchmarks.peers import IN_JAX, JAXPOOL, OTHERS, TORCH
from benchmarks.pools import CPU, DIRECTIONS, DTYPES, LAST, LAYOUTS, Case
from benchmarks.programs import prepare
from benchmarks.tables import Table, parser, versions

VARIABLES = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "500000000",
}
SETTINGS = DEFAULTS, TUNED = "defaults", "tuned"
PACKAGES = ("jaxpool", "jax", *IN_JAX, "torch", "scipy", "opencv-python-headless")
LONG = 100  # windows that take the libraries that read each tap many seconds: they are left out
TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2}  # more is another result, or one with large errors
REST = 0.25  # seconds until PyTorch's threads sleep, which take the cores from whose turn is next


def call_of(peer: str, case: Case) -> tuple[Clock | None, dict[str, float]]:
    """The call of a peer that can do it, and what is known of its program."""
    if case.pool.kernel > LONG and peer in (*IN_JAX, TORCH) and peer != JAXPOOL:
        return None, {}
    if peer in OTHERS:
        try:
            call = OTHERS[peer](case)
        except ImportError:
            call = None
        return call and Clock(call, REST if peer == TORCH else 0), {}
    if not (program := prepare(peer, case)):
        return None, {}
    start, arguments = perf_counter(), program.draw()
    compiled = jax.jit(program.function).lower(*program.arguments).compile()
    about = {"compile_s": perf_counter() - start}
    about["temporary_bytes"] = compiled.memory_analysis().temp_size_in_bytes
    return Clock(lambda: jax.block_until_ready(compiled(*arguments))), about


def image(result: Any, layout: str) -> np.ndarray:
    """The first image of a result, channels first, in float32."""
    first = (result[0] if isinstance(result, tuple) else result)[0]
    if hasattr(first, "detach"):  # PyTorch's, which are channels first in each layout
        return first.detach().float().numpy()
    array = np.asarray(first).astype(np.float32)
    return np.moveaxis(array, -1, 0) if layout == LAST else array


def compare(case: Case, peers: Sequence[str], seconds: float) -> Iterator[dict[str, Any]]:
    """A record of each peer that can do it."""
    clocks, found, wanted = [], [], None
    for peer in peers:
        clock, about = call_of(peer, case)
        if not clock:
            continue
        value = image(clock.run(), case.layout)
        wanted = value if wanted is None else wanted
        clock.times.clear()
        clocks.append(clock)
        apart = float(np.max(np.abs(value - wanted)) / np.max(np.abs(wanted)))
        found.append({"peer": peer} | case.key | about | {"apart": apart})
    take_turns(clocks, seconds, rounds=7)
    for record, clock in zip(found, clocks, strict=True):
        yield record | figures(clock.times)


def measure(settings: str, cases: Sequence[Case], *options: Any) -> pd.DataFrame:
    """The records under the settings of this process."""
    jax.config.update("jax_cpu_enable_async_dispatch", settings == DEFAULTS)
    records = [record for case in tqdm(cases, desc=settings) for record in compare(case, *options)]
    return pd.DataFrame(records).assign(settings=settings)


def in_new_process(settings: str, *options: Any) -> pd.DataFrame:
    """The records under settings, which glibc reads when a process starts."""
    for name in VARIABLES:
        os.environ.pop(name, None)
    os.environ.update(VARIABLES if settings == TUNED else {})
    with get_context("spawn").Pool(1) as process:
        return process.apply(measure, (settings, *options))


def main() -> None:
    """Measures, prints the ratios, and writes what --save names."""
    made = parser("cpu", __doc__, CPU, [*IN_JAX, *OTHERS])
    made.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    made.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=[LAST])
    made.add_argument("--settings", nargs="+", choices=SETTINGS, default=SETTINGS)
    made.add_argument("--seconds", type=float, default=0.3, help="for each call that is timed")
    options = made.parse_args()
    axes = options.pools, options.dtypes, options.layouts, DIRECTIONS
    cases, peers = [Case(*values) for values in product(*axes)], [JAXPOOL, *options.peers]
    runs = [in_new_process(name, cases, peers, options.seconds) for name in options.settings]
    records = pd.concat(runs)
    Table(this_cpu(), versions(PACKAGES), records).report("us", options.save)
    if (differs := ~(records["apart"] <= records["dtype"].map(TOLERANCE))).any():
        print(f"These differ from jaxpool:\n{records[differs].to_string()}")
    if absent := {*options.peers} - {*records["peer"]}:
        print(f"without {', '.join(sorted(absent))}: not installed, or none of these pools")


if __name__ == "__main__":
    main()
