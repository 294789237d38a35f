"""The facts that README and the pages say, each made of committed results by one function here."""

import textwrap
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

import jaxpool
from benchmarks.peers import JAXPOOL, YARDSTICK
from benchmarks.pools import DIRECTIONS, DTYPES, FIRST, LAST, Pool, in_layout
from benchmarks.tables import Table, markdown, means, number, of_kind, ratios

PEERS = {
    "torch": "PyTorch",
    "flax": "Flax",
    "keras": "Keras",
    "equinox": "Equinox",
    YARDSTICK: "`reduce_window`",
}
NAMES = {
    **{"python": "Python", "jax": "JAX", "flax": "Flax", "torch": "PyTorch", "keras": "Keras"},
    **{
        "equinox": "Equinox",
        "scipy": "SciPy",
        "opencv": "OpenCV",
        "opencv-python-headless": "OpenCV",
    },
    **{"tensorflow": "TensorFlow", "onnxruntime": "ONNX Runtime", "iree-base-compiler": "IREE"},
}
# As docs/figures/errors.py has them; told apart by people who do not tell red from green.
COLOURS = {"torch": "#1d5fa8", "flax": "#c2410c", "keras": "#7a6a00", YARDSTICK: "#6d4c9f"}
GROUPS = {
    "common pools": "is_common",
    "windows from 15x15": "is_large",
    "all, also in blocks": "all",
}
FACTS: dict[str, Callable[[], str]] = {}
table = cache(Table.load)


def fact(function: Callable[[], str]) -> Callable[[], str]:
    """Makes the function a fact of its name."""
    FACTS[function.__name__] = function
    return function


def cpu(settings: str) -> pd.DataFrame:
    """The records of the CPU under those settings."""
    records = table("cpu").records
    return records[(records["settings"] == settings) & (records["layout"] == LAST)]


def metric(name: str) -> str:
    """Of an accelerator's table, the figure that ratios are of."""
    return "cycles" if name.startswith("compiled") else "us"


def common_means(records: pd.DataFrame, metric: str) -> dict[tuple[str, str], pd.Series]:
    """The means over common pools by dtype and direction."""
    found = means(of_kind(ratios(records, metric), "is_common"), ["dtype", "direction"])
    return {key: found.loc[key] for key in [(t, d) for t in DTYPES for d in DIRECTIONS]}


def row(title: str, figures: pd.Series, peers: list[str]) -> list[str]:
    """A row of a table of ratios."""
    return [title, *(number(figures.get(peer, float("nan"))) for peer in peers)]


def cores() -> str:
    """The CPU, such as "2 cores, AMD EPYC"."""
    number, processor = table("cpu").hardware.split(" cores of an ")
    return f"{number} cores, {processor}"


def filled(*paragraphs: str) -> str:
    """Paragraphs, or the items of a list, in lines."""
    return "\n".join(
        textwrap.fill(" ".join(p.split()), 110, subsequent_indent="  " if p[0] == "-" else "")
        for p in paragraphs
    )


@fact
def why() -> str:
    """The reasons that are figures."""
    errors = table("errors").records.set_index(["peer", "dtype", "kernel", "sliding"])["error"]
    flax = errors["flax.linen.avg_pool", "bfloat16", 56, "yes"]
    large = means(of_kind(ratios(table("h100").records, "us"), "is_large")).iloc[0]
    return filled(
        "- **Sums in float32.** In bfloat16 on a CPU, Flax's averages over sliding windows of "
        f"56x56 are {flax:.0%} too small. jaxpool adds in float32 and rounds once.",
        f"- **Large windows.** On an NVIDIA H100, Flax takes {large['flax']:.0f} times as long as "
        f"jaxpool for windows of 15x15 and larger, and PyTorch {large['torch']:.0f} times.",
    )


@fact
def speed() -> str:
    """A few means, for the first page."""
    peers = ["torch", "flax", "keras"]
    rows = []
    for name, hardware in (("h100", "NVIDIA H100"), ("compiled_v5e", "TPU v5e")):
        of_pools = ratios(table(name).records, metric(name))
        for title, kind in list(GROUPS.items())[: 2 if name == "h100" else 1]:
            rows.append(row(f"{hardware}, {title}", means(of_kind(of_pools, kind)).iloc[0], peers))
    for (dtype, direction), found in common_means(cpu("defaults"), "us").items():
        rows.append(row(f"{cores()}, {dtype}, {direction}", found, peers))
    note = """The numbers are geometric means, on the H100 and the TPU over float32 and bfloat16,
        forward and backward, in both layouts. The programs for a TPU v5e were compiled and not run.
        The CPU has the default settings, and pools channels last."""
    return f"{markdown(['', *(PEERS[peer] for peer in peers)], rows)}\n\n{filled(note)}"


@fact
def common() -> str:
    """All means over common pools."""
    rows = []
    for name, hardware in (("h100", "NVIDIA H100"), ("compiled_v5e", "TPU v5e"), ("cpu", cores())):
        records = cpu("defaults") if name == "cpu" else table(name).records
        for (dtype, direction), found in common_means(records, metric(name)).items():
            rows.append(row(f"{hardware}, {dtype}, {direction}", found, [*PEERS]))
    spread = cpu("defaults")["spread"].median()
    note = f"""Times on the CPU are noisy: half the distance between the quartiles of a time is
        {spread:.0%} of it in the median."""
    return f"{markdown(['hardware, dtype, direction', *PEERS.values()], rows)}\n\n{filled(note)}"


@fact
def settings() -> str:
    """The same on the CPU with the settings, and how much faster jaxpool is by them."""
    rows = [
        row(f"{dtype}, {direction}", found, [*PEERS])
        for (dtype, direction), found in common_means(cpu("tuned"), "us").items()
    ]
    keys = ["pool", "dtype", "direction"]
    mine = [
        records[records["peer"] == JAXPOOL].set_index(keys)["us"]
        for records in (cpu("defaults"), cpu("tuned"))
    ]
    low, median, high = (mine[1] / mine[0]).quantile([0, 0.5, 1])
    note = f"""By these settings, jaxpool takes {low:.2f} to {high:.2f} of its time, and
        {median:.2f} in the median."""
    return f"{markdown([cores(), *PEERS.values()], rows)}\n\n{filled(note)}"


@fact
def slower() -> str:
    """The pools for which another library is faster, under the defaults."""
    rows = []
    sources = [(cores(), cpu("defaults")), ("NVIDIA H100", table("h100").records)]
    for hardware, records in sources:
        of_pools = ratios(records, "us").drop(columns=YARDSTICK)
        for name, found in of_pools.groupby("pool", sort=False):
            pool, least = Pool.named(name), found.min().dropna().sort_values()
            fast = [f"{NAMES[peer]} {number(r)}" for peer, r in least.items() if r < 0.945]
            if fast and not pool.block:
                shape = list(in_layout(pool.shape, LAST))
                rows.append([f"{pool.title} of {shape}", hardware, ", ".join(fast)])
    return markdown(["pool", "hardware", "least time over jaxpool's"], rows)


@fact
def groups() -> str:
    """Means over groups of pools."""
    rows = []
    for name, hardware in (("h100", "NVIDIA H100"), ("compiled_v5e", "TPU v5e")):
        of_pools = ratios(table(name).records, metric(name))
        for title, kind in GROUPS.items():
            found = means(of_kind(of_pools, kind)).iloc[0]
            rows.append(row(f"{hardware}, {title}", found, [*PEERS]))
    found = ratios(cpu("defaults"), "us").xs(("float32", "forward"), level=("dtype", "direction"))
    (large,) = found.xs("4x16x128x128 k31 s1 p15", level="pool").to_dict("records")
    note = f"""For 31x31 windows of [4, 128, 128, 16] ({cores()}, float32, forward), Flax takes
        {large["flax"]:.0f} times as long as jaxpool, PyTorch {large["torch"]:.0f} times, SciPy's
        `uniform_filter` {large["scipy"]:.0f} times, and OpenCV's `blur`
        {number(large["opencv"])} times."""
    return f"{markdown(['hardware, windows', *PEERS.values()], rows)}\n\n{filled(note)}"


@fact
def memory() -> str:
    """Temporary arrays in copies of the input, of jaxpool and Flax."""
    records, rows = cpu("defaults"), []
    found = records.set_index(["pool", "peer", "dtype", "direction"])["temporary_bytes"]
    for name in dict.fromkeys(records["pool"]):
        pool, figures = Pool.named(name), []
        for dtype in DTYPES:
            size = jnp.dtype(dtype).itemsize * jnp.prod(jnp.array(pool.shape))
            for peer in (JAXPOOL, "flax"):
                pair = (found.get((name, peer, dtype, d), float("nan")) for d in DIRECTIONS)
                figures.append(" / ".join("-" if b != b else _copies(b / size) for b in pair))
        rows.append([f"{pool.title} of {list(in_layout(pool.shape, LAST))}", *figures])
    headers = [f"{who}, {dtype}" for dtype in DTYPES for who in ("jaxpool", "Flax")]
    return markdown(["pool", *headers], rows)


def _copies(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


@fact
def tips() -> str:
    """Layouts on a GPU, and compile times."""
    mine = table("h100").records.query("peer == @JAXPOOL")
    times = mine.set_index(["pool", "dtype", "direction", "layout"])["us"].unstack("layout")
    layouts = times[FIRST] / times[LAST]
    mean = means(layouts.to_frame()).iloc[0, 0]
    seconds = cpu("defaults").query("peer in ['jaxpool', 'flax'] and pool != @LONGEST")
    found = seconds.groupby("peer")["compile_s"].quantile([0.5, 1])
    return filled(
        f"- On an NVIDIA H100, channels_first takes {layouts.min():.2f} to {layouts.max():.2f} "
        f"times as long as channels_last, and {mean:.2f} times in the mean.",
        f"- The pools of this page compile in {found['jaxpool', 0.5]:.2f} seconds in the median "
        f"and {found['jaxpool', 1]:.2f} at most, and with Flax in {found['flax', 0.5]:.2f} and "
        f"{found['flax', 1]:.2f} ({cores()}).",
    )


LONGEST = "1x8x512x512 k127 s1 p63"  # which Flax is not asked for


@fact
def additions() -> str:
    """XLA's count of operations for an output, without the division, of windows of k x k."""
    image, rows = jax.ShapeDtypeStruct((1, 4096, 4096), jnp.float32), []
    for k in (2, 3, 7, 11, 15, 31, 63, 127, 1001):
        pool = jax.jit(lambda x, k=k: jaxpool.avg_pool2d(x, k, 1, "SAME"))
        ours = int(pool.lower(image).cost_analysis()["flops"] / 4096**2 - 1)
        rows.append([str(k), str(k * k - 1), str(ours)])
    return markdown(["k", "one by one", "jaxpool"], rows)


@fact
def errors() -> str:
    """Mean relative errors in float32."""
    names = {"Flax, `lax.reduce_window`": "lax.reduce_window", "PyTorch": "PyTorch"}
    names["jaxpool"] = JAXPOOL
    kernels = (3, 14, 56, 224)
    found = table("errors").records.set_index(["dtype", "sliding", "peer", "kernel"])["error"]
    rows = [
        [title, *(f"{found['float32', 'yes', name, k]:.1e}" for k in kernels)]
        for title, name in names.items()
    ]
    return markdown(["", *(f"{k}x{k}" for k in kernels)], rows)


@fact
def exchange() -> str:
    """Collectives of pools of one array, forward / backward; numbers are collective-permutes."""
    records = table("collectives_cpu").records.query("sharded != 'rows'")
    ways = list(dict.fromkeys(records["sharded"]))
    found = records.set_index(["pool", "sharded", "direction"])["collectives"]
    rows = []
    for name in dict.fromkeys(records["pool"]):
        pairs = [[_permutes(found[name, way, d]) for d in DIRECTIONS] for way in ways]
        cells = [" / ".join(dict.fromkeys(pair)) for pair in pairs]
        rows.append([Pool.named(name).title, *cells])
    return markdown(["pool", *ways], rows)


@fact
def uneven() -> str:
    """Collectives and memory of pools whose sizes 8 devices divide, and do not."""
    records, rows = table("collectives_cpu").records.query("sharded == 'rows'"), []
    for r in records.query("direction == 'forward'").itertuples():
        pool = Pool.named(r.pool)
        held = (r.argument_bytes, r.temporary_bytes, r.result_bytes)
        sizes = f"{pool.shape[2]}, {pool.output[2]}"
        megabytes = ", ".join(f"{n / 1e6:.2f}" for n in held)
        rows.append([pool.title, str(pool.shape), sizes, r.collectives, megabytes])
    headers = ["pool", "array", "rows of input, output", "forward"]
    return markdown([*headers, "MB on a device: shard, temporary, result"], rows)


@fact
def pods() -> str:
    """Collective-permutes, kilobytes sent and megabytes held, by numbers of chips."""
    run = table("collectives_v5e")
    records = run.records.query("sharded == 'image'")
    peers, lines = list(dict.fromkeys(records["peer"])), {}
    for (name, chips, direction), found in records.groupby(
        ["pool", "chips", "direction"], sort=False
    ):
        pool, by_peer = Pool.named(name), {r.peer: r for r in found.itertuples()}
        title = pool.title
        if pool.bins:
            title = f"bins, {Fraction(pool.shape[2], pool.output[2])}".replace("/", " to ")
        cells = [_exchanged(by_peer[peer]) if peer in by_peer else "-" for peer in peers]
        lines.setdefault((f"{title}, {direction}", *cells), []).append(str(chips))
    rows = [[title, ", ".join(chips), *cells] for (title, *cells), chips in lines.items()]
    note = f"Compiled with {_listed(run.versions)}."
    return f"{markdown(['pool', 'chips', *peers], rows)}\n\n{note}"


def _permutes(collectives: str) -> str:
    return collectives.replace(" collective-permute", "").replace("none", "0")


def _exchanged(record: Any) -> str:
    sent, held = record.sent_bytes / 1e3, record.temporary_bytes / 1e6
    return f"{_permutes(record.collectives)} / {sent:.0f} / {held:.0f}"


@fact
def deploy() -> str:
    """Times in runtimes over jaxpool's, and the operators of LiteRT."""
    run = table("deploy")
    keys = ["pool", "layout", "runtime", "peer"]
    records = run.records.set_index(keys)
    columns = [("LiteRT", "by hand"), ("LiteRT", "flax"), ("ONNX Runtime", "by hand")]
    columns += [("ONNX Runtime", "flax"), ("IREE", "flax"), ("SavedModel", "flax")]

    def ratio(pool: str, layout: str, runtime: str, peer: str) -> str:
        pair = [(pool, layout, runtime, who) for who in (JAXPOOL, peer)]
        if not all(key in records.index for key in pair):
            return "-"
        mine, theirs = (records.loc[key] for key in pair)
        problem = next((r["problem"] for r in (mine, theirs) if isinstance(r["problem"], str)), "")
        return problem.split(":")[0] or number(theirs["us"] / mine["us"])

    rows = []
    for pool, layout in dict.fromkeys(zip(run.records["pool"], run.records["layout"], strict=True)):
        title = Pool.named(pool).title + (", channels first" if layout == FIRST else "")
        operators = records.loc[(pool, layout, "LiteRT", JAXPOOL), "operators"]
        rows.append([title, operators, *(ratio(pool, layout, *column) for column in columns)])
    headers = ["pool", "operators in LiteRT"]
    headers += [f"{runtime}, {peer.replace('flax', 'Flax')}" for runtime, peer in columns]
    note = filled(f"One of {run.hardware}; {_listed(run.versions)}.")
    return f"{markdown(headers, rows)}\n\n{note}"


@fact
def versions() -> str:
    """The versions behind the facts."""
    runs = {
        "times on a CPU": ["cpu"],
        "errors": ["errors"],
        "times on an H100": ["h100"],
        "programs compiled for chips": ["compiled_v5e", "compiled_h100", "collectives_v5e"],
        "exchanges on a CPU": ["collectives_cpu"],
        "times in other runtimes": ["deploy"],
    }
    rows = []
    for title, names in runs.items():
        merged = {k: v for name in names for k, v in table(name).versions.items()}
        rows.append([title, _listed(merged)])
    return markdown(["figures", "versions"], rows)


def _listed(versions: dict[str, str]) -> str:
    shown = ((name, v) for name, v in versions.items() if name != "jaxlib")  # of JAX's version
    return ", ".join(f"{NAMES.get(name.lower(), name)} {v}" for name, v in shown)


def draw(path: Path) -> None:
    """The means over common pools on the CPU as bars, under the defaults."""
    style = {"svg.fonttype": "none", "svg.hashsalt": "jaxpool", "font.family": "sans-serif"}
    style["font.sans-serif"] = ["DejaVu Sans"]
    lines: list[tuple[str, float | None, str]] = []
    for (dtype, direction), found in common_means(cpu("defaults"), "us").items():
        lines.append((f"{dtype}, {direction}", None, ""))
        shown = [peer for peer in COLOURS if peer in found]
        lines += [(PEERS[peer].strip("`"), found[peer], COLOURS[peer]) for peer in shown]
    with mpl.rc_context(style):
        figure = Figure(figsize=(5.4, 0.8 + 0.24 * len(lines)), layout="constrained")
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.set_title("jaxpool is faster →", loc="right", fontsize=11)
        for y, (_, value, colour) in enumerate(lines):
            if value:
                axes.barh(y, value - 1, left=1, color=colour)
                side = "left" if value > 1 else "right"
                offset = {"xytext": (4 if value > 1 else -4, 0), "textcoords": "offset points"}
                align = {"horizontalalignment": side, "verticalalignment": "center"}
                axes.annotate(number(value), (value, y), **offset, **align)
        axes.axvline(1, color="black", linewidth=1)
        axes.margins(x=0.15)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_yticks(range(len(lines)), [name for name, *_ in lines])
        for label, (_, value, _) in zip(axes.get_yticklabels(), lines, strict=True):
            label.set_fontweight("normal" if value else "bold")
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}x")
        axes.xaxis.set_minor_formatter("")
        axes.set_xlabel("geometric mean, jaxpool is 1x")
        axes.spines[["top", "right", "left"]].set_visible(False)
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
