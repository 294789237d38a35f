"""The examples run as a reader runs them, and give what they promise."""

import re
from importlib.util import find_spec

import pytest
from pages import FOLDER, ROOT
from processes import run_python

EXAMPLES = ROOT / "examples"
TARGETS = {  # of deploy.py, with the packages that they need
    "litert": ["tensorflow", "ai_edge_litert"],
    "int8": ["tensorflow", "ai_edge_litert"],
    "savedmodel": ["tensorflow"],
    "onnx": ["jax2onnx", "onnxruntime"],
    "openvino": ["jax2onnx", "openvino"],
    "coreml": ["coremltools", "stablehlo_coreml"],
    "iree": ["iree"],
}


def run(name, *arguments, folder):
    """What the example prints, run as a script in `folder`."""
    return run_python(EXAMPLES / name, *arguments, cwd=folder)


def assert_is_picture(path, pixels):
    assert path.read_bytes().startswith(b"\x89PNG")
    width, height = (int.from_bytes(path.read_bytes()[i : i + 4]) for i in (16, 20))
    assert width * height > pixels


def held_out_accuracy(printed):
    """In per cent, as the last line has it."""
    (accuracy,) = re.fullmatch(
        r"held-out accuracy: ([\d.]+)% \(450 images\)", printed.splitlines()[-1]
    ).groups()
    return float(accuracy)


@pytest.mark.slow
def test_train_digits(tmp_path):
    """97% of digits that it was not trained on, after half of its training."""
    printed = run("train_digits.py", "--epochs", "10", folder=tmp_path)
    assert held_out_accuracy(printed) >= 97
    assert_is_picture(tmp_path / "train_digits.png", 500_000)


@pytest.mark.slow
def test_downsample_photo(tmp_path):
    picture = tmp_path / "photo.png"
    assert str(picture) in run("downsample_photo.py", "--picture", str(picture), folder=tmp_path)
    assert_is_picture(picture, 1_000_000)


@pytest.mark.slow
def test_masked_satellite(tmp_path):
    """The mask loses the windows that are all cloud alone, and is right about the rims."""
    picture = tmp_path / "clouds.png"
    printed = run("masked_satellite.py", "--picture", str(picture), folder=tmp_path)
    kinds = re.search(r"([\d.]+)% clear, ([\d.]+)% partly cloudy, ([\d.]+)% all cloud", printed)
    clear, partly, cloud = map(float, kinds.groups())
    rows = re.findall(
        r"^(.+?) +partly cloudy: mean error +([\d.]+|nan); all windows: ([\d.]+)% lost$",
        printed,
        re.MULTILINE,
    )
    found = {way: (float(error), float(lost)) for way, error, lost in rows}
    assert list(found) == ["Filled with 0", "Filled with NaN", "where=~clouds"]
    assert clear + partly + cloud == pytest.approx(100, abs=0.2)
    assert found["Filled with 0"][0] > 50
    assert found["Filled with NaN"][1] == pytest.approx(partly + cloud, abs=0.2)
    assert found["where=~clouds"][0] < 10
    assert found["where=~clouds"][1] == pytest.approx(cloud, abs=0.1)
    assert_is_picture(picture, 1_000_000)


@pytest.mark.slow
def test_poolformer(tmp_path):
    """95% of digits that it was not trained on, after a third of its training."""
    printed = run("poolformer.py", "--epochs", "10", folder=tmp_path)
    assert held_out_accuracy(printed) >= 95


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_deploy(tmp_path, target):
    """The file is there, and its outputs are those of JAX, to the steps of int8."""
    for package in TARGETS[target]:
        if not find_spec(package):
            pytest.skip(f"{package} is not installed")
    printed = run("deploy.py", target, folder=tmp_path)
    path, away = re.search(rf"^{target}: (\S+), (.+)$", printed, re.MULTILINE).groups()
    assert (tmp_path / path).exists()
    if target == "coreml":
        assert away == "not run here"
    else:
        assert float(away.removeprefix("off by ")) < (0.05 if target == "int8" else 1e-5)


def test_quickstart(tmp_path):
    printed = run("quickstart.py", folder=tmp_path)
    for shapes in [
        r"\(32, 64, 224, 224\)\s+-> \(32, 64, 112, 112\)\s+row starts\s+=  0\.50  2\.50  4\.50",
        r"\(32, 128, 56, 56\)\s+-> \(32, 128, 56, 56\)",
        r"\(32, 512, 7, 7\)\s+-> \(32, 512, 1, 1\)\s+value\s+=  3\.00",
        r"\(16, 1280, 7, 7\)\s+-> \(16, 1280\)\s+value\s+=  3\.00",
        r"counted\s+\(16, 64, 32, 32\)\s+-> \(16, 64, 17, 17\)\s+corner\s+=  0\.25",
        r"not counted\s+\(16, 64, 32, 32\)\s+-> \(16, 64, 17, 17\)\s+corner\s+=  1\.00",
        r"Gradient.*\s+row\s+=  0\.25  0\.25  0\.25  0\.25",
        r"\(3, 32, 32, 100\)\s+-> \(3, 16, 16, 100\)",
    ]:
        assert re.search(shapes, printed), shapes


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_has_a_test(path):
    tests = [*FOLDER.glob("test_*.py"), FOLDER / "conftest.py"]  # which starts distributed.py
    assert any(f'"{path.name}"' in test.read_text() for test in tests)
