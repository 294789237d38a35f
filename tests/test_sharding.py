"""Sharded over 8 devices: the same values, and no collective but exchanges between neighbours."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

pytestmark = pytest.mark.xdist_group("sharding")  # one worker, so that the script runs once


def printed(script):
    """What a script beside this one prints in a process of its own, with 8 devices."""
    path = Path(__file__).with_name(script)
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def rows():
    """What sharded_programs.py counts."""
    return printed("sharded_programs.py")


def test_values_are_those_of_one_device(rows):
    assert len(rows) == 120
    assert max(row[-1] for row in rows) <= 1e-6


def test_nothing_but_collective_permutes(rows):
    """But for the sum over all of a sharded axis, one all-reduce."""
    counts = [ours for pool, _, _, ours, _, _ in rows if pool != "to 1"]
    assert len(counts) == 110
    assert all(sum(ours[:-1]) == 0 for ours in counts)
    counts = [ours for pool, _, _, ours, _, _ in rows if pool == "to 1"]
    assert all(ours[1] <= 2 and sum(ours) == ours[1] for ours in counts)


def test_batch_and_channels_need_none(rows):
    counts = [sum(ours) for _, where, _, ours, _, _ in rows if where in ("batch", "channels")]
    assert len(counts) == 48
    assert not any(counts)


@pytest.mark.parametrize("pool", ["k2 s2", "k8 s8", "to 16", "to 48", "to 192"])
def test_tiles_and_bins_need_none(rows, pool):
    """Where the devices divide both sizes of an axis, no bin lies on two of them."""
    counts = [sum(ours) for name, _, _, ours, _, _ in rows if name == pool]
    assert len(counts) == 10
    assert not any(counts)


def test_a_mask_is_exchanged_as_its_image_is(rows):
    forward = {(name, where): ours for name, where, way, ours, _, _ in rows if way == "forward"}
    for where in ("height", "width", "height and width"):
        assert forward["masked", where][-1] <= 2 * forward["k3 s2 p1", where][-1]


def test_at_most_twice_as_many_as_one_reduce_window(rows):
    """But for windows that are summed in two steps, each of which has its exchanges."""
    short = [row for row in rows if row[4] and not row[0].startswith("k31")]
    assert len(short) == 60
    assert [row for row in short if row[3][-1] > 2 * row[4][-1]] == []


@pytest.mark.skipif(not hasattr(jax.sharding, "auto_axes"), reason="JAX without explicit meshes")
def test_explicit_meshes():
    """Values and gradients are those of one device, whichever axis is sharded."""
    found = printed("explicit_mesh.py")
    assert len(found) == 90
    assert max(row[-1] for row in found) <= 2e-6
