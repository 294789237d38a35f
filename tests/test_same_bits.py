"""What docs/numerics.md promises: a value has the same bits, however it is asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, normal, pooling, slow_but

import jaxpool


def assert_same_bits(found, expected):
    bits = np.uint32 if expected.dtype == np.float32 else np.uint16
    found, expected = (np.asarray(a).view(bits) for a in (found, expected))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("config", slow_but(CASES[::2], "tiles", "wide"))
def test_values(config):
    """Eager, jitted, mapped, looped, part of a larger batch, and beside a gradient."""
    dtype = "bfloat16" if config.ndim != 2 else "float32"
    x = normal((3, *config.shape()), dtype)
    f = pooling(config)
    expected = f(x)
    for found in (
        jax.jit(f)(x),
        jax.jit(jax.vmap(f))(x),
        jnp.stack([f(one) for one in x]),
        jax.jit(jax.grad(lambda x: (f(x).sum(), f(x)), has_aux=True))(x)[1],
    ):
        assert_same_bits(found, expected)


@pytest.mark.parametrize("config", slow_but(CASES[1::4], "same_lower"))
def test_values_under_a_mask(config):
    """An argument of the program, or a constant in it."""
    x = normal(config.shape())
    where = np.random.default_rng(0).random(x.shape) < 0.9

    def f(x, where):
        return pooling(config, where=where)(x)

    expected = f(x, where)
    assert_same_bits(jax.jit(f)(x, where), expected)
    assert_same_bits(jax.jit(jax.vmap(f))(x, where), expected)
    assert_same_bits(jax.jit(lambda x: f(x, where))(x), expected)


@pytest.mark.parametrize("kernel", [3, 9, 56])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_constant_mask_gives_the_bits_of_an_argument(kernel, dtype):
    x = jnp.asarray(np.random.default_rng(0).random((3, 4, 56, 56)), dtype)
    mask = np.random.default_rng(1).random((56, 56)) < 0.8

    def pool(x, where):
        return jaxpool.avg_pool2d(x, kernel, 1, kernel // 2 if kernel < 56 else 0, where=where)

    assert_same_bits(jax.jit(lambda x: pool(x, mask))(x), jax.jit(pool)(x, mask))


@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_divisors_that_are_as_large_as_an_image(masked, count_include_pad):
    """By these XLA would divide, and multiply by the reciprocals of those that a batch shares."""
    x = normal((3, 1, 60, 60))
    one = np.random.default_rng(0).random((60, 60)) < 0.9 if masked else None

    def f(x, where):
        return jaxpool.avg_pool2d(x, 3, 1, 1, count_include_pad, where=where)

    expected = f(x, one)
    assert_same_bits(jnp.stack([f(image, one) for image in x]), expected)
    assert_same_bits(jax.vmap(jax.jit(f), (0, None))(x, one), expected)
    if masked:
        assert_same_bits(f(x, np.broadcast_to(one, x.shape)), expected)


@pytest.mark.parametrize("config", slow_but(CASES[::4], "same"))
def test_gradients_of_one_program(config):
    x = normal(config.shape())
    gradient = jax.jit(jax.grad(lambda x: jnp.nansum(pooling(config)(x) ** 2)))
    assert_same_bits(gradient(x), gradient(x))


def test_a_batch_too_large_for_any_cache():
    """Its images alone are not: they must be summed in the same way all the same."""
    x = normal((9, 1000, 1000))

    def f(x):
        return jaxpool.avg_pool2d(x, 3, 2, 1)

    assert_same_bits(jnp.stack([f(one[None])[0] for one in x]), f(x))
