"""Numbers on the pages, measured again, are those that the pages say."""

import json
import re
import sys
from itertools import product
from pathlib import Path
from statistics import geometric_mean

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pages import PAGES, ROOT, assert_is_chart, words
from processes import run_python

import jaxpool
from benchmarks.__main__ import parse
from benchmarks.cells import CELLS, DIRECTIONS, DTYPES, LAYOUTS
from benchmarks.compiled.results import Run
from benchmarks.gpu import Times
from benchmarks.results import Run as CpuRun
from benchmarks.results import Setting

FIGURES = ROOT / "docs" / "figures"
PEERS = ("flax", "reduce_window", "equinox", "keras", "torch")
NUMERICS, PERFORMANCE, DESIGN, MASKS = (
    f"docs/{page}.md" for page in ("numerics", "performance", "design", "masks")
)
RESULTS = ROOT / "benchmarks" / "results"
COMMITTED = ROOT / "benchmarks" / "compiled" / "committed"
FORWARD = Setting("float32", "channels_last", "forward")
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
    assert "84%" in words("docs/index.md")
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
    _, table = PAGES[DESIGN].split("| k | one by one | jaxpool |")
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
    page = set(re.findall(r"`(--[a-z]+)", PAGES[DESIGN]))
    assert page == options - {"--help"}


@pytest.mark.parametrize("page", [PERFORMANCE, "README.md"])
def test_means_are_the_committed_ones(page):
    """All of them on the page on performance; the README may say fewer."""
    runs = {
        "NVIDIA H100": Times.load(RESULTS / "h100.json"),
        "TPU v5e": Run.load(COMMITTED / "v5e.json"),
        "2 CPU cores": CpuRun.load(RESULTS / "cpu.json"),
    }
    rows = re.findall(r"^\| (\S.+), (\w+), (\w+ward) \| (.+) \|$", PAGES[page], re.M)
    assert len(rows) == 4 * len(runs) or page != PERFORMANCE
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
    """Draw them anew when the results change: see `--picture` in docs/design.md."""
    run = CpuRun.load(RESULTS / "cpu.json")
    drawn = (ROOT / "docs" / "images" / "benchmark.svg").read_text()
    settings = [s for s in run.settings if s.layout == "channels_last"]
    peers = [peer for peer in run.peers if peer in PEERS]
    means = [mean(run, peer, s.dtype, s.direction) for s, peer in product(settings, peers)]
    assert re.findall(r">([\d.]+)</text>", drawn) == [value for value in means if value != "-"]


def test_means_over_groups_of_cells_are_the_committed_ones():
    runs = {
        "NVIDIA H100": Times.load(RESULTS / "h100.json"),
        "TPU v5e": Run.load(COMMITTED / "v5e.json"),
    }
    _, page = PAGES[PERFORMANCE].split("| hardware, windows |")
    rows = re.findall(r"^\| (\w+ \w+), (.+?) \| (.+) \|$", page.split("\n\n")[0], re.M)
    groups = {name: [group for of, group, _ in rows if of == name] for name in runs}
    for name, run in runs.items():
        headline = {
            group.replace("cells", f"{len(run.cells)} cases"): run.headline[group]
            for group in run.headline
        }
        assert sorted(groups[name]) == sorted(headline)
        for of, group, row in rows:
            if of == name:
                means = headline[group]
                assert row.split(" | ") == [f"{means[p]:.2f}" if p in means else "-" for p in PEERS]


def test_ratios_are_those_of_the_source():
    """What the page says of why a sum is lowered so stands in the comments of _plan.py."""
    source = (ROOT / "jaxpool" / "_plan.py").read_text()
    ratios = re.findall(r"\b[\d.]+x(?= (?:as|for|to)\b|\))", PAGES[DESIGN])
    assert len(ratios) >= 9
    for ratio in ratios:
        assert re.search(rf"\b{re.escape(ratio)}\b", source), ratio


def test_memory_is_that_of_the_results():
    """The temporary bytes over those of the input, forward and backward."""
    run = CpuRun.load(RESULTS / "cpu.json")
    _, page = PAGES[PERFORMANCE].split("| pool | jaxpool, float32 | Flax, float32 |")
    rows = re.findall(r"^\| (\d+)x.* of \[(.+)\] \| (.+) \|$", page.split("\n\n")[0], re.M)
    assert len(rows) == 5
    for kernel, sizes, row in rows:
        batch, *spatial, channels = map(int, sizes.split(", "))
        shape = batch, channels, *spatial
        (cell,) = (cell for cell in CELLS if (cell.kernel, cell.shape) == (int(kernel), shape))

        def copies(peer, dtype, direction, cell=cell):
            compiled = run.find(
                peer, cell.name, Setting(dtype, "channels_last", direction)
            ).compiled
            size = np.prod(cell.shape) * jnp.dtype(dtype).itemsize
            return f"{compiled.temporary_bytes / size:.2f}".rstrip("0").rstrip(".")

        found = [
            " / ".join(copies(peer, dtype, direction) for direction in DIRECTIONS)
            for dtype, peer in product(DTYPES, ("jaxpool", "flax"))
        ]
        assert row.split(" | ") == found


def test_layouts_on_the_h100():
    run = Times.load(RESULTS / "h100.json")
    ratios = []
    for cell, dtype, direction in product(run.cells, DTYPES, DIRECTIONS):
        first, last = (
            run.find("jaxpool", cell, Setting(dtype, layout, direction)) for layout in LAYOUTS
        )
        ratios.append(first.figure / last.figure)
    low, high, middle = min(ratios), max(ratios), geometric_mean(ratios)
    said = (
        f"takes {low:.2f} to {high:.2f} times as long as channels_last, and {middle:.2f} times on"
    )
    assert said in words(PERFORMANCE)


def test_goals_are_those_of_the_results():
    goals = json.loads((RESULTS / "cpu.json").read_text())["goals"]
    met, missed, other = ([g for g in goals if g["met"] is kind] for kind in (True, False, None))
    page = words(DESIGN)
    said = (
        f"{len(met)} of {len(goals)} goals are met, {len(missed)} are missed, and {len(other)} was"
    )
    assert said in page
    _, items = PAGES[DESIGN].split("These are missed:\n\n")
    assert items.split("\n\n")[0].count("\n- ") + 1 == len(missed)
    for goal in missed:  # how many of how many, or the figure itself
        within = re.search(r"(\d+ of \d+) within", goal["measured"])
        figure = (
            within[1] if within and "compile" not in goal["text"] else goal["measured"].split()[0]
        )
        assert figure in page or f"{float(figure):.0f}." in page, goal


def test_compile_times_are_the_committed_ones():
    run = CpuRun.load(RESULTS / "cpu.json")
    seconds = {
        extra.peer: extra.timing.median
        for extra in run.extras
        if extra.what == "compile forward" and not extra.count_include_pad
    }
    said = "3x3 windows of 1024x1024 compile in {:.2f} seconds, and with Flax in {:.2f} (2 cores"
    assert said.format(seconds["jaxpool"], seconds["flax"]) in words(PERFORMANCE)


def test_versions_are_those_of_the_results():
    cpu = CpuRun.load(RESULTS / "cpu.json").environment
    h100 = Times.load(RESULTS / "h100.json").versions
    names = {"JAX": "jax", "Flax": "flax", "Equinox": "equinox", "Keras": "keras"}
    names |= {"PyTorch": "torch", "SciPy": "scipy", "OpenCV": "opencv-python-headless"}
    for row, versions in (
        ("times, memory and exchanges on a CPU", cpu),
        ("times on an H100", h100),
    ):
        (said,) = re.findall(rf"^\| {row} \| (.+) \|$", PAGES[PERFORMANCE], re.MULTILINE)
        for name, version in re.findall(r"(\w+) ([\d.]+)", said):
            assert name not in names or versions[names[name]].startswith(version), name


@pytest.mark.parametrize("kernel", [3, 9, 56])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_constant_mask_gives_the_bits_of_an_argument(kernel, dtype):
    x = jnp.asarray(np.random.default_rng(0).random((3, 4, 56, 56)), dtype)
    mask = np.random.default_rng(1).random((56, 56)) < 0.8

    def pool(x, where):
        return jaxpool.avg_pool2d(x, kernel, 1, kernel // 2 if kernel < 56 else 0, where=where)

    expected = jax.jit(pool)(x, mask)
    found = jax.jit(lambda x: pool(x, mask))(x)
    assert np.asarray(found).tobytes() == np.asarray(expected).tobytes()


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


@pytest.mark.parametrize("name", [PERFORMANCE, "README.md"])
def test_large_windows_are_as_much_faster_as_committed(name):
    """On the page on performance; the README may say it."""
    run = CpuRun.load(RESULTS / "cpu.json")
    flax, torch = (
        run.ratio(p, "4x16x128x128 k31 s1 p15", FORWARD).value for p in ("flax", "torch")
    )
    found = re.findall(
        r"is (\d+) times as fast as .*?Flax.*? (\d+) times as fast as .*?Py", words(name)
    )
    assert set(found) <= {(f"{flax:.0f}", f"{torch:.0f}")}
    assert found or name != PERFORMANCE
    large = Times.load(RESULTS / "h100.json").headline["windows from 15x15"]
    means = re.findall(r"on the H100 is (\d+) against Flax and (\d+) against PyTorch", words(name))
    assert set(means) <= {(f"{large['flax']:.0f}", f"{large['torch']:.0f}")}


def test_single_figures_are_the_committed_ones():
    run, page = CpuRun.load(RESULTS / "cpu.json"), words(PERFORMANCE)
    defaults = CpuRun(run.environment, run.with_defaults)

    def ratio(peer, cell, dtype="float32"):
        return run.ratio(peer, cell, FORWARD._replace(dtype=dtype)).value

    def medians(which, cell, unit, peers):
        return [which.find(peer, cell, FORWARD).timing.median / unit for peer in peers]

    k31, k127 = "4x16x128x128 k31 s1 p15", "1x8x512x512 k127 s1 p63"
    assert f"takes {ratio('scipy', k31):.1f} times as long as jaxpool for 31x31" in page
    blur = f"{ratio('opencv', k31):.2f} times as long as jaxpool for 31x31 windows and "
    assert f"{blur}{ratio('opencv', k127):.2f} times for 127x127" in page

    small = "16x1280x7x7 k7 s7"
    torch = sorted(f"{ratio('torch', small, dtype):.2f}" for dtype in DTYPES)
    assert f"PyTorch takes {' to '.join(torch)} times as long as jaxpool" in page
    others = {f"{ratio(peer, small):.2f}" for peer in ("flax", "keras")}
    assert {f"Flax and Keras take {one} times as long in float32" in page for one in others} == {
        True
    }

    three, peers = "32x128x56x56 k3 s1 p1", ("jaxpool", "flax", "torch")
    took = [f"{value:.1f}" for value in medians(defaults, three, 1e-3, peers)]
    assert "took {} ms with jaxpool, {} ms with Flax and {} ms with".format(*took) in page
    took = [f"{value:.1f}" for value in medians(run, three, 1e-3, peers)]
    assert "it took {}, {} and {} ms".format(*took) in page
    seven = "32x512x7x7 k7 s7"
    took = [
        f"{value:.0f}"
        for peer in peers
        for which in (defaults, run)
        for value in medians(which, seven, 1e-6, [peer])
    ]
    said = "{} µs instead of {} with jaxpool, and {} instead of {} with Flax; PyTorch took {} "
    assert said.format(*took) in page

    h100 = Times.load(RESULTS / "h100.json")
    asked = product(h100.peers, h100.cells, h100.settings)
    worst = min(ratio.value for ask in asked if (ratio := h100.ratio(*ask)))
    assert f"jaxpool takes {1 / worst:.1f} times as long as Keras" in page
