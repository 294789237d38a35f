"""The public names are those of `__all__`, and each is documented; the package is typed."""

from pathlib import Path

import pytest
from pages import PAGES, README

import jaxpool


def test_public_names():
    assert sorted(jaxpool.__all__) == jaxpool.__all__
    public = {name for name in vars(jaxpool) if not name.startswith("_")}
    assert public - set(jaxpool.__all__) <= {"linen", "nnx"}  # the latter if it was imported
    assert (Path(jaxpool.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("name", jaxpool.__all__)
def test_every_public_name_is_documented(name):
    assert ">>>" in getattr(jaxpool, name).__doc__
    for place in ["jaxpool", "jaxpool.nnx"] if name[0].isupper() else ["jaxpool"]:
        assert f"\n::: {place}.{name}\n" in PAGES["docs/reference.md"]
    assert name in README or name[:-2] + "1d/2d/3d" in README
