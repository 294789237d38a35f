"""All libraries of the benchmarks compute the same, and the commands run."""

import pandas as pd
import pytest
from pages import ROOT
from processes import run_python

from benchmarks import compiled, cpu, measure, tables
from benchmarks.peers import IN_JAX, JAXPOOL, OTHERS
from benchmarks.pools import DIRECTIONS, LAYOUTS, Case, Pool, pools
from benchmarks.tables import Table

SMALL = pools("""
    2x3x8x8: k2 s2, k3 s1 p1, k5 s1 p2, to4, k4 s4 masked
    2x3x7x7: k3 s2 p1, k3 s2 p1 excl, k2 s2 excl ceil, k3 s1 p1 conv+pool, k2 s2 pool+conv
    2x3x9: k3 s1 p1
""")


@pytest.mark.parametrize("pool", SMALL, ids=str)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_everyone_computes_the_same(pool, direction):
    cases = [Case(pool, "float32", layout, direction) for layout in LAYOUTS]
    clocks = (cpu.clocks(case, [*IN_JAX, *OTHERS]) for case in cases)
    records = [record for each in clocks for record in measure.compare(each, seconds=0)]
    assert len({record["peer"] for record in records}) > 1
    assert max(record["apart"] for record in records) < 1e-4


def test_a_name_is_read():
    pool = Pool("2x3x9x8 k3 s2 p1 d2 excl ceil masked pool+conv")
    assert (pool.shape, pool.kernel, pool.stride, pool.padding) == ((2, 3, 9, 8), 3, 2, 1)
    assert (pool.dilation, pool.counts, pool.ceil, pool.masked) == (2, False, True, True)
    window = "3x3, stride 2, dilation 2, padding 1 not counted"
    assert pool.as_title == f"{window}, `ceil_mode`, masked, pool+conv"
    assert (Pool("2x3x9x8 to6").bins, Pool("2x3x9x8 to6x4").bins) == ((6, 6), (6, 4))


def test_the_cpu_is_timed_under_both_settings(tmp_path, monkeypatch):
    options = ["--pools", "16x1280x7x7", "--peers", "flax", "--seconds", "0.01"]
    said = run_python("-m", "benchmarks.cpu", *options, "--save", tmp_path / "cpu.csv", cwd=ROOT)
    assert "These differ from jaxpool: none" in said
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    records = Table.load("cpu").records
    keys = records.groupby(["peer", "dtype", "direction", "settings"])
    assert len(keys) == len(records) == 2 * 2 * 2 * 2
    assert (records["us"] > 0).all()


def small_run(**changes):
    """Two pools, of which one is large, with other figures for jaxpool in the first."""
    pools = ["8x64x128x128 k2 s2"] * 2 + ["4x16x128x128 k31 s1 p15"] * 2
    run = pd.DataFrame({"peer": [JAXPOOL, "flax"] * 2, "pool": pools}).assign(
        **{"dtype": "float32", "layout": "channels_last", "direction": "forward"},
        **{"hbm_bytes": 1_000_000, "temporary_bytes": 0, "cycles": [2000, 4000, 2000, 36_000]},
    )
    run.loc[0, [*changes]] = [*changes.values()]
    return run


def test_means():
    found = tables.ratios(small_run(), "cycles")
    assert tables.means(found)["flax"].item() == pytest.approx(6)
    assert tables.means(found, kind="is_common")["flax"].item() == pytest.approx(2)
    by_dtype = tables.means(found, ["dtype"], "is_large")
    assert by_dtype.loc["float32", "flax"] == pytest.approx(18)


@pytest.mark.parametrize(
    ("metric", "was", "worse"), [("hbm_bytes", 1_000_000, 1_030_000), ("cycles", 2000, 2041)]
)
def test_a_regression_is_found(metric, was, worse):
    run = small_run()
    (line,) = compiled.regressions(run, small_run(**{metric: worse}))
    found = f"{metric} {was} -> {worse}"
    assert line == f"8x64x128x128 k2 s2 float32 channels_last forward: {found}"
    assert "nan -> 2000" in compiled.regressions(run[2:], run)[-1]  # it is new
    assert compiled.regressions(run, small_run(hbm_bytes=1_020_000, cycles=100)[:1]) == []


def test_noise_is_said(capsys):
    records = small_run().assign(spread=[0.01, 0.02, 0.03, 0.5])
    Table("a chip", {}, records).report("cycles", None)
    assert capsys.readouterr().err.startswith("1 of 4 times are noisy")
