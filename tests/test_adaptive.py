"""Adaptive pooling: PyTorch's bins to the last pixel, at a cost that does not grow with them."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agreement import assert_agree
from cases import Call, normal, slow
from oracle import Adaptive

from jaxpool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, avg_pool2d
from jaxpool._window import AdaptiveBins


def integers(shape):
    return np.random.default_rng(0).integers(-99, 100, shape).astype(np.float32)


@pytest.mark.parametrize("size", [5, 12, *slow(1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 13), 40])
def test_every_output_size_of_an_axis(size):
    assert_agree([Call(Adaptive((size,), (outputs,))) for outputs in [*range(1, 15), 39, 41]])


def test_where_the_output_divides_the_size_it_is_a_fixed_window():
    x = normal((2, 3, 12, 20))
    chex.assert_trees_all_equal(adaptive_avg_pool2d(x, (4, 5)), avg_pool2d(x, (3, 4)))
    programs = [
        jax.jit(f).lower(x).as_text()
        for f in (lambda x: adaptive_avg_pool2d(x, (4, 5)), lambda x: avg_pool2d(x, (3, 4)))
    ]
    assert programs[0] == programs[1]


def test_bins_that_are_windows_of_a_fixed_size():
    """As which a TPU sums them."""
    found = 0
    for size, outputs in itertools.product(range(1, 41), repeat=2):
        if size % outputs and (span := AdaptiveBins(0, size, outputs).uniform):
            firsts = np.arange(outputs) * span.stride - span.low
            ends = np.minimum(firsts + span.kernel, size)
            windows = [[*range(max(i, 0), j)] for i, j in zip(firsts, ends, strict=True)]
            assert windows == oracle.bins(size, outputs), (size, outputs)
            assert firsts[-1] + span.kernel == size + span.end
            found += 1
    assert found > 100


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "complex64"])
def test_one_output_is_the_global_mean(dtype):
    x = jnp.asarray(integers((64, 3, 9, 7)), dtype)
    pooled = adaptive_avg_pool2d(x, 1)
    assert pooled.dtype == x.mean().dtype
    chex.assert_trees_all_close(pooled, x.mean((2, 3), keepdims=True), rtol=1e-6)
    program = jax.jit(lambda x: adaptive_avg_pool2d(x, 1)).lower(x).as_text()
    assert not any(slow in program for slow in ("reduce_window", "gather", "slice"))


def test_none_keeps_an_axis():
    x = integers((2, 3, 9, 7))
    chex.assert_trees_all_equal(adaptive_avg_pool2d(x, (None, None)), x)
    np.testing.assert_allclose(
        adaptive_avg_pool2d(x, (None, 1)), x.mean(3, keepdims=True), rtol=1e-6
    )
    chex.assert_trees_all_equal(adaptive_avg_pool2d(x, (None, 4)), adaptive_avg_pool2d(x, (9, 4)))


def test_short_forms_mean_the_long_ones():
    x = integers((3, 5, 6, 7))
    for short, long in [(4, (4, 4)), ([4], (4, 4)), ([4, None], (4, 7)), (np.int64(2), (2, 2))]:
        chex.assert_trees_all_equal(adaptive_avg_pool2d(x, short), adaptive_avg_pool2d(x, long))
    chex.assert_trees_all_equal(adaptive_avg_pool1d(x, (4,)), adaptive_avg_pool1d(x, 4))
    chex.assert_trees_all_equal(adaptive_avg_pool3d(x, 2), adaptive_avg_pool3d(x, (2, 2, 2)))


@pytest.mark.parametrize(("size", "outputs"), [(4096, 1000), (4096, 100), (1000, 4096), (97, 96)])
@pytest.mark.parametrize("shape", [(8, 1), (1, 8)])
def test_work_and_memory_grow_with_the_sizes_alone(size, outputs, shape):
    """Bins that differ in length, both ways: no more than a few times the larger of the two."""
    shape = (size, 8) if shape == (1, 8) else (8, size)
    axes = {"data_format": "channels_last" if shape[0] == size else "channels_first"}
    x = jnp.ones(shape)

    def pool(x):
        return adaptive_avg_pool1d(x, outputs, **axes)

    def pullback(ct):
        return jax.vjp(pool, x)[1](ct)[0]

    for f, argument in [(pool, x), (pullback, pool(x))]:
        compiled = jax.jit(f).lower(argument).compile()
        cost = compiled.cost_analysis()
        cost = cost[0] if isinstance(cost, list) else cost  # in old JAX
        assert cost["flops"] <= 8 * 8 * max(size, outputs)
        memory = compiled.memory_analysis().temp_size_in_bytes
        assert memory <= 1.1 * 4 * 8 * (size + outputs)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("outputs", [1, 7, 50])
def test_16_bit_averages_are_correctly_rounded(outputs, dtype):
    x = jnp.asarray(np.random.default_rng(0).random((64, 96, 100)), dtype)
    pooled = adaptive_avg_pool2d(x, outputs)
    config = Adaptive((96, 100), (outputs, outputs))
    exact = oracle.pool(np.asarray(x.astype(jnp.float32)), config)
    assert pooled.dtype == dtype
    assert np.mean(pooled == exact.astype(dtype)) >= 0.999


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("size", "outputs"), [(20, 7), (20, 5), (7, 20), (60, 3), (61, 3)])
def test_nan_and_inf_reach_only_the_bins_that_hold_them(bad, size, outputs):
    x = np.ones((1, size), np.float32)
    x[0, size // 2] = bad
    pooled = np.asarray(adaptive_avg_pool1d(x, outputs))[0]
    hit = np.array([size // 2 in bin_ for bin_ in oracle.bins(size, outputs)])
    np.testing.assert_array_equal(pooled[hit], np.full(hit.sum(), bad))
    assert np.isfinite(pooled[~hit]).all()
    _, pullback = jax.vjp(lambda x: adaptive_avg_pool1d(x, outputs), jnp.ones((1, size)))
    gradient = pullback(jnp.ones((1, outputs)).at[0, 1].set(jnp.nan))[0][0]
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(gradient)), oracle.bins(size, outputs)[1])


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_vmap_over_any_axis(axis):
    x = normal((4, 5, 6, 7))
    mapped = jax.vmap(lambda x: adaptive_avg_pool2d(x, (4, 3)), axis, axis)(x)
    parts = [adaptive_avg_pool2d(part, (4, 3)) for part in jnp.moveaxis(x, axis, 0)]
    chex.assert_trees_all_close(mapped, jnp.stack(parts, axis), rtol=1e-6)
