"""Inside other transformations and under JAX's switches: the same values and gradients."""

from contextlib import ExitStack

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, pooling
from jax import lax

import jaxpool

try:
    from jax import enable_x64
except ImportError:
    from jax.experimental import enable_x64

SWITCHES = {
    "without jit": jax.disable_jit,
    "debug_nans": lambda: jax.debug_nans(True),
    "debug_infs": lambda: jax.debug_infs(True),
    "strict dtype promotion": lambda: jax.numpy_dtype_promotion("strict"),
    "no rank promotion": lambda: jax.numpy_rank_promotion("raise"),
    "checking leaks": jax.checking_leaks,
    "x64": lambda: enable_x64(True),
}


def everything(config, x, where, cotangent):
    """Value and gradient, plain and under a mask; tangent."""
    f, masked = pooling(config), pooling(config, where=where)
    value, pullback = jax.vjp(f, x)
    masked_value, masked_pullback = jax.vjp(masked, x)
    tangent = jax.jvp(f, (x,), (x,))[1]
    return value, *pullback(cotangent), masked_value, *masked_pullback(cotangent), tangent


def arguments(config):
    """An input, a mask that leaves something in every window, and a cotangent."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(config.shape(), dtype=np.float32)
    where = np.ones(x.shape, bool)
    where.ravel()[::7] = False
    shape = jax.eval_shape(pooling(config), x).shape
    return x, where, rng.standard_normal(shape, dtype=np.float32)


KINDS = ["tiles", "ceil, excluding", "one window", "wide", "1-d", "adaptive bins"]


@pytest.mark.parametrize("config", [case for case in CASES if case.id in KINDS])
@pytest.mark.parametrize("switch", [*SWITCHES, "all of them"])
def test_under_the_switches(config, switch):
    given = arguments(config)
    expected = everything(config, *given)
    chosen = SWITCHES.values() if switch == "all of them" else [SWITCHES[switch]]
    with ExitStack() as switches:
        for one in chosen:
            switches.enter_context(one())
        found = everything(config, *map(jnp.asarray, given))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_debug_nans_sees_a_window_in_which_nothing_counts():
    """It is a NaN, so it is reported."""
    x, empty = jnp.ones((1, 4, 4)), np.zeros((4, 4), bool)
    with jax.debug_nans(True), pytest.raises(FloatingPointError):
        jaxpool.avg_pool2d(x, 2, where=empty)


def blur(x):
    return jaxpool.avg_pool2d(x, 3, 1, 1, False, where=x > -2)


def thrice(x):
    return blur(blur(blur(x)))


def scanned(x):
    return lax.scan(lambda carry, _: (blur(carry), None), x, length=3)[0]


def looped(x):
    return lax.fori_loop(0, 3, lambda _, carry: blur(carry), x)


def while_looped(x):
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, blur(c[1])), (0, x))[1]


def conditional(x):
    return lax.cond(x.sum() < 1e9, thrice, lambda x: x, x)


def switched(x):
    return lax.switch(1, [lambda x: x, thrice], x)


def checkpointed(x):
    return jax.checkpoint(lambda x: blur(jax.checkpoint(blur)(blur(x))))(x)


def nested_jit(x):
    return jax.jit(lambda x: jax.jit(blur)(jax.jit(lambda x: blur(jax.jit(blur)(x)))(x)))(x)


NESTED = [scanned, looped, while_looped, conditional, switched, checkpointed, nested_jit]


@pytest.mark.parametrize("nested", NESTED)
@pytest.mark.parametrize("outer", [lambda f: f, lambda f: jax.jit(jax.vmap(f))])
def test_nested(nested, outer):
    x = jax.random.normal(jax.random.key(0), (2, 2, 7, 6))
    expected = thrice(x)
    np.testing.assert_allclose(outer(nested)(x), expected, rtol=1e-5, atol=1e-6)
    _, tangent = jax.jvp(outer(nested), (x,), (jnp.ones_like(x),))
    _, plain = jax.jvp(thrice, (x,), (jnp.ones_like(x),))
    np.testing.assert_allclose(tangent, plain, rtol=1e-5, atol=1e-6)
    if nested is not while_looped:  # JAX has no reverse mode for it
        gradient = jax.grad(lambda x: (outer(nested)(x) ** 2).sum())(x)
        plain = jax.grad(lambda x: (thrice(x) ** 2).sum())(x)
        np.testing.assert_allclose(gradient, plain, rtol=1e-5, atol=1e-6)


def test_gradients_inside_a_scan_inside_a_map():
    """A few steps of descent, each through a pool's gradient, for several targets at once."""
    targets = jax.random.normal(jax.random.key(0), (3, 1, 4, 4))

    def descend(target):
        def step(x, _):
            gradient = jax.grad(lambda x: ((jaxpool.avg_pool2d(x, 2) - target) ** 2).sum())(x)
            return x - 2 * gradient, None

        return lax.scan(step, jnp.zeros((1, 8, 8)), length=20)[0]

    reached = jax.jit(jax.vmap(descend))(targets)
    np.testing.assert_allclose(jaxpool.avg_pool2d(reached, 2), targets, rtol=1e-3, atol=1e-4)
