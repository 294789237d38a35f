"""Gradients: those of the definition, in any order, and zero where a window averages nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agreement import assert_agree, compiled, value_and_gradient
from cases import CASES, FIXED, Call, normal, pooling, slow_but
from jax.test_util import check_grads

import jaxpool

# Differentiated twice, of adaptive pools those whose bins differ: the others are fixed windows.
TWICE = FIXED + [case for case in CASES if case.id in ("adaptive bins", "adaptive more outputs")]


@pytest.mark.parametrize("transform", [jax.jit, jax.checkpoint])
def test_vjp_of_a_transformed_call(transform):
    configs = [case.values[0] for case in CASES]
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(c.shape(), dtype=np.float32) for c in configs]
    cotangents = [rng.standard_normal(c.shape(spatial=oracle.windows(c)[0])) for c in configs]

    def everything(inputs, cotangents):
        given = zip(configs, inputs, cotangents, strict=True)
        return [value_and_gradient(transform(pooling(c)), x, ct) for c, x, ct in given]

    found = compiled(everything, inputs, cotangents)
    for config, cotangent, (_, gradient) in zip(configs, cotangents, found, strict=True):
        expected = oracle.transpose(cotangent, config)
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6, err_msg=repr(config))


@pytest.mark.parametrize("config", slow_but(CASES, "ceil, excluding", "adaptive bins"))
def test_vjp_of_an_eager_call(config):
    x = np.random.default_rng(0).standard_normal(config.shape(), dtype=np.float32)
    cotangent = np.ones(config.shape(spatial=oracle.windows(config)[0]), np.float32)
    _, gradient = value_and_gradient(pooling(config), x, cotangent)
    expected = oracle.transpose(cotangent, config)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
    assert gradient.dtype == x.dtype


def test_every_kind_of_call():
    """With the tangent and the transposed gradient; random calls are in `test_values`."""
    assert_agree([Call(case.values[0]) for case in CASES])


@pytest.mark.parametrize("config", slow_but(TWICE, "overlapping, excluding", "adaptive bins"))
def test_first_and_second_order_numerically(config):
    x = normal(config.shape((1,), 1))

    @jax.jit
    def f(x):
        return jnp.sin(pooling(config)(x) * 2)

    check_grads(f, (x,), order=2, modes=("fwd", "rev"), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    "config",
    slow_but([case for case in TWICE if case.id != "wide"], "tiles with a rest", "adaptive bins"),
)
def test_hessian_of_half_a_square_is_the_gram_matrix(config):
    """Of |Ax|^2 / 2 the Hessian is A^T A: reverse over forward and forward over reverse."""
    x = jnp.zeros(config.shape((), 1))

    pool = pooling(config)

    def half_square(x):
        return (pool(x) ** 2).sum() / 2

    basis = np.eye(x.size).reshape(-1, *x.shape)
    gram = [oracle.transpose(oracle.pool(e, config), config).ravel() for e in basis]
    for hessian in (jax.hessian(half_square), jax.jacrev(jax.jacfwd(half_square))):
        found = np.asarray(compiled(hessian, x)).reshape(x.size, x.size)
        np.testing.assert_allclose(found, gram, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("differentiate", [jax.grad, lambda f: jax.jit(jax.grad(f))])
def test_a_window_that_averages_nothing_passes_no_gradient(differentiate):
    """Taps at -1 and 1 around a single pixel: NaN forward, zero backward."""

    def loss(x):
        return jaxpool.avg_pool1d(x, 2, 1, 1, False, dilation=2).sum()

    assert np.isnan(loss(jnp.ones((1, 1))))
    np.testing.assert_array_equal(differentiate(loss)(jnp.ones((1, 1))), [[0]])
    _, tangent = jax.jvp(loss, (jnp.ones((1, 1)),), (jnp.ones((1, 1)),))
    np.testing.assert_array_equal(tangent, 0)


FLOATS = ["bfloat16", "float16", "float32", "float8_e3m4", "float8_e4m3", "float8_e4m3fn"]
FLOATS += ["float8_e4m3b11fnuz", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"]


@pytest.mark.parametrize("name", FLOATS)
def test_the_gradient_has_the_dtype_of_the_input(name):
    if not hasattr(jnp, name):
        pytest.skip(f"this JAX has no {name}")
    x = jnp.ones((1, 4, 4), name)
    gradient = jax.grad(lambda x: jaxpool.avg_pool2d(x, 2).astype(jnp.float32).sum())(x)
    assert gradient.dtype == x.dtype
    np.testing.assert_array_equal(gradient.astype(jnp.float32), np.full(x.shape, 0.25))


def test_integers_have_no_gradient_but_pass_one_by():
    x = jnp.arange(16).reshape(1, 4, 4)
    scale, gradient = jax.value_and_grad(lambda s: (s * jaxpool.avg_pool2d(x, 4)).sum())(2.0)
    assert (scale, gradient) == (15.0, 7.5)
