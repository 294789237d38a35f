"""vmap over any axis, in and out, equals a Python loop."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import compiled
from cases import normal, slow

from jaxpool import avg_pool1d, avg_pool2d, avg_pool3d

pytestmark = pytest.mark.usefixtures("quickly")

CASES = [
    (avg_pool1d, (2, 9), {"kernel": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    *slow((avg_pool2d, (2, 7, 8), {"kernel": 2})),
    (avg_pool2d, (2, 7, 8), {"kernel": 3, "stride": 1, "padding": "SAME", "ceil_mode": True}),
    *slow(
        (avg_pool2d, (7, 8, 2), {"kernel": (2, 3), "dilation": 2, "data_format": "channels_last"}),
        (avg_pool2d, (2, 7, 7), {"kernel": 7}),
        (avg_pool3d, (1, 4, 5, 6), {"kernel": (2, 3, 2), "stride": 1}),
    ),
]


@pytest.mark.parametrize(("pool", "shape", "options"), CASES)
def test_every_axis_in_and_out(pool, shape, options):
    axes = range(len(shape) + 1)
    inputs = [normal((*shape[:axis], 3, *shape[axis:]), seed=axis) for axis in axes]
    call = partial(pool, **options)

    def everything(inputs):
        mapped = [[jax.vmap(call, a, out)(x) for out in axes] for a, x in enumerate(inputs)]
        looped = [[call(jnp.take(x, i, a)) for i in range(3)] for a, x in enumerate(inputs)]
        return mapped, looped

    for mapped, parts in zip(*compiled(everything, inputs), strict=True):
        for out, found in enumerate(mapped):
            chex.assert_trees_all_close(found, np.stack(parts, out), rtol=1e-6, atol=1e-7)


def looped(f, x, in_axis, out_axis):
    return jnp.stack([f(part) for part in jnp.moveaxis(x, in_axis, 0)], out_axis)


def test_nested():
    x = normal((4, 2, 6, 6, 3))
    mapped = jax.vmap(jax.vmap(lambda x: avg_pool2d(x, 2), -1, -1))(x)
    expected = looped(lambda y: looped(lambda z: avg_pool2d(z, 2), y, -1, -1), x, 0, 0)
    chex.assert_trees_all_close(mapped, expected, rtol=1e-6)


@pytest.mark.parametrize(("pool", "shape", "options"), CASES)
def test_of_the_gradient(pool, shape, options):
    x = normal((3, *shape))
    gradient = jax.jit(jax.grad(lambda x: jnp.sin(pool(x, **options)).sum()))
    chex.assert_trees_all_close(jax.vmap(gradient)(x), looped(gradient, x, 0, 0), rtol=1e-5)


def test_gradient_of_a_mapped_pool():
    x = normal((6, 6, 2, 3))

    def mapped(x):
        return jax.vmap(lambda x: avg_pool2d(x, 3, 1), -1, -1)(x.transpose(2, 0, 1, 3))

    def direct(x):
        return avg_pool2d(x.transpose(3, 2, 0, 1), 3, 1)

    chex.assert_trees_all_close(
        jax.grad(lambda x: (mapped(x) ** 2).sum())(x),
        jax.grad(lambda x: (direct(x) ** 2).sum())(x),
        rtol=1e-5,
        atol=1e-6,
    )
