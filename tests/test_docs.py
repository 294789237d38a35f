"""What a reader can copy runs: each page's Python blocks in order, and every docstring.

A page is taken as the site shows it, with the sections of other files that it includes.
"""

import doctest
import importlib
import os
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from processes import run_python

import jaxpool

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))
import hooks  # noqa: E402

PAGES = {
    str(page.relative_to(ROOT)): page.read_text()
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
}
README = PAGES["README.md"]
ELSEWHERE = ("docs/examples.md", "docs/migration/")  # in test_examples, test_migration, test_ports
MODULES = ["_window", "_avg_pool", "_adaptive", "_layers", "linen", "nnx"]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(f"jaxpool.{name}")
    layers = jaxpool.linen if name == "_layers" else module
    names = {**vars(jaxpool), **vars(layers), "jax": jax, "jnp": jnp}
    result = doctest.testmod(module, extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


def words(name):
    """The text of a page in one line."""
    return " ".join(PAGES[name].split())


def python_in(text):
    """The Python blocks of a page, in order."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def assert_blocks_run(text):
    """One after the other in one namespace; a comment behind a line says what it prints."""
    blocks = python_in(text)
    assert blocks
    names = {}
    for block in blocks:
        printed = []
        names["print"] = lambda *values, printed=printed: printed.append(" ".join(map(str, values)))
        exec(compile(block, "block", "exec"), names)
        promised = re.findall(r"^ *print\(.*\)  # (.*)$", block, re.MULTILINE)
        assert printed == promised


@pytest.mark.skipif(jax.__version_info__ < (0, 5), reason="Flax's error is another in old JAX")
def test_python_in_the_readme():
    assert_blocks_run(README)


def assembled(name):
    """The page as the site shows it, but for the drawings, which run nothing."""
    return hooks.include(PAGES[name], name)


@pytest.mark.skipif(not hasattr(jax, "shard_map"), reason="it has another name in old JAX")
@pytest.mark.parametrize(
    "name",
    [
        n
        for n in PAGES
        if n.startswith("docs/") and not n.startswith(ELSEWHERE) and python_in(assembled(n))
    ],
)
def test_python_in_the_docs(name):
    """In a process of its own, with 8 devices."""
    code = f"import test_docs; test_docs.assert_blocks_run(test_docs.assembled({name!r}))"
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    run_python("-c", code, cwd=Path(__file__).parent, env=environment)


@pytest.mark.parametrize("name", PAGES)
def test_links_and_pictures_exist(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#:]+)\)|src=\"([^\":]+)\"", PAGES[name]):
        assert (page.parent / "".join(target)).exists(), target


@pytest.mark.parametrize("name", jaxpool.__all__)
def test_every_public_name_is_documented(name):
    documentation = getattr(jaxpool, name).__doc__
    assert documentation
    assert ">>>" in documentation or "avg_pool" in documentation
    assert name in README or name[:-2] + "1d/2d/3d" in README


def test_the_changelog_has_the_version():
    assert f"## [{jaxpool.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
