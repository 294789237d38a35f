"""Sharded over 8 devices: the same values, and no collective but exchanges between neighbours."""

import inspect
import json
import re
from pathlib import Path

import jax
import pytest
from processes import run_python

from benchmarks.sharding import COLLECTIVES, WAYS, Row, avg_pool_of_shards, table, with_neighbours
from benchmarks.sharding import HAS_EXPLICIT as EXPLICIT

ROOT = Path(__file__).parent.parent
PERMUTE = COLLECTIVES.index("collective-permute")
ALL_REDUCE = COLLECTIVES.index("all-reduce")

pytestmark = pytest.mark.xdist_group("sharding")  # one worker, so that the command runs once


@pytest.fixture(scope="module")
def rows():
    """What `python -m benchmarks.sharding --json` finds."""
    found = json.loads(run_python("-m", "benchmarks.sharding", "--json", cwd=ROOT))
    found = [Row(*row) for row in found]
    # 13 pools sharded in 5 ways, forward and backward; 3 pools in 3 ways have no shard_map.
    assert len(found) == (130 + 112 + 130 * EXPLICIT)
    return found


def test_values_and_gradients_are_those_of_one_device(rows):
    assert [row for row in rows if not row.apart <= 1e-6] == []


def test_values_are_those_of_one_device_to_the_last_bit(rows):
    """But for the sum over all of a sharded axis, which each device begins on its own."""
    forward = [row for row in rows if row.direction == "forward" and row.way != "shard_map"]
    others = [row for row in forward if not sum(row.collectives[:-1])]
    assert len(others) == len(forward) - 3 * (1 + EXPLICIT)
    assert [row for row in others if row.apart] == []


def test_nothing_but_collective_permutes(rows):
    """But for the sum over all of a sharded axis, one all-reduce."""
    for row in rows:
        allowed = ALL_REDUCE if row.pool == "global" else PERMUTE
        assert row.collectives[allowed] == sum(row.collectives), row
        assert row.pool != "global" or sum(row.collectives) <= 2, row


def test_batch_and_channels_need_none(rows):
    counts = [sum(row.collectives) for row in rows if row.sharded in ("batch", "channels")]
    assert len(counts) == 13 * 4 * (2 + EXPLICIT)
    assert not any(counts)


@pytest.mark.parametrize("pool", ["k2 s2", "k8 s8", *(f"adaptive to {n}" for n in (16, 48, 192))])
def test_tiles_and_bins_need_none(rows, pool):
    """Where the devices divide both sizes of an axis, no bin lies on two of them."""
    counts = [sum(row.collectives) for row in rows if row.pool == pool]
    assert len(counts) == 10 * (2 + EXPLICIT)
    assert not any(counts)


def test_a_mask_is_exchanged_as_its_image_is(rows):
    exchanged = {row[:4]: row.collectives[PERMUTE] for row in rows}
    for where in ("height", "width", "height and width"):
        masked = exchanged["jit", "k3 s2 p1, masked", where, "forward"]
        assert masked <= 2 * exchanged["jit", "k3 s2 p1", where, "forward"]


def test_at_most_twice_as_many_as_one_reduce_window(rows):
    """But for windows that are summed in two steps, each of which has its exchanges."""
    short = [row for row in rows if row.plain and not row.pool.startswith("k31")]
    assert len(short) == 60
    assert [row for row in short if row.collectives[PERMUTE] > 2 * row.plain[PERMUTE]] == []


def test_shards_exchange_each_border_once(rows):
    """In shard_map it is the caller who exchanges: one permute for each side of an axis."""
    axes = {"height": 1, "width": 1, "height and width": 2}
    counts = [
        (row.collectives[PERMUTE], 2 * axes[row.sharded])
        for row in rows
        if row.way == "shard_map" and row.pool in ("k5 s1 p2", "k31 s1 p15") and row.sharded in axes
    ]
    assert len(counts) == 12
    assert all(ours == sides for ours, sides in counts)


def test_the_tables_of_the_docs(rows):
    """Those of the JAX that the page names; of another, XLA's partitioner may exchange less."""
    page = (ROOT / "docs" / "scaling.md").read_text()
    (version,) = re.findall(r"with JAX ([\d.]+)", page)
    if jax.__version__ != version:
        pytest.skip(f"the tables are of JAX {version}")
    for way in WAYS:
        assert table([row for row in rows if row.way == way]) in page


def test_the_recipe_of_the_docs():
    """It is the code whose exchanges are counted."""
    page = (ROOT / "docs" / "scaling.md").read_text()
    for function in (with_neighbours, avg_pool_of_shards):
        assert inspect.getsource(function) in page
