"""Settings of glibc and JAX that keep out of the figures what is not the pool.

By default glibc maps a large buffer anew for each result, and the kernel clears every page of it on
first use, which can cost more than the pool. That hits all libraries that write their results to
new memory. Threads other than the main one do so even if large buffers are to be kept, unless all
threads share one arena. And JAX hands a program that is not tiny to another thread of its own,
which has to wake up. A larger program with the pool inside waits for that only once.

So the benchmark has these settings for all libraries, and reports two cells without them as well.
"""

import os
import sys
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory

import jax

VARIABLES = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "500000000",
}


def make_them() -> None:
    """Starts this command anew with the variables, which glibc reads when a process starts; in the
    new process the program's thread is the one that computes.
    """
    if os.environ | VARIABLES != os.environ:
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, os.environ | VARIABLES)
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def without_them(*options: str) -> str:
    """The JSON of a benchmark with these options, under the defaults of glibc and JAX."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "results.json"
        command = [sys.executable, "-m", "benchmarks", "--defaults", *options, "--json", path]
        run(command, env=environment, check=True, capture_output=True)
        return path.read_text()
