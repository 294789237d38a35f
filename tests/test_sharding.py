"""Sharded over 8 devices: the same values, and no collective but exchanges between neighbours."""

import json
import re

import jax
import numpy as np
import pytest
from cases import slow
from on_shards import POOLS, WINDOWS
from processes import ROOT, run_on_8_devices

import jaxpool

SCALING = ROOT / "docs" / "scaling.md"
PROGRAM = ROOT / "tests" / "helpers" / "on_shards.py"
PERMUTE = "collective-permute"
FEW = ["k2 s2", "k3 s2 p1", "k3 s2 p1 masked", "to 1"]
HAS_EXPLICIT = hasattr(jax.sharding, "auto_axes")  # older JAX has no such meshes


@pytest.mark.parametrize(
    ("types", "pools"),
    [("Auto", FEW), *slow(("Auto", [*POOLS])), *slow(*[("Explicit", FEW)] * HAS_EXPLICIT)],
)
def test_sharded(types, pools):
    """All that is found is checked in one test, as to find it takes up to minutes."""
    rows = json.loads(run_on_8_devices(PROGRAM, types, *pools))
    assert len(rows) == 2 * 5 * len(pools)  # forward and backward, sharded in 5 ways
    permutes = {
        (row["pool"], row["sharded"], row["direction"]): row["collectives"].get(PERMUTE, 0)
        for row in rows
    }
    for row in rows:
        pool, found = row["pool"], row["collectives"]
        assert row["apart"] <= 1e-6, row
        # Except for the sum over all of a sharded axis, each axis one all-reduce.
        allowed = {"all-reduce"} if pool == "to 1" else {PERMUTE}
        assert {*found} <= allowed, row
        assert found.get("all-reduce", 0) <= 2, row
        if row["sharded"] in ("batch", "channels"):
            assert not found, row
        # Where the devices divide both sizes of an axis, no tile or bin lies on two of them.
        if pool in ("k2 s2", "k8 s8", "to 16", "to 48", "to 192"):
            assert not found, row
        if row["direction"] == "forward" and not found.get("all-reduce"):
            assert row["same bits"], row
        # Windows that are summed in two steps exchange in each.
        if "plain" in row and pool != "k31 s1 p15":
            assert found.get(PERMUTE, 0) <= 2 * row["plain"].get(PERMUTE, 0), row
    assert ("plain" in rows[0]) == (types == "Auto" and pools[0] in WINDOWS)
    if "k3 s2 p1 masked" in pools:
        for how in ("height", "width", "height and width"):
            masked = permutes["k3 s2 p1 masked", how, "forward"]
            assert masked <= 2 * permutes["k3 s2 p1", how, "forward"]


GLOBAL = """\
import re
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import jaxpool
from jaxpool import _primitive

for rules in ("gpu", "tpu"):
    _primitive.RULES["cpu"] = rules
    jax.clear_caches()
    for size, shape in ((16, (4, 2)), (56, (8, 1)), (14, (2, 4)), (8, (8, 1)), (7, (1, 8))):
        mesh = Mesh(np.reshape(jax.devices(), shape), ("a", "b"))
        where = PartitionSpec(None, None, "a" if size % shape[0] == 0 else None)
        x = jax.ShapeDtypeStruct((2, 3, size, size), "float32", sharding=NamedSharding(mesh, where))
        pool = jax.jit(lambda x: jaxpool.adaptive_avg_pool2d(x, 1))
        text = pool.lower(x).compile().as_text()
        print(size, *re.findall(r" (all-\\S+?|collective-\\S+?|reduce-scatter)\\(", text))
"""

CHANNELS_LAST = """\
import re
from collections import Counter
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import jaxpool

mesh = Mesh(np.reshape(jax.devices(), (4, 2)), ("a", "b"))
for names in (("a", None), (None, "b"), ("a", "b")):
    spec = NamedSharding(mesh, PartitionSpec(None, *names))
    x = jax.ShapeDtypeStruct((8, 128, 128, 8), "float32", sharding=spec)
    pool = jax.jit(lambda x: jaxpool.avg_pool2d(x, 3, 2, 1, data_format="channels_last"))
    text = pool.lower(x).compile().as_text()
    found = Counter(re.findall(r" (all-\\S+?|collective-\\S+?|reduce-scatter)\\(", text))
    print(dict(found))
"""


def test_global_pools_of_other_platforms_need_one_all_reduce():
    """Their tiles lie on one device each."""
    found = run_on_8_devices("-c", GLOBAL).splitlines()
    assert found == 2 * [*(f"{size} all-reduce" for size in (16, 56, 14, 8)), "7"]


def test_taps_at_once_exchange_each_a_border():
    """In channels_last; docs/scaling.md says so."""
    found = run_on_8_devices("-c", CHANNELS_LAST).splitlines()
    assert found == [str({"collective-permute": count}) for count in (3, 3, 6)]


def rows_that_divide():
    """The function of docs/scaling.md."""
    (block,) = [b for b in python_blocks() if b.startswith("def rows_that_divide")]
    names = {"jaxpool": jaxpool}
    exec(compile(block, "page", "exec"), names)
    return names["rows_that_divide"]


def python_blocks():
    return re.findall(r"```python\n(.*?)```", SCALING.read_text(), re.DOTALL)


@pytest.mark.parametrize("rows", [56, 100])
@pytest.mark.parametrize(
    "window", [(2, 2, 0), (2, 2, 1), (3, 1, 0), (3, 4, 0), (7, 2, 3), (9, 3, 4)]
)
def test_rows_that_divide(rows, window):
    """The first outputs of an image with so many rows are its own."""
    x = np.random.default_rng(0).random((1, rows, 9), np.float32)
    kernel, stride, padding = window
    total, rows_padding, outputs = rows_that_divide()(rows, *window, 8)
    larger = np.pad(x, ((0, 0), (0, total - rows), (0, 0)))
    where = (np.arange(total) < rows)[:, None]
    for counting, mask in ((True, None), (False, where)):
        expected = jaxpool.avg_pool2d(x, *window, counting)
        padded = kernel, stride, (rows_padding, (padding, padding)), counting
        pooled = jaxpool.avg_pool2d(larger, *padded, where=mask)
        assert total % 8 == pooled.shape[1] % 8 == 0
        np.testing.assert_allclose(pooled[:, :outputs], expected, rtol=1e-6)
