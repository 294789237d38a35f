"""Importing the package brings in JAX and Flax Linen, and nothing else."""

from importlib import metadata
from pathlib import Path

from processes import run_python

import jaxpool

RUNTIME = {"jax", "jaxlib", "flax"}


def imported(statement, *, after="pass", without=()):
    """The modules that `statement` brings in `after` another, in a new interpreter without some."""
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in without)
    before = f"import sys; {blocked}{after}; before = set(sys.modules)"
    code = f"{before}; {statement}; print(*sys.modules.keys() - before)"
    return set(run_python("-c", code).split())


def test_run_time_dependencies():
    required = [r for r in metadata.requires("jaxpool") if "extra ==" not in r]
    assert {r.split(">")[0] for r in required} == RUNTIME
    assert metadata.version("jaxpool") == jaxpool.__version__


def test_import_brings_in_nothing_but_jax_and_flax_linen():
    extra = imported("import jaxpool", after="import jax, flax.linen")
    assert {name.split(".")[0] for name in extra} == {"jaxpool"}
    assert "jaxpool.nnx" not in extra


def test_the_window_needs_no_jax():
    path = Path(jaxpool.__file__).parent / "_window.py"
    imported(f"import runpy; runpy.run_path({str(path)!r})", without=("jax", "numpy", "flax"))
