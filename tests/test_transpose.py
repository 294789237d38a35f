"""A pool is a linear map with a transpose: <A x, y> == <x, A^T y>."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agreement import compiled
from cases import CASES, pooling, slow
from configs import random_calls

import jaxpool


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
@pytest.mark.parametrize(
    "configs",
    [
        [case.values[0] for case in CASES],
        *slow([config for config, *_ in random_calls(0, 64)]),
    ],
    ids=["every kind", "random"],
)
def test_inner_products(configs, transform):
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(config.shape(), dtype=np.float32) for config in configs]
    cotangents = [rng.standard_normal(c.shape(spatial=oracle.windows(c)[0])) for c in configs]
    cotangents = [cotangent.astype(np.float32) for cotangent in cotangents]

    def everything(inputs, cotangents):
        results = []
        for config, x, y in zip(configs, inputs, cotangents, strict=True):
            pool = transform(pooling(config))
            transpose = jax.linear_transpose(pool, x)
            (twice,) = jax.linear_transpose(lambda y, t=transpose: t(y)[0], y)(x)
            results.append((pool(x), *transpose(y), twice))
        return results

    found = compiled(everything, inputs, cotangents)
    for config, x, y, (pooled, back, twice) in zip(configs, inputs, cotangents, found, strict=True):
        pooled = np.nan_to_num(pooled)  # a window of nothing is NaN forward, and nothing backward
        left, right = np.vdot(pooled, y), np.vdot(x, back)
        norm = np.linalg.norm
        assert abs(left - right) <= 1e-6 * (norm(pooled) * norm(y) + norm(x) * norm(back)), config
        expected = oracle.transpose(y, config)
        np.testing.assert_allclose(back, expected, rtol=1e-5, atol=1e-6, err_msg=repr(config))
        twice = np.nan_to_num(twice)
        np.testing.assert_allclose(twice, pooled, rtol=1e-5, atol=1e-6, err_msg=repr(config))


def test_of_complex_numbers():
    x = jnp.ones((1, 4, 4), jnp.complex64)
    (back,) = jax.linear_transpose(lambda x: jaxpool.avg_pool2d(x, 2), x)(jnp.ones((1, 2, 2), "c8"))
    np.testing.assert_allclose(back, np.full((1, 4, 4), 0.25))
