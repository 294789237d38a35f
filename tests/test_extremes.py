"""Inputs at the ends of what there is: every dtype, the smallest and largest numbers, any shape."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from cases import CASES, pooling
from oracle import Config

import jaxpool
from jaxpool import adaptive_avg_pool2d, avg_pool2d

NARROW = ["bool", "int2", "uint2", "int4", "uint4", "int8", "uint8", "int16", "uint16", "int32"]
NARROW += ["uint32", "bfloat16", "float16", "float32", "complex64", "float4_e2m1fn"]
NARROW += ["float8_e3m4", "float8_e4m3", "float8_e4m3fn", "float8_e4m3b11fnuz", "float8_e4m3fnuz"]
NARROW += ["float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"]
WIDE = ["int64", "uint64", "float64", "complex128"]


def as_dtype(name):
    if not hasattr(jnp, name if name != "bool" else "bool_"):
        pytest.skip(f"this JAX has no {name}")
    return jnp.dtype(name)


def assert_ones_average_to_one(dtype):
    """Tiles, overlapping and long windows, bins; a mask of what is not one."""
    mask = np.arange(18) % 3 < 2
    x = np.where(mask, 1, 0).astype(dtype) * np.ones((2, 18, 18), dtype)
    ones, result = np.ones(x.shape, dtype), dtype
    if not jnp.issubdtype(dtype, jnp.inexact):
        result = jnp.result_type(float)
    for call in (
        lambda x, **where: avg_pool2d(x, 3, **where),
        lambda x, **where: avg_pool2d(x, 3, 2, 1, False, **where),
        lambda x, **where: avg_pool2d(x, 15, 1, **where),
        lambda x, **where: avg_pool2d(x, 18, **where),
        lambda x, **where: adaptive_avg_pool2d(x, 5, **where),
    ):
        for found in (call(ones), call(jnp.asarray(ones)), call(x, where=mask)):
            assert found.dtype == result
            values = np.asarray(found).astype(np.complex64 if found.dtype.kind == "c" else float)
            np.testing.assert_array_equal(values, np.ones(found.shape))


@pytest.mark.parametrize("name", NARROW)
def test_every_dtype(name):
    assert_ones_average_to_one(as_dtype(name))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", NARROW + WIDE)
def test_every_dtype_under_x64(name):
    assert_ones_average_to_one(as_dtype(name))


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


@pytest.mark.parametrize("config", CASES)
@pytest.mark.parametrize(("batch", "channels"), [((2, 0, 3), 1), ((2,), 0)])
def test_no_images_or_no_channels(config, batch, channels):
    x = jnp.ones(config.shape(batch, channels))
    spatial, _ = oracle.windows(config)
    shape = (*spatial, channels) if config.channels_last else (channels, *spatial)
    mask = np.ones(x.shape, bool)
    assert pooling(config, where=mask)(x).shape == (*batch, *shape)
    assert jax.grad(lambda x: pooling(config)(x).sum())(x).shape == x.shape


@pytest.mark.parametrize("channels_last", [False, True])
def test_thousands_of_channels(channels_last):
    config = Config((5, 6), (3, 2), (2, 2), ((1, 1), (0, 1)), False, channels_last=channels_last)
    x = np.random.default_rng(0).standard_normal(config.shape((1,), 4099)).astype(np.float32)
    pooled, pullback = jax.vjp(pooling(config), x)
    np.testing.assert_allclose(pooled, oracle.pool(x, config), rtol=1e-5, atol=1e-6)
    expected = oracle.transpose(pooled, config)
    np.testing.assert_allclose(pullback(pooled)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("rank", range(1, 9))
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_ranks(ndim, rank, data_format):
    """All axes before those of one image are batch; an image has one axis for its channels."""
    functions = [
        (getattr(jaxpool, f"avg_pool{ndim}d"), 2),
        (getattr(jaxpool, f"adaptive_avg_pool{ndim}d"), 3),
    ]
    image = (2, *(4,) * ndim) if data_format == "channels_first" else (*(4,) * ndim, 2)
    lead = (1, 2, 3, 1, 2, 3)[: max(0, rank - len(image))]
    shape = (*lead, *image)[:rank]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for function, size in functions:
        if rank <= ndim:
            with pytest.raises(ValueError, match=f"at least {ndim + 1} axes"):
                function(x, size, data_format=data_format)
            continue
        pooled = function(x, size, data_format=data_format)
        flat = function(x.reshape(-1, *image), size, data_format=data_format)
        assert pooled.shape == (*lead, *flat.shape[1:])
        np.testing.assert_array_equal(pooled.reshape(flat.shape), flat)


def far_configs():
    """Axes of one pixel and of a few, with windows, steps and gaps as long as they may be."""
    for size, kernel, dilation in itertools.product((1, 2, 5), (1, 2, 7), (1, 3, 11)):
        extent = (kernel - 1) * dilation + 1
        pad = min(extent - 1, 40)
        for stride in (1, size + 1, 60):
            rest = {"count_include_pad": False, "dilation": (dilation,)}
            yield Config((size,), (kernel,), (stride,), "SAME", **rest)
            for padding in ((pad, pad), (pad, 0), (0, pad)):
                if size + sum(padding) >= extent:
                    yield Config((size,), (kernel,), (stride,), (padding,), **rest)


def test_windows_steps_and_gaps_beyond_the_input():
    drawn = list(far_configs())
    assert len(drawn) > 150
    inputs = [np.arange(1.0, 1 + 2 * c.spatial[0], dtype=np.float32).reshape(2, -1) for c in drawn]
    pooled = jax.jit(lambda xs: [pooling(c)(x) for c, x in zip(drawn, xs, strict=True)])(inputs)
    for config, x, found in zip(drawn, inputs, pooled, strict=True):
        np.testing.assert_allclose(found, oracle.pool(x, config), rtol=2e-7, err_msg=repr(config))
