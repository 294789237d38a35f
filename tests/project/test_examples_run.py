"""The examples run as a reader runs them, and give what they promise."""

import re
from pathlib import Path

import pytest
from pages import ROOT
from processes import run_python

from examples import deploy

EXAMPLES = ROOT / "examples"


@pytest.fixture
def run(tmp_path):
    """Runs an example as a script, which draws a picture of that name; returns its print-out."""

    def run_example(name, *arguments, picture=None):
        printed = run_python(EXAMPLES / name, *arguments, cwd=tmp_path)
        if picture:
            drawn = (tmp_path / picture).read_bytes()
            assert drawn.startswith(b"\x89PNG")
            width, height = (int.from_bytes(drawn[i : i + 4]) for i in (16, 20))
            assert width * height > 500_000
        return printed

    return run_example


def held_out_accuracy(printed):
    """In per cent, as the last line has it."""
    return float(re.search(r"^held-out accuracy: ([\d.]+)% \(450 images\)\n\Z", printed, re.M)[1])


@pytest.mark.slow
def test_train_digits(run):
    """97% of digits that it was not trained on, after half of its training."""
    printed = run("train_digits.py", "--epochs", "10", picture="train_digits.png")
    assert held_out_accuracy(printed) >= 97
    assert "saved train_digits.png\n" in printed


@pytest.mark.slow
def test_poolformer(run):
    """95% of digits that it was not trained on, after a third of its training."""
    pytest.importorskip("flax", "0.11")  # nnx.Optimizer.update takes the model from then on
    assert held_out_accuracy(run("poolformer.py", "--epochs", "10")) >= 95


@pytest.mark.slow
def test_downsample_photo(run):
    printed = run("downsample_photo.py", "--picture", "photo.png", picture="photo.png")
    assert "photo.png" in printed


@pytest.mark.slow
def test_masked_satellite(run):
    """The mask loses the windows that are all cloud alone, and is right about the rims."""
    printed = run("masked_satellite.py", "--picture", "clouds.png", picture="clouds.png")
    shares = re.search(r"([\d.]+)% clear, ([\d.]+)% partly cloudy, ([\d.]+)% all cloud", printed)
    clear, partly, cloud = map(float, shares.groups())
    assert clear + partly + cloud == pytest.approx(100, abs=0.2)
    row = r"^(.+?) +partly cloudy: mean error +([\d.]+|nan); all windows: ([\d.]+)% lost$"
    (zero, error_of_0, _), (nan, _, lost_by_nan), (where, error, lost) = re.findall(
        row, printed, re.MULTILINE
    )
    assert (zero, nan, where) == ("Filled with 0", "Filled with NaN", "where=~clouds")
    assert float(error_of_0) > 50
    assert float(lost_by_nan) == pytest.approx(partly + cloud, abs=0.2)
    assert float(error) < 10
    assert float(lost) == pytest.approx(cloud, abs=0.1)


@pytest.mark.slow
def test_deploy(tmp_path, monkeypatch, capsys):
    """The files are there, and their outputs are those of JAX, to the steps of int8.

    In this process, because importing TensorFlow takes longer than converting a network.
    """
    pytest.importorskip("tensorflow", reason="the runtimes are in the group deploy")
    monkeypatch.chdir(tmp_path)
    deploy.main([])
    lines = re.findall(r"^(\w+): (\S+), (?:off by )?(.+)$", capsys.readouterr().out, re.MULTILINE)
    assert tuple(target for target, *_ in lines) == deploy.TARGETS
    for target, path, away in lines:
        assert Path(path).exists()
        if target == "coreml":
            assert away == "not run here"
        else:
            assert float(away) < (0.05 if target == "int8" else 1e-5)


def test_quickstart(run):
    printed = " ".join(run("quickstart.py").split())
    for line in [
        "(32, 64, 224, 224) -> (32, 64, 112, 112) row starts = 0.50 2.50 4.50",
        "(8, 32, 32, 3) -> (8, 16, 16, 3) row starts = 0.50 2.50 4.50",
        "padding counts (16, 64, 32, 32) -> (16, 64, 32, 32) corner = 0.44",
        "does not (16, 64, 32, 32) -> (16, 64, 32, 32) corner = 1.00",
        "ceil_mode (1, 3, 7, 7) -> (1, 3, 4, 4) row = 0.50 2.50 4.50 6.00",
        "Masked (1, 3, 4, 8) -> (1, 3, 2, 4) row = 0.50 2.50 4.00 nan",
        "(1, 3, 20, 30) -> (1, 3, 7, 3) row = 4.50 14.50 24.50",
        "(1, 3, 20, 30) -> (1, 3, 1, 1) value = 14.50",
        "(16, 1280, 7, 7) -> (16, 1280) value = 3.00",
        "NNX, in a Sequential (8, 32, 32, 3) -> (8, 16, 16, 16)",
        "row = 0.25 0.25 0.25 0.25",
    ]:
        assert line in printed


def test_every_example_has_a_test():
    tests = Path(__file__).parent.glob("test_*.py")
    tested = re.findall(r'"(\w+)\.py"|import (\w+)\n', "".join(map(Path.read_text, tests)))
    on_a_page = {"halos"}  # of docs/scaling.md, which includes and runs it
    examples = {path.stem for path in EXAMPLES.glob("*.py")}
    assert examples - on_a_page <= {"".join(name) for name in tested}
