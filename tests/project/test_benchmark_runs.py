"""The benchmark runs from end to end, on the shortest way; what it measures is not judged here."""

import json

import pytest
from cases import slow
from pages import ROOT
from processes import run_python

from benchmarks import __main__ as cpu
from benchmarks import deploy, gpu
from benchmarks.compiled import __main__ as compiled


@pytest.mark.parametrize("dtypes", [["float32"], *slow(["float32", "bfloat16"])])
def test_one_cell(tmp_path, dtypes):
    out, picture = tmp_path / "results.json", tmp_path / "results.png"
    options = ["--quick", "--cells", "16x1280x7x7", "--peers", "flax", "--dtypes", *dtypes]
    options += ["--seconds", "0.01", "--rounds", "1"]
    options += ["--json", out, "--picture", picture]
    assert "16x1280x7x7" in run_python("-m", "benchmarks", *options, cwd=ROOT)
    content = json.loads(out.read_text())
    timed = {(r["peer"], r["direction"]) for r in content["results"] if "timing" in r}
    assert {("jaxpool", "forward"), ("flax", "forward"), ("jaxpool", "backward")} <= timed
    assert {r["dtype"] for r in content["results"]} == set(dtypes)
    assert content["goals"]
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("benchmark", [cpu, compiled, gpu], ids=["cpu", "compiled", "gpu"])
def test_a_word_that_no_cell_has(benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(["--cells", "k1000"])
    said = capsys.readouterr().err
    assert "--cells: no cell has such a word in its name" in said
    assert f"\n  {benchmark.CELLS[0].name}\n" in said
    chosen = benchmark.parse(["--cells", "k3", "1x8x512x512 *"]).cells
    assert {cell.kernel for cell in chosen} >= {3, 127}


def test_the_table_of_runtimes_is_that_of_the_results():
    results, page = ROOT / "benchmarks/results/deploy.json", ROOT / "docs/deploy.md"
    deploy.main(["--load", str(results), "--write", str(page), "--check"])
