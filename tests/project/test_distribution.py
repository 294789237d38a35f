"""The wheel and the sdist hold what they should and nothing else, and import as little."""

import re
import subprocess
import tarfile
import zipfile
from importlib.metadata import PathDistribution

import pytest
from pages import README, ROOT, python_in
from processes import run_python

import jaxpool

NAME = f"jaxpool-{jaxpool.__version__}"
OF_THE_HOST = (".ci/", ".github/", ".pre-commit-config.yaml")  # of no use without the repository
STRAYS = [".env", "build/a.py", "docs/a.txt", "jaxpool/a.txt", "notes.md", "tests/a.png"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The files that git tracks, and the folder of sdist and wheel, built among strays."""
    if not (ROOT / ".git").exists():
        pytest.skip("no checkout, so nothing says what should be in it")
    names = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    tracked = {name for name in names if (ROOT / name).exists()}
    tree = tmp_path_factory.mktemp("distribution")
    for name in [*tracked, *STRAYS]:
        copy = tree / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / name).read_bytes() if name in tracked else b"not to be published")
    run_python("-m", "build", "--no-isolation", "--sdist", "--wheel", cwd=tree)
    return tracked, tree / "dist"


def test_the_sdist_holds_what_git_tracks_and_the_wheel_the_package(built):
    tracked, folder = built
    with tarfile.open(folder / f"{NAME}.tar.gz") as sdist:
        names = sdist.getnames()
    expected = {name for name in tracked if not name.startswith(OF_THE_HOST)} | {"PKG-INFO"}
    assert sorted(names) == sorted(f"{NAME}/{name}" for name in expected)
    package = {name for name in tracked if name.startswith("jaxpool/")}
    about = {f"{NAME}.dist-info/{n}" for n in ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE")}
    with zipfile.ZipFile(folder / f"{NAME}-py3-none-any.whl") as wheel:
        assert sorted(wheel.namelist()) == sorted(package | about)


def test_what_an_index_shows(built):
    """The requirements, and README without links that lead nowhere there."""
    archive = zipfile.Path(built[1] / f"{NAME}-py3-none-any.whl", f"{NAME}.dist-info/")
    wheel = PathDistribution(archive)
    needed = [requirement for requirement in wheel.requires if "extra ==" not in requirement]
    assert sorted(needed) == ["flax>=0.10.7", "jax>=0.6.2", "jaxlib>=0.6.2"]
    description = wheel.metadata.get_payload() or wheel.metadata["Description"]
    assert python_in(description) == python_in(README)
    targets = re.findall(r"\]\(([^)#]\S*)\)", description)
    assert targets
    assert all(target.startswith("https://") for target in targets)


def test_an_import_brings_jax_and_flax_linen_only():
    """And neither it nor a call opens a connection."""
    run_python(
        "-c",
        """
import sys, jax, flax.linen
events = []
sys.addaudithook(lambda event, _: event.startswith("socket.") and events.append(event))
before = {*sys.modules, "jax.experimental.jet", "jax.experimental.pjit"}  # for a rule of jet
import jaxpool
new = sys.modules.keys() - before
assert {name.split(".")[0] for name in new} == {"jaxpool"}, new
assert "jaxpool.nnx" not in new
jaxpool.nnx.AdaptiveAvgPool2d(1)(jax.numpy.ones((1, 4, 4)))
assert not events, events
assert "nnx" in dir(jaxpool) and not hasattr(jaxpool, "other")
""",
    )
