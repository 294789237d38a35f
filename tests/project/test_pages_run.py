"""The Python on the pages and in docstrings runs, and prints what its comments say."""

import doctest
import importlib
import re
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import pytest
from cases import slow
from pages import FOLDER, PAGES, assembled, assert_blocks_run, python_in
from processes import run_on_8_devices

import jaxpool

MODULES = ["_shapes", "_avg_pool", "_adaptive", "_portable", "_layers", "linen", "nnx"]
NEEDS = {"equinox-haiku": ["equinox", "haiku"], "keras-tensorflow": ["keras"]}
NEEDS |= {"onnx": ["onnx", "onnxruntime"], "pytorch": ["torch"]}
PYTHON = {name: python_in(assembled(name)) for name in PAGES}
# The first two have tests of their own; test_examples_run.py runs the last.
ELSEWHERE = {"docs/scaling.md", "docs/deploy.md", "docs/examples.md"}
SLOW = {f"docs/migration/{name}.md" for name in ("equinox-haiku", "flax", "keras-tensorflow")}
QUICK = sorted({name for name, blocks in PYTHON.items() if blocks} - ELSEWHERE - SLOW)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(f"jaxpool.{name}")
    layers = jaxpool.linen if name == "_layers" else module
    names = {**vars(jaxpool), **vars(layers), "jax": jax, "jnp": jnp}
    result = doctest.testmod(module, extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("name", [*QUICK, *slow(*sorted(SLOW))])
def test_a_page(name, monkeypatch):
    for package in NEEDS.get(name.removeprefix("docs/migration/").removesuffix(".md"), []):
        pytest.importorskip(package)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert_blocks_run(assembled(name))
    code = "\n".join(PYTHON[name])
    for module in re.findall(r"\b(jax\.export|jax\.experimental(?:\.\w+)?)\.", code):
        # Another page may have imported it in this process.
        assert re.search(rf"^(import|from) {re.escape(module)}\b", code, re.MULTILINE)


def test_the_page_on_sharding():
    """In an interpreter of its own, with 8 devices."""
    code = "import pages; pages.assert_blocks_run(pages.assembled('docs/scaling.md'))"
    run_on_8_devices("-c", code, cwd=FOLDER)


def test_the_page_on_deployment(tmp_path, monkeypatch):
    """Without TensorFlow only `jax.export` is run."""
    page = assembled("docs/deploy.md")
    if not find_spec("tensorflow"):
        beginning, *_ = page.split("\n## ")
        page = beginning + page[page.index("\n## jax.export\n") :]
    monkeypatch.chdir(tmp_path)
    assert_blocks_run(page)
