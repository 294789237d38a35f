"""What jaxpool promises about its speed, and whether a run has kept it."""

from collections.abc import Callable, Iterable, Iterator
from math import prod
from typing import NamedTuple

from benchmarks.cells import CELLS, DIRECTIONS, Cell
from benchmarks.extras import COMPILE
from benchmarks.programs import COPY, JAX_PEERS, JAXPOOL
from benchmarks.results import Run, Setting

BY_NAME = {cell.name: cell for cell in CELLS}


class Goal(NamedTuple):
    """A promise, what was measured, and whether that keeps it: None if nothing was measured."""

    text: str
    measured: str
    met: bool | None


class Figure(NamedTuple):
    """A number and where it was measured."""

    value: float
    where: str


def goals(run: Run) -> list[Goal]:
    """All promises. They speak of forward and backward, not of both in one."""
    return [
        *_against_jax(run),
        *_against_flax(run),
        *_against_torch(run),
        *_against_filters(run),
        *_own_costs(run),
        *_programs(run),
    ]


def _against_jax(run: Run) -> Iterator[Goal]:
    figures = [
        Figure(ratio.value, f"{peer}, {cell}, {_words(setting)}")
        for setting in _settings(run)
        for cell in run.cells
        for peer in run.peers
        if peer in JAX_PEERS
        if (ratio := run.ratio(peer, cell, setting)) and ratio.native
    ]
    yield _at_least("each JAX peer in any cell", 0.95, figures)


def _against_flax(run: Run) -> Iterator[Goal]:
    bounds = {
        ("float32", "forward"): 4,
        ("float32", "backward"): 5,
        ("bfloat16", "forward"): 15,
        ("bfloat16", "backward"): 30,
    }
    for (dtype, direction), bound in bounds.items():
        setting = Setting(dtype, "channels_last", direction)
        text = f"flax, geometric mean, {dtype} {direction}"
        yield _at_least(text, bound, _mean(run, "flax", setting))


def _against_torch(run: Run) -> Iterator[Goal]:
    for setting in _settings(run):
        text = f"torch, geometric mean, {_words(setting)}"
        yield _at_least(text, 1, _mean(run, "torch", setting))


def _against_filters(run: Run) -> Iterator[Goal]:
    for peer, bound, kernels in (("scipy", 1.5, (31, 127)), ("opencv", 0.3, ())):
        figures = [
            Figure(ratio.value, f"{cell}, {_words(setting)}")
            for setting in _settings(run)
            for cell in run.cells
            if not kernels or BY_NAME[cell].kernel in kernels
            if (ratio := run.ratio(peer, cell, setting)) and ratio.native
        ]
        only = f", {' and '.join(f'k{k}' for k in kernels)}" if kernels else ", any cell"
        yield _at_least(f"{peer}{only}", bound, figures)


def _own_costs(run: Run) -> Iterator[Goal]:
    wide, narrow = (_named(kernel=k, shape=(1, 8, 512, 512)) for k in (127, 7))
    figures = [
        Figure(ours / theirs, _words(setting))
        for setting in _settings(run)
        if (ours := _seconds(run, JAXPOOL, wide, setting))
        and (theirs := _seconds(run, JAXPOOL, narrow, setting))
    ]
    yield _at_most("k127 against k7 on the same input", 3, figures)

    figures = [
        Figure(1 / ratio.value, f"{cell}, {_words(setting)}")
        for setting in _settings(run)
        if setting.direction == "backward"
        for cell in run.cells
        if BY_NAME[cell].overlaps and (ratio := run.ratio(COPY, cell, setting))
    ]
    yield _at_most("backward of overlapping windows against a copy of the input", 1.5, figures)


def _programs(run: Run) -> Iterator[Goal]:
    seconds = {
        (extra.what, extra.count_include_pad): extra.timing.median
        for extra in run.extras
        if extra.peer == JAXPOOL and extra.timing
    }
    figures = [
        Figure(seconds[what, False] / seconds[what, True], direction)
        for direction, what in COMPILE.items()
        if (what, True) in seconds
    ]
    yield _at_most("compile time excluding the padding against including it", 1.2, figures)

    def figures_of(quantity: Callable[[Cell, int, int], float]) -> list[Figure]:
        return [
            Figure(
                quantity(
                    BY_NAME[cell], found.compiled.temporary_bytes, found.compiled.largest_constant
                ),
                f"{cell}, {_words(setting)}",
            )
            for setting in _settings(run)
            for cell in run.cells
            if (found := run.find(JAXPOOL, cell, setting)) and found.compiled
        ]

    constants = figures_of(
        lambda cell, _, constant: constant / max(cell.shape[2:] + cell.output[2:])
    )
    yield _at_most("largest constant against the longest spatial axis", 1, constants)
    memory = figures_of(lambda cell, temporary, _: temporary / (4 * prod(cell.shape)))
    yield _at_most("temporary memory against a float32 copy of the input", 1, memory)


def _settings(run: Run) -> list[Setting]:
    return [setting for setting in run.settings if setting.direction in DIRECTIONS]


def _words(setting: Setting) -> str:
    return " ".join(setting)


def _named(kernel: int, shape: tuple[int, ...]) -> str:
    return next(c.name for c in CELLS if c.kernel == kernel and c.shape == shape)


def _seconds(run: Run, peer: str, cell: str, setting: Setting) -> float | None:
    found = run.find(peer, cell, setting)
    return found.timing.median if found and found.timing else None


def _mean(run: Run, peer: str, setting: Setting) -> list[Figure]:
    mean = run.mean(peer, setting)
    return [Figure(mean, "")] if mean else []


def _at_least(text: str, bound: float, figures: Iterable[Figure]) -> Goal:
    return _goal(f"{text}: at least {bound}", min, figures, lambda value: value >= bound)


def _at_most(text: str, bound: float, figures: Iterable[Figure]) -> Goal:
    # A hair more than the bound is the padding of an allocation.
    return _goal(f"{text}: at most {bound}", max, figures, lambda value: value <= 1.001 * bound)


def _goal(
    text: str,
    worst_of: Callable[[Iterable[Figure]], Figure],
    figures: Iterable[Figure],
    keeps: Callable[[float], bool],
) -> Goal:
    """Says the worst of `figures`, and how many of them keep the promise if not all do."""
    figures = list(figures)
    if not figures:
        return Goal(text, "not measured", None)
    worst = worst_of(figures)
    kept = sum(keeps(figure.value) for figure in figures)
    measured = f"{worst.value:.2f}" + (f" ({worst.where})" if worst.where else "")
    if kept < len(figures) > 1:
        measured += f"; {kept} of {len(figures)} within"
    return Goal(text, measured, kept == len(figures))
