"""The facts on the pages are those of the committed results, and these are what is found here."""

import sys
from pathlib import Path

import jax
import pytest
from pages import ROOT, assert_is_chart
from processes import run_python

from benchmarks import chips, tables
from benchmarks.tables import Table, versions

sys.path.insert(0, str(ROOT / "docs" / "figures"))
import errors

CPU = Path("/proc/cpuinfo")
AVX_512 = CPU.exists() and "avx512f" in CPU.read_text()  # as the results have it


def test_the_pages_say_the_facts():
    for path in tables.pages():
        page = path.read_text()
        emptied = tables.BLOCK.sub(r"\1\n\n", page)
        assert tables.written(emptied) == page == tables.written(page), path


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


def as_committed(name):
    """The committed results, whose versions CI installs."""
    committed = Table.load(name)
    if versions(committed.versions) != committed.versions:
        pytest.skip(f"committed with {committed.versions}")
    return committed.records


COLLECTIVES = {
    "collectives_cpu": ["--pools", "k2", "k3", "to60"],
    "collectives_v5e": ["--chip", "v5e", "--pools", "1x1x16384x8192 k2 s2", "8x1x4096x4096 k2 s2"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COLLECTIVES)
def test_collectives(name, tmp_path, monkeypatch):
    committed, saved = as_committed(name), ["--save", tmp_path / f"{name}.csv"]
    run_python("-m", "benchmarks.collectives", *COLLECTIVES[name], *saved, cwd=ROOT)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    found = Table.load(name).records
    assert len(found) == len(found.merge(committed))


@pytest.mark.slow
@pytest.mark.parametrize("chip", chips.CHIPS)
def test_no_program_is_worse_than_committed(chip):
    as_committed(f"compiled_{chip}")
    command = ["-m", "benchmarks.compiled", "--chip", chip, "--quick", "--check"]
    assert "0 figures are worse" in run_python(*command, cwd=ROOT)


FIGURES = {"errors": ["--kernels", "2"], "masks": ["--folder", "."], "recipes": ["--folder", "."]}


@pytest.mark.slow
@pytest.mark.parametrize("script", FIGURES)
def test_a_chart_is_drawn(script, tmp_path):
    (tmp_path / "docs" / "images").mkdir(parents=True)
    run_python(Path(errors.__file__).parent / f"{script}.py", *FIGURES[script], cwd=tmp_path)
    assert_is_chart(next(tmp_path.rglob("*.svg")))


def test_charts_are_drawn_on_nothing():
    """So that dark pages can invert them."""
    for path in {*(ROOT / "docs" / "images").glob("*.svg")} - {ROOT / "docs/images/favicon.svg"}:
        assert_is_chart(path)
