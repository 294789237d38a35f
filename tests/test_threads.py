"""Calls from many threads at once, the first of which finds nothing compiled."""

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, normal, pooling, slow
from flax import nnx

import jaxpool.nnx

THREADS = 8


def at_once(work):
    """What `work` gives in each of the threads, which start together."""
    barrier = threading.Barrier(THREADS)

    def begin(i):
        barrier.wait(timeout=60)
        return work(i)

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(begin, range(THREADS)))


def everything(case, x):
    """A value, a gradient, a tangent, and a mapped and jitted value."""
    f = pooling(case)
    pooled, pullback = jax.vjp(f, x)
    tangent = jax.jvp(f, (x,), (x,))[1]
    return [pooled, *pullback(jnp.sin(pooled)), tangent, jax.jit(jax.vmap(f))(x)]


@pytest.mark.parametrize("every", [13, *slow(6)])
def test_functions(every):
    cases = [case.values[0] for case in CASES[::every]]
    inputs = [normal(case.shape()) for case in cases]
    expected = [everything(*pair) for pair in zip(cases, inputs, strict=True)]
    jax.clear_caches()

    def work(i):
        """All cases, each thread beginning with another."""
        order = [(i + j) % len(cases) for j in range(len(cases))]
        found = {j: everything(cases[j], inputs[j]) for j in order}
        return [found[j] for j in range(len(cases))]

    for found in at_once(work):
        jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_layers():
    """One layer that all threads share, in Linen and in NNX."""
    x = normal((2, 3, 10, 10))
    expected = jaxpool.avg_pool2d(x, 3, 2, 1, False)
    linen = jaxpool.AvgPool2d(3, 2, 1, False)
    of_nnx = jaxpool.nnx.AvgPool2d(3, 2, 1, False)
    jax.clear_caches()
    for found in at_once(lambda i: (linen.apply({}, x), nnx.jit(of_nnx)(x), linen(x))[i % 3]):
        np.testing.assert_array_equal(found, expected)


def test_errors_of_one_thread_leave_the_others_alone():
    x = jnp.ones((1, 6, 6))

    def work(i):
        if i % 2:
            return jaxpool.avg_pool2d(x, 3)
        try:
            return jaxpool.avg_pool2d(x, 3, padding=3)
        except ValueError as error:
            return str(error)

    found = at_once(work)
    assert {i for i, one in enumerate(found) if isinstance(one, str)} == {0, 2, 4, 6}
    assert all("`padding`" in one for one in found[::2])
    for one in found[1::2]:
        np.testing.assert_array_equal(one, np.ones((1, 2, 2)))
