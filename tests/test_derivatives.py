"""Derivatives: those of the definition in every mode, and zero where a window averages nothing.

A pool is a linear map: its tangent is the pool of the tangent, its gradient the transpose.
`test_values` compares the derivatives of random calls, also under masks and in 16 bits.
"""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agreement import compiled, value_and_gradient
from cases import CASES, FIXED, normal, pooling, slow, slow_but
from configs import random_calls
from jax.test_util import check_grads

import jaxpool

pytestmark = pytest.mark.usefixtures("quickly")

# Differentiated twice, of adaptive pools those whose bins differ: the others are fixed windows.
TWICE = FIXED + [case for case in CASES if case.id in ("adaptive bins", "adaptive more outputs")]


def in_every_mode(pool, x, tangent, cotangent):
    """What maps the tangent, and what maps the cotangent, by the name of the mode."""
    transpose = jax.linear_transpose(pool, x)
    _, linear = jax.linearize(pool, x)
    (twice,) = jax.linear_transpose(lambda y: transpose(y)[0], cotangent)(tangent)
    pullback = jax.vjp(pool, x)[1]
    (pushed_again,) = jax.linear_transpose(pullback, cotangent)((tangent,))
    forward = {
        "jvp": jax.jvp(pool, (x,), (tangent,))[1],
        "linearize": linear(tangent),
        "transpose of linear_transpose": twice,
        "transpose of vjp": pushed_again,
    }
    backward = {
        "vjp": pullback(cotangent)[0],
        "linear_transpose": transpose(cotangent)[0],
        "vjp of a checkpoint": value_and_gradient(jax.checkpoint(pool), x, cotangent)[1],
        "vjp of a jit": value_and_gradient(jax.jit(pool), x, cotangent)[1],
        "linear_transpose of a jit": jax.linear_transpose(jax.jit(pool), x)(cotangent)[0],
    }
    return pool(x), forward, backward


@pytest.mark.parametrize(
    "configs",
    [
        [case.values[0] for case in CASES],
        *slow([call.config for call in random_calls(0, 64)]),
    ],
    ids=["every kind", "random"],
)
def test_in_every_mode(configs):
    rng = np.random.default_rng(0)
    arrays = []
    for config in configs:
        shapes = config.shape(), config.shape(), config.shape(spatial=oracle.windows(config)[0])
        arrays.append([rng.standard_normal(shape).astype(np.float32) for shape in shapes])

    def everything(arrays):
        given = zip(configs, arrays, strict=True)
        return [in_every_mode(pooling(config), *three) for config, three in given]

    for config, three, found in zip(configs, arrays, compiled(everything, arrays), strict=True):
        (x, tangent, cotangent), (value, forward, backward) = three, found
        near = {"rtol": 1e-5, "atol": 1e-6}
        np.testing.assert_allclose(value, oracle.pool(x, config), **near, err_msg=repr(config))
        # A window of nothing is NaN, and passes nothing on.
        pushed = np.nan_to_num(oracle.pool(tangent, config))
        pulled = oracle.transpose(cotangent, config)
        for mode, result in (forward | backward).items():
            expected = pushed if mode in forward else pulled
            message = f"{mode} of {config!r}"
            # The transpose of a transpose is the pool itself, with its NaN.
            result = np.nan_to_num(result) if mode == "transpose of linear_transpose" else result
            np.testing.assert_allclose(result, expected, **near, err_msg=message)


@pytest.mark.parametrize("config", slow_but(CASES, "ceil, excluding", "adaptive bins"))
def test_vjp_of_an_eager_call(config):
    x = np.random.default_rng(0).standard_normal(config.shape(), dtype=np.float32)
    cotangent = np.ones(config.shape(spatial=oracle.windows(config)[0]), np.float32)
    _, gradient = value_and_gradient(pooling(config), x, cotangent)
    expected = oracle.transpose(cotangent, config)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
    assert gradient.dtype == x.dtype


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


def test_the_second_derivative_is_zero():
    x = jnp.ones((1, 4, 4))

    def pool(x):
        return jaxpool.avg_pool2d(x, 3, 1, 1)

    _, second = jax.jvp(lambda x: jax.jvp(pool, (x,), (x,))[1], (x,), (jnp.zeros_like(x),))
    np.testing.assert_array_equal(second, 0)


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


def test_linear_transpose_of_complex_numbers():
    x = jnp.ones((1, 4, 4), jnp.complex64)
    (back,) = jax.linear_transpose(lambda x: jaxpool.avg_pool2d(x, 2), x)(jnp.ones((1, 2, 2), "c8"))
    np.testing.assert_allclose(back, np.full((1, 4, 4), 0.25))
