"""Over 8 devices of explicit, automatic and mixed meshes: the numbers of one device.

XLA's partitioner gets some operations wrong on an axis whose size the devices do not divide, and
with others it ends the process, so all of it runs in another one.
"""

import json
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from cases import slow, soak
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec
from processes import ROOT, run_on_8_devices

from jaxpool import avg_pool2d

pytestmark = pytest.mark.skipif(
    not hasattr(jax.sharding, "auto_axes"), reason="older JAX has other explicit meshes"
)


def failures(*arguments):
    """Each a case, the step that fails, and how."""
    program = ROOT / "tests" / "helpers" / "on_meshes.py"
    return json.loads(run_on_8_devices(program, *arguments, quickly=True))


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


@pytest.mark.parametrize(("kernel", "stays"), [(2, "a"), (3, None)])
def test_an_axis_stays_sharded_if_the_devices_divide_its_outputs(kernel, stays):
    """16 they do, 10 they do not. A gradient is sharded as its input."""
    mesh = AbstractMesh((8,), ("a",), axis_types=(AxisType.Explicit,))
    spec = PartitionSpec(None, None, "a", None)
    x = jax.ShapeDtypeStruct((8, 2, 32, 24), jnp.float32, sharding=NamedSharding(mesh, spec))
    pool = partial(avg_pool2d, kernel=kernel)
    y = jax.eval_shape(pool, x)
    assert y.sharding.spec == PartitionSpec(None, None, stays, None)
    gradient = jax.eval_shape(lambda x, y: jax.vjp(pool, x)[1](y)[0], x, y)
    assert gradient.sharding.spec == spec


AUTOMATIC = """
import jax, jaxpool
from jax.sharding import AxisType, NamedSharding, PartitionSpec

mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Explicit, AxisType.Auto))

def by_width(x):
    spec = PartitionSpec(*[PartitionSpec.UNCONSTRAINED] * 3, "b")
    return jax.lax.with_sharding_constraint(x + 1, NamedSharding(mesh, spec))

of = NamedSharding(mesh, PartitionSpec("a"))
x = jax.ShapeDtypeStruct((8, 2, 16, 24), "float32", sharding=of)
with jax.set_mesh(mesh) if hasattr(jax, "set_mesh") else jax.sharding.use_mesh(mesh):
    pool = jax.jit(lambda x: by_width(jaxpool.avg_pool2d(by_width(x), 2)))
    print(pool.lower(x).compile().as_text())
"""


def test_what_an_automatic_axis_shards_is_not_gathered():
    """Beside an explicit one, along which the pool says how its result is sharded."""
    program = run_on_8_devices("-c", AUTOMATIC)
    assert "f32[2,2,16,12]" in program  # of one device
    assert "all-gather" not in program
