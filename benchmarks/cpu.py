"""Times jaxpool and its peers on this machine's CPU.

python -m benchmarks.cpu --pools k31 32x512x7x7 --peers flax torch
python -m benchmarks.cpu --save benchmarks/results/cpu.csv

All libraries have the cores of this process, and take turns in one process on data that already
lies in the layout. All is measured twice: under the defaults of glibc and JAX, and with settings
that keep out of the figures what is not the pool. By default glibc maps a large buffer anew for
each result, and the kernel clears every page of it on first use, which can cost more than the
pool; and JAX hands a program that is not tiny to another thread, which has to wake up.
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import jax
import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.measure import Clock, take_turns, warn_of_noise, watched
from benchmarks.peers import FILTERS, IN_JAX, JAXPOOL, TORCH, cores, torch
from benchmarks.pools import CPU, DIRECTIONS, DTYPES, LAST, LAYOUTS, Pool, add_choice, union
from benchmarks.programs import prepare
from benchmarks.tables import Table, show_ratios, versions

VARIABLES = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "500000000",
}
SETTINGS = DEFAULTS, TUNED = "defaults", "tuned"
PACKAGES = (
    "jaxpool",
    "jax",
    "flax",
    "equinox",
    "keras",
    "torch",
    "scipy",
    "opencv-python-headless",
)
# More taps than these take the libraries that read each one by one many seconds: they are left out.
MANY_TAPS = 5e9
TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2}  # more is another result, or one with large errors
REST = 0.25  # seconds until PyTorch's threads sleep, which take the cores from whose turn is next


def calls(
    pool: Pool, dtype: str, layout: str, direction: str, peers: list[str]
) -> Iterator[tuple[str, Clock, dict[str, float]]]:
    """The peers that can do it, each with its call, and what is known of its program."""
    for peer in peers:
        by_tap = peer not in (JAXPOOL, *FILTERS)
        if by_tap and pool.taps > MANY_TAPS:
            continue
        if peer in IN_JAX:
            if program := prepare(peer, pool, dtype, layout, direction):
                yield peer, *_in_jax(program.function, program.arguments, program.draw())
            continue
        try:
            if peer == TORCH:
                call = torch(pool, dtype, layout, direction, "cpu")
            else:
                is_theirs = (dtype, direction) == ("float32", "forward")
                call = FILTERS[peer](pool, layout) if is_theirs else None
        except ImportError:
            continue
        if call:
            yield peer, Clock(call, REST if peer == TORCH else 0), {}


def _in_jax(function: Any, shapes: Any, arguments: Any) -> tuple[Clock, dict[str, float]]:
    """Jitted and compiled."""
    start = perf_counter()
    compiled = jax.jit(function).lower(*shapes).compile()
    about = {"compile_s": perf_counter() - start}
    about["temporary_bytes"] = compiled.memory_analysis().temp_size_in_bytes
    return Clock(lambda: jax.block_until_ready(compiled(*arguments))), about


def image(result: Any, peer: str, layout: str) -> np.ndarray:
    """The first image of a result, channels first, in float32."""
    first = (result[0] if isinstance(result, tuple) else result)[0]
    if peer == TORCH:
        return first.detach().float().numpy()
    array = np.asarray(first).astype(np.float32)
    return np.moveaxis(array, -1, 0) if layout == LAST else array


def compare(
    pool: Pool, dtype: str, layout: str, direction: str, peers: list[str], seconds: float
) -> Iterator[dict[str, Any]]:
    """A record of each peer."""
    key = {"pool": pool.name, "dtype": dtype, "layout": layout, "direction": direction}
    found, wanted = [], None
    for peer, clock, about in calls(pool, dtype, layout, direction, peers):
        value = image(clock.run(), peer, layout)
        wanted = value if wanted is None else wanted
        apart = np.max(np.abs(value - wanted)) / np.max(np.abs(wanted))
        about["apart"] = float(apart)  # of the largest value
        clock.times.clear()
        found.append((peer, clock, about))
    take_turns([clock for _, clock, _ in found], seconds, rounds=7)
    for peer, clock, about in found:
        times = {"us": 1e6 * clock.seconds, "spread": clock.spread}
        yield key | {"peer": peer} | times | about


def measure(options: argparse.Namespace, settings: str) -> pd.DataFrame:
    """The records under this process's settings."""
    cases = list(product(union(options.pools), options.dtypes, options.layouts, DIRECTIONS))
    records = []
    for pool, *case in (bar := tqdm(cases, desc=settings)):
        bar.set_description(f"{settings}: {pool.name} {' '.join(case)}".ljust(70))
        records += compare(pool, *case, [JAXPOOL, *options.peers], options.seconds)
    return pd.DataFrame(records).assign(settings=settings)


def in_new_process(settings: str) -> pd.DataFrame:
    """The records of this command under other settings, which glibc reads when a process starts."""
    rest = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment = rest | (VARIABLES if settings == TUNED else {})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "records.csv"
        command = [*sys.orig_argv, "--only", settings, str(path)]
        subprocess.run([sys.executable, *command[1:]], env=environment, check=True)
        return pd.read_csv(path)


def main() -> None:
    """Measures, prints the ratios, and writes what --save names."""
    every = [peer for peer in (*IN_JAX, TORCH, *FILTERS) if peer != JAXPOOL]
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks.cpu", None, __doc__, formatter_class=formatter)
    add_choice(parser, CPU)
    add = parser.add_argument
    add("--peers", nargs="*", choices=every, default=every)
    add("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    add("--layouts", nargs="+", choices=LAYOUTS, default=[LAST], help=f"{LAST} by default")
    add("--settings", nargs="+", choices=SETTINGS, default=SETTINGS)
    add("--seconds", type=float, default=0.3, help="for each call that is timed; 0.3 by default")
    add("--save", type=Path, metavar="FILE", help="write all records")
    add("--only", nargs=2, help=argparse.SUPPRESS)  # the process under other settings
    options = parser.parse_args()
    if options.only:
        settings, path = options.only
        jax.config.update("jax_cpu_enable_async_dispatch", settings == DEFAULTS)
        measure(options, settings).to_csv(path, index=False)
        return
    with watched():
        records = pd.concat([in_new_process(settings) for settings in options.settings])
    hardware = f"{cores()} cores of an {processor()}"
    table = Table(hardware, versions(PACKAGES), records)
    for settings, part in records.groupby("settings", sort=False):
        print(f"\nTimes relative to jaxpool's, {settings}: above 1, jaxpool is faster.\n")
        print(show_ratios(part, "us"))
    names = records[["settings", "peer", "pool", "dtype", "direction"]].agg(" ".join, axis=1)
    if (differs := ~(records["apart"] <= records["dtype"].map(TOLERANCE))).any():
        print("These differ from jaxpool:", *names[differs], sep="\n  ")
    warn_of_noise(dict(zip(names, records["spread"], strict=True)))
    if absent := {*options.peers} - {*records["peer"]}:
        print(f"without {', '.join(sorted(absent))}: not installed, or none of these pools")
    if options.save:
        table.save(options.save)


def processor() -> str:
    """What the CPU is called."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    return (models or [platform.machine()])[0]


if __name__ == "__main__":
    main()
