"""How many cycles a kernel of a TPU takes: an estimate, good to some 20%, to compare by."""

import re
from collections.abc import Iterable
from math import prod
from pathlib import Path

from benchmarks.compiled.hlo import Kernel

_BUNDLE = re.compile(r"\s*(?:0x[0-9a-f]+|0)\s+(?:\w\w)?\s*: ((?:>\s?)*)")
_BOUND = re.compile(r"scmp\.ge\.s32\.totalorder %\S+,\s+(\d+)")


def cycles(kernel: Kernel, dump: Path, bytes_per_cycle: float) -> int:
    """The largest of XLA's own estimate, the bundles that it scheduled, and the traffic of HBM.

    A fusion has an estimate; a `reduce-window` that stands alone has none, but it has a schedule.
    """
    line = kernel.operation.line
    estimate = re.search(r'"estimated_cycles":"(\d+)"', line)
    schedules = [
        path.read_text()
        for path in dump.iterdir()
        if path.name.endswith("final_bundles.txt") and "schedule" not in path.name
        if f"-{kernel.operation.name}-" in path.name
    ]
    iterations = re.search(r'"iteration_bounds":\[([^\]]*)\]', line)
    trips = prod(map(int, re.findall(r"\d+", iterations[1]))) if iterations else None
    return max(
        int(estimate[1]) if estimate else 0,
        *(bundles(schedule.splitlines(), trips) for schedule in schedules),
        round(kernel.hbm_bytes / bytes_per_cycle),
    )


def bundles(lines: Iterable[str], trips: int | None) -> int:
    """Bundles of a schedule: each one is a cycle, those of a loop once for each of its trips.

    Loops within it count once for each of its trips, as their own bounds are not written down. If
    nobody knows its trips, they are the largest bound that a counter is compared with.
    """
    outside, inside, bound = 0, 0, 1
    for line in lines:
        bundle = _BUNDLE.match(line)
        if bundle and ">" in bundle[1]:
            inside += 1
            bound = max(bound, *map(int, _BOUND.findall(line)), 1)
        elif bundle:
            outside += 1
    return outside + inside * (trips or bound)
