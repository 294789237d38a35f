"""The benchmark of compiled programs: what it reads off them, and what it makes of the figures."""

import json
from importlib.util import find_spec
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from pages import ROOT
from processes import run_python

from benchmarks import gpu
from benchmarks.compiled.__main__ import main
from benchmarks.compiled.cells import CELLS, QUICK, QUICK_NAMES, Cell
from benchmarks.compiled.check import difference, regressions
from benchmarks.compiled.chips import versions
from benchmarks.compiled.compiler import Cost
from benchmarks.compiled.cycles import bundles, cycles
from benchmarks.compiled.hlo import computations, kernels, shape_bytes
from benchmarks.compiled.loads import loads
from benchmarks.compiled.pools import EVERYONE, JAXPOOL
from benchmarks.compiled.programs import prepare
from benchmarks.compiled.report import report
from benchmarks.compiled.results import Key, Run
from benchmarks.results import Setting

# Of a TPU: a window that stays in VMEM, from an array that a copy brings there.
TPU = """\
HloModule jit_pool, is_scheduled=true

%fused_computation (param_0: f32[2,16,12]) -> f32[2,16,12] {
  ROOT %negate.1 = f32[2,16,12]{2,1,0:T(8,128)} negate(%param_0)
}

ENTRY %main.5 (x.1: f32[2,16,12]) -> f32[384] {
  %constant.3 = f32[]{:T(128)} constant(0)
  %x.1 = f32[2,16,12]{2,1,0:T(8,128)} parameter(0), metadata={op_name="x"}
  %copy-start = (f32[2,16,12]{2,1,0:T(8,128)S(1)}, f32[2,16,12]{2,1,0:T(8,128)}, u32[]{:S(2)}) \
copy-start(%x.1), backend_config={}
  %copy-done = f32[2,16,12]{2,1,0:T(8,128)S(1)} copy-done(%copy-start)
  %reduce_window_sum.3 = f32[2,16,12]{2,1,0:T(8,128)S(1)} reduce-window(%copy-done, %constant.3), \
window={size=1x3x1 pad=0_0x1_1x0_0}, to_apply=%region_2.3
  %loop_fusion = f32[2,16,12]{2,1,0:T(8,128)} fusion(%reduce_window_sum.3), kind=kLoop, \
calls=%fused_computation, backend_config={"window_config":{"estimated_cycles":"90",\
"iteration_bounds":["4","2"]}}
  ROOT %bitcast.1 = f32[384]{0:T(128)} bitcast(%loop_fusion)
}
"""
PADDED = 2 * 16 * 128 * 4  # the bytes of its arrays
# Of a GPU: a window of an array that is converted on the way.
GPU = """\
%fused_convert (param_0: bf16[4,8,8]) -> f32[4,6,6] {
  %param_0 = bf16[4,8,8]{2,1,0} parameter(0)
  %convert.9 = f32[4,8,8]{2,1,0} convert(%param_0)
  %constant_1 = f32[] constant(0)
  %sum.7 = f32[4,6,6]{2,1,0} reduce-window(%convert.9, %constant_1), window={size=1x3x3}
  ROOT %multiply.1 = f32[4,6,6]{2,1,0} multiply(%sum.7, %sum.7)
}

ENTRY %main.2 (x.1: bf16[4,8,8]) -> f32[4,6,6] {
  %x.1 = bf16[4,8,8]{2,1,0} parameter(0)
  %copy.1 = bf16[4,8,8]{1,2,0} copy(%x.1)
  ROOT %fusion.1 = f32[4,6,6]{2,1,0} fusion(%copy.1), kind=kLoop, calls=%fused_convert
}
"""
SCHEDULE = """\
= control target key end

     0   :  { %s1 = inlined_call_operand.vmem [shape: f32[2,16,12]] }
   0x1   :  { %s2 = smov 0 }
   0x2 LB: > { %s3 = sadd.s32 1, %s2 }
   0x3   : > { %p1 = scmp.ge.s32.totalorder %s3, 20 }
   0x4 LB: >> { %v1 = vld [vmem:[%s1] sm:$0xff] }
   0x5   :  { %v2 = vstv %s1 }
"""


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ("f32[2,16,12]{2,1,0:T(8,128)}", PADDED),
        ("f32[2,16,12]{1,2,0:T(8,128)}", 2 * 16 * 128 * 4),  # 16 to 128, 12 to 16
        ("bf16[2,16,12]{2,1,0:T(8,128)(2,1)}", PADDED // 2),
        ("f32[2,16,12]{2,1,0:T(8,128)S(1)}", 0),
        ("pred[130]{0:T(128)}", 256),
        ("f32[2,16,12]{2,1,0}", 2 * 16 * 12 * 4),
        ("f32[2,16,12]", 2 * 16 * 12 * 4),
        ("(f32[2]{0}, c64[2]{0}, u32[]{:S(2)})", 8 + 16),
        ("f32[]{:T(128)}", 4),
    ],
)
def test_bytes_of_a_shape(shape, size):
    assert shape_bytes(shape) == size


def test_kernels_and_their_bytes():
    found = {kernel.operation.name: kernel.hbm_bytes for kernel in kernels(TPU)}
    scalar = 4
    # The copy reads what it takes to VMEM; a bitcast is no kernel.
    assert found == {"copy-done": PADDED, "reduce_window_sum.3": scalar, "loop_fusion": PADDED}


def test_a_bitcast_lies_where_its_operand_does():
    after = TPU.replace("ROOT %bitcast.1", "%bitcast.1").replace(
        "bitcast(%loop_fusion)\n",
        """\
bitcast(%reduce_window_sum.3)
  ROOT %copy.9 = f32[384]{0:T(128)} copy(%bitcast.1)
""",
    )
    assert [kernel.hbm_bytes for kernel in kernels(after)][-1] == 384 * 4


def test_a_loop_is_not_taken_for_a_kernel():
    with pytest.raises(ValueError, match="cannot count what a while does"):
        list(kernels(TPU.replace("bitcast(%loop_fusion)", "while(%loop_fusion), body=%region")))


def test_bundles_of_a_loop_count_once_for_each_trip():
    lines = SCHEDULE.splitlines()
    assert bundles(lines, None) == 3 + 3 * 20
    assert bundles(lines, 5) == 3 + 3 * 5


def test_cycles_are_the_largest_estimate(tmp_path):
    (tmp_path / "17-reduce_window_sum.3-66-final_bundles.txt").write_text(SCHEDULE)
    copy, window, fusion = kernels(TPU)
    assert cycles(copy, tmp_path, bytes_per_cycle=8) == PADDED // 8
    assert cycles(window, tmp_path, bytes_per_cycle=8) == 63
    assert cycles(fusion, tmp_path, bytes_per_cycle=PADDED) == 90


def test_loads_of_a_window_are_its_taps():
    copy, fusion = (kernel.operation for kernel in kernels(GPU))
    assert loads(copy, computations(GPU)) == 4 * 8 * 8
    # The product needs the window twice, on paper.
    assert loads(fusion, computations(GPU)) == 2 * 9 * 4 * 6 * 6


def test_names_of_cells():
    assert len({cell.name for cell in CELLS}) == len(CELLS)
    assert [cell.name for cell in QUICK] == list(QUICK_NAMES)


SMALL = [
    Cell((1, 2, 8, 8), 2, 2),
    Cell((1, 2, 7, 7), 3, 2, 1),
    Cell((1, 2, 7, 7), 7, 7),
    Cell((1, 2, 7, 7), 2, 2, ceil=True),
    Cell((1, 2, 8, 8), 4, 4, masked=True),
    Cell((1, 2, 7, 7), 3, 1, 1, block="conv+pool"),
    Cell((1, 2, 8, 8), 2, 2, block="pool+conv"),
]


@pytest.mark.parametrize("cell", SMALL, ids=lambda cell: cell.name)
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_everyone_computes_the_same(cell, layout):
    generator = np.random.default_rng(0)
    setting = Setting("float32", layout, "backward" if cell.block else "forward")
    expected = None
    for name in EVERYONE:
        try:
            program = prepare(name, cell, setting)
        except ImportError:
            continue
        if program is None:
            continue
        if expected is None:
            data = jax.tree.map(lambda a: generator.random(a.shape) > 0.3, program.arguments)
            data = jax.tree.map(lambda a, b: a.astype(b.dtype), data, program.arguments)
            expected = program.function(*data)
        found = program.function(*data)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), found, expected)


VERSIONS = {"jax": "1.0", "jaxlib": "1.0", "libtpu": "0.1"}
SETTING = Setting("float32", "channels_last", "forward")


def small_run(**changes):
    """Two cells, of which one is large, with other figures for jaxpool in the first."""
    costs = {
        Key(JAXPOOL, CELLS[1].name, *SETTING): Cost(1_000_000, 0, 1, 2000)._replace(**changes),
        Key("reduce_window", CELLS[1].name, *SETTING): Cost(4_000_000, 500_000, 2, 4000),
        Key(JAXPOOL, CELLS[10].name, *SETTING): Cost(1_000_000, 1000, 3, 2000),
        Key("reduce_window", CELLS[10].name, *SETTING): Cost(1_000_000, 1000, 3, 36_000),
        Key("flax", CELLS[10].name, *SETTING): Cost(1_000_000, 1000, 3, 36_000),
    }
    return Run("v5e", VERSIONS, costs)


def test_a_run_is_read_as_it_was_written(tmp_path):
    small_run().save(tmp_path / "a.json")
    assert Run.load(tmp_path / "a.json") == small_run()
    content = json.loads((tmp_path / "a.json").read_text())
    assert "compiled for one TPU v5e, not run on it" in content["about"]
    assert content["headline"]["all cells"]["reduce_window"] == pytest.approx(6)


def test_report():
    text = report(small_run())
    assert "compiled for one TPU v5e, not run on it (jax 1.0, jaxlib 1.0, libtpu 0.1)" in text
    assert "2.00 over common pools, 18.00 over windows from 15x15, 6.00 over all cells" in text
    line = next(line for line in text.splitlines() if line.startswith("8x64x128x128 k2 s2"))
    cells = [cell.strip() for cell in line.split("  ") if cell.strip()]
    assert cells[1:] == ["1.00 / 0.00 / 1 / 2.00", "4.00 / 0.50 / 2 / 4.00", "-"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hbm_bytes": 1_030_000}, "hbm_bytes 1000000 -> 1030000 (+3.0%)"),
        ({"temporary_bytes": 1}, "temporary_bytes 0 -> 1 (from nothing)"),
        ({"kernels": 2}, "kernels 1 -> 2 (+100.0%)"),
        ({"cycles": 2041}, "cycles 2000 -> 2041 (+2.0%)"),
    ],
)
def test_a_regression_is_found(changes, said, tmp_path, capsys):
    small_run().save(tmp_path / "old.json")
    small_run(**changes).save(tmp_path / "new.json")
    files = ["--load", str(tmp_path / "new.json"), "--check", str(tmp_path / "old.json")]
    assert main(files) == 1
    assert f"{CELLS[1].name} float32 channels_last forward: {said}" in capsys.readouterr().out


def test_what_is_no_regression():
    run = small_run(hbm_bytes=1_020_000, cycles=100)
    assert regressions(small_run(), run) == []
    del run.costs[Key(JAXPOOL, CELLS[10].name, *SETTING)]  # as with --quick
    assert regressions(small_run(), run) == []
    assert regressions(run, run) == []
    (line,) = regressions(run, small_run(hbm_bytes=1_020_000, cycles=100))
    assert line.endswith("is not among the committed results")


def test_other_versions_are_refused(tmp_path, capsys):
    small_run().save(tmp_path / "old.json")
    newer = small_run()
    newer.versions = VERSIONS | {"libtpu": "0.2"}
    newer.save(tmp_path / "new.json")
    files = ["--load", str(tmp_path / "new.json"), "--check", str(tmp_path / "old.json")]
    assert main(files) == 2
    assert "libtpu 0.1, not 0.2" in capsys.readouterr().err
    assert "of v5e, not of v6e" in difference(small_run(), "v6e", VERSIONS)


def test_mean():
    run = small_run()
    assert run.mean("reduce_window", run.settings) == pytest.approx(6)
    assert run.mean("reduce_window", [SETTING], "common pools") == pytest.approx(2)
    assert run.mean("flax", [SETTING], "common pools") is None
    assert run.mean("reduce_window", [SETTING._replace(direction="backward")]) is None


def test_times_of_any_gpu_are_kept_under_its_name(monkeypatch, tmp_path, capsys):
    def measure(_, run):
        for peer, microseconds in {JAXPOOL: 2.0, "reduce_window": 3.0}.items():
            run.costs[Key(peer, CELLS[1].name, *SETTING)] = gpu.Time(microseconds, 1)

    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "")
    monkeypatch.setattr(gpu, "measure", measure)
    device = SimpleNamespace(device_kind="NVIDIA GeForce RTX 4090")
    monkeypatch.setattr(jax, "devices", lambda _: [device])
    gpu.main(["--json", str(tmp_path / "a.json")])
    printed = capsys.readouterr().out
    assert "Times of kernels on one NVIDIA GeForce RTX 4090 (jax" in printed
    assert "2.00 / 1       3.00 / 1" in printed
    run = gpu.Times.load(tmp_path / "a.json")
    assert run.chip == "GeForce RTX 4090"
    assert run.headline["all cells"] == {"reduce_window": pytest.approx(1.5)}
    gpu.main(["--load", str(tmp_path / "a.json"), "--json", str(tmp_path / "b.json")])
    assert capsys.readouterr().out == printed
    assert (tmp_path / "b.json").read_text() == (tmp_path / "a.json").read_text()


needs_compilers = pytest.mark.skipif(
    find_spec("libtpu") is None, reason="libtpu, of the extra `compilers`, is not installed"
)


def benchmark(*options):
    """What the benchmark prints."""
    return run_python("-m", "benchmarks.compiled", *options, cwd=ROOT)


@needs_compilers
@pytest.mark.slow
@pytest.mark.parametrize(
    "committed",
    sorted((ROOT / "benchmarks" / "compiled" / "committed").glob("*.json")),
    ids=lambda path: path.stem,
)
def test_nothing_is_worse_than_the_committed_results(committed):
    """With the versions of the committed results, which are those that CI installs."""
    if reason := difference(Run.load(committed), committed.stem, versions(committed.stem)):
        pytest.skip(reason)
    printed = benchmark("--chip", committed.stem, "--quick", "--check", committed)
    assert "0 figures are worse" in printed
