"""Rounding and range: 16 and 8 bits summed in float32, rounded once; NaN and Inf stay put."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from cases import CASES, pooling, slow
from oracle import Config

from jaxpool import avg_pool1d, avg_pool2d, avg_pool3d

SIXTEEN = [jnp.bfloat16, jnp.float16]


KERNELS = [
    (kernel, max(2_000, min(20_000, 40_000_000 // kernel**2)))
    for kernel in (2, 3, 7, 14, 31, 56, 112, 224)
]


@pytest.mark.parametrize("dtype", SIXTEEN)
@pytest.mark.parametrize("distribution", ["standard_normal", "random"])
@pytest.mark.parametrize(("kernel", "images"), [(3, 20_000), (31, 2_000), *slow(*KERNELS)])
def test_16_bit_averages_are_correctly_rounded(kernel, images, distribution, dtype):
    """At least 99.9% equal the float64 mean rounded once; the rest lie next to it."""
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


def test_divisors_beyond_64_bits():
    ones = jnp.ones((1, 2, 2, 2))
    for divisor in (2**93, -(2**70)):
        averaged = avg_pool2d(ones, 2, divisor_override=divisor)
        np.testing.assert_allclose(averaged, 4 / divisor, rtol=1e-6)
    averaged = avg_pool3d(ones, 2**31 - 1, 1, "SAME")  # of three axes
    np.testing.assert_allclose(averaged, 8 / (2.0**31 - 1) ** 3, rtol=1e-6)


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


def pooled_by_all_cases(draw):
    """For every kind of call, its input as drawn, its result, and the oracle's."""
    configs = [case.values[0] for case in CASES]
    inputs = [draw(config.shape()).astype(np.float32) for config in configs]
    f = jax.jit(lambda xs: [pooling(c)(x) for c, x in zip(configs, xs, strict=True)])
    for config, x, pooled in zip(configs, inputs, f(inputs), strict=True):
        yield pooled, oracle.pool(x, config)


def test_subnormals_are_at_worst_zero():
    """XLA takes float32 subnormals for zero on some devices; so it may in an average."""
    tiny = np.finfo(np.float32).tiny
    rng = np.random.default_rng(0)
    for pooled, expected in pooled_by_all_cases(lambda shape: rng.standard_normal(shape) * tiny):
        np.testing.assert_allclose(pooled, expected, rtol=0, atol=2 * tiny)


def test_an_average_of_zeros_of_any_sign_is_zero():
    rng = np.random.default_rng(0)
    for pooled, expected in pooled_by_all_cases(lambda shape: rng.choice([0.0, -0.0], shape)):
        np.testing.assert_array_equal(pooled, expected)


@pytest.mark.parametrize("kernel", [2, 5, 16])
def test_float16_subnormals_are_kept(kernel):
    """They are normal in float32; halfway cases excepted, the average is the nearest of them."""
    step = 2.0**-24
    x = np.random.default_rng(0).integers(-900, 900, (20, 16, 16)).astype(np.float64) * step
    config = Config((16, 16), (kernel,) * 2, (kernel,) * 2, "VALID")
    pooled = np.asarray(avg_pool2d(x.astype(np.float16), kernel), np.float64)
    assert np.abs(pooled - oracle.pool(x, config)).max() <= step / 2
    assert (pooled != 0).any()


@pytest.mark.parametrize("name", ["float16", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 1), (15, 1), (20, 20)])
def test_averages_of_the_largest_narrow_floats_do_not_overflow(name, kernel, stride):
    largest = jnp.finfo(name).max
    pooled = avg_pool2d(jnp.full((1, 20, 20), largest, name), kernel, stride)
    np.testing.assert_array_equal(pooled.astype(jnp.float32), np.full(pooled.shape, float(largest)))


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_sum_past_the_largest_float_is_infinite_as_that_of_jnp_mean(name):
    """As docs/numerics.md says: to scale is the caller's choice, by a power of two exactly."""
    x = jnp.full((1, 4, 4), jnp.finfo(name).max, name)
    np.testing.assert_array_equal(avg_pool2d(x, 4), jnp.full((1, 1, 1), jnp.inf, name))
    np.testing.assert_array_equal(jnp.mean(x), jnp.asarray(jnp.inf, name))
    np.testing.assert_array_equal(avg_pool2d(-x, 2), jnp.full((1, 2, 2), -jnp.inf, name))
    np.testing.assert_array_equal(avg_pool2d(x / 4, 2) * 4, x[:, :2, :2])


def test_a_sum_that_does_not_pass_it_is_exact():
    largest = np.finfo(np.float32).max
    x = np.zeros((1, 4, 4), np.float32)
    x[0, ::2, ::2] = largest
    np.testing.assert_array_equal(avg_pool2d(x, 2), np.full((1, 2, 2), largest / 4))
