"""The package: small to import, typed, and with its public names alone."""

from importlib import metadata
from pathlib import Path

from processes import run_python

import jaxpool

RUNTIME = {"jax", "jaxlib", "flax"}


def test_public_names():
    assert sorted(jaxpool.__all__) == jaxpool.__all__
    public = {name for name in vars(jaxpool) if not name.startswith("_")}
    assert public - set(jaxpool.__all__) <= {"linen", "nnx"}  # the latter if it was imported


def test_typed():
    assert (Path(jaxpool.__file__).parent / "py.typed").exists()


def test_run_time_dependencies():
    required = [r for r in metadata.requires("jaxpool") if "extra ==" not in r]
    assert {r.split(">")[0] for r in required} == RUNTIME
    assert metadata.version("jaxpool") == jaxpool.__version__


def imported(statement, *, without=()):
    """The modules that `statement` brings in, in a new interpreter where some can't be had."""
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in without)
    code = f"import sys; {blocked}{statement}; print(*sys.modules)"
    return set(run_python("-c", code).split())


def test_import_brings_in_nothing_but_jax_and_flax_linen():
    extra = imported("import jaxpool") - imported("import jax, flax.linen")
    assert {name.split(".")[0] for name in extra} == {"jaxpool"}
    assert "jaxpool.nnx" not in extra


def test_the_window_needs_no_jax():
    path = Path(jaxpool.__file__).parent / "_window.py"
    imported(f"import runpy; runpy.run_path({str(path)!r})", without=("jax", "numpy", "flax"))
