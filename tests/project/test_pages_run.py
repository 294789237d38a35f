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
from pages import FOLDER, PAGES, README, assembled, failure_of, python_in
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
EXAMPLES = "docs/examples.md"  # whose Python test_examples_run.py runs
SHARDED = "docs/scaling.md"
DEPLOY = "docs/deploy.md"
TARGETS = {  # of its sections by the first word, the packages that they are about
    "LiteRT": ["tensorflow", "ai_edge_litert"],
    "SavedModel": ["tensorflow"],
    "ONNX": ["jax2onnx", "onnxruntime", "openvino"],
    "Core": ["coremltools", "stablehlo_coreml"],
    "IREE": ["iree"],
    "jax": [],
}
old_jax = jax.__version_info__ < (0, 10)


def begins_the_readme(name):
    """Whether the README begins with the page's Python, or the page has none."""
    blocks = python_in(assembled(name))
    return blocks == python_in(README)[: len(blocks)]


DOCS = [
    name
    for name in PAGES
    if name.startswith("docs/")
    and name not in [*MIGRATION, EXAMPLES, SHARDED, DEPLOY]
    and not begins_the_readme(name)
]


@pytest.fixture(scope="module")
def run():
    """Runs pages in one new interpreter: importing and compiling take most of the time."""
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:

        def run_page(text):
            failure = executor.submit(failure_of, text).result()
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


@pytest.mark.parametrize("name", DOCS)
def test_a_page(run, name):
    run(assembled(name))


def test_the_page_on_sharding():
    """In an interpreter of its own, with 8 devices."""
    code = f"import pages; pages.assert_blocks_run(pages.assembled({SHARDED!r}))"
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    run_python("-c", code, cwd=FOLDER, env=environment)


@pytest.mark.parametrize("target", ["jax", *slow(*sorted(TARGETS.keys() - {"jax"}))])
def test_a_section_on_deployment(tmp_path, target):
    """With the page's beginning, in an interpreter of its own, because converters patch JAX."""
    for package in TARGETS[target]:
        if not find_spec(package):
            pytest.skip(f"{package} is not installed")
    beginning, *sections = assembled(DEPLOY).split("\n## ")
    by_target = {re.match(r"\w+", text)[0]: text for text in sections if python_in(text)}
    assert by_target.keys() == TARGETS.keys()
    code = "import os, sys, pages; os.chdir(sys.argv[1]); pages.assert_blocks_run(sys.stdin.read())"
    run_python("-c", code, tmp_path, cwd=FOLDER, input=beginning + by_target[target])


def test_the_readme(run):
    run(README)


@pytest.mark.parametrize(
    "name",
    [*QUICK, *slow(*sorted(MIGRATION.keys() - {*QUICK}))],
)
def test_a_migration_page(run, name):
    """In old JAX the pages on other JAX libraries would print other numbers.

    XLA rounded the ends of Keras's bins otherwise.
    """
    if old_jax and name not in QUICK:
        pytest.skip("its numbers are others in old JAX")
    for package in MIGRATION[name]:
        if not find_spec(package):
            pytest.skip(f"{package} is not installed")
    run(assembled(name))


@pytest.mark.parametrize("name", ["README.md", *DOCS, *MIGRATION])
def test_a_page_needs_no_other_before_it(name):
    """Pages that share an interpreter would not show it if one used what another imported."""
    code = "\n".join(python_in(assembled(name)))
    for module in re.findall(r"\b(jax\.export|jax\.experimental(?:\.\w+)?)\.", code):
        assert re.search(rf"^(import|from) {re.escape(module)}\b", code, re.MULTILINE)
    keras, _, _ = code.partition("import keras\n")
    assert keras == code or 'os.environ["KERAS_BACKEND"] = "jax"\n' in keras
