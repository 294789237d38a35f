"""Over 8 devices of explicit, automatic and mixed meshes: the numbers of one device.

XLA's partitioner gets some operations wrong on an axis whose size the devices do not divide, and
with others it ends the process, so all of it runs in another one.
"""

import json

import jax
import pytest
from cases import slow, soak
from processes import ROOT, run_on_8_devices

pytestmark = pytest.mark.skipif(
    not hasattr(jax.sharding, "auto_axes"), reason="older JAX has other explicit meshes"
)
# Values do not depend on how well the code of a kernel is.
QUICKLY = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def failures(*arguments):
    """Each a case, the step that fails, and how."""
    program = ROOT / "tests" / "helpers" / "on_meshes.py"
    return json.loads(run_on_8_devices(program, *arguments, flags=QUICKLY))


# The first 24 have all kinds of meshes and of pools.
@pytest.mark.parametrize(("first", "count"), [(0, 24), *slow((24, 32)), *soak((56, 72), (128, 72))])
def test_random_pools(first, count):
    assert failures("random", first, count) == []


@pytest.mark.parametrize("kind", ["few", *slow("partly manual", "transposed", "mapped twice")])
def test_other_transformations(kind):
    """`shard_map` over one axis of a mesh, `jax.linear_transpose`, and `vmap` of `shard_map`."""
    assert failures(kind) == []


def test_hard_cases():
    """Those that were wrong."""
    assert failures("hard") == []
