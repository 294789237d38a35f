"""Inside loops, branches, checkpoints and nested jits: the same values and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import compiled
from cases import normal
from jax import lax

import jaxpool

pytestmark = pytest.mark.usefixtures("quickly")


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


def everything(f, x, reverse=True):
    """Value, tangent and, as there is none of a while loop, perhaps a gradient."""
    value, tangent = jax.jvp(f, (x,), (jnp.ones_like(x),))
    gradients = [jax.grad(lambda x: (f(x) ** 2).sum())(x)] if reverse else []
    return value, tangent, *gradients


@pytest.fixture(scope="module")
def written_out():
    """An input, and all that `thrice` gives for it."""
    x = normal((2, 2, 7, 6))
    return x, compiled(partial(everything, thrice), x)


@pytest.mark.parametrize("nested", NESTED)
@pytest.mark.parametrize("outer", [lambda f: f, lambda f: jax.jit(jax.vmap(f))])
def test_nested(nested, outer, written_out):
    x, expected = written_out
    found = compiled(partial(everything, outer(nested), reverse=nested is not while_looped), x)
    for one, other in zip(found, expected, strict=nested is not while_looped):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_gradients_inside_a_scan_inside_a_map():
    """A few steps of descent, each through a pool's gradient, for several targets at once."""
    targets = normal((3, 1, 4, 4))

    def descend(target):
        def step(x, _):
            gradient = jax.grad(lambda x: ((jaxpool.avg_pool2d(x, 2) - target) ** 2).sum())(x)
            return x - 2 * gradient, None

        return lax.scan(step, jnp.zeros((1, 8, 8)), length=20)[0]

    reached = jax.jit(jax.vmap(descend))(targets)
    np.testing.assert_allclose(jaxpool.avg_pool2d(reached, 2), targets, rtol=1e-3, atol=1e-4)
