"""Numbers on the pages, measured again, are those that the pages say."""

import re
import sys
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from pages import PAGES, README, ROOT, assert_is_chart, words
from processes import run_python

import jaxpool
from benchmarks.__main__ import parse
from benchmarks.cells import LAYOUTS
from benchmarks.compiled.results import Run
from benchmarks.gpu import Times
from benchmarks.results import Run as CpuRun
from benchmarks.results import Setting

FIGURES = ROOT / "docs" / "figures"
PEERS = ("flax", "reduce_window", "equinox", "keras", "torch")
NUMERICS, PERFORMANCE, MASKS = (f"docs/{page}.md" for page in ("numerics", "performance", "masks"))
sys.path.insert(0, str(FIGURES))
import errors  # noqa: E402

BY_NAME = {library.name: library for library in errors.LIBRARIES}
CPU = Path("/proc/cpuinfo")
AVX_512 = not CPU.exists() or "avx512f" in CPU.read_text()  # as the figures have it
old_xla = pytest.mark.skipif(jax.__version_info__ < (0, 10), reason="it adds otherwise in old JAX")


def error(name, *case):
    """What the script measures for a library; a test that needs one that is missing is skipped."""
    try:
        return errors.measure(BY_NAME[name], *case)
    except ImportError:
        pytest.skip(f"{name} is not installed")


@old_xla
@pytest.mark.parametrize(
    ("dtype", "kernel", "sliding", "said"),
    [
        ("bfloat16", 2, False, 0.002),
        ("bfloat16", 14, False, 0.011),
        ("bfloat16", 28, False, 0.35),
        ("bfloat16", 224, False, 0.50),
        ("bfloat16", 224, True, 0.99),
        ("float16", 28, False, 0.003) if AVX_512 else ("float16", 56, False, 0.0015),
        ("float16", 224, True, 0.08),
    ],
)
def test_errors_of_reduce_window_are_those_that_the_page_says(dtype, kernel, sliding, said):
    case = dtype, kernel, sliding
    measured = error("lax.reduce_window", *case)
    assert measured == pytest.approx(said, rel=0.15)
    assert error("flax.linen.avg_pool", *case) == pytest.approx(measured, rel=0.01)
    assert f" {100 * said:.2g}% " in re.sub("[,;]", " ", words(NUMERICS))


@old_xla
def test_the_error_that_the_first_page_says():
    assert "sliding windows of 56 x 56 are off by 84%" in words("docs/index.md")
    measured = error("flax.linen.avg_pool", "bfloat16", 56, True)
    assert measured == pytest.approx(0.84, rel=0.02)


@pytest.mark.parametrize(("dtype", "said"), [("bfloat16", 0.0015), ("float16", 0.00018)])
@pytest.mark.parametrize("kernel", [2, 14, 224])
def test_errors_of_jaxpool_are_those_that_the_page_says(dtype, kernel, said):
    for sliding in (False, True):
        measured = error("jaxpool", dtype, kernel, sliding)
        assert measured == pytest.approx(said, rel=0.15)
    assert f"{100 * said:.3g}%" in words(NUMERICS)


@pytest.mark.parametrize("dtype", errors.DRAWN)
def test_pytorch_agrees_with_jaxpool_in_16_bits(dtype):
    assert error("PyTorch", dtype, 14) == pytest.approx(error("jaxpool", dtype, 14), rel=0.01)


@old_xla
@pytest.mark.parametrize("label", ["Flax, `lax.reduce_window`", "PyTorch", "jaxpool"])
def test_errors_in_float32_are_those_of_the_table(label):
    (row,) = re.findall(rf"^\| {re.escape(label)} \| (.+) \|$", PAGES[NUMERICS], re.MULTILINE)
    name = "lax.reduce_window" if "Flax" in label else label
    said = dict(zip((3, 14, 56, 224), map(float, row.split(" | ")), strict=True))
    if "Flax" in label and not AVX_512:
        ((narrow, wide),) = re.findall(
            r"Flax are off by ([\d.e-]+) instead of ([\d.e-]+)\.", words(NUMERICS)
        )
        assert said[56] == float(wide)
        said[56] = float(narrow)
    for kernel, one in said.items():
        assert error(name, "float32", kernel, True) == pytest.approx(one, rel=0.2)


@pytest.mark.slow
def test_masks(tmp_path):
    """The pictures are drawn; what they show is what the page says."""
    printed = run_python(FIGURES / "masks.py", "--folder", tmp_path, cwd=tmp_path)
    assert (tmp_path / "masks_batch.webp").read_bytes()[8:12] == b"WEBP"
    assert_is_chart(tmp_path / "masks_sensor.svg")
    page = words(MASKS)

    off = {
        way: [float(n) for n in found.split(", ")]
        for way, found in re.findall(
            r"^global averages, (.+?) +off by (.+) grey levels$", printed, re.MULTILINE
        )
    }
    assert off["where=there"] == [0, 0, 0]
    first, second, third = off["padding as 0"]
    assert f"off by {first}, {second} and {third} grey levels" in page

    found = re.findall(
        r"^daily averages, (.+?) +off by ([\d.]+) degrees, (\d+)% lost$", printed, re.MULTILINE
    )
    daily = {way: (float(degrees), int(lost)) for way, degrees, lost in found}
    assert f"the averages are off by {daily['missing as 0'][0]} degrees" in page
    assert f"With NaN, {daily['missing as NaN'][1]}% of them are NaN" in page
    degrees, lost = daily["where=measured"]
    assert f"off by {degrees} degrees, and {lost}% are lost" in page


def test_additions_are_those_of_the_table():
    _, table = PAGES[PERFORMANCE].split("| k | one by one | jaxpool |")
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \|$", table.split("\n\n")[0], re.M)
    assert len(rows) == 9
    for k, one_by_one, ours in (map(int, row) for row in rows):
        assert one_by_one == k * k - 1
        image = jax.ShapeDtypeStruct((1, 4096, 4096), jnp.float32)
        pooled = jax.jit(lambda x, k=k: jaxpool.avg_pool2d(x, k, 1, "SAME")).lower(image)
        assert int(pooled.cost_analysis()["flops"] / 4096**2 - 1) == ours


def test_what_the_benchmark_can_be_told(capsys):
    """Each option of the page is one, and each of the benchmark's is on the page."""
    with pytest.raises(SystemExit):
        parse(["--help"])
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out))
    page = set(re.findall(r"`(--[a-z]+)", PAGES[PERFORMANCE]))
    assert page == options - {"--help"}


def test_the_means_of_the_readme_are_the_committed_ones():
    results = ROOT / "benchmarks" / "results"
    runs = {
        "NVIDIA H100": Times.load(results / "h100.json"),
        "TPU v5e": Run.load(ROOT / "benchmarks" / "compiled" / "committed" / "v5e.json"),
        "2 CPU cores": CpuRun.load(results / "cpu.json"),
    }
    rows = re.findall(r"^\| (\S.+), (\w+), (\w+ward) \| (.+) \|$", README, re.M)
    assert len(rows) == 4 * len(runs)
    for hardware, *names, row in rows:
        means = [mean(runs[hardware], peer, *names) for peer in PEERS]
        assert row.split(" | ") == means, (hardware, *names)


def mean(run, peer, dtype, direction):
    """The mean over common pools as text, over both layouts, of the CPU channels_last."""
    if isinstance(run, CpuRun):
        value = run.mean(peer, Setting(dtype, "channels_last", direction), group="common pools")
    else:
        settings = [Setting(dtype, layout, direction) for layout in LAYOUTS]
        value = run.mean(peer, settings, group="common pools")
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.95 else f"{value:.2f}"


def test_the_bars_are_the_committed_means():
    """Draw them anew when the results change: see `--picture` in docs/performance.md."""
    run = CpuRun.load(ROOT / "benchmarks" / "results" / "cpu.json")
    drawn = (ROOT / "docs" / "images" / "benchmark.svg").read_text()
    settings = [s for s in run.settings if s.layout == "channels_last"]
    peers = [peer for peer in run.peers if peer in PEERS]
    means = [mean(run, peer, s.dtype, s.direction) for s, peer in product(settings, peers)]
    assert re.findall(r">([\d.]+)</text>", drawn) == [value for value in means if value != "-"]


def test_means_over_groups_of_cells_are_the_committed_ones():
    committed = ROOT / "benchmarks" / "compiled" / "committed" / "v5e.json"
    runs = {
        "NVIDIA H100": Times.load(ROOT / "benchmarks" / "results" / "h100.json"),
        "TPU v5e, cycles": Run.load(committed),
    }
    peers = ("reduce_window", "flax", "equinox", "keras", "torch")
    for name, run in runs.items():
        _, page = PAGES[PERFORMANCE].split(f"| {name} | one float32 `reduce_window` |")
        rows = re.findall(r"^\| (\w.+?) \| (.+) \|$", page.split("\n\n")[0], re.M)
        assert dict(rows).keys() == run.headline.keys()
        for group, row in rows:
            means = run.headline[group]
            found = [f"{means[p]:.2f}" if p in means else "-" for p in peers]
            assert row.split(" | ") == found[: len(row.split(" | "))]


def test_ratios_are_those_of_the_source():
    """What the page says of why a sum is lowered so stands in the comments of _plan.py."""
    source = (ROOT / "jaxpool" / "_plan.py").read_text()
    ratios = re.findall(r"\b[\d.]+x(?= (?:as|for|to)\b|\))", PAGES[PERFORMANCE])
    assert len(ratios) >= 9
    for ratio in ratios:
        assert re.search(rf"\b{re.escape(ratio)}\b", source), ratio


SPEED = re.compile(
    r"\b[\d.]+(x\b| times as (fast|long)| (times )?(faster|slower)\b"
    r"| ?(ms|µs|us|(micro|milli)?seconds?|minutes?)\b)"
)
HARDWARE = re.compile(r"\bH100\b|\bv5e\b|\b(2|two) (CPU )?cores\b")


@pytest.mark.parametrize("name", PAGES)
def test_a_figure_of_speed_has_its_hardware_beside_it(name):
    """In its paragraph or item of a list; that of a table may be in the words above it."""
    text = re.sub(r"^ *```.*?^ *```$", "", PAGES[name], flags=re.DOTALL | re.MULTILINE)
    paragraphs = re.split(r"\n\s*\n(?!\|)|\n(?=- )", text)
    assert [p for p in paragraphs if SPEED.search(p) and not HARDWARE.search(p)] == []


def test_single_figures_are_the_committed_ones():
    run = CpuRun.load(ROOT / "benchmarks" / "results" / "cpu.json")
    forward = Setting("float32", "channels_last", "forward")
    peers = ("flax", "torch", "scipy", "opencv")
    k31 = {p: run.ratio(p, "4x16x128x128 k31 s1 p15", forward).value for p in peers}
    said = f"{k31['flax']:.0f} times as fast as Flax's and {k31['torch']:.0f} times as fast as Py"
    assert said in words("README.md")
    page = words(PERFORMANCE)
    assert f"takes {k31['scipy']:.1f} times as long as jaxpool for 31x31" in page
    assert f"`blur` {k31['opencv']:.2f} times" in page

    defaults = CpuRun(run.environment, run.with_defaults)

    def medians(cell, unit, peers):
        both = product(peers, (defaults, run))
        return [
            f"{which.find(peer, cell, forward).timing.median / unit:.0f}" for peer, which in both
        ]

    took = medians("32x128x56x56 k3 s1 p1", 1e-3, ("jaxpool", "flax", "torch"))
    said = "{} ms instead of {} with jaxpool, {} instead of {} with Flax, and {} instead of {} with"
    assert said.format(*took) in page
    took = medians("32x512x7x7 k7 s7", 1e-6, ("jaxpool", "flax", "torch"))
    said = "{} µs instead of {} with jaxpool, and {} instead of {} with Flax; PyTorch took {} "
    assert said.format(*took) in page

    h100 = Times.load(ROOT / "benchmarks" / "results" / "h100.json")
    large = h100.headline["windows from 15x15"]
    said = f"the H100 is {large['flax']:.0f} against Flax and {large['torch']:.0f} against PyTorch"
    assert said in words("README.md")
    asked = product(h100.peers, h100.cells, h100.settings)
    worst = min(ratio.value for ask in asked if (ratio := h100.ratio(*ask)))
    assert f"In the worst cell jaxpool takes {1 / worst:.1f} times as long as Keras" in page
