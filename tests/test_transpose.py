"""A pool is a linear map with a transpose: <A x, y> == <x, A^T y>."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from cases import CASES, pooling, slow_but
from configs import configs
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import jaxpool


def assert_adjoint(pool, x, config):
    pooled = np.nan_to_num(pool(x))  # a window of nothing is NaN forward, and nothing backward
    y = np.random.default_rng(1).standard_normal(pooled.shape).astype(np.float32)
    (back,) = jax.linear_transpose(pool, jax.ShapeDtypeStruct(x.shape, x.dtype))(y)
    left, right = np.vdot(pooled, y), np.vdot(x, back)
    scale = np.linalg.norm(pooled) * np.linalg.norm(y) + np.linalg.norm(x) * np.linalg.norm(back)
    assert abs(left - right) <= 1e-6 * scale, config
    np.testing.assert_allclose(back, oracle.transpose(y, config), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", slow_but(CASES, "ceil, excluding", "wide", "adaptive bins"))
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit])
def test_inner_products(config, transform):
    x = np.random.default_rng(0).standard_normal(config.shape()).astype(np.float32)
    assert_adjoint(transform(pooling(config)), x, config)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, phases=[Phase.generate])
@given(configs(), st.integers(0, 2**32 - 1))
def test_inner_products_of_random_configurations(config, seed):
    x = np.random.default_rng(seed).standard_normal(config.shape((), 2)).astype(np.float32)
    assert_adjoint(pooling(config), x, config)


@pytest.mark.parametrize("config", slow_but(CASES, "ceil, excluding", "adaptive bins"))
def test_the_transpose_of_the_transpose_is_the_pool(config):
    x = jax.random.normal(jax.random.key(0), config.shape())
    pool = pooling(config)
    y = jax.eval_shape(pool, x)
    twice = jax.linear_transpose(lambda y: jax.linear_transpose(pool, x)(y)[0], y)(x)[0]
    expected = np.nan_to_num(pool(x))
    np.testing.assert_allclose(jnp.nan_to_num(twice), expected, rtol=1e-5, atol=1e-6)


def test_of_complex_numbers():
    x = jnp.ones((1, 4, 4), jnp.complex64)
    (back,) = jax.linear_transpose(lambda x: jaxpool.avg_pool2d(x, 2), x)(jnp.ones((1, 2, 2), "c8"))
    np.testing.assert_allclose(back, np.full((1, 4, 4), 0.25))
