"""The costs as text: the headline, and a table for each setting; `benchmarks.gpu` has them too."""

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.compiled.chips import CHIPS
from benchmarks.compiled.compiler import Cost
from benchmarks.compiled.pools import JAXPOOL, YARDSTICK
from benchmarks.compiled.results import Run
from benchmarks.report import number, paragraphs, table

TPU = """\
A cell has megabytes that cross HBM / temporary megabytes / kernels / thousands of cycles. Cycles
are an estimate, of each kernel the largest of XLA's own, the bundles that it scheduled and the
traffic of HBM: good to some 20%, and to compare programs."""
GPU = """\
A cell has megabytes that cross HBM / temporary megabytes / kernels / millions of loads from the L1
caches / microseconds on paper: of each kernel the longer of its traffic (3.35 TB/s) and its loads
(7.4e12/s), and 2 for its launch. L2 and the tuning of kernels are left out."""


def report(run: Run) -> str:
    """The whole report of compiled programs."""
    figure = CHIPS[run.chip].figure
    parts = [
        [run.about, summary(run)],
        headline(run, f"{figure} over jaxpool's, geometric mean: above 1, jaxpool is better"),
        [
            TPU if figure == "cycles" else GPU,
            "A peer without figures cannot express the cell, or was not asked.",
        ],
        *by_setting(run, _words),
    ]
    return paragraphs(parts)


def summary(run: Run) -> str:
    """The headline of the yardstick in a sentence."""
    means = [
        f"{by_peer[YARDSTICK]:.2f} over {group}"
        for group, by_peer in run.headline.items()
        if YARDSTICK in by_peer
    ]
    figure = CHIPS[run.chip].figure.replace("microseconds", "microseconds on paper")
    return (
        f"{figure} of one float32 reduce_window over jaxpool's, geometric mean: "
        f"{', '.join(means) or 'not compiled'}."
    )


def headline(run: Run, title: str) -> list[str]:
    """A table of the means over groups of cells."""
    rows = [
        [group, *(number(by_peer[p]) if p in by_peer else "-" for p in run.peers)]
        for group, by_peer in run.headline.items()
    ]
    return table(title, run.peers, rows)


def by_setting(run: Run, words: Callable[[Any], str], unit: str = "") -> Iterator[list[str]]:
    """A table for each setting, of what `words` says of each cost; its title ends with `unit`."""
    everyone = [JAXPOOL, *run.peers]
    for setting in run.settings:
        rows = []
        for cell in run.cells:
            costs = [run.find(peer, cell, setting) for peer in everyone]
            if costs[0]:
                rows.append([cell, *(words(cost) if cost else "-" for cost in costs)])
        title = f"{setting.direction}, {setting.dtype}, {setting.layout}{unit}"
        yield table(title, everyone, rows)


def _words(cost: Cost) -> str:
    figures = [number(cost.hbm_bytes / 1e6), number(cost.temporary_bytes / 1e6), str(cost.kernels)]
    if cost.cycles is not None:
        figures.append(number(cost.cycles / 1e3))
    if cost.loads is not None and cost.microseconds is not None:
        figures += [number(cost.loads / 1e6), number(cost.microseconds)]
    return " / ".join(figures)
