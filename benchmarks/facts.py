"""The facts that README and the pages say, each made of committed results by one function here.

It gives paragraphs, which are items if they start with "-", and tables, whose first column is
their index if that has a name.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from math import prod
from pathlib import Path
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmarks.peers import JAXPOOL, YARDSTICK
from benchmarks.pools import FIRST, LAST, Pool, in_layout
from benchmarks.tables import RESULTS, Table, means, number, ratios

Fact: TypeAlias = Iterator[pd.DataFrame | str]
PEERS = {"torch": "PyTorch", "flax": "Flax", "keras": "Keras", "equinox": "Equinox"}
PEERS |= {YARDSTICK: "`reduce_window`", "scipy": "SciPy", "opencv": "OpenCV"}
COLUMNS = [*PEERS][:5]
# As docs/figures/errors.py has them; told apart by people who do not tell red from green.
COLOURS = {"torch": "#1d5fa8", "flax": "#c2410c", "keras": "#7a6a00", YARDSTICK: "#6d4c9f"}
KINDS = {"is_common": "common pools", "is_large": "windows from 15x15", "": "all, also in blocks"}
PERMUTES = {"collectives": {" collective-permute": "", "none": "0"}}
TYPES = ["dtype", "direction"]
table = cache(Table.load)
H100, V5E, CPU = "NVIDIA H100", "TPU v5e", table("cpu").hardware


def cpu(settings: str = "defaults") -> pd.DataFrame:
    """The records of the CPU under those settings."""
    records = table("cpu").records
    return records[records["settings"] == settings]


def compared(
    hardware: str, kind: str = "is_common", by: Sequence[str] = (), settings: str = "defaults"
) -> pd.DataFrame:
    """A row for each of the keys `by`, or one: geometric means of the ratios of those pools."""
    sources = {H100: table("h100").records, V5E: table("compiled_v5e").records}
    records = sources.get(hardware, cpu(settings))
    found = ratios(records, "cycles" if "cycles" in records else "us")
    rows = means(found, by, kind)
    rows.index = [", ".join([hardware, *(key if by else [KINDS[kind]])]) for key in rows.index]
    return rows


def shown(*rows: pd.DataFrame, peers: Sequence[str] = COLUMNS, first: str = "") -> pd.DataFrame:
    """A table of what is compared."""
    columns = pd.concat(rows).reindex(columns=peers).rename(columns=PEERS)
    return columns.map(number).rename_axis(first)


def used(run: Table) -> str:
    """The versions of a run."""
    return ", ".join(f"{name} {version}" for name, version in run.versions.items())


def title(name: str) -> str:
    """A pool and its shape, channels last."""
    return f"{Pool(name).as_title} of {list(in_layout(Pool(name).shape, LAST))}"


def why() -> Fact:
    """The reasons that are figures."""
    errors = table("errors").records.set_index(["peer", "dtype", "kernel", "sliding"])["error"]
    error = errors["flax.linen.avg_pool", "bfloat16", 56, "yes"]
    large = compared(H100, "is_large").iloc[0].map(number)
    yield f"""- **Sums in float32.** In bfloat16 on a CPU, Flax's averages over sliding windows of
        56x56 are {error:.0%} too small. jaxpool adds in float32 and rounds once.
        - **Large windows.** On an {H100}, Flax takes {large["flax"]} times as long as jaxpool
        for windows of 15x15 and larger, and PyTorch {large["torch"]} times."""


def speed() -> Fact:
    """A few means, for the first page."""
    rows = compared(H100), compared(H100, "is_large"), compared(V5E), compared(CPU, by=TYPES)
    yield shown(*rows, peers=COLUMNS[:3])


def common() -> Fact:
    """All means over common pools."""
    rows = [compared(hardware, by=TYPES) for hardware in (H100, V5E, CPU)]
    yield shown(*rows, first="hardware, dtype, direction")
    yield f"""Times on the CPU are noisy: half the distance between the quartiles of a time is
        {cpu()["spread"].median():.0%} of it in the median."""


def settings() -> Fact:
    """The same on the CPU with the settings, and how much faster jaxpool is by them."""
    yield shown(compared(CPU, by=TYPES, settings="tuned"), first="hardware, dtype, direction")
    runs = (run.query("peer == @JAXPOOL") for run in (cpu(), cpu("tuned")))
    before, after = (run.set_index(["pool", *TYPES])["us"] for run in runs)
    low, median, high = (after / before).quantile([0, 0.5, 1])
    yield f"""By these settings, jaxpool takes {low:.2f} to {high:.2f} of its time, and {median:.2f}
        in the median."""


def slower() -> Fact:
    """The pools for which another library is faster, under the defaults."""
    rows = []
    for hardware, records in ((CPU, cpu()), (H100, table("h100").records)):
        found = ratios(records, "us").drop(columns=YARDSTICK).groupby("pool", sort=False).min()
        for name, least in found.iterrows():
            fast = {PEERS[peer]: r for peer, r in least.sort_values().items() if r < 0.945}
            if fast and not Pool(name).block:
                said = ", ".join(f"{peer} {number(r)}" for peer, r in fast.items())
                rows.append([title(name), hardware, said])
    yield pd.DataFrame(rows, columns=["pool", "hardware", "least time over jaxpool's"])


def groups() -> Fact:
    """Means over groups of pools."""
    rows = [compared(hardware, kind) for hardware in (H100, V5E) for kind in KINDS]
    yield shown(*rows, first="hardware, windows")
    found = ratios(cpu(), "us").query("dtype == 'float32' and direction == 'forward'")
    large = found.xs("4x16x128x128 k31 s1 p15", level="pool").iloc[0].map(number)
    yield f"""For 31x31 windows of [4, 128, 128, 16] ({CPU}, float32, forward), Flax takes
        {large["flax"]} times as long as jaxpool, PyTorch {large["torch"]} times, SciPy's
        `uniform_filter` {large["scipy"]} times, and OpenCV's `blur` {large["opencv"]} times."""


def memory() -> Fact:
    """Temporary arrays in copies of the input, of jaxpool and Flax, forward / backward."""
    records = cpu().query("peer in ['jaxpool', 'flax']")
    bits = records["dtype"].str.extract(r"(\d+)")[0].astype(int)
    sizes = records["pool"].map(lambda name: prod(Pool(name).shape)) * bits / 8
    cells = records.assign(copies=(records["temporary_bytes"] / sizes).round(2).map("{:g}".format))
    pairs = cells.groupby(["pool", "dtype", "peer"], sort=False)["copies"].agg(" / ".join)
    rows = pairs.unstack(["dtype", "peer"], sort=False).rename(index=title)
    yield rows.set_axis([f"{PEERS.get(peer, peer)}, {dtype}" for dtype, peer in rows], axis=1)


def tips() -> Fact:
    """Layouts on a GPU, and compile times."""
    mine = table("h100").records.query("peer == @JAXPOOL")
    times = mine.pivot(index=["pool", *TYPES], columns="layout", values="us")
    layouts = times[FIRST] / times[LAST]
    seconds = cpu().pivot(index=["pool", *TYPES], columns="peer", values="compile_s")
    low, high = seconds[[JAXPOOL, "flax"]].dropna().quantile([0.5, 1]).to_dict("records")
    mean = np.exp(np.log(layouts).mean())
    yield f"""- On an {H100}, channels_first takes {layouts.min():.2f} to {layouts.max():.2f}
        times as long as channels_last, and {mean:.2f} times in the mean.
        - The pools of this page compile in {low[JAXPOOL]:.2f} seconds in the median and
        {high[JAXPOOL]:.2f} at most, and with Flax in {low["flax"]:.2f} and {high["flax"]:.2f}
        ({CPU})."""


def errors() -> Fact:
    """Mean relative errors in float32."""
    found = table("errors").records.query("dtype == 'float32' and sliding == 'yes'")
    rows = found.pivot(index="peer", columns="kernel", values="error")[[3, 14, 56, 224]]
    rows = rows.map("{:.1e}".format).rename(columns=lambda k: f"{k}x{k}").rename_axis("")
    names = {"lax.reduce_window": "Flax, `lax.reduce_window`", "PyTorch": "PyTorch"}
    yield rows.loc[[*names, JAXPOOL]].rename(index=names)


def exchange() -> Fact:
    """Collectives of pools of one array, forward / backward; numbers are collective-permutes."""
    records = (
        table("collectives_cpu").records.query("sharded != 'rows'").replace(PERMUTES, regex=True)
    )
    pairs = records.groupby(["pool", "sharded"], sort=False)["collectives"]
    cells = pairs.agg(lambda pair: " / ".join(dict.fromkeys(pair)))
    yield cells.unstack(sort=False).rename(index=lambda name: Pool(name).as_title)


def uneven() -> Fact:
    """Collectives and memory of pools whose sizes 8 devices divide, and do not."""
    found = table("collectives_cpu").records.query("sharded == 'rows' and direction == 'forward'")
    pools = [Pool(name) for name in found["pool"]]
    held = found[["argument_bytes", "temporary_bytes", "result_bytes"]] / 1e6
    rows = {"pool": [pool.as_title for pool in pools], "array": [str(pool.shape) for pool in pools]}
    rows["rows of input, output"] = [f"{pool.shape[2]}, {pool.output[2]}" for pool in pools]
    rows["forward"] = found["collectives"]
    figures = held.map("{:.2f}".format).agg(", ".join, axis=1)
    yield pd.DataFrame(rows | {"MB on a device: shard, temporary, result": figures})


def pods() -> Fact:
    """Collective-permutes, kilobytes sent and megabytes held, by numbers of chips."""
    run, cells = table("collectives_v5e"), {}
    records = run.records.query("sharded == 'image'").replace(PERMUTES, regex=True)
    for r in records.itertuples():
        pool = Pool(r.pool)
        bins = pool.bins and f"bins, {Fraction(pool.shape[2], pool.bins[0])}".replace("/", " to ")
        key = f"{bins or pool.as_title}, {r.direction}", str(r.chips), r.peer
        sent, held = r.sent_bytes / 1e3, r.temporary_bytes / 1e6
        cells[key] = f"{r.collectives} / {sent:.0f} / {held:.0f}"
    rows = pd.Series(cells).rename_axis(["pool", "chips", "peer"]).unstack(sort=False).fillna("-")
    chips = rows.reset_index().groupby(["pool", *rows], sort=False)["chips"].agg(", ".join)
    yield chips.reset_index()[["pool", "chips", *rows]]
    yield f"Compiled with {used(run)}."


def deploy() -> Fact:
    """Times in runtimes over jaxpool's, and the operators of LiteRT."""
    run = table("deploy")
    found = ratios(run.records, "us")
    flax = run.records.query("peer == 'flax'").set_index(found.index.names)
    cells = found["flax"].map(number)
    cells.update(flax["problem"].dropna())
    rows = cells.unstack("runtime", sort=False)
    mine = run.records.query("runtime == 'LiteRT' and peer == @JAXPOOL").set_index("pool")
    rows.insert(0, "operators in LiteRT", mine["operators"])
    yield rows.rename(index=lambda name: Pool(name).as_title)
    masked = found["by hand"].dropna().droplevel("pool").map(number)
    said = ", ".join(f"{value} in {name}" for name, value in masked.items())
    yield f"""A division of two pools, of the valid pixels and of the mask, takes these parts of
        jaxpool's time under the mask: {said}. One of {run.hardware}; {used(run)}."""


def versions() -> Fact:
    """The hardware and the versions behind the facts."""
    runs = {path.name: table(path.stem) for path in sorted(RESULTS.glob("*.csv"))}
    rows = [[f"`{name}`", run.hardware, used(run)] for name, run in runs.items()]
    yield pd.DataFrame(rows, columns=["`benchmarks/results`", "hardware", "versions"])


def draw(path: Path) -> None:
    """The means over common pools on the CPU as bars, under the defaults."""
    style = {"svg.fonttype": "none", "svg.hashsalt": "jaxpool", "font.family": "sans-serif"}
    found = compared(CPU, by=TYPES)[[*COLOURS]].rename(columns=lambda peer: PEERS[peer].strip("`"))
    found.index = found.index.str.removeprefix(f"{CPU}, ")
    with mpl.rc_context(style | {"font.sans-serif": ["DejaVu Sans"]}):
        figure = Figure(figsize=(5.4, 5), layout="constrained")
        bars = {"left": 1, "logx": True, "width": 0.8, "color": COLOURS.values()}
        axes = (found - 1).plot.barh(ax=figure.subplots(), **bars)
        for drawn, peer in zip(axes.containers, found, strict=True):
            axes.bar_label(drawn, found[peer].map(number), padding=4)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.axvline(1, color="black", linewidth=1)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.legend(frameon=False)
        axes.set_xlabel("geometric mean: right of 1, jaxpool is faster")
        axes.xaxis.set_major_formatter("{x:g}x")
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
