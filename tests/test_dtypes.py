"""What dtype comes out for which goes in, with and without 64-bit types."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import compiled
from cases import NARROW, POOLS, RARE, WIDE, jax_has, slow

import jaxpool
from jaxpool import avg_pool2d

INTEGERS = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32"]
KEPT = ["bfloat16", "float16", "float32", "complex64", "float8_e4m3fn", "float8_e5m2"]


@pytest.mark.parametrize("dtype", KEPT)
def test_inexact_dtypes_are_kept(dtype):
    x = jnp.ones((1, 4, 4), dtype)
    pooled = avg_pool2d(x, 2, padding=1, count_include_pad=False)
    assert pooled.dtype == x.dtype
    np.testing.assert_array_equal(pooled.astype(jnp.complex64), np.ones((1, 3, 3)))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_and_booleans_average_as_jnp_mean_does(dtype):
    x = jnp.asarray(np.random.default_rng(0).integers(0, 100, (3, 4, 4)), dtype)
    pooled, mean = avg_pool2d(x, 4), x.mean((1, 2))
    assert pooled.dtype == mean.dtype == jnp.float32
    np.testing.assert_allclose(pooled.ravel(), mean, rtol=2e-7)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_64_bit_types_are_kept_and_summed_in_their_own_precision(dtype):
    x = np.random.default_rng(0).standard_normal((2, 30, 30)).astype(dtype)
    pooled = avg_pool2d(x, 30)
    assert pooled.dtype == dtype
    np.testing.assert_allclose(pooled.ravel(), x.mean((1, 2)), rtol=1e-12)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "int64"])
def test_integers_give_the_default_float_under_x64(dtype):
    x = jnp.ones((1, 4, 4), dtype)
    assert avg_pool2d(x, 2).dtype == jnp.result_type(float)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_x64_widens_nothing(dtype):
    jaxpr = str(jax.make_jaxpr(lambda x: avg_pool2d(x, 3, 1, 1, False))(jnp.ones((1, 4, 4), dtype)))
    assert "f64" not in jaxpr


def test_complex_is_pooled_in_both_parts():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((2, 6, 6)) + 1j * rng.standard_normal((2, 6, 6))).astype(np.complex64)
    pooled = avg_pool2d(x, 3, 1, 1, False)
    parts = [avg_pool2d(np.ascontiguousarray(p), 3, 1, 1, False) for p in (x.real, x.imag)]
    np.testing.assert_allclose(pooled, parts[0] + 1j * parts[1], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "int32"])
def test_strict_promotion_and_ranks(dtype):
    x = jnp.ones((2, 3, 5, 5), dtype)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        jax.jit(lambda x: avg_pool2d(x, 3, 2, 1, False, ceil_mode=True))(x)


def test_weak_types_keep_their_dtype():
    x = jnp.broadcast_to(jnp.asarray(1.0), (1, 2, 2))
    assert avg_pool2d(x, 2).dtype == jnp.float32


def as_dtype(name):
    if not jax_has(name):
        pytest.skip(f"this JAX has no {name}")
    return jnp.dtype(name)


def assert_ones_average_to_one(dtype):
    """Ones average to one in every way, and under a mask of what is not one."""
    mask = np.arange(18) % 3 < 2
    x = np.where(mask, 1, 0).astype(dtype) * np.ones((2, 18, 18), dtype)
    ones, result = np.ones(x.shape, dtype), dtype
    if not jnp.issubdtype(dtype, jnp.inexact):
        result = jnp.result_type(float)

    def everything(ones, x):
        return [(pool(ones), pool(x, where=mask)) for pool in POOLS.values()]

    for found in (avg_pool2d(ones, 3), *jax.tree.leaves(compiled(everything, ones, x))):
        assert found.dtype == result
        values = np.asarray(found).astype(np.complex64 if found.dtype.kind == "c" else float)
        np.testing.assert_array_equal(values, np.ones(found.shape))


@pytest.mark.parametrize("name", [*NARROW, *slow(*RARE)])
def test_every_dtype(name):
    assert_ones_average_to_one(as_dtype(name))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "name", ["bool", "bfloat16", *WIDE, *slow(*sorted({*NARROW, *RARE} - {"bool", "bfloat16"}))]
)
def test_every_dtype_under_x64(name):
    assert_ones_average_to_one(as_dtype(name))


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">c8", ">i2", ">i4", ">u8"])
def test_other_byte_orders(dtype):
    """As of FITS files, also after an array of this machine's order: jax.jit takes both for one."""
    x = np.arange(16).reshape(1, 4, 4).astype(dtype)
    expected = [[2.5, 4.5], [10.5, 12.5]]
    for pool in (lambda x, **mask: avg_pool2d(x, 2, **mask), jaxpool.AvgPool2d(2)):
        for one in (x.astype(x.dtype.newbyteorder("=")), x):
            np.testing.assert_array_equal(pool(one)[0], expected)
            np.testing.assert_array_equal(pool(one, where=np.ones((4, 4), bool))[0], expected)
    np.testing.assert_array_equal(jaxpool.adaptive_avg_pool2d(x, 2)[0], expected)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_integers_beyond_32_bits(dtype):
    """They become floats before JAX cuts them off, with and without 64-bit types."""
    x = np.full((1, 2, 2), 3_000_000_000, dtype)
    np.testing.assert_array_equal(avg_pool2d(x, 2), [[[3e9]]])
    x[0, 0, 0] = 2**40
    np.testing.assert_allclose(avg_pool2d(x, 2), [[[(2**40 + 9e9) / 4]]], rtol=1e-7)
