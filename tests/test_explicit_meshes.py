"""Over 8 devices of explicit, automatic and mixed meshes: the numbers of one device.

XLA's partitioner gets some operations wrong on an axis whose size the devices do not divide, and
with others it ends the process, so all of it runs in another one.
"""

import json
import os
from pathlib import Path

import jax
import pytest
from cases import slow, soak
from processes import run_python

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "tests" / "helpers" / "on_meshes.py"
pytestmark = pytest.mark.skipif(
    not hasattr(jax.sharding, "auto_axes"), reason="older JAX has other explicit meshes"
)


def failures(*arguments):
    """Each a case, the step that fails, and how."""
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    return json.loads(run_python(PROGRAM, *arguments, env=environment))


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
