"""The facts on the pages are those of the committed results, and these are what is found here."""

import re
import sys
from pathlib import Path

import jax
import pytest
from pages import ROOT, assert_is_chart
from processes import run_python

from benchmarks import facts, tables
from benchmarks.chips import CHIPS, missing
from benchmarks.tables import Table, pages, versions

sys.path.insert(0, str(ROOT / "docs" / "figures"))
import errors

IMAGES = ROOT / "docs" / "images"
CPU = Path("/proc/cpuinfo")
AVX_512 = CPU.exists() and "avx512f" in CPU.read_text()  # as the results have it


def test_the_pages_say_the_facts():
    tables.main(["--check"])


def test_each_fact_stands_on_a_page():
    named = [
        name for path in pages() for name in re.findall(r"<!-- facts: (\w+)", path.read_text())
    ]
    assert {*named} == {*facts.FACTS}


@pytest.mark.skipif(jax.__version_info__ < (0, 10) or not AVX_512, reason="it adds otherwise")
@pytest.mark.parametrize("library", errors.LIBRARIES, ids=lambda library: library.name)
@pytest.mark.parametrize("kernel", [2, 14, 56])
def test_errors(library, kernel):
    committed = Table.load("errors").records.query("peer == @library.name and kernel == @kernel")
    for dtype, sliding, error in committed[["dtype", "sliding", "error"]].itertuples(index=False):
        try:
            found = errors.measure(library, dtype, kernel, sliding == "yes")
        except ImportError:
            pytest.skip(f"{library.name} is not installed")
        assert found == pytest.approx(error, rel=0.2)


COUNTED = ["collectives", "far", "sent_bytes", "temporary_bytes"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "packages"),
    [
        ("collectives_cpu", ["--pools", "k2", "k3", "to60"], ("jax", "jaxlib")),
        (
            "collectives_v5e",
            ["--chip", "v5e", "--chips", "8", "--pools", "k2"],
            CHIPS["v5e"].packages,
        ),
    ],
)
def test_collectives(name, options, packages, tmp_path, monkeypatch):
    """With the versions of the committed results, which are those that CI installs."""
    committed = Table.load(name)
    if versions(packages) != committed.versions:
        pytest.skip(f"committed with {committed.versions}")
    command = ["-m", "benchmarks.collectives", *options, "--save", tmp_path / f"{name}.csv"]
    run_python(*command, cwd=ROOT)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    found = Table.load(name).records
    keys = [key for key in tables.KEYS if key in found]
    found, expected = (run.set_index(keys)[COUNTED] for run in (found, committed.records))
    assert found.to_dict("index") == expected.loc[found.index].to_dict("index")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "options", "drawn"),
    [
        ("errors.py", ["--picture", "errors.svg", "--kernels", "2"], "errors.svg"),
        ("masks.py", ["--folder", "."], "masks_sensor.svg"),
        ("recipes.py", ["--folder", "."], "recipes_borders.svg"),
    ],
)
def test_a_chart_is_drawn(script, options, drawn, tmp_path):
    run_python(ROOT / "docs" / "figures" / script, *options, cwd=tmp_path)
    assert_is_chart(tmp_path / drawn)


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.svg")), ids=lambda path: path.name)
def test_charts_are_drawn_on_nothing(path):
    """So that dark pages can invert them."""
    if path.name != "favicon.svg":
        assert_is_chart(path)


@pytest.mark.slow
@pytest.mark.parametrize("chip", ["v5e", "h100"])
def test_no_program_is_worse_than_committed(chip):
    """With the versions of the committed results, which are those that CI installs."""
    if reason := missing(chip):
        pytest.skip(reason)
    committed = Table.load(f"compiled_{chip}").versions
    if versions(CHIPS[chip].packages) != committed:
        pytest.skip(f"committed with {committed}")
    command = ["-m", "benchmarks.compiled", "--chip", chip, "--quick", "--check"]
    assert "0 figures are worse" in run_python(*command, cwd=ROOT)
