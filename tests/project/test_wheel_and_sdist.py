"""The wheel and the sdist hold what they should, and nothing else."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import PathDistribution

import pytest
from pages import README, ROOT, python_in

import jaxpool

NAME = f"jaxpool-{jaxpool.__version__}"
OF_THE_HOST = (".ci/", ".github/", ".pre-commit-config.yaml")  # of no use without the repository
STRAYS = [".env", "build/a.py", "docs/a.txt", "jaxpool/a.txt", "notes.md", "tests/a.png"]


@pytest.fixture(scope="module")
def tracked():
    """The files that git tracks."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("no checkout, so nothing says what should be in it")
    command = ["git", "-C", str(ROOT), "ls-files"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name for name in names if (ROOT / name).exists()}


@pytest.fixture(scope="module")
def built(tracked, tmp_path_factory):
    """The folder of the sdist and the wheel, each built straight from a tree with strays in it."""
    folder = tmp_path_factory.mktemp("distribution")
    for name in [*tracked, *STRAYS]:
        copy = folder / "tree" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes() if name in tracked else b"not to be published")
    command = [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--wheel", "tree"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "tree" / "dist"


def test_the_sdist_holds_what_git_tracks_and_the_wheel_the_package(built, tracked):
    with tarfile.open(built / f"{NAME}.tar.gz") as sdist:
        names = sdist.getnames()
    expected = {name for name in tracked if not name.startswith(OF_THE_HOST)} | {"PKG-INFO"}
    assert sorted(names) == sorted(f"{NAME}/{name}" for name in expected)
    package = {name for name in tracked if name.startswith("jaxpool/")}
    about = {f"{NAME}.dist-info/{n}" for n in ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE")}
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        assert sorted(wheel.namelist()) == sorted(package | about)


def test_metadata(built):
    archive = zipfile.Path(built / f"{NAME}-py3-none-any.whl", f"{NAME}.dist-info/")
    wheel = PathDistribution(archive)
    needed = [requirement for requirement in wheel.requires if "extra ==" not in requirement]
    assert sorted(needed) == ["flax>=0.10.7", "jax>=0.6.2", "jaxlib>=0.6.2"]
    assert wheel.metadata.get_all("Provides-Extra") == ["examples", "test"]
    assert wheel.metadata["Version"] == jaxpool.__version__
    assert wheel.metadata["Requires-Python"] == ">=3.11"
    assert wheel.metadata["License-Expression"] == "Apache-2.0"
    assert wheel.metadata["Description-Content-Type"] == "text/markdown"
    description = wheel.metadata.get_payload() or wheel.metadata["Description"]
    assert python_in(description) == python_in(README)
    targets = re.findall(r"\]\(([^)#]\S*)\)", description)
    assert targets
    assert all(target.startswith("https://") for target in targets)  # a relative link is dead
