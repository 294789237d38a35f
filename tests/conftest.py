"""No network for the tests, little memory, and what several files share."""

import os
from pathlib import Path

import jax
import pytest

# Another sitecustomize, if the machine has one, is not run in what the tests start.
NO_NETWORK = str(Path(__file__).parent / "no_network")
if NO_NETWORK not in os.environ.get("PYTHONPATH", ""):
    import no_network.sitecustomize  # noqa: F401  (workers of pytest-xdist have it from the path)

    paths = [NO_NETWORK, os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """What a file has compiled is of no use to the next, and would come to gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture
def x64():
    """Runs a test with 64-bit types."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)
