"""The Flax Linen layers: frozen, hashable, at home in models and in every lift."""

import copy
import pickle

import chex
import jax
import jax.numpy as jnp
import pytest
from cases import normal
from flax import linen as nn
from flax.errors import SetAttributeFrozenModuleError

import jaxpool
from jaxpool import AvgPool1d, AvgPool2d, avg_pool2d

pytestmark = pytest.mark.usefixtures("quickly")


def test_no_variables():
    x = normal((2, 3, 8, 8))
    for pool in (AvgPool2d(3, 2, 1), jaxpool.AdaptiveAvgPool2d(3)):
        pooled, variables = pool.init_with_output(jax.random.key(0), x)
        assert not variables
        chex.assert_trees_all_equal(pooled, pool(x))
        chex.assert_trees_all_equal(pool.apply({}, x), pool(x))


def test_equal_and_hashable():
    assert AvgPool2d([3, 3]) == AvgPool2d((3, 3), (3, 3))
    assert (
        len({AvgPool2d([3, 3]), AvgPool2d((3, 3)), AvgPool2d(2), AvgPool2d(2, ceil_mode=True)}) == 3
    )
    assert AvgPool2d(2) != AvgPool2d(2, padding=1)
    assert AvgPool1d(2) != AvgPool2d(2)
    adaptive = [jaxpool.AdaptiveAvgPool2d(size) for size in ([None, 1], (None, 1), 1)]
    assert adaptive[0] == adaptive[1]
    assert len(set(adaptive)) == 2


def test_frozen_as_flax_freezes():
    class Model(nn.Module):
        def setup(self):
            self.pool = AvgPool2d(2)

        def __call__(self, x):
            self.pool.stride = 1
            return self.pool(x)

    with pytest.raises(SetAttributeFrozenModuleError, match=r"stride=1.*frozen"):
        AvgPool2d(2).bind({}).stride = 1
    with pytest.raises(SetAttributeFrozenModuleError):
        Model().apply({}, jnp.ones((1, 4, 4)))


def test_a_scope_can_be_shared():
    class Outer(nn.Module):
        def setup(self):
            self.pool = AvgPool2d(2)
            nn.share_scope(self, self.pool)

        def __call__(self, x):
            return self.pool(x)

    assert Outer().apply({}, jnp.ones((1, 4, 4))).shape == (1, 2, 2)


def test_copies():
    pool = AvgPool2d([3, 3], padding=1)
    for same in (pool.clone(), pool.copy(), copy.copy(pool), copy.deepcopy(pool)):
        assert same == pool
    assert pool.clone(padding=0).padding == 0
    for layer in (pool, jaxpool.AdaptiveAvgPool1d(2)):
        assert pickle.loads(pickle.dumps(layer)) == layer
    with pytest.raises(ValueError, match="padding"):
        pool.clone(padding=3)


class Net(nn.Module):
    """Convolutions and pools, as an image network has them."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(8, (3, 3))(x))
        x = AvgPool2d(2, data_format="channels_last", name="halve")(x)
        x = nn.relu(nn.Conv(8, (3, 3))(x))
        x = AvgPool2d(x.shape[1:3], data_format="channels_last")(x)
        return nn.Dense(4)(x.reshape(len(x), -1))


def test_in_compact_setup_and_sequential():
    x = normal((2, 8, 8, 3))
    variables = Net().init(jax.random.key(1), x)
    assert set(variables["params"]) == {"Conv_0", "Conv_1", "Dense_0"}
    gradient = jax.jit(jax.grad(lambda v: (Net().apply(v, x) ** 2).sum()))(variables)
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))

    class WithSetup(nn.Module):
        def setup(self):
            self.pools = [AvgPool2d(2), AvgPool2d([2, 2])]

        def __call__(self, x):
            for pool in self.pools:
                x = pool(x)
            return x

    x = normal((2, 3, 8, 8))
    stacked = nn.Sequential([AvgPool2d(2), nn.relu, AvgPool2d(2)])
    chex.assert_trees_all_equal(WithSetup().apply({}, x), avg_pool2d(avg_pool2d(x, 2), 2))
    chex.assert_trees_all_equal(stacked.apply({}, x), avg_pool2d(nn.relu(avg_pool2d(x, 2)), 2))


def test_in_scan():
    class Smooth(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return AvgPool2d(3, 1, 1)(x), None

    x = normal((3, 8, 8))
    scanned, _ = nn.scan(Smooth, variable_broadcast=(), length=3)().apply({}, x, None)
    expected = x
    for _ in range(3):
        expected = avg_pool2d(expected, 3, 1, 1)
    chex.assert_trees_all_close(scanned, expected, rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_in_vmap(axis):
    x = normal((4, 5, 6, 7))
    lifted = nn.vmap(AvgPool2d, in_axes=axis, out_axes=axis, variable_axes={})
    expected = jax.vmap(lambda x: avg_pool2d(x, 2), axis, axis)(x)
    chex.assert_trees_all_equal(lifted(2).apply({}, x), expected)


def test_in_remat_and_jit():
    x = normal((2, 4, 4))
    for lift in (nn.remat, nn.jit):
        chex.assert_trees_all_equal(lift(AvgPool2d)(2).apply({}, x), avg_pool2d(x, 2))


def test_in_tabulate():
    table = Net().tabulate(jax.random.key(0), jnp.ones((2, 8, 8, 3)), console_kwargs={"width": 200})
    (row,) = (line for line in table.splitlines() if "halve" in line)
    assert "AvgPool2d" in row
    assert "[2,4,4,8]" in row
    alone = AvgPool2d(2).tabulate(jax.random.key(0), jnp.ones((1, 4, 4)))
    assert "AvgPool2d" in alone


def test_interceptors_see_the_call_alone():
    seen = []

    def note(call, args, kwargs, context):
        seen.append(context.method_name)
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        AvgPool2d(2).apply({}, jnp.ones((1, 4, 4)))
    assert seen == ["__call__"]
