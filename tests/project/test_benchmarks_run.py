"""The commands of benchmarks/ run, on the shortest way; no test judges what they measure."""

import jax
import numpy as np
import pandas as pd
import pytest
from pages import ROOT
from processes import run_python

from benchmarks import compiled, cpu, measure, tables
from benchmarks.peers import FILTERS, IN_JAX, JAXPOOL, TORCH, torch
from benchmarks.pools import ACCELERATOR, CPU, DEPLOYED, DIRECTIONS, LAYOUTS, Pool
from benchmarks.programs import prepare
from benchmarks.tables import Table

SMALL = [
    Pool((1, 2, 8, 8), 2, 2),
    Pool((1, 2, 7, 7), 3, 2, 1),
    Pool((1, 2, 7, 7), 3, 2, 1, counts=False),
    Pool((1, 2, 7, 7), 2, 2, counts=False, ceil=True),
    Pool((1, 2, 7, 7), 3, 1, dilation=2),
    Pool((1, 2, 8, 8), bins=4),
    Pool((1, 2, 8, 8), 4, 4, masked=True),
    Pool((1, 2, 9), 3, 1, 1),
    Pool((1, 2, 7, 7), 3, 1, 1, block="conv+pool"),
    Pool((1, 2, 8, 8), 2, 2, block="pool+conv"),
]


@pytest.mark.parametrize("pool", SMALL, ids=lambda pool: pool.name)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_everyone_computes_the_same(pool, layout):
    direction, expected = "backward" if pool.block else "forward", None
    for peer in IN_JAX:
        if program := prepare(peer, pool, "float32", layout, direction):
            found = program.function(*program.draw())
            expected = found if expected is None else expected
            np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_filters_compute_the_same():
    pool = Pool((2, 3, 9, 9), 5, 1, 2)
    for layout in LAYOUTS:
        program = prepare(JAXPOOL, pool, "float32", layout, "forward")
        for peer in FILTERS:
            try:
                call = FILTERS[peer](pool, layout)
            except ImportError:
                continue
            np.testing.assert_allclose(call(), program.function(*program.draw()), rtol=1e-4)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pytorch_computes_the_same(layout, direction):
    pytest.importorskip("torch")
    for pool in (Pool((2, 3, 7, 7), 3, 2, 1, counts=False), Pool((2, 3, 8, 8), bins=4)):
        program = prepare(JAXPOOL, pool, "float32", layout, direction)
        expected = cpu.image(program.function(*program.draw()), JAXPOOL, layout)
        found = torch(pool, "float32", layout, direction, "cpu")()
        np.testing.assert_allclose(cpu.image(found, TORCH, layout), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "pool", dict.fromkeys([*CPU, *ACCELERATOR, *DEPLOYED, *SMALL]), ids=lambda pool: pool.name
)
def test_names_are_read(pool):
    assert Pool.named(pool.name) == pool


def test_the_cpu_is_timed_under_both_settings(tmp_path, monkeypatch):
    path = tmp_path / "cpu.csv"
    options = ["--pools", "16x1280x7x7", "--peers", "flax", "--dtypes", "float32"]
    options += ["--seconds", "0.01", "--save", path]
    assert "above 1, jaxpool is faster" in run_python("-m", "benchmarks.cpu", *options, cwd=ROOT)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    run = Table.load("cpu")
    assert run.versions["jax"] == jax.__version__
    found = run.records.groupby(["peer", "direction", "settings"])["us"].count()
    assert len(found) == 2 * 2 * 2
    assert (run.records["us"] > 0).all()
    assert (run.records["apart"] < 1e-5).all()


def test_a_word_that_no_pool_has(capsys):
    with pytest.raises(SystemExit):
        compiled.main(["--pools", "k1000"])
    said = capsys.readouterr().err
    assert f"no pool has the word k1000 in its name. They are {ACCELERATOR[0].name}," in said


def test_a_table_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    records = pd.DataFrame(
        {"peer": ["b", "a"], "pool": ["k2", "k2"], "bytes": [146800644, 3], "us": [0.1234, None]}
    )
    Table("a chip", {"jax": "1.0"}, records).save(tmp_path / "x.csv")
    found = Table.load("x")
    assert (found.hardware, found.versions) == ("a chip", {"jax": "1.0"})
    pd.testing.assert_frame_equal(found.records, records, check_names=False)


def small_run(**changes):
    """Two pools, of which one is large, with other figures for jaxpool in the first."""
    common, large = "8x64x128x128 k2 s2", "4x16x128x128 k31 s1 p15"
    key = {"dtype": "float32", "layout": "channels_last", "direction": "forward"}
    mine = {"hbm_bytes": 1_000_000, "temporary_bytes": 0, "kernels": 1, "cycles": 2000}
    rows = [
        {"peer": JAXPOOL, "pool": common} | key | mine | changes,
        {"peer": "flax", "pool": common} | key | mine | {"cycles": 4000},
        {"peer": JAXPOOL, "pool": large} | key | mine,
        {"peer": "flax", "pool": large} | key | mine | {"cycles": 36_000},
    ]
    return pd.DataFrame(rows)


def test_means():
    found = tables.ratios(small_run(), "cycles")
    assert tables.means(found)["flax"].item() == pytest.approx(6)
    assert tables.means(tables.of_kind(found, "is_common"))["flax"].item() == pytest.approx(2)
    by_dtype = tables.means(tables.of_kind(found, "is_large"), ["dtype"])
    assert by_dtype.loc["float32", "flax"] == pytest.approx(18)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hbm_bytes": 1_030_000}, "hbm_bytes 1000000 -> 1030000"),
        ({"temporary_bytes": 1}, "temporary_bytes 0 -> 1"),
        ({"kernels": 2}, "kernels 1 -> 2"),
        ({"cycles": 2041}, "cycles 2000 -> 2041"),
    ],
)
def test_a_regression_is_found(changes, said):
    (line,) = compiled.regressions(small_run(), small_run(**changes))
    assert line == f"8x64x128x128 k2 s2 float32 channels_last forward: {said}"


def test_what_is_no_regression():
    run = small_run()
    better = small_run(hbm_bytes=1_020_000, cycles=100)
    assert compiled.regressions(run, better) == []
    assert compiled.regressions(run, better[:1]) == []  # as with --quick
    (line,) = compiled.regressions(run[2:], run)
    assert line.endswith("is not among the committed results")


def test_noise_is_said(capsys):
    measure.warn_of_noise({"a": 0.01, "b": 0.5})
    assert capsys.readouterr().err == "1 of 2 times are noisy:\n  b ±50%\n"


def test_a_busy_machine_is_said(capsys, monkeypatch):
    speeds = iter([10.0, 12.0, 10.0, 10.5])
    monkeypatch.setattr(measure, "_probe", lambda: next(speeds))
    for _ in range(2):
        with measure.watched():
            pass
    assert capsys.readouterr().err.count("The machine was busy") == 1


def test_a_first_image_is_the_same_in_both_layouts():
    x = np.random.default_rng(0).random((2, 3, 4, 5))
    last = cpu.image(np.moveaxis(x, 1, -1), JAXPOOL, "channels_last")
    np.testing.assert_array_equal(last, cpu.image(x, JAXPOOL, "channels_first"))


def test_facts_are_written_between_their_marks():
    block, found = "<!-- facts: {} -->\n\n{}<!-- /facts -->\n\n", {"x": "1\n2", "y": "3"}
    before, after = (
        "a\n\n" + block.format("x", x) + block.format("y", y)
        for x, y in [("", "old"), ("1\n2\n\n", "3\n\n")]
    )
    assert tables.written(before, found) == tables.written(after, found) == after
