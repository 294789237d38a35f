"""Rounding and range: 16 and 8 bits summed in float32, rounded once; NaN and Inf stay put."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpool import avg_pool1d, avg_pool2d

SIXTEEN = [jnp.bfloat16, jnp.float16]


@pytest.mark.parametrize("dtype", SIXTEEN)
@pytest.mark.parametrize("distribution", ["standard_normal", "random"])
@pytest.mark.parametrize("kernel", [2, 3, 7, 14, 31, 56, 112, 224])
def test_16_bit_averages_are_correctly_rounded(kernel, distribution, dtype):
    """At least 99.9% equal the float64 mean rounded once; the rest lie next to it."""
    images = max(2_000, min(20_000, 40_000_000 // kernel**2))
    rng = np.random.default_rng(kernel)
    x = getattr(rng, distribution)((images, kernel, kernel), dtype=np.float32).astype(dtype)
    pooled = np.asarray(avg_pool2d(x, kernel)).ravel()
    exact = x.astype(np.float32).mean((1, 2), dtype=np.float64)
    rounded = exact.astype(pooled.dtype)
    assert pooled.dtype == dtype
    assert np.mean(pooled == rounded) >= 0.999
    apart = np.abs(pooled.astype(np.float64) - rounded.astype(np.float64))
    spacing = float(jnp.finfo(dtype).eps) * np.abs(exact) + float(jnp.finfo(dtype).tiny)
    assert np.all(apart <= spacing)


@pytest.mark.parametrize("dtype", SIXTEEN)
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (31, 1)])
def test_16_bit_overlapping_windows_are_correctly_rounded(kernel, stride, dtype):
    x = jnp.asarray(np.random.default_rng(0).random((4, 128, 128)), dtype)
    pooled = np.asarray(avg_pool2d(x, kernel, stride, 1, divisor_override=kernel**2)).ravel()
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(np.asarray(x).astype(np.float64), ((0, 0), (1, 1), (1, 1))),
        (kernel, kernel),
        axis=(1, 2),
    )[:, ::stride, ::stride]
    assert np.mean(pooled == windows.mean((3, 4)).astype(pooled.dtype).ravel()) >= 0.999


@pytest.mark.parametrize("dtype", SIXTEEN)
def test_16_bit_gradients_are_rounded_once(dtype):
    """Each pixel of the inside gets 49 times 1/49 of one: one, not the 0.98 of a bfloat16 sum."""
    gradient = jax.grad(lambda x: avg_pool2d(x, 7, 1).astype(jnp.float32).sum())
    inside = gradient(jnp.ones((1, 24, 24), dtype))[0, 6:-6, 6:-6]
    np.testing.assert_array_equal(inside, np.ones((12, 12)))


@pytest.mark.parametrize("dtype", [jnp.float8_e4m3fn, jnp.float8_e5m2])
def test_8_bit_floats_are_rounded_once(dtype):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((50, 16, 16)), dtype)
    pooled = avg_pool2d(x, 4)
    assert pooled.dtype == dtype
    blocks = np.asarray(x.astype(jnp.float32)).reshape(50, 4, 4, 4, 4)
    expected = jnp.asarray(blocks.mean((2, 4), dtype=np.float64), jnp.float32).astype(dtype)
    np.testing.assert_array_equal(pooled.astype(jnp.float32), expected.astype(jnp.float32))


def test_float16_mean_of_large_values_does_not_overflow():
    x = jnp.full((1, 56, 56), 60000, jnp.float16)
    expected = np.float16(60000)
    np.testing.assert_array_equal(avg_pool2d(x, 56), [[[expected]]])
    np.testing.assert_array_equal(avg_pool2d(x, 5, 1), np.full((1, 52, 52), expected))


@pytest.mark.parametrize("distribution", ["random", "standard_normal"])
def test_float32_error_at_256x256(distribution):
    """At most 8 eps of the mean magnitude, whether one window or sliding ones."""
    x = getattr(np.random.default_rng(1), distribution)((2, 320, 320)).astype(np.float32)
    for magnitude, expected, pooled in zip(
        sliding_mean(np.abs(x), 256), sliding_mean(x, 256), avg_pool2d(x, 256, 1), strict=True
    ):
        assert np.abs(pooled - expected).max() <= 8 * np.finfo(np.float32).eps * magnitude.min()


def sliding_mean(x, k):
    """Means by differences of a float64 table: exact enough to judge float32, and quick."""
    table = np.pad(x.astype(np.float64).cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    return (table[:, k:, k:] - table[:, :-k, k:] - table[:, k:, :-k] + table[:, :-k, :-k]) / k**2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 1, 1), (9, 1, 4)])
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_nan_and_inf_reach_only_the_windows_that_hold_them(
    bad, kernel, stride, padding, count_include_pad
):
    x = np.ones((1, 20, 20), np.float32)
    x[0, 7, 12] = bad
    pooled = np.asarray(avg_pool2d(x, kernel, stride, padding, count_include_pad))[0]
    start = np.arange(pooled.shape[0]) * stride - padding
    rows, columns = ((start <= p) & (p < start + kernel) for p in (7, 12))
    hit = rows[:, None] & columns
    np.testing.assert_array_equal(pooled[hit], np.full(hit.sum(), bad))
    assert np.isfinite(pooled[~hit]).all()


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 1, 1), (9, 1, 4)])
def test_nan_in_a_cotangent_reaches_only_the_pixels_of_its_window(kernel, stride, padding):
    pooled, pullback = jax.vjp(
        lambda x: avg_pool2d(x, kernel, stride, padding), jnp.ones((1, 20, 20))
    )
    (gradient,) = pullback(jnp.ones_like(pooled).at[0, 3, 4].set(jnp.nan))
    position = np.arange(20)
    rows, columns = (
        (i * stride - padding <= position) & (position < i * stride - padding + kernel)
        for i in (3, 4)
    )
    np.testing.assert_array_equal(np.isnan(gradient[0]), rows[:, None] & columns)


def test_infinite_complex_parts_stay_apart():
    x = jnp.full((1, 2, 2), complex(np.inf, 1), jnp.complex64)
    pooled = avg_pool2d(x, 2)
    np.testing.assert_array_equal(pooled.real, [[[np.inf]]])
    np.testing.assert_array_equal(pooled.imag, [[[1]]])


def test_one_bad_image_of_a_batch_leaves_the_others_alone():
    x = jnp.ones((3, 1, 8)).at[1].set(jnp.nan)
    pooled = avg_pool1d(x, 4)
    np.testing.assert_array_equal(np.isnan(pooled).all((1, 2)), [False, True, False])
    np.testing.assert_array_equal(np.isnan(pooled).any((1, 2)), [False, True, False])
