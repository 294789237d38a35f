"""The examples run as a reader runs them, and give what they promise."""

import re
from pathlib import Path

import pytest
from pages import ROOT
from processes import run_python

from examples import deploy

EXAMPLES = ROOT / "examples"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("train_digits", 95), ("poolformer", 90)])
def test_training(name, least, tmp_path):
    """Reads most digits that it was not trained on, after a part of its training."""
    if name == "poolformer":
        pytest.importorskip("flax", "0.11")  # nnx.Optimizer.update takes the model from then on
    printed = run_python(EXAMPLES / f"{name}.py", "--epochs", 7, cwd=tmp_path)
    accuracy = re.search(r"^held-out accuracy: ([\d.]+)% \(450 images\)\n\Z", printed, re.MULTILINE)
    assert float(accuracy[1]) >= least
    if name == "train_digits":
        assert (tmp_path / "train_digits.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_downsample_photo(tmp_path):
    run_python(EXAMPLES / "downsample_photo.py", "--picture", "photo.png", cwd=tmp_path)
    assert (tmp_path / "photo.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_masked_satellite(tmp_path):
    """The mask loses the windows that are all cloud alone, and is right about the rims."""
    printed = run_python(EXAMPLES / "masked_satellite.py", cwd=tmp_path)
    assert (tmp_path / "masked_satellite.png").read_bytes().startswith(b"\x89PNG")
    partly, cloud = map(float, re.search(r"([\d.]+)% partly.* ([\d.]+)% all", printed).groups())
    row = r"^(.+?) +partly cloudy: mean error +([\d.]+|nan); all windows: ([\d.]+)% lost$"
    found = {way: [*map(float, n)] for way, *n in re.findall(row, printed, re.MULTILINE)}
    assert found["Filled with 0"][0] > 50
    assert found["Filled with NaN"][1] == pytest.approx(partly + cloud, abs=0.2)
    assert found["where=~clouds"][0] < 10
    assert found["where=~clouds"][1] == pytest.approx(cloud, abs=0.1)


@pytest.mark.slow
def test_deploy(tmp_path, monkeypatch, capsys):
    """The files are there, and their outputs are those of JAX, to the steps of int8."""
    pytest.importorskip("tensorflow", reason="the runtimes are in the group deploy")
    monkeypatch.chdir(tmp_path)
    deploy.main([])
    lines = re.findall(r"^(\w+): (\S+), (?:off by )?(.+)$", capsys.readouterr().out, re.MULTILINE)
    assert [target for target, *_ in lines] == [*deploy.TARGETS]
    for target, path, away in lines:
        assert Path(path).exists()
        away = "0" if (target, away) == ("coreml", "not run here") else away
        assert float(away) < (0.05 if target == "int8" else 1e-5)


def test_quickstart():
    printed = " ".join(run_python(EXAMPLES / "quickstart.py").split())
    for line in [
        "does not (16, 64, 32, 32) -> (16, 64, 32, 32) corner = 1.00",
        "ceil_mode (1, 3, 7, 7) -> (1, 3, 4, 4) row = 0.50 2.50 4.50 6.00",
        "Masked (1, 3, 4, 8) -> (1, 3, 2, 4) row = 0.50 2.50 4.00 nan",
        "(1, 3, 20, 30) -> (1, 3, 7, 3) row = 4.50 14.50 24.50",
        "NNX, in a Sequential (8, 32, 32, 3) -> (8, 16, 16, 16)",
        "row = 0.25 0.25 0.25 0.25",
    ]:
        assert line in printed
