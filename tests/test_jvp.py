"""Forward mode: a pool is linear, so its tangent is the pool of the tangent.

`test_grad` and `test_values` compare the tangents of all kinds of calls with the oracle.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, pooling, slow_but

import jaxpool


@pytest.mark.parametrize("config", slow_but(CASES, "adaptive bins"))
def test_the_tangent_is_the_pool_of_the_tangent(config):
    pool = pooling(config)
    x, t = jax.random.normal(jax.random.key(0), (2, *config.shape()))
    value, tangent = jax.jit(lambda x, t: jax.jvp(pool, (x,), (t,)))(x, t)
    chex.assert_trees_all_close(value, pool(x), rtol=1e-6)
    defined = np.isfinite(value)
    np.testing.assert_allclose(tangent[defined], pool(t)[defined], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(tangent[~defined], 0)
    _, linear = jax.linearize(pool, x)
    np.testing.assert_allclose(jax.jit(linear)(t), tangent, rtol=1e-6, atol=1e-7)


def test_the_second_derivative_is_zero():
    x = jnp.ones((1, 4, 4))

    def pool(x):
        return jaxpool.avg_pool2d(x, 3, 1, 1)

    _, second = jax.jvp(lambda x: jax.jvp(pool, (x,), (x,))[1], (x,), (jnp.zeros_like(x),))
    np.testing.assert_array_equal(second, 0)


def test_jacobians_agree():
    x = jnp.ones((1, 5, 4))

    def pool(x):
        return jaxpool.avg_pool2d(x, 3, 1, 1, False)

    chex.assert_trees_all_close(jax.jacfwd(pool)(x), jax.jacrev(pool)(x), rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 2900, 2900), (3000, 2900, 1)])
def test_a_large_image_is_summed_in_two_ways(shape):
    """Too large for the cache, it is summed at once; its tangent still axis by axis."""
    data_format = "channels_last" if shape[-1] == 1 else "channels_first"
    x = jax.random.normal(jax.random.key(0), shape)

    def pool(x):
        return jaxpool.avg_pool2d(x, 3, 2, 1, False, data_format=data_format)

    value, tangent = jax.jit(lambda x: jax.jvp(pool, (x,), (x,)))(x)
    assert str(jax.make_jaxpr(pool)(x)).count("reduce_window_sum") == 1
    np.testing.assert_allclose(value, tangent, rtol=1e-5, atol=1e-6)
