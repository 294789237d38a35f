"""Importing the package brings in JAX and Flax Linen, and nothing else."""

from importlib import metadata
from pathlib import Path

import pytest
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
    of_jax = {"jax.experimental.jet", "jax.experimental.pjit"}  # the rule for jet is one line
    assert {name.split(".")[0] for name in extra - of_jax} == {"jaxpool"}
    assert "jaxpool.nnx" not in extra


@pytest.mark.parametrize("statement", ["jaxpool.nnx.AvgPool2d(2)", "from jaxpool import nnx"])
def test_nnx_is_imported_when_it_is_used(statement):
    after = "import jaxpool; assert 'nnx' in dir(jaxpool); assert not hasattr(jaxpool, 'other')"
    assert {"jaxpool.nnx", "flax.nnx"} <= imported(statement, after=after)


def test_the_window_needs_no_jax():
    path = Path(jaxpool.__file__).parent / "_window.py"
    imported(f"import runpy; runpy.run_path({str(path)!r})", without=("jax", "numpy", "flax"))
