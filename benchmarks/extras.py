"""What else a call costs: its dispatch without `jax.jit`, and its compilation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax

from benchmarks.cells import LAYOUTS, Case, Cell
from benchmarks.compare import Effort
from benchmarks.measure import Clock, Timing, take_turns
from benchmarks.peers import CannotError, OtherLayoutError
from benchmarks.programs import (
    EVERYONE,
    JAX_PEERS,
    JAXPOOL,
    OTHER_PEERS,
    Data,
    jax_function,
    make_data,
    prepare,
)

DISPATCH = "eager call"
COMPILE = {"forward": "compile forward", "backward": "compile backward"}
SMALL = Cell((1, 4, 8, 8), 2, 2)


@dataclass(frozen=True)
class Extra:
    """The seconds of `what` for a peer and a cell, or the reason why there are none."""

    peer: str
    what: str
    cell: str
    count_include_pad: bool = True
    timing: Timing | None = None
    cannot: str | None = None


Work = Callable[[], Any]


def dispatch(names: Sequence[str], effort: Effort) -> list[Extra]:
    """The time of an eager call on a small array, for all that can be called eagerly."""

    def start(name: str) -> Work:
        case, data = _first_layout(name, SMALL)
        if name in OTHER_PEERS:
            return prepare(name, case, "forward", data).call
        pool = EVERYONE[name].pool(case)
        return lambda: jax.block_until_ready(pool(data.x))

    starts = {Extra(name, DISPATCH, SMALL.name): partial(start, name) for name in names}
    return _take_turns(starts, lambda: None, effort)


def compiling(names: Sequence[str], size: int, effort: Effort) -> Iterator[list[Extra]]:
    """The time to trace and compile for an image of `size` x `size`, direction by direction."""

    def start(name: str, cell: Cell, direction: str) -> Work:
        case, data = _first_layout(name, cell)
        pool = EVERYONE[name].pool(case)

        def work() -> None:
            function, args = jax_function(pool, direction, data)
            function.lower(*args).compile()

        return work

    for direction, what in COMPILE.items():
        starts = {}
        # Where peers fold their divisor to a constant it takes XLA many seconds: once is enough.
        compared = [JAXPOOL, *(JAX_PEERS if direction == "forward" else ())]
        for counted in (True, False):
            cell = Cell((1, 8, size, size), 3, 1, 1, counted)
            for name in names:
                if name in compared:
                    extra = Extra(name, what, cell.name, counted)
                    starts[extra] = partial(start, name, cell, direction)
        yield _take_turns(starts, jax.clear_caches, effort)


def _first_layout(name: str, cell: Cell) -> tuple[Case, Data]:
    """The case of the first layout that the peer has, and its data."""
    for layout in LAYOUTS:
        case = Case(cell, "float32", layout)
        try:
            EVERYONE[name].pool(case)
        except OtherLayoutError:
            continue
        except ImportError as error:
            raise CannotError("is not installed") from error
        break
    return case, make_data(cell, case.dtype)[layout]


def _take_turns(
    starts: Mapping[Extra, Callable[[], Work]], before: Work, effort: Effort
) -> list[Extra]:
    extras, clocks = [], {}
    for extra, start in starts.items():
        try:
            clocks[extra] = Clock(start(), before)
        except CannotError as reason:
            extras.append(replace(extra, cannot=str(reason)))
    for clock in clocks.values():
        clock.warm_up(effort.patience)
    take_turns(clocks.values(), effort.seconds, effort.rounds)
    return [*(replace(extra, timing=clock.timing) for extra, clock in clocks.items()), *extras]
