"""What the pages share comes from one place, and what they name or link is there."""

import re
from pathlib import Path

import pytest
from pages import PAGES, README, ROOT

import jaxpool


def test_public_names():
    public = {name for name in vars(jaxpool) if not name.startswith("_")}
    assert public - {"linen", "nnx"} == {*jaxpool.__all__}
    assert (Path(jaxpool.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("name", jaxpool.__all__)
def test_every_public_name_is_documented(name):
    assert ">>>" in getattr(jaxpool, name).__doc__
    for place in ["jaxpool", "jaxpool.nnx"] if name[0].isupper() else ["jaxpool"]:
        assert f"\n::: {place}.{name}\n" in PAGES["docs/reference.md"]
    assert name in README or name[:-2] + "1d/2d/3d" in README


def test_the_version_is_one():
    version, date = re.findall(
        r"^(?:version|date-released): (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE
    )
    assert version == jaxpool.__version__
    assert f"\n## {version} - {date}\n" in PAGES["CHANGELOG.md"]
    assert f"\nsite_name: jaxpool {version} " in (ROOT / "mkdocs.yml").read_text()


@pytest.mark.parametrize("name", [name for name in PAGES if "/" not in name])
def test_links_and_pictures_exist(name):
    for target in re.findall(r"\]\(([^)#:]+)[)#]", PAGES[name]):
        assert (ROOT / target).exists(), target
