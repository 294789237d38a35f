"""examples/distributed.py pools correctly over two processes, and notices wrong pixels."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow

from jaxpool import avg_pool2d

ROW = r"^k(\d) s(\d) +(\d+) +(\d+)-(\d+) +([\d.]+) +([\d.]+) +(\d+) +([\d.e-]+) +(\d+)$"


@pytest.mark.parametrize("devices", [1, *slow(2)])
def test_two_processes(start, devices):
    launcher = start(devices=devices)
    printed, said = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, said
    assert f"2 processes with {2 * devices} devices" in printed
    assert "collectives of k9 s1: 2 collective-permute\n" in printed
    assert "collectives of k8 s8: none\n" in printed
    table = [[float(cell) for cell in row] for row in re.findall(ROW, printed, re.MULTILINE)]
    halves = [0, 0, 127], [1, 128, 255]
    expected = [[kernel, stride, *half] for kernel, stride in [(9, 1), (8, 8)] for half in halves]
    assert [row[:5] for row in table] == expected
    assert all(0 < error < 5e-7 and 50 < peak < 5000 for *_, error, peak in table)


@pytest.mark.parametrize(("kernel", "stride"), [(9, 1), (8, 8)])
@pytest.mark.parametrize("wrong", [1e-5, np.nan])
def test_a_wrong_pixel_is_found(example, kernel, stride, wrong):
    image = example.build(256)
    pooled = avg_pool2d(image, kernel, stride, "SAME")
    assert 0 < example.largest_error(pooled, 256, kernel, stride) < 5e-7
    with pytest.raises(RuntimeError, match="is off by"):
        example.largest_error(pooled.at[0, -1, 3].add(wrong), 256, kernel, stride)


def test_a_piece_is_that_part_of_the_whole(example):
    whole = example.build(256)[0]
    assert 0 <= whole.min() < 0.1
    assert 0.9 < whole.max() <= 1
    assert (example.make_rows(256, 37, 101) == whole[37:101]).all()
    rows, columns = jnp.diff(whole[100:156, 100:156], axis=0), jnp.diff(whole, axis=1)
    assert jnp.abs(rows).max() > 0.05  # neither axis is constant
    assert jnp.abs(columns).max() > 0.05


def test_another_collective_is_found(example):
    with pytest.raises(RuntimeError, match=r"k8 s8 has \{'all-gather': 1\}"):
        example.check_collectives("%a = f32[8]{0} all-gather-start(f32[4]{0} %b)", 8, 8)


def test_the_size_must_fit(example, capsys):
    with pytest.raises(SystemExit):
        example.main(["--processes", "2", "--size", "100"])
    assert "--size must be a multiple of 8 times --processes" in capsys.readouterr().err
