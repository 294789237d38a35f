"""How time is measured: in turns, so that noise hits everyone alike; and how much there is."""

import gc
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles
from time import perf_counter, sleep
from typing import Any

import numpy as np

NOISY = 0.15  # a larger spread, or a larger change of the machine's speed, is not to be believed


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

    @property
    def seconds(self) -> float:
        """The median of a call."""
        return median(self.times)

    @property
    def spread(self) -> float:
        """Half the distance between the outer quartiles, as a fraction of the median."""
        lower, _, upper = quantiles(self.times * 2, method="inclusive")
        return (upper - lower) / 2 / self.seconds


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


@contextmanager
def watched() -> Iterator[None]:
    """Says on the standard error if the machine was busy, by a fixed work before and after."""
    before = _probe()
    yield
    after = _probe()
    if max(before, after) > (1 + NOISY) * min(before, after):
        print(
            f"The machine was busy: a fixed work took {before:.1f} ms before and {after:.1f} ms "
            "after. Measure again when nothing else runs.",
            file=sys.stderr,
        )


def warn_of_noise(spreads: dict[str, float]) -> None:
    """Names the measurements whose spread is too large to believe."""
    noisy = [f"{name} ±{spread:.0%}" for name, spread in spreads.items() if spread > NOISY]
    if noisy:
        print(
            f"{len(noisy)} of {len(spreads)} times are noisy:", *noisy, sep="\n  ", file=sys.stderr
        )


def _probe() -> float:
    """Milliseconds of a fixed work in memory and in a core, the median of 15."""
    clock, array = Clock(lambda: np.sort(array * 2).sum()), np.random.default_rng(0).random(200_000)
    for _ in range(15):
        clock.run()
    return 1e3 * clock.seconds
