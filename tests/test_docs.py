"""What a reader can copy runs: the README's Python blocks in order, and every docstring."""

import doctest
import importlib
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import jaxpool

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MODULES = ["_window", "_avg_pool", "_adaptive", "_layers", "linen", "nnx"]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(f"jaxpool.{name}")
    layers = jaxpool.linen if name == "_layers" else module
    names = {**vars(jaxpool), **vars(layers), "jax": jax, "jnp": jnp}
    result = doctest.testmod(module, extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.skipif(jax.__version_info__ < (0, 5), reason="Flax's error is another in old JAX")
def test_readme_python_blocks():
    """One after the other in one namespace; a comment behind a line says what it prints."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 4
    names = {}
    for block in blocks:
        printed = []
        names["print"] = lambda *values, printed=printed: printed.append(" ".join(map(str, values)))
        exec(compile(block, "README.md", "exec"), names)
        promised = re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE)
        assert printed == promised


def test_readme_links_and_pictures_exist():
    for target in re.findall(r"\]\(([^)#:]+)\)|src=\"([^\":]+)\"", README):
        assert (ROOT / "".join(target)).exists(), target


@pytest.mark.parametrize("name", jaxpool.__all__)
def test_every_public_name_is_documented(name):
    documentation = getattr(jaxpool, name).__doc__
    assert documentation
    assert ">>>" in documentation or "avg_pool" in documentation
    assert name in README or name[:-2] + "1d/2d/3d" in README


def test_the_changelog_has_the_version():
    assert f"## [{jaxpool.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
