"""How time is measured: in turns, so that noise hits everyone alike; and how much there is."""

import gc
import os
import platform
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

ROUNDS = 7


@dataclass
class Clock:
    """A call without arguments, and the seconds that each of its runs took."""

    about: dict[str, Any]  # what a table says of it
    call: Callable[[], Any]
    read: Callable[[Any], np.ndarray] = np.asarray  # of what the call returns
    rest: float = 0.0  # seconds to wait after its turn
    times: list[float] = field(default_factory=list)

    def run(self) -> Any:
        """Calls once, adds the time, and returns the result."""
        start = perf_counter()
        result = self.call()
        self.times.append(perf_counter() - start)
        return result


def compare(clocks: Iterable[Clock], seconds: float) -> list[dict[str, Any]]:
    """What a table says of each, and how far its value is from the first, of the largest there."""
    ready, wanted = [], None
    for clock in clocks:
        value = np.nan_to_num(clock.read(clock.run()))
        wanted = value if wanted is None else wanted
        away = np.abs(value - wanted) if value.shape == wanted.shape else np.inf
        clock.about["apart"] = np.max(away) / np.max(np.abs(wanted))
        clock.times.clear()
        ready.append(clock)
    take_turns([*ready], seconds)
    return [clock.about | figures(clock.times) for clock in ready]


def take_turns(clocks: list[Clock], seconds: float) -> None:
    """Runs each clock for about `seconds`, in rounds, in a new order each round.

    A round gives each clock an equal share of the time and at least one call, until it has had
    four times its seconds.
    """
    order = random.Random(0)
    gc.disable()
    for _ in range(ROUNDS):
        order.shuffle(clocks)
        for clock in clocks:
            if sum(clock.times) > 4 * seconds:
                continue
            end = perf_counter() + seconds / ROUNDS
            clock.run()
            while perf_counter() + clock.times[-1] / 2 < end:
                clock.run()
            sleep(clock.rest)
    gc.enable()


def figures(seconds: Sequence[float]) -> dict[str, float]:
    """The median in microseconds, and half the distance of the quartiles as a fraction of it."""
    lower, median, upper = np.quantile(seconds, [0.25, 0.5, 0.75])
    return {"us": 1e6 * median, "spread": (upper - lower) / 2 / median}


def cores() -> int:
    """How many cores this process may use, which is how many threads each peer gets."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def this_cpu() -> str:
    """Such as "2 cores of an AMD EPYC"."""
    path = Path("/proc/cpuinfo")
    models = re.findall("model name\t: (.*)", path.read_text() if path.exists() else "")
    return f"{cores()} cores of an {[*models, platform.machine()][0]}"
