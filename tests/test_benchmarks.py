"""The benchmark runs from end to end, on the shortest way; what it measures is not judged here."""

import json
from pathlib import Path

from processes import run_python

ROOT = Path(__file__).parent.parent


def test_one_cell(tmp_path):
    out, picture = tmp_path / "results.json", tmp_path / "results.png"
    options = ["--quick", "--cells", "16x1280x7x7", "--peers", "flax"]
    options += ["--seconds", "0.01", "--rounds", "1"]
    options += ["--json", out, "--picture", picture]
    assert "16x1280x7x7" in run_python("-m", "benchmarks", *options, cwd=ROOT)
    content = json.loads(out.read_text())
    timed = {(r["peer"], r["direction"]) for r in content["results"] if "timing" in r}
    assert {("jaxpool", "forward"), ("flax", "forward"), ("jaxpool", "backward")} <= timed
    assert content["goals"]
    assert picture.read_bytes().startswith(b"\x89PNG")
