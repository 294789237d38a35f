"""Under JAX's switches: the values and gradients of the definition."""

from contextlib import ExitStack

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from cases import CASES, pooling, slow_but

import jaxpool

pytestmark = pytest.mark.usefixtures("quickly")

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
    pooled = config.shape(spatial=oracle.windows(config)[0])
    return x, where, rng.standard_normal(pooled, dtype=np.float32)


KINDS = ["tiles", "ceil, excluding", "one window", "wide", "1-d", "adaptive bins"]
TESTED = [case for case in CASES if case.id in KINDS]


@pytest.mark.parametrize("config", slow_but(TESTED, "ceil, excluding"))
@pytest.mark.parametrize("switch", SWITCHES)
def test_under_a_switch(config, switch):
    assert_same(config, [SWITCHES[switch]])


@pytest.mark.parametrize("config", slow_but(TESTED, "tiles"))
def test_under_all_switches(config):
    assert_same(config, SWITCHES.values())


def assert_same(config, switches):
    """`everything` is what the oracle says under all of the switches together."""
    x, where, cotangent = arguments(config)
    value, gradient = oracle.pool(x, config), oracle.transpose(cotangent, config)
    masked = oracle.masked_pool(x, where, cotangent, config)
    with ExitStack() as stack:
        for switch in switches:
            stack.enter_context(switch())
        found = everything(config, *map(jnp.asarray, (x, where, cotangent)))
    for one, other in zip(found, (value, gradient, *masked, value), strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_debug_nans_sees_a_window_in_which_nothing_counts():
    """It is a NaN, so it is reported."""
    x, empty = jnp.ones((1, 4, 4)), np.zeros((4, 4), bool)
    with jax.debug_nans(True), pytest.raises(FloatingPointError):
        jaxpool.avg_pool2d(x, 2, where=empty)
