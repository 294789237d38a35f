"""glibc's allocator, told to keep memory, as page faults can cost more than the pool.

By default it maps a large buffer anew for each result, and the kernel clears every page of it on
first use. That hits all libraries that write their results to new memory, and hides what is to be
compared. So the benchmark sets the variables for all of them, and reports one cell without as well.
"""

import os
import sys
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory

KEEPING = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "500000000",
}


def keeps_memory() -> bool:
    """Whether this process runs with the variables."""
    return os.environ | KEEPING == os.environ


def keep_memory() -> None:
    """Starts this command anew with the variables, which glibc reads when a process starts."""
    if not keeps_memory():
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, os.environ | KEEPING)


def without_keeping(*options: str) -> str:
    """The JSON of a benchmark with these options, under glibc's defaults."""
    environment = {name: value for name, value in os.environ.items() if name not in KEEPING}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "results.json"
        command = [sys.executable, "-m", "benchmarks", "--allocator", "default", *options]
        run([*command, "--json", path], env=environment, check=True, capture_output=True)
        return path.read_text()
