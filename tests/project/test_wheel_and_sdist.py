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
from hatch_build import described

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
    for name in tracked | set(STRAYS):
        copy = folder / "tree" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if name in tracked:
            shutil.copy(ROOT / name, copy)
        else:
            copy.write_text("not to be published")
    command = [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--wheel"]
    command += ["--outdir", "dist", "tree"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dist"


def test_one_wheel_and_one_sdist(built):
    names = {path.name for path in built.iterdir()}
    assert names == {f"{NAME}-py3-none-any.whl", f"{NAME}.tar.gz"}


def test_the_sdist_holds_what_git_tracks_but_for_ci(built, tracked):
    with tarfile.open(built / f"{NAME}.tar.gz") as sdist:
        names = sdist.getnames()
    expected = {name for name in tracked if not name.startswith(OF_THE_HOST)} | {"PKG-INFO"}
    assert sorted(names) == sorted(f"{NAME}/{name}" for name in expected)


def test_the_wheel_holds_the_package_alone(built, tracked):
    package = [name for name in tracked if name.startswith("jaxpool/")]
    assert "jaxpool/py.typed" in package
    information = [
        f"{NAME}.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE")
    ]
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        assert sorted(wheel.namelist()) == sorted(package + information)
        for name in package:
            assert wheel.read(name) == (ROOT / name).read_bytes()


def test_metadata(built):
    archive = zipfile.Path(built / f"{NAME}-py3-none-any.whl", f"{NAME}.dist-info/")
    wheel = PathDistribution(archive)
    needed = [requirement for requirement in wheel.requires if "extra ==" not in requirement]
    assert sorted(needed) == ["flax>=0.10.7", "jax>=0.6.2", "jaxlib>=0.6.2"]
    assert wheel.metadata["Version"] == jaxpool.__version__
    assert wheel.metadata["Requires-Python"] == ">=3.11"
    assert wheel.metadata["License-Expression"] == "Apache-2.0"
    assert wheel.metadata["License-File"] == "LICENSE"
    assert wheel.metadata["Description-Content-Type"] == "text/markdown"
    description = wheel.metadata.get_payload() or wheel.metadata["Description"]
    assert python_in(description) == python_in(README)
    targets = re.findall(r"\]\(([^)]+)\)", description)
    assert targets
    assert all(target.startswith("https://") for target in targets)


def test_links_of_the_description():
    readme = "[a](docs/a.md#b) ![c\nd](docs/c.webp) [e](https://e.org) [f](#g)"
    assert described(readme, None) == "a  [e](https://e.org) [f](#g)"
    assert described(readme, "https://s.org") == (
        "[a](https://s.org/blob/HEAD/docs/a.md#b) ![c\nd](https://s.org/raw/HEAD/docs/c.webp) "
        "[e](https://e.org) [f](#g)"
    )
