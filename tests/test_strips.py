"""A pool cut into strips gives the bits of one call, however it is cut.

But into strips of one row: a window that is the only one of its axis is summed as a whole.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import FIXED, pooling, slow
from configs import configs
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export

import jaxpool

SHAPE_OPTIONS = "kernel", "stride", "padding", "ceil_mode", "dilation"


def strips_of(config, rows):
    arguments = {name: config.arguments()[name] for name in SHAPE_OPTIONS}
    return jaxpool.pool_strips(config.spatial, rows, **arguments)


def assert_strips_make_up_one_call(config, rows, masked=False):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(config.shape(), dtype=np.float32)
    where = rng.random(x.shape) < 0.7
    axis = x.ndim - config.ndim - config.channels_last

    def pooled(config, rows=slice(None)):
        place = (slice(None),) * axis + (rows,)
        return pooling(config, where=where[place] if masked else None)(x[place])

    whole = np.asarray(pooled(config))
    strips = strips_of(config, rows)
    # Filled through the output slices, so that one that is missing or too long is seen.
    found = np.full_like(whole, 1e30)
    for strip in strips:
        part = pooled(replace(config, padding=strip.padding), strip.input)
        found[(slice(None),) * axis + (strip.output,)] = part
    tolerance = {"rtol": 0, "atol": 0}
    if rows == 1 or jax.__version_info__ < (0, 10):  # old XLA divides by constants in its own way
        tolerance = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(found, whole, **tolerance, err_msg=repr((config, rows)))
    return strips


@settings(max_examples=60, deadline=None)
@given(configs(), st.integers(2, 5), st.booleans())
def test_of_random_configurations(config, rows, masked):
    strips = assert_strips_make_up_one_call(config, rows, masked)
    lengths = [strip.output.stop - strip.output.start for strip in strips]
    assert set(lengths[:-1]) <= {rows}
    assert lengths[-1] <= rows + 1


@pytest.mark.parametrize("config", FIXED)
@pytest.mark.parametrize("rows", [2, *slow(1, 3)])
def test_of_every_kind(config, rows):
    assert_strips_make_up_one_call(config, rows)


@settings(max_examples=300, deadline=None)
@given(configs(), st.integers(1, 5))
def test_a_strip_reads_no_row_that_it_does_not_need(config, rows):
    """But for the last, which goes to the end of the input."""
    arguments = config.arguments()
    for strip in strips_of(config, rows)[:-1]:
        taps = (strip.output.stop - strip.output.start - 1) * config.stride[0]
        extent = (config.kernel[0] - 1) * arguments["dilation"][0] + 1
        read = strip.input.stop - strip.input.start
        assert read > 0
        assert read + sum(strip.padding[0]) == taps + extent


def test_known_strips():
    first, middle, last = jaxpool.pool_strips((10, 7), 4, 3, 1, 1)
    assert first == (slice(0, 4), slice(0, 5), ((1, 0), (1, 1)))
    assert middle == (slice(4, 8), slice(3, 9), ((0, 0), (1, 1)))
    assert last == (slice(8, 10), slice(7, 10), ((0, 1), (1, 1)))
    assert [s.output for s in jaxpool.pool_strips((10,), 4, 2)] == [slice(0, 5)]
    assert jaxpool.pool_strips((5,), 4, 2) == ((slice(0, 2), slice(0, 5), ((0, 0),)),)
    assert jaxpool.pool_strips((5,), 4, 3) == ((slice(0, 1), slice(0, 5), ((0, 0),)),)
    assert jaxpool.pool_strips((4,), 1, 2) == ((slice(0, 2), slice(0, 4), ((0, 0),)),)
    assert jaxpool.pool_strips((2,), 1, 2) == ((slice(0, 1), slice(0, 2), ((0, 0),)),)


def test_of_a_window_larger_than_the_padded_input():
    (only,) = jaxpool.pool_strips((3,), 2, 5, 4, 0, ceil_mode=True)
    assert only == (slice(0, 1), slice(0, 3), ((0, 0),))


def test_an_overhanging_window_is_not_left_alone():
    """As the only one of its strip it would be summed as a whole."""
    (*_, last) = jaxpool.pool_strips((5,), 1, 2, ceil_mode=True)
    assert last == (slice(1, 3), slice(2, 5), ((0, 0),))


def test_of_a_file_that_is_mapped_into_memory(tmp_path):
    """As docs/scaling.md has it: nothing but a strip is read at once."""
    image = np.memmap(tmp_path / "image", np.float32, "w+", shape=(1, 500, 300))
    image[:] = np.random.default_rng(0).standard_normal(image.shape)
    shape = jaxpool.pool_output_shape(image.shape[1:], 9, 1, "SAME")
    pooled = np.memmap(tmp_path / "pooled", np.float32, "w+", shape=(1, *shape))
    for strip in jaxpool.pool_strips(image.shape[1:], 64, 9, 1, "SAME"):
        part = jaxpool.avg_pool2d(image[:, strip.input], 9, 1, strip.padding)
        pooled[:, strip.output] = part
    np.testing.assert_array_equal(pooled, jaxpool.avg_pool2d(np.asarray(image), 9, 1, "SAME"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((8,), 0, 2), ValueError, "pool_strips: `rows` must be at least 1, got rows=0"),
        (((8,), 2.0, 2), TypeError, r"`rows` must be an int, got rows=2\.0"),
        (((8,), True, 2), TypeError, "`rows` must be an int, got rows=True"),
        ((8, 2, 2), TypeError, "`spatial_shape` must be a sequence of sizes"),
        (((8,), 2, 9), ValueError, "`kernel` must fit in the padded input"),
        (((8,), 2, 2, 1, 2), ValueError, "`padding` must be smaller"),
        ((export.symbolic_shape("n"), 2, 2), TypeError, "`spatial_shape` must hold ints"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        jaxpool.pool_strips(*arguments)


def test_gradients_of_strips_add_up():
    """The rows that two strips share get a part of their gradient from each."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 12, 6), dtype=np.float32))
    config = next(case.values[0] for case in FIXED if case.id == "overlapping, excluding")
    config = replace(config, spatial=(12, 6))
    expected = jax.grad(lambda x: (pooling(config)(x) ** 2).sum())(x)
    total = np.zeros(x.shape, np.float32)
    for strip in strips_of(config, 2):
        part = pooling(replace(config, padding=strip.padding))
        total[:, strip.input] += jax.grad(lambda x, p=part: (p(x) ** 2).sum())(x[:, strip.input])
    np.testing.assert_allclose(total, expected, rtol=1e-5, atol=1e-6)
