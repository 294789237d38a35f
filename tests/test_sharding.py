"""Sharded over 8 devices: the same values, and no collective but exchanges between neighbours."""

import inspect
import json
import os
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from cases import slow
from processes import run_python

import jaxpool
from benchmarks.sharding import (
    COLLECTIVES,
    WINDOWS,
    Row,
    avg_pool_of_shards,
    pools,
    table,
    with_neighbours,
)
from benchmarks.sharding import HAS_EXPLICIT as EXPLICIT

ROOT = Path(__file__).parent.parent
SCALING = ROOT / "docs" / "scaling.md"
PERMUTE = COLLECTIVES.index("collective-permute")
ALL_REDUCE = COLLECTIVES.index("all-reduce")
POOLS = [name for name, *_ in pools()]
FEW = ["k2 s2", "k3 s2 p1", "k3 s2 p1, masked", "global"]
SHARDS = ["k2 s2", "k3 s2 p1", "k31 s1 p15", "adaptive to 48"]
WHOLE = {"global", "k3 s1 p1, excluding", "k3 s2 p1, masked"}  # not from shards with borders


@pytest.mark.parametrize(
    ("way", "pools"),
    [
        ("jit", FEW),
        ("shard_map", ["k5 s1 p2"]),
        *slow(("jit", POOLS), ("shard_map", SHARDS)),
        *slow(*[("explicit", FEW)] * EXPLICIT),
    ],
)
def test_sharded(way, pools):
    """All that is found is checked in one test, as to find it takes up to minutes."""
    command = ["-m", "benchmarks.sharding", "--json", "--ways", way, "--pools", *pools]
    rows = [Row(*row) for row in json.loads(run_python(*command, cwd=ROOT))]
    count = 2 * 5 * len(pools)  # forward and backward, in 5 ways, 3 of which cut the image
    assert len(rows) == count - (2 * 3 * len(WHOLE & {*pools}) if way == "shard_map" else 0)
    assert_values_and_gradients_are_those_of_one_device(rows)
    assert_nothing_but_collective_permutes(rows)
    assert_batch_and_channels_need_none(rows, pools)
    assert_tiles_and_bins_need_none(rows, pools)
    if way == "shard_map":
        assert_shards_exchange_each_border_once(rows, pools)
    else:
        assert_values_have_the_bits_of_one_device(rows)
        assert_a_mask_is_exchanged_as_its_image_is(rows)
    if way == "jit":
        assert_the_table_is_that_of_the_docs(rows, pools)
        assert_at_most_twice_as_many_as_one_reduce_window(rows, pools)


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
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    found = run_python("-c", GLOBAL, cwd=ROOT, env=environment).splitlines()
    assert found == 2 * [*(f"{size} all-reduce" for size in (16, 56, 14, 8)), "7"]


def test_taps_at_once_exchange_each_a_border():
    """In channels_last; docs/scaling.md says so."""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    found = run_python("-c", CHANNELS_LAST, cwd=ROOT, env=environment).splitlines()
    assert found == [str({"collective-permute": count}) for count in (3, 3, 6)]


UNEVEN = """\
import re
from collections import Counter
import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import jaxpool

def tiles(k): return lambda x: jaxpool.avg_pool2d(x, k)
def bins(n): return lambda x: jaxpool.adaptive_avg_pool2d(x, n)
def three(padding): return lambda x: jaxpool.avg_pool2d(x, 3, 1, padding)

mesh = Mesh(jax.devices(), ("rows",))
rows = NamedSharding(mesh, PartitionSpec(None, None, "rows"))
for name, pool, shape in [
    ("16x16 tiles", tiles(16), (8, 8, 128, 128)),
    ("64x64 tiles", tiles(64), (8, 8, 128, 128)),
    ("2x2 tiles", tiles(2), (8, 8, 64, 64)),
    ("2x2 tiles", tiles(2), (8, 8, 56, 56)),
    ("adaptive", bins(48), (8, 8, 96, 96)),
    ("adaptive", bins(60), (8, 8, 96, 96)),
    ("3x3, stride 1, padded", three(1), (1, 8, 1024, 1024)),
    ("3x3, stride 1", three(0), (1, 8, 1024, 1024)),
]:
    x = jax.ShapeDtypeStruct(shape, "float32", sharding=rows)
    program = jax.jit(pool).lower(x).compile()
    pattern = r" (all-\\w+|collective-permute|reduce-scatter)(?:-start)?\\("
    found = Counter(re.findall(pattern, program.as_text()))
    counts = ", ".join(f"{n} {what}" for what, n in sorted(found.items())) or "none"
    memory = program.memory_analysis()
    sizes = memory.argument_size_in_bytes, memory.temp_size_in_bytes, memory.output_size_in_bytes
    megabytes = ", ".join(f"{size / 1e6:.2f}" for size in sizes)
    lengths = f"{shape[2]}, {jax.eval_shape(pool, x).shape[2]}"
    print(f"| {name} | {shape} | {lengths} | {counts} | {megabytes} |")
"""


def test_sizes_that_do_not_divide():
    """Nothing is gathered where the devices divide both sizes; docs/scaling.md has the table."""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    found = run_python("-c", UNEVEN, cwd=ROOT, env=environment)
    even = re.findall(r"^\| (?:16x16|2x2 .*64, 32|.*96, 48|.*, 1024 \|).*", found, re.MULTILINE)
    assert len(even) == 4
    assert "all-" not in "".join(even)
    if jax.__version__ == version_of_the_docs():
        assert found in SCALING.read_text()


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


def assert_values_and_gradients_are_those_of_one_device(rows):
    assert [row for row in rows if not row.apart <= 1e-6] == []


def assert_nothing_but_collective_permutes(rows):
    """But for the sum over all of a sharded axis, one all-reduce."""
    for row in rows:
        allowed = ALL_REDUCE if row.pool == "global" else PERMUTE
        assert row.collectives[allowed] == sum(row.collectives), row
        assert row.pool != "global" or sum(row.collectives) <= 2, row


def assert_batch_and_channels_need_none(rows, pools):
    counts = [sum(row.collectives) for row in rows if row.sharded in ("batch", "channels")]
    assert len(counts) == 2 * 2 * len(pools)
    assert not any(counts)


def assert_tiles_and_bins_need_none(rows, pools):
    """Where the devices divide both sizes of an axis, no bin lies on two of them."""
    tiles = {"k2 s2", "k8 s8", *(f"adaptive to {n}" for n in (16, 48, 192))} & {*pools}
    counts = [sum(row.collectives) for row in rows if row.pool in tiles]
    assert len(counts) == 2 * 5 * len(tiles)
    assert not any(counts)


def assert_the_table_is_that_of_the_docs(rows, pools):
    """That of the JAX that the docs name; of another, XLA's partitioner may exchange less."""
    page = SCALING.read_text()
    if jax.__version__ == version_of_the_docs():
        found = table(rows).splitlines()
        assert len(found) == 2 + len(pools)
        assert all(f"{line}\n" in page for line in found)
        assert pools != POOLS or table(rows) in page


def version_of_the_docs():
    """Of JAX, with which docs/scaling.md counts exchanges."""
    page = (ROOT / "docs" / "performance.md").read_text()
    (row,) = re.findall(r"^\| times, memory and exchanges on a CPU \| (.*) \|$", page, re.MULTILINE)
    return re.search(r"JAX ([\d.]+)", row)[1]


def assert_shards_exchange_each_border_once(rows, pools):
    """In shard_map it is the caller who exchanges: one permute for each side of an axis."""
    axes = {"height": 1, "width": 1, "height and width": 2}
    sides = {"k3 s2 p1": 1, "k5 s1 p2": 2, "k31 s1 p15": 2}
    overlapping = sides.keys() & {*pools}
    counts = [
        (row.collectives[PERMUTE], sides[row.pool] * axes[row.sharded])
        for row in rows
        if row.pool in overlapping and row.sharded in axes
    ]
    assert len(counts) == 2 * 3 * len(overlapping) > 0
    assert all(found == expected for found, expected in counts)


def assert_values_have_the_bits_of_one_device(rows):
    """Except for reductions over a whole sharded axis, which each device begins on its own."""
    forward = [row for row in rows if row.direction == "forward"]
    others = [row for row in forward if not sum(row.collectives[:-1])]
    assert len(others) == len(forward) - 3
    assert [row for row in others if row.apart] == []


def assert_a_mask_is_exchanged_as_its_image_is(rows):
    exchanged = {row[1:4]: row.collectives[PERMUTE] for row in rows}
    for where in ("height", "width", "height and width"):
        masked = exchanged["k3 s2 p1, masked", where, "forward"]
        assert masked <= 2 * exchanged["k3 s2 p1", where, "forward"]


def assert_at_most_twice_as_many_as_one_reduce_window(rows, pools):
    """Except for windows that are summed in two steps, each of which has its exchanges."""
    short = [row for row in rows if row.plain and not row.pool.startswith("k31")]
    assert len(short) == 2 * 5 * len(WINDOWS.keys() & {*pools} - {"k31 s1 p15"}) > 0
    assert [row for row in short if row.collectives[PERMUTE] > 2 * row.plain[PERMUTE]] == []


def test_the_recipe_of_the_docs():
    """It is the code whose exchanges are counted."""
    page = SCALING.read_text()
    for function in (with_neighbours, avg_pool_of_shards):
        assert inspect.getsource(function) in page
