"""The comparison itself: every peer on every case and in every direction, cell by cell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from benchmarks.cells import LAYOUTS, Case, Cell
from benchmarks.measure import Clock, Timing, take_turns
from benchmarks.peers import CannotError, OtherLayoutError
from benchmarks.programs import COPY, EVERYONE, JAXPOOL, Compiled, Data, make_data, prepare

# From so many taps on a peer may need minutes, so that its time is first estimated.
MANY_TAPS = 5e9
# The largest difference from jaxpool, by dtype, as a fraction of the largest value.
TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2}


@dataclass(frozen=True)
class Result:
    """What one peer did in one case and direction: a timing, or the reason why there is none.

    Args:
      peer, cell, dtype, layout, direction: what was measured.
      timing: seconds a call.
      cannot: why there is no timing.
      other_layout: whether there is one in the other layout.
      at_least: whether the call was too slow to make, and the timing is a lower bound.
      difference: from jaxpool, at most, as a fraction of the largest value.
      compiled: what is known of the program, for JAX.
    """

    peer: str
    cell: str
    dtype: str
    layout: str
    direction: str
    timing: Timing | None = None
    cannot: str | None = None
    other_layout: bool = False
    at_least: bool = False
    difference: float | None = None
    compiled: Compiled | None = None

    @property
    def differs(self) -> bool:
        """Whether it computes something else than jaxpool, or the same much less precisely."""
        return self.difference is not None and not self.difference <= TOLERANCE[self.dtype]


class Effort(NamedTuple):
    """How long to measure: seconds a peer, in so many rounds, and how slow a call may be."""

    seconds: float = 0.3
    rounds: int = 7
    patience: float = 3.0


def compare(
    cell: Cell,
    dtype: str,
    layouts: Sequence[str],
    directions: Sequence[str],
    names: Sequence[str],
    effort: Effort,
) -> Iterator[list[Result]]:
    """Compares jaxpool, the copy and the peers of `names`; one list for each direction."""
    data = make_data(cell, dtype)
    for direction in directions:
        yield _compare(cell, dtype, layouts, direction, [JAXPOOL, COPY, *names], data, effort)


def _compare(
    cell: Cell,
    dtype: str,
    layouts: Sequence[str],
    direction: str,
    names: Sequence[str],
    data: dict[str, Data],
    effort: Effort,
) -> list[Result]:
    results: list[Result] = []
    clocks: dict[int, Clock] = {}
    reference: list[np.ndarray] = []

    def enter(name: str, layout: str) -> bool:
        """Prepares a peer, warms it up and checks it; False if it has only the other layout."""
        result = Result(name, cell.name, dtype, layout, direction)
        case = Case(cell, dtype, layout)
        try:
            if timing := _lower_bound(name, case, direction, effort.patience):
                results.append(replace(result, timing=timing, at_least=True))
                return True
            program = prepare(name, case, direction, data[layout])
            clock = Clock(program.call, rest=EVERYONE[name].rest)
            sample = program.first_sample(clock.warm_up(effort.patience))
        except CannotError as reason:
            other = isinstance(reason, OtherLayoutError)
            results.append(replace(result, cannot=str(reason), other_layout=other))
            return not other
        except Exception as error:
            if name in (JAXPOOL, COPY):
                raise
            # Of another version than those that this was written for; the others go on.
            results.append(replace(result, cannot=f"fails with {type(error).__name__}"))
            return True
        reference[:] = reference or sample
        difference = None if name == COPY else _difference(sample, reference)
        clocks[len(results)] = clock
        results.append(replace(result, difference=difference, compiled=program.compiled))
        return True

    for name in names:
        has_layout = [enter(name, layout) for layout in layouts]
        if not any(has_layout):
            enter(name, next(layout for layout in LAYOUTS if layout not in layouts))
    take_turns(clocks.values(), effort.seconds, effort.rounds)
    for i, clock in clocks.items():
        results[i] = replace(results[i], timing=clock.timing)
    return results


def _lower_bound(name: str, case: Case, direction: str, patience: float) -> Timing | None:
    """What a call takes at the very least, if that is more than `patience`; else None.

    From a strip of the input, whose windows read as many taps or fewer, and which is widened until
    it takes a while. To go by the number of taps instead was off by up to 8x, since whether taps
    in the padding cost anything varies from one compiled program to the next.
    """
    cell = case.cell
    if cell.taps < MANY_TAPS or not EVERYONE[name].reads_every_tap:
        return None
    seconds, times = 0.0, 64
    while seconds < patience / 3 and times > 2:
        times //= 2
        strip = cell.strip(times)
        data = make_data(strip, case.dtype)[case.layout]
        clock = Clock(prepare(name, case._replace(cell=strip), direction, data).call)
        clock.run()
        seconds = clock.times[0]
    seconds *= cell.output[2] / strip.output[2]
    return Timing(seconds, seconds, seconds, 0) if seconds > patience else None


def _difference(sample: list[np.ndarray], reference: list[np.ndarray]) -> float:
    """The largest difference in any array, as a fraction of the array's largest value."""
    if [a.shape for a in sample] != [b.shape for b in reference]:
        return np.inf
    return max(
        float(np.max(np.abs(a - b)) / np.max(np.abs(b)))
        for a, b in zip(sample, reference, strict=True)
    )
