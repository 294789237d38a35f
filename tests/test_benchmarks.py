"""The benchmark runs from end to end, on the shortest way; what it measures is not judged here."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_one_cell(tmp_path):
    out, picture = tmp_path / "results.json", tmp_path / "results.png"
    options = ["--quick", "--cells", "16x1280x7x7", "--peers", "flax"]
    options += ["--seconds", "0.01", "--rounds", "1"]
    command = [sys.executable, "-m", "benchmarks", *options, "--json", out, "--picture", picture]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "16x1280x7x7" in done.stdout
    content = json.loads(out.read_text())
    timed = {(r["peer"], r["direction"]) for r in content["results"] if "timing" in r}
    assert {("jaxpool", "forward"), ("flax", "forward"), ("jaxpool", "backward")} <= timed
    assert content["goals"]
    assert picture.read_bytes().startswith(b"\x89PNG")
