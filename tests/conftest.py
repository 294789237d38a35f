"""No network for the tests, little memory, and what several files share."""

import mmap
import os
from pathlib import Path

import pytest

# Where compilers for other platforms are installed, JAX would ask the network for a TPU.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
import jax

# Another sitecustomize, if the machine has one, is not run in what the tests start.
NO_NETWORK = str(Path(__file__).parent / "no_network")
if NO_NETWORK not in os.environ.get("PYTHONPATH", ""):
    import no_network.sitecustomize  # noqa: F401  (workers of pytest-xdist have it from the path)

    paths = [NO_NETWORK, os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


MEMORY = Path("/proc/self/statm")  # of Linux; its second number counts pages


@pytest.fixture(autouse=True)
def _forget_programs():
    """What the tests have compiled goes before it comes to gigabytes."""
    yield
    if not MEMORY.exists() or int(MEMORY.read_text().split()[1]) * mmap.PAGESIZE > 800e6:
        jax.clear_caches()


@pytest.fixture(scope="module")
def quickly():
    """Compiles by XLA's quickest code generation: for tests of values, not of code or of bits."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
    jax.clear_caches()  # what other tests call is compiled anew


@pytest.fixture
def x64():
    """Runs a test with 64-bit types."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)
