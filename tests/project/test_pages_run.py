"""The Python on the pages and in docstrings runs, and prints what its comments say.

A page is taken as the site shows it, with the sections of other files that it includes.
"""

import doctest
import importlib
import os
import re
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context

import jax
import jax.numpy as jnp
import pytest
from cases import slow
from pages import FOLDER, PAGES, assembled, assert_blocks_run, failure_of, python_in
from processes import run_python

import jaxpool

MODULES = ["_shapes", "_avg_pool", "_adaptive", "_portable", "_layers", "linen", "nnx"]
MIGRATION = {  # of each page, the packages that it is about
    "docs/migration/equinox-haiku.md": ["equinox", "haiku"],
    "docs/migration/flax.md": ["flax"],
    "docs/migration/keras-tensorflow.md": ["keras"],
    "docs/migration/onnx.md": ["onnx", "onnxruntime"],
    "docs/migration/pytorch.md": ["torch"],
}
QUICK = ["docs/migration/onnx.md", "docs/migration/pytorch.md"]
SHARDED = "docs/scaling.md"
DEPLOY = "docs/deploy.md"
# The Python of docs/examples.md is run by test_examples_run.py.
OTHERS = sorted(PAGES.keys() - {*MIGRATION, SHARDED, DEPLOY, "docs/examples.md"})
OTHERS = [name for name in OTHERS if python_in(assembled(name))]
OLD_JAX = jax.__version_info__ < (0, 10)


@pytest.fixture(scope="module")
def run():
    """Runs pages in one new interpreter: importing and compiling take most of the time."""
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:

        def run_page(name):
            failure = executor.submit(failure_of, assembled(name)).result()
            assert not failure, failure

        yield run_page


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(f"jaxpool.{name}")
    layers = jaxpool.linen if name == "_layers" else module
    names = {**vars(jaxpool), **vars(layers), "jax": jax, "jnp": jnp}
    result = doctest.testmod(module, extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("name", OTHERS)
def test_a_page(run, name):
    run(name)


@pytest.mark.parametrize("name", [*QUICK, *slow(*sorted(MIGRATION.keys() - {*QUICK}))])
def test_a_migration_page(run, name):
    """In old JAX, pages on other JAX libraries would print other numbers: XLA rounded otherwise."""
    if OLD_JAX and name not in QUICK:
        pytest.skip("its numbers are others in old JAX")
    if not all(map(find_spec, MIGRATION[name])):
        pytest.skip(f"not all of {MIGRATION[name]} are installed")
    run(name)


def test_the_page_on_sharding():
    """In an interpreter of its own, with 8 devices."""
    code = f"import pages; pages.assert_blocks_run(pages.assembled({SHARDED!r}))"
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    run_python("-c", code, cwd=FOLDER, env=environment)


def test_the_page_on_deployment(tmp_path, monkeypatch):
    """In this process, which may have imported TensorFlow. Without it only `jax.export` is run."""
    page = assembled(DEPLOY)
    if not find_spec("tensorflow"):
        beginning, *_ = page.split("\n## ")
        page = beginning + page[page.index("\n## jax.export\n") :]
    monkeypatch.chdir(tmp_path)
    assert_blocks_run(page)


@pytest.mark.parametrize("name", [*OTHERS, *MIGRATION])
def test_a_page_needs_no_other_before_it(name):
    """Pages that share an interpreter would not show it if one used what another imported."""
    code = "\n".join(python_in(assembled(name)))
    for module in re.findall(r"\b(jax\.export|jax\.experimental(?:\.\w+)?)\.", code):
        assert re.search(rf"^(import|from) {re.escape(module)}\b", code, re.MULTILINE)
    keras, _, _ = code.partition("import keras\n")
    assert keras == code or 'os.environ["KERAS_BACKEND"] = "jax"\n' in keras
