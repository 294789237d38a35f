"""Masks: the average of what is True, and nothing of what lies under the rest."""

import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agreement import assert_agree
from cases import CASES, Call, normal, pooling, slow
from oracle import Adaptive, Config

import jaxpool
from jaxpool import adaptive_avg_pool2d, avg_pool1d, avg_pool2d


@pytest.mark.parametrize("mask", [0.5, *slow(0.0, 1.0)])
def test_every_kind_of_call(mask):
    """Random ones are in `test_values`."""
    assert_agree([Call(case.values[0], mask=mask, seed=i) for i, case in enumerate(CASES)])


@pytest.mark.parametrize("shape", [(6, 8), (1, 6, 8), (3, 1, 1, 1), (3, 1, 6, 8), (3, 2, 6, 8), ()])
def test_shapes_that_broadcast(shape):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2, 6, 8)).astype(np.float32)
    where = np.asarray(rng.random(shape) < 0.7)
    full = np.broadcast_to(where, x.shape)
    for f in (avg_pool2d, adaptive_avg_pool2d):
        chex.assert_trees_all_close(f(x, 3, where=where), f(x, 3, where=full), rtol=3e-7)


def test_all_true_is_no_mask():
    x = normal((2, 3, 9, 8))
    for options in ({"padding": 1}, {"padding": 1, "count_include_pad": False}, {"stride": 2}):
        plain = avg_pool2d(x, 3, **options)
        chex.assert_trees_all_close(
            avg_pool2d(x, 3, **options, where=jnp.ones((9, 8), bool)), plain, rtol=1e-6
        )


def test_padding_counts_as_it_is_told_to():
    """A window of four: three of padding and one pixel, which is or is not there."""
    x = jnp.array([[[5.0]]])
    for there, include, expected in [
        (True, True, 1.25),
        (True, False, 5),
        (False, True, 0),
        (False, False, np.nan),
    ]:
        pooled = avg_pool2d(x, 2, 1, ((1, 0), (1, 0)), include, where=jnp.array([[[there]]]))
        np.testing.assert_array_equal(pooled, [[[expected]]])


def test_a_divisor_override_is_the_divisor():
    where = jnp.array([True, True, False, False, False, False])
    pooled = avg_pool1d(jnp.ones((1, 6)), 3, divisor_override=4, where=where)
    np.testing.assert_array_equal(pooled, [[0.5, 0]])


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit, jax.checkpoint])
def test_an_empty_window_is_nan_and_leaves_the_gradient_of_the_others_alone(transform):
    x = jnp.array([[1.0, 2.0, jnp.nan, jnp.inf, 5.0, jnp.nan]])
    where = jnp.isfinite(x)

    def pool(x):
        return avg_pool1d(x, 2, where=where)

    np.testing.assert_array_equal(transform(pool)(x), [[1.5, np.nan, 5]])
    gradient = transform(jax.grad(lambda x: pool(x).sum()))(x)
    np.testing.assert_array_equal(gradient, [[0.5, 0.5, 0, 0, 1, 0]])
    gradient = transform(jax.grad(lambda x: jnp.nansum(pool(x) ** 2)))(x)
    np.testing.assert_array_equal(gradient, [[1.5, 1.5, 0, 0, 10, 0]])
    tangent = jax.jvp(transform(pool), (x,), (jnp.ones_like(x),))[1]
    np.testing.assert_array_equal(tangent, [[1, 0, 1]])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("kernel", [4, 32, 128])
def test_16_bit_averages_are_correctly_rounded(kernel, dtype):
    rng = np.random.default_rng(kernel)
    images = max(64, 2**18 // kernel**2)
    x = jnp.asarray(rng.random((images, kernel, kernel), dtype=np.float32), dtype)
    where = rng.random(x.shape) < 0.6
    where[:, 0, 0] = True
    exact = np.mean(np.asarray(x).astype(np.float64), (1, 2), where=where)
    pooled = avg_pool2d(x, kernel, where=where)
    assert pooled.dtype == dtype
    assert np.mean(pooled.ravel() == exact.astype(dtype)) >= 0.999


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32"])
def test_integers(dtype):
    x = jnp.asarray(np.arange(16).reshape(1, 4, 4) % 5, dtype)
    where = np.asarray(x) < 3
    expected = np.ma.array(np.asarray(x, np.float32), mask=~where).mean((1, 2))
    np.testing.assert_allclose(avg_pool2d(x, 4, where=where).ravel(), expected, rtol=1e-6)


def test_complex_numbers_with_infinities_under_the_mask():
    x = jnp.array([[1 + 2j, 3 - 4j, complex(np.inf, np.nan), 7]], jnp.complex64)
    pooled = avg_pool1d(x, 2, where=jnp.array([True, True, False, True]))
    np.testing.assert_array_equal(pooled, [[2 - 1j, 7]])


@pytest.mark.usefixtures("x64")
def test_64_bit():
    x = np.random.default_rng(0).standard_normal((2, 30, 30))
    where = x > 0
    pooled = avg_pool2d(x, 30, where=where)
    assert pooled.dtype == np.float64
    np.testing.assert_allclose(pooled.ravel(), np.mean(x, (1, 2), where=where), rtol=1e-13)


@pytest.mark.parametrize(
    "config",
    [Config((9, 8), (3, 3), (2, 2), ((1, 1), (0, 1)), False), Adaptive((9, 8), (4, 8))],
    ids=["fixed", "adaptive"],
)
def test_vmap_over_the_image_the_mask_and_both(config):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 2, 9, 8)).astype(np.float32)
    where = rng.random((5, 9, 8)) < 0.5

    def pool(x, where):
        return pooling(config, where=where)(x)

    for axes in [(0, None), (None, 0), (0, 0)]:
        args = [a if axis == 0 else a[0] for a, axis in zip((x, where), axes, strict=True)]
        mapped = jax.vmap(pool, axes)(*args)
        for i, found in enumerate(mapped):
            one = [a[i] if axis == 0 else a for a, axis in zip(args, axes, strict=True)]
            chex.assert_trees_all_close(found, pool(*one), rtol=1e-6)
    moved = jax.vmap(pool, (1, 2), 3)(jnp.moveaxis(x, 0, 1), jnp.moveaxis(where, 0, 2))
    chex.assert_trees_all_close(moved, jnp.moveaxis(jax.vmap(pool)(x, where), 0, 3), rtol=1e-6)


def test_the_mask_is_summed_once_on_its_own_shape():
    """So that one mask for a large batch costs nothing."""

    def flops(where):
        f = functools.partial(avg_pool2d, kernel=7, stride=1, padding=3)
        compiled = jax.jit(lambda x: f(x, where=where)).lower(jnp.ones((64, 8, 32, 32))).compile()
        cost = compiled.cost_analysis()
        return (cost[0] if isinstance(cost, list) else cost)["flops"]

    one, many = (jnp.ones(shape, bool) for shape in [(32, 32), (64, 1, 32, 32)])
    pool = jax.jit(lambda x, w: avg_pool2d(x, 7, 1, 3, where=w))
    for where, summed in ((one, "1x1x32x32"), (many, "64x1x32x32")):
        text = pool.lower(jnp.ones((64, 8, 32, 32)), where).as_text()
        windows = re.findall(r"reduce_window.*?-> tensor<(\w+)xf32>", text, re.DOTALL)
        # Along the rows and the columns, first of the image, then of the mask.
        assert windows == 2 * ["64x8x32x32"] + 2 * [summed]
    assert flops(one) <= 1.25 * flops(None)


def test_a_layer_takes_it_when_called():
    x = normal((2, 3, 8, 8))
    where = x > 0
    for layer, expected in [
        (jaxpool.AvgPool2d(2), avg_pool2d(x, 2, where=where)),
        (jaxpool.AdaptiveAvgPool2d(3), adaptive_avg_pool2d(x, 3, where=where)),
    ]:
        chex.assert_trees_all_equal(layer(x, where=where), expected)
        chex.assert_trees_all_equal(layer.apply({}, x, where), expected)


def test_it_may_be_computed_under_jit():
    x = jnp.where(jnp.arange(16.0).reshape(1, 4, 4) > 2, 1.0, jnp.nan)
    pooled = jax.jit(lambda x: avg_pool2d(x, 2, where=~jnp.isnan(x)))(x)
    np.testing.assert_array_equal(pooled, np.ones((1, 2, 2)))


def test_weighted_by_hand_in_a_scan():
    """Inside control flow, with a mask that shrinks from step to step."""
    x = normal((1, 8, 8))

    def step(x, limit):
        return avg_pool2d(x, 3, 1, 1, where=jnp.abs(x) < limit), None

    scanned, _ = jax.lax.scan(step, x, jnp.array([3.0, 2.0]))
    expected = step(step(x, 3.0)[0], 2.0)[0]
    chex.assert_trees_all_close(scanned, expected, rtol=1e-6)


def test_the_oracle_agrees_with_the_one_without_masks():
    config = Config((5, 6), (3, 2), (2, 1), ((1, 1), (0, 1)), False, True)
    x = np.random.default_rng(0).standard_normal(config.shape())
    plain = oracle.pool(x, config)
    y = np.cos(plain)
    pooled, back = oracle.masked_pool(x, np.ones(x.shape, bool), y, config)
    np.testing.assert_allclose(pooled, plain)
    np.testing.assert_allclose(back, oracle.transpose(y, config))


@pytest.mark.parametrize("where", [True, False, np.True_, np.False_])
def test_a_scalar(where):
    """As `jnp.mean` takes it; of a masked array without a mask, `mask` is one."""
    x = normal((2, 3, 6, 6))
    full = np.full((6, 6), where)
    for f in (avg_pool2d, adaptive_avg_pool2d):
        chex.assert_trees_all_equal(f(x, 3, where=where), f(x, 3, where=full))
    chex.assert_trees_all_equal(jaxpool.AvgPool2d(3)(x, where), avg_pool2d(x, 3, where=full))


@pytest.mark.parametrize("masked", [False, True])
def test_the_hint_for_masked_arrays(masked):
    """It works where nothing is masked, too."""
    x = np.ma.array(np.arange(16.0, dtype=np.float32).reshape(1, 4, 4))
    if masked:
        x = np.ma.masked_less(x, 3)
    with pytest.raises(TypeError, match=r"pass x.data, and where=~np.ma.getmaskarray\(x\)"):
        avg_pool2d(x, 2)
    pooled = avg_pool2d(x.data, 2, where=~np.ma.getmaskarray(x))
    np.testing.assert_array_equal(pooled[0, 0, 0], 4.5 if masked else 2.5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_masked_16_bit_input_is_masked(dtype, monkeypatch):
    """On a TPU, by the rules for masks: one reduce_window for each axis, and one that counts."""
    monkeypatch.setitem(jaxpool._primitive.RULES, "cpu", "tpu")
    jax.clear_caches()
    x = jnp.ones((2, 3, 16, 16), dtype)
    text = jax.jit(lambda x: avg_pool2d(x, 8, where=x > 0)).lower(x).as_text()
    assert text.count("stablehlo.reduce_window") == 3
    jax.clear_caches()
