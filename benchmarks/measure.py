"""How time is measured: in turns, so that noise hits everyone alike; and how much there is."""

import gc
import os
import platform
import random
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

NOISY = 0.15  # times with a larger spread are not to be believed


@dataclass
class Clock:
    """A call, and the seconds that each of its runs took."""

    call: Callable[[], Any]
    rest: float = 0.0  # seconds to wait after its turn
    times: list[float] = field(default_factory=list)

    def run(self) -> Any:
        """Calls once, adds the time, and returns the result."""
        start = perf_counter()
        result = self.call()
        self.times.append(perf_counter() - start)
        return result


def take_turns(clocks: Iterable[Clock], seconds: float, rounds: int) -> None:
    """Runs each clock for about `seconds`, in `rounds` rounds, in a new order each round.

    A round gives each clock an equal share of the time and at least one call, until it has had
    four times its seconds.
    """
    clocks, order, collecting = list(clocks), random.Random(0), gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            order.shuffle(clocks)
            for clock in clocks:
                if sum(clock.times) > 4 * seconds:
                    continue
                end = perf_counter() + seconds / rounds
                clock.run()
                while perf_counter() + clock.times[-1] / 2 < end:
                    clock.run()
                sleep(clock.rest)
    finally:
        if collecting:
            gc.enable()


def figures(seconds: Sequence[float]) -> dict[str, float]:
    """The median in microseconds, and half the distance of the quartiles as a fraction of it."""
    lower, median, upper = np.quantile(seconds, [0.25, 0.5, 0.75])
    return {"us": 1e6 * median, "spread": (upper - lower) / 2 / median}


def warn_of_noise(spreads: dict[str, float]) -> None:
    """Names the measurements whose spread is too large to believe."""
    noisy = [f"{name} ±{spread:.0%}" for name, spread in spreads.items() if spread > NOISY]
    if noisy:
        head = f"{len(noisy)} of {len(spreads)} times are noisy. Measure when nothing else runs:"
        print(head, *noisy, sep="\n  ", file=sys.stderr)


def cores() -> int:
    """How many cores this process may use, which is how many threads each peer gets."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def this_cpu() -> str:
    """Such as "2 cores of an AMD EPYC"."""
    path = Path("/proc/cpuinfo")
    models = re.findall("model name\t: (.*)", path.read_text() if path.exists() else "")
    return f"{cores()} cores of an {[*models, platform.machine()][0]}"
