"""How time is measured: in turns, so that noise hits everyone alike."""

import gc
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import quantiles
from time import perf_counter, sleep
from typing import Any, NamedTuple


class Timing(NamedTuple):
    """Seconds a call: the quartiles of a number of calls."""

    lower: float
    median: float
    upper: float
    calls: int

    @property
    def spread(self) -> float | None:
        """Half the distance between the outer quartiles, as a fraction of the median.

        None of fewer than three calls, which say nothing of it.
        """
        return (self.upper - self.lower) / 2 / self.median if self.calls > 2 else None


@dataclass
class Clock:
    """A call, the seconds that each of its runs took, and what surrounds it untimed."""

    call: Callable[[], Any]
    before: Callable[[], Any] = lambda: None
    rest: float = 0.0  # seconds to wait after its turn
    times: list[float] = field(default_factory=list)

    def run(self) -> Any:
        """Calls once, adds the time, and returns the result."""
        self.before()
        start = perf_counter()
        result = self.call()
        self.times.append(perf_counter() - start)
        return result

    def warm_up(self, patience: float) -> Any:
        """Calls once and returns the result; its time counts only if a second try is too much."""
        result = self.run()
        if self.times[-1] < patience:
            self.times.clear()
        return result

    def is_slow(self, seconds: float) -> bool:
        """Whether it has had so much more than its `seconds` that what it has must do."""
        return sum(self.times) > 4 * seconds

    @property
    def timing(self) -> Timing:
        """The quartiles of its times."""
        times = self.times if len(self.times) > 1 else self.times * 2
        lower, median, upper = quantiles(times, method="inclusive")
        return Timing(lower, median, upper, len(self.times))


def take_turns(clocks: Iterable[Clock], seconds: float, rounds: int) -> None:
    """Runs each clock for about `seconds`, in `rounds` rounds, in a new order each round.

    A round gives everyone an equal share of the time and at least one call, until it is slow.
    """
    clocks = list(clocks)
    order = random.Random(0)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for _ in range(rounds):
            order.shuffle(clocks)
            for clock in clocks:
                if clock.is_slow(seconds):
                    continue
                end = perf_counter() + seconds / rounds
                clock.run()
                while perf_counter() + clock.times[-1] / 2 < end:
                    clock.run()
                sleep(clock.rest)
    finally:
        if collecting:
            gc.enable()
