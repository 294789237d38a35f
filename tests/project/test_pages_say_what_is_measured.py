"""Numbers on the pages, measured again, are those that the pages say."""

import re
import sys
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from pages import PAGES, ROOT, assert_is_chart, words
from processes import run_python

import jaxpool
from benchmarks.__main__ import parse
from benchmarks.compiled.results import Run
from benchmarks.results import Run as CpuRun
from benchmarks.results import Setting

FIGURES = ROOT / "docs" / "figures"
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
    assert "windows of 56 x 56 that slide are off by 84%" in words("docs/index.md")
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
    assert f"off by {degrees} degrees, and those {lost}% are lost" in page


def test_additions_are_those_of_the_table():
    rows = dict(re.findall(r"^\| (k|one by one|jaxpool) \| (.+) \|$", PAGES[PERFORMANCE], re.M))
    columns = [[int(n) for n in row.split(" | ")] for row in rows.values()]
    for k, one_by_one, ours in zip(*columns, strict=True):
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
    run = CpuRun.load(ROOT / "benchmarks" / "results" / "cpu.json")
    peers = {"flax.linen.avg_pool": "flax", "lax.reduce_window": "reduce_window"}
    peers |= {"Keras": "keras", "PyTorch": "torch"}
    readme = PAGES["README.md"]
    rows = re.findall(r"^\| (?:one )?`?([\w.]+)`? \| ([\d.]+ \| .*[\d.]+) \|$", readme, re.M)
    assert [name for name, _ in rows] == list(peers)
    for name, row in rows:
        for said, (dtype, direction) in zip(
            row.split(" | "), product(("float32", "bfloat16"), ("forward", "backward")), strict=True
        ):
            setting = Setting(dtype, "channels_last", direction)
            mean = run.mean(peers[name], setting, group="common pools")
            assert said == (f"{mean:.2f}" if mean < 1 else f"{mean:.2g}")


def test_means_of_compiled_programs_are_the_committed_ones():
    heads = re.findall(r"^\| (TPU v5e|H100), [^:]*: (.+?) \| (.+) \|$", PAGES[PERFORMANCE], re.M)
    committed = ROOT / "benchmarks" / "compiled" / "committed"
    runs = {"TPU v5e": "v5e.json", "H100": "h100.json"}
    headlines = {chip: Run.load(committed / name).headline for chip, name in runs.items()}
    assert len(heads) == sum(map(len, headlines.values()))
    for chip, group, row in heads:
        means = headlines[chip][group]
        peers = ("reduce_window", "flax", "equinox", "keras")
        assert row.split(" | ") == [f"{means[p]:.2f}" if p in means else "-" for p in peers]


def test_ratios_are_those_of_the_source():
    """What the page says of why a sum is lowered so stands in the comments of _plan.py."""
    source = (ROOT / "jaxpool" / "_plan.py").read_text()
    ratios = re.findall(r"\b[\d.]+x(?= (?:as|for|to)\b|\))", PAGES[PERFORMANCE])
    assert len(ratios) >= 9
    for ratio in ratios:
        assert re.search(rf"\b{re.escape(ratio)}\b", source), ratio
