"""A pool is one operation of JAX: one equation, no conditional, at home in every transformation."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import value_and_gradient
from cases import CASES, POOLS, normal, pooling
from jax import export

import jaxpool
from jaxpool import _primitive, adaptive_avg_pool2d, avg_pool2d


def equations(jaxpr):
    """The names of all equations, those of inner jaxprs instead of the calls around them."""
    for equation in jaxpr.eqns:
        inner = equation.params.get("jaxpr")
        if inner is None:
            yield equation.primitive.name
        else:
            yield from equations(getattr(inner, "jaxpr", inner))


@pytest.mark.parametrize("config", CASES)
def test_a_pool_is_one_equation(config):
    x = jnp.ones(config.shape(), jnp.bfloat16)
    assert list(equations(jax.make_jaxpr(pooling(config))(x).jaxpr)) == ["avg_pool"]


def test_a_masked_pool_is_two_sums():
    x, where = normal((2, 3, 9, 9)), jnp.ones((9, 9), bool)
    pool = jax.make_jaxpr(lambda x, where: avg_pool2d(x, 3, 2, 1, where=where))(x, where)
    names = list(equations(pool.jaxpr))
    assert names.count("avg_pool") == 2
    assert not {"cond", "platform_index", "custom_jvp_call"} & {*names}


def test_a_gradient_is_one_equation_more():
    x = normal((2, 3, 9, 9))
    pullback = jax.make_jaxpr(lambda x: value_and_gradient(lambda x: avg_pool2d(x, 3, 2, 1), x))(x)
    names = list(equations(pullback.jaxpr))
    assert names.count("avg_pool") == 2
    assert "custom_jvp_call" not in names


@pytest.mark.parametrize("platform", ["cpu", "cuda", "rocm", "tpu"])
@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_no_conditional_in_a_program_for_one_platform(pool, platform):
    def f(x):
        return value_and_gradient(lambda x: pool(x, where=x > 0), x), pool(x)

    x = jax.ShapeDtypeStruct((2, 3, 18, 18), jnp.float32)
    text = export.export(jax.jit(f), platforms=[platform])(x).mlir_module()
    assert "stablehlo.case" not in text
    assert "platform_index" not in text


@pytest.fixture
def on_an_unknown_platform(monkeypatch):
    monkeypatch.setitem(_primitive.RULES, "cpu", _primitive.RULES[None])
    jax.clear_caches()
    yield
    jax.clear_caches()


def operations(f, x):
    """The operations of the program of `f`, in their order."""
    found = re.findall(r"\bstablehlo\.(\w+)", jax.jit(f).lower(x).as_text())
    # An addition is that of a reduce_window.
    return [n for n in found if n not in ("add", "broadcast_in_dim", "constant", "return")]


@pytest.mark.usefixtures("on_an_unknown_platform")
def test_other_platforms_are_given_the_plain_form():
    """Pad, one reduce_window, a division; a product with a vector where fewer taps count."""
    x = jnp.ones((2, 3, 9, 9))
    assert operations(lambda x: avg_pool2d(x, 3), x) == ["reduce_window", "divide"]
    padded = ["pad", "reduce_window", "divide"]
    assert operations(lambda x: avg_pool2d(x, 3, 2, 1), x) == padded
    assert "dense<9.000000e+00>" in jax.jit(lambda x: avg_pool2d(x, 3)).lower(x).as_text()
    excluding = operations(lambda x: avg_pool2d(x, 3, (2, 3), (1, 0), False), x)
    assert excluding == [*padded, "multiply"]
    assert operations(lambda x: adaptive_avg_pool2d(x, 3), x) == ["reduce_window", "divide"]


def test_forward_mode_of_bins_gathers():
    x = normal((2, 3, 18, 18))

    def pushed(x):
        return jax.jvp(POOLS["bins"], (x,), (x,))

    def gradient(x):
        return value_and_gradient(POOLS["bins"], x)

    for f in (pushed, gradient):
        assert "scatter" not in jax.jit(f).lower(x).as_text()


def test_jet():
    jet = pytest.importorskip("jax.experimental.jet").jet
    x = normal((1, 2, 6, 6))

    def f(x):
        return avg_pool2d(jnp.sin(x), 3, 2, 1)

    value, (first, second) = jet(f, (x,), ((jnp.ones_like(x), jnp.zeros_like(x)),))
    np.testing.assert_allclose(value, f(x), rtol=1e-6)
    np.testing.assert_allclose(first, avg_pool2d(jnp.cos(x), 3, 2, 1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second, avg_pool2d(-jnp.sin(x), 3, 2, 1), rtol=1e-5, atol=1e-6)


def test_jet_of_a_masked_pool():
    jet = pytest.importorskip("jax.experimental.jet").jet
    x, where = normal((1, 2, 6, 6)), np.arange(6) > 2
    value, (first,) = jet(lambda x: avg_pool2d(x, 2, where=where), (x,), ((x,),))
    np.testing.assert_array_equal(value, first)


def test_a_call_transfers_nothing():
    """Not even the index of a platform."""
    x = normal((1, 2, 6, 6))
    where = x > 0
    jaxpool.avg_pool2d(x, 2)
    with jax.transfer_guard("disallow"):
        jaxpool.avg_pool2d(x, 2)
        jaxpool.avg_pool2d(x, 3, 2, 1, where=where)
        jaxpool.avg_pool2d(x, 2, where=True)
        jaxpool.adaptive_avg_pool2d(x, 4)


CONSTANT = np.random.default_rng(0).random((256, 256)) < 0.5


@pytest.mark.parametrize(
    "where",
    [lambda: CONSTANT, lambda: ~jnp.asarray(CONSTANT), lambda: jnp.asarray(CONSTANT * 1.0) > 0],
    ids=["array", "inverted", "compared"],
)
@pytest.mark.parametrize("jit", [lambda f: f, jax.jit], ids=["", "nested"])
def test_a_constant_mask_is_not_counted_by_the_compiler(where, jit):
    """For seconds: 40 for 4096x4096 pixels. The largest constant that it makes is a row."""
    inner = jit(lambda x, where: avg_pool2d(x, 9, 1, where=where))
    pool = jax.jit(lambda x: inner(x, where()))
    text = pool.lower(jnp.ones((1, 256, 256))).compile().as_text()
    constants = re.findall(r"= f32\[([\d,]*)\]\S* constant\(", text)
    assert max([1, *(np.prod([int(n) for n in c.split(",") if n]) for c in constants)]) <= 256


def test_without_a_tangent():
    """Of integers, and of arguments that are not differentiated."""
    x = jnp.arange(36).reshape(1, 6, 6)
    pooled, tangent = jax.jvp(lambda y: avg_pool2d(x, 2) * y, (2.0,), (1.0,))
    np.testing.assert_array_equal(pooled, 2 * tangent)
    zero = np.zeros(x.shape, jax.dtypes.float0)
    _, tangent = jax.jvp(lambda x: avg_pool2d(x, 2), (x,), (zero,))
    assert not tangent.any()
