"""The costs as text: the headline, and a table for each setting."""

from benchmarks.compiled.compiler import Cost
from benchmarks.compiled.pools import JAXPOOL
from benchmarks.compiled.results import Run
from benchmarks.report import number, table
from benchmarks.results import Setting

TPU = """\
A cell has megabytes that cross HBM / temporary megabytes / kernels / thousands of cycles. Cycles
are an estimate, of each kernel the largest of XLA's own, the bundles that it scheduled and the
traffic of HBM: good to some 20%, and to compare programs."""
GPU = """\
A cell has megabytes that cross HBM / temporary megabytes / kernels / millions of loads from the L1
caches / microseconds on paper: of each kernel the longer of its traffic (3.35 TB/s) and its loads
(7.4e12/s), and 2 for its launch. L2 and the tuning of kernels are left out."""


def report(run: Run) -> str:
    """The whole report."""
    headline = [
        [group, *(number(by_peer[p]) if p in by_peer else "-" for p in run.peers)]
        for group, by_peer in run.headline.items()
    ]
    title = f"{run.figure} over jaxpool's, geometric mean: above 1, jaxpool is better"
    parts = [
        [run.about, run.summary],
        table(title, run.peers, headline),
        [
            TPU if run.figure == "cycles" else GPU,
            "A peer without figures cannot express the cell, or was not asked.",
        ],
        *(_costs(run, setting) for setting in run.settings),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _costs(run: Run, setting: Setting) -> list[str]:
    everyone = [JAXPOOL, *run.peers]
    rows = [
        [cell, *(_words(run.find(peer, cell, setting)) for peer in everyone)]
        for cell in run.cells
        if run.find(JAXPOOL, cell, setting)
    ]
    title = f"{setting.direction}, {setting.dtype}, {setting.layout}"
    return table(title, everyone, rows)


def _words(cost: Cost | None) -> str:
    if cost is None:
        return "-"
    figures = [number(cost.hbm_bytes / 1e6), number(cost.temporary_bytes / 1e6), str(cost.kernels)]
    if cost.cycles is not None:
        figures.append(number(cost.cycles / 1e3))
    if cost.loads is not None and cost.microseconds is not None:
        figures += [number(cost.loads / 1e6), number(cost.microseconds)]
    return " / ".join(figures)
