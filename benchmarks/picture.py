"""The results as two pictures: bars for the common pools, and beside it a point for each cell."""

from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean
from typing import Protocol

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from benchmarks import cells
from benchmarks.compiled import cells as compiled
from benchmarks.results import Ratio, Setting

COMMON = {
    cell.name
    for module in (cells, compiled)
    for cell in module.CELLS
    if module.GROUPS["common pools"](cell)
}
ONLY_FILTER = "scipy", "opencv"  # they do too few of the common pools for a mean
SVG = {"svg.fonttype": "none", "svg.hashsalt": "jaxpool"}  # letters in the reader's font

# Told apart by shape and grey, so that the picture survives a black-and-white printer.
STYLES = {
    "flax": ("flax.linen.avg_pool", "o", "black", 46),
    "equinox": ("Equinox", "s", "white", 40),
    "keras": ("Keras", "^", "0.7", 50),
    "haiku": ("Haiku", "v", "white", 50),
    "reduce_window": ("lax.reduce_window", "D", "0.7", 36),
    "torch": ("PyTorch", "*", "black", 110),
    "scipy": ("SciPy", "P", "white", 60),
    "opencv": ("OpenCV", "X", "0.7", 60),
}
MEAN = "geometric mean"
CAPTION = (
    "Median time of each peer over jaxpool's, like with like: in the same layout, and of two "
    "layouts in the one that is better for the peer.\nPeers without a point cannot do the cell."
    " An arrow means at least. The geometric mean is over the cells that a peer can do."
)


class Run(Protocol):
    """What is drawn: ratios to jaxpool, of times or of other figures."""

    @property
    def cells(self) -> Sequence[str]:
        """The names of the cells."""

    @property
    def peers(self) -> Sequence[str]:
        """The names of the peers."""

    @property
    def settings(self) -> Sequence[Setting]:
        """The settings in which jaxpool has figures."""

    def ratio(self, peer: str, cell: str, setting: Setting) -> Ratio | None:
        """The ratio of a peer in a cell."""


def draw(run: Run, path: Path, caption: str = CAPTION, better: str = "faster") -> None:
    """Draws bars at `path`, and all cells in a file beside it: `x.svg` and `x_cells.svg`."""
    undated = {"Date": None, "Creator": None} if path.suffix == ".svg" else None
    with mpl.rc_context(SVG):
        _bars(run, better).savefig(
            path, transparent=path.suffix == ".svg", dpi=200, metadata=undated
        )
        beside = path.with_stem(f"{path.stem}_cells")
        _cells(run, caption, better).savefig(beside, dpi=110, metadata=undated)


def _bars(run: Run, better: str) -> Figure:
    """A bar for each peer and setting, in the layout that most peers have, channels_last."""
    common = [cell for cell in run.cells if cell in COMMON] or list(run.cells)
    last = [setting for setting in run.settings if setting.layout == "channels_last"]
    lines: list[tuple[str, float | None]] = []
    for setting in last or run.settings:
        lines.append((f"{setting.dtype}, {setting.direction}", None))
        for peer in run.peers:
            ratios = [run.ratio(peer, cell, setting) for cell in common]
            values = [ratio.value for ratio in ratios if ratio and ratio.native]
            if values and peer not in ONLY_FILTER:
                lines.append((STYLES[peer][0], geometric_mean(values)))
    figure = Figure(figsize=(5.4, 0.8 + 0.24 * len(lines)), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_title(f"jaxpool is {better} →", loc="right", fontsize=11)
    for y, (_, value) in enumerate(lines):
        if value:
            axes.barh(y, value - 1, left=1, color="0.35" if value > 1 else "0.7")
            side = 1 if value > 1 else -1
            axes.annotate(
                _rounded(value),
                (value, y),
                (4 * side, 0),
                textcoords="offset points",
                horizontalalignment="left" if value > 1 else "right",
                verticalalignment="center",
            )
    axes.axvline(1, color="black", linewidth=1)
    axes.margins(x=0.15)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks(range(len(lines)), [name for name, _ in lines])
    for label, (_, value) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("normal" if value else "bold")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}x")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("geometric mean, jaxpool is 1x")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _rounded(ratio: float) -> str:
    """Two digits, as the tables have it."""
    return f"{ratio:.0f}" if ratio >= 9.95 else f"{ratio:.1f}" if ratio >= 0.95 else f"{ratio:.2f}"


def _cells(run: Run, caption: str, better: str) -> Figure:
    """Forward and backward side by side, a line for each cell and dtype."""
    directions = [d for d in cells.DIRECTIONS if any(d in s for s in run.settings)]
    dtypes = list(dict.fromkeys(setting.dtype for setting in run.settings))
    lines = [(cell, dtype) for cell in (*run.cells, MEAN) for dtype in dtypes]
    height = 0.36 * len(lines) + 1.7
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)
    figure = Figure(figsize=(1.5 + 5.75 * len(directions), height), layout=layout)
    panels = figure.subplots(1, len(directions), sharex=True, sharey=True, squeeze=False)[0]
    for axes, direction in zip(panels, directions, strict=True):
        _decorate(axes, direction, better, lines, len(dtypes))
        for i, peer in enumerate(run.peers):
            offset = (i + 0.5) / len(run.peers) - 0.5
            _points(axes, run, peer, direction, lines, 0.84 * offset)
    _label(panels[0], lines, len(dtypes))
    low, high = panels[0].get_xlim()
    if high < 10 * low:  # else the powers of ten are enough
        panels[0].xaxis.set_minor_formatter(lambda x, _: f"{x:g}x" * (f"{x:e}"[0] in "235"))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=len(labels),
        columnspacing=1.4,
        handletextpad=0.1,
        frameon=False,
        fontsize=11.5,
    )
    figure.supxlabel(caption, fontsize=10.5, color="0.25")
    return figure


def _decorate(
    axes: Axes, direction: str, better: str, lines: list[tuple[str, str]], dtypes: int
) -> None:
    axes.set_title(direction, loc="left", fontsize=15, fontweight="bold")
    axes.set_title(f"jaxpool is {better} →", loc="right", fontsize=11)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}x")
    axes.grid(axis="x", color="0.85", linewidth=0.8)
    axes.set_axisbelow(True)
    for top in range(0, len(lines), 2 * dtypes):
        axes.axhspan(top - 0.5, top + dtypes - 0.5, color="0.95", zorder=0)
    for line in range(1, len(lines)):
        axes.axhline(line - 0.5, color="0.85", linewidth=0.8, zorder=0)
    axes.axhline(len(lines) - dtypes - 0.5, color="black", linewidth=0.8)
    axes.axvline(1, color="black", linewidth=1.4, zorder=1)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(lines) - 0.5, -0.5)


def _label(axes: Axes, lines: list[tuple[str, str]], dtypes: int) -> None:
    """Names the dtype of each line, and left of it the cell of each group of lines."""
    axes.set_yticks(range(len(lines)), [dtype for _, dtype in lines], fontsize=9.5, color="0.25")
    for top in range(0, len(lines), dtypes):
        shape, *window = lines[top][0].split()
        text = MEAN if lines[top][0] == MEAN else f"{shape}\n{' '.join(window)}"
        axes.annotate(
            text,
            (0, top + (dtypes - 1) / 2),
            xycoords=("axes fraction", "data"),
            xytext=(-62, 0),
            textcoords="offset points",
            horizontalalignment="right",
            verticalalignment="center",
            fontsize=10.5,
        )


def _points(
    axes: Axes,
    run: Run,
    peer: str,
    direction: str,
    lines: list[tuple[str, str]],
    offset: float,
) -> None:
    label, marker, face, size = STYLES[peer]
    found = []
    for y, (cell, dtype) in enumerate(lines):
        if cell == MEAN:
            ratios = [_favourable(run, peer, c, dtype, direction) for c in run.cells]
            values = [ratio.value for ratio in ratios if ratio]
            found += [(geometric_mean(values), y + offset)] if values else []
        elif ratio := _favourable(run, peer, cell, dtype, direction):
            found.append((ratio.value, y + offset))
            if ratio.at_least:
                axes.annotate("→", found[-1], (4.5, -4), textcoords="offset points", fontsize=10)
    axes.scatter(
        *np.reshape(found, (-1, 2)).T,
        s=size,
        marker=marker,
        facecolor=face,
        edgecolor="black",
        linewidth=0.8,
        label=label,
        zorder=2,
    )


def _favourable(run: Run, peer: str, cell: str, dtype: str, direction: str) -> Ratio | None:
    """The smallest ratio among the layouts in which like is compared with like."""
    ratios = [
        run.ratio(peer, cell, setting)
        for setting in run.settings
        if (setting.dtype, setting.direction) == (dtype, direction)
    ]
    return min((ratio for ratio in ratios if ratio and ratio.native), default=None)
