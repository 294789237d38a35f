"""Forward mode: a pool is linear, so its tangent is the pool of the tangent.

`test_grad` and `test_values` compare the tangents of all kinds of calls with the oracle.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from agreement import compiled
from cases import CASES, normal, pooling

import jaxpool


def test_the_tangent_is_the_pool_of_the_tangent():
    configs = [case.values[0] for case in CASES]
    arrays = [(normal(c.shape()), normal(c.shape(), seed=1)) for c in configs]

    def everything(arrays):
        results = []
        for config, (x, t) in zip(configs, arrays, strict=True):
            pool = pooling(config)
            _, linear = jax.linearize(pool, x)
            results.append((*jax.jvp(pool, (x,), (t,)), pool(x), pool(t), linear(t)))
        return results

    for value, tangent, pooled, pooled_tangent, linear in compiled(everything, arrays):
        chex.assert_trees_all_close(value, pooled, rtol=1e-6)
        expected = np.where(np.isfinite(value), pooled_tangent, 0)
        np.testing.assert_allclose(tangent, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(linear, tangent, rtol=1e-6, atol=1e-7)


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
