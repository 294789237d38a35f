"""The Flax NNX layers: at home in models, without state, and equal as modules of NNX are."""

import copy
import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import normal
from flax import nnx

import jaxpool
import jaxpool.nnx

pytestmark = pytest.mark.usefixtures("quickly")


class Net(nnx.Module):
    """A convolution, pools and a linear layer."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.pool = jaxpool.nnx.AvgPool2d(2, data_format="channels_last")
        self.mean = jaxpool.nnx.AdaptiveAvgPool2d(1, data_format="channels_last")
        self.head = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        return self.head(self.mean(self.pool(nnx.relu(self.conv(x)))).reshape(len(x), -1))


def test_in_sequential_and_jit():
    x = normal((2, 3, 8, 8))
    model = nnx.Sequential(
        jaxpool.nnx.AvgPool2d(3, 2, 1), nnx.relu, jaxpool.nnx.AdaptiveAvgPool2d((3, None))
    )
    expected = jaxpool.adaptive_avg_pool2d(nnx.relu(jaxpool.avg_pool2d(x, 3, 2, 1)), (3, None))
    chex.assert_trees_all_close(model(x), expected, rtol=1e-6)
    chex.assert_trees_all_close(nnx.jit(lambda m, x: m(x))(model, x), expected, rtol=1e-6)


def test_gradients_reach_the_parameters_before_a_pool():
    x = normal((2, 8, 8, 3))
    net = Net(nnx.Rngs(0))
    gradient = nnx.jit(nnx.grad(lambda net: (net(x) ** 2).sum()))(net)
    leaves = jax.tree.leaves(gradient)
    assert len(leaves) == 4  # a kernel and a bias each of the convolution and the linear layer
    assert all(jnp.abs(leaf).max() > 0 for leaf in leaves)


def test_split_and_merge():
    x = normal((2, 8, 8, 3))
    net = Net(nnx.Rngs(0))
    graph, state = nnx.split(net)
    assert len(jax.tree.leaves(state)) == 4
    merged = nnx.merge(graph, state)
    chex.assert_trees_all_equal(merged(x), net(x))
    assert merged.pool.kernel_size == merged.pool.stride == 2


@pytest.mark.parametrize("sequence", [list, np.array])
def test_arguments_are_no_state(sequence):
    pool = jaxpool.nnx.AvgPool2d(sequence([2, 4]), padding=sequence([[0, 1], [1, 2]]))
    graph, state = nnx.split(pool)
    assert not jax.tree.leaves(state)
    assert nnx.merge(graph, state).padding == ((0, 1), (1, 2))
    assert graph == nnx.split(jaxpool.nnx.AvgPool2d((2, 4), (2, 4), ((0, 1), (1, 2))))[0]
    assert hash(graph) == hash(nnx.split(copy.deepcopy(pool))[0])


def test_read_only_after_a_merge():
    for pool in (nnx.merge(*nnx.split(jaxpool.nnx.AvgPool2d(2))), nnx.clone(Net(nnx.Rngs(0)).pool)):
        with pytest.raises(AttributeError, match=r"^AvgPool2d: `stride` is read-only, .*: const"):
            pool.stride = 1


def test_a_model_can_be_changed_around_a_pool():
    net = Net(nnx.Rngs(0))
    net.pool = jaxpool.nnx.AvgPool2d(4, data_format="channels_last")
    nnx.update(net, nnx.state(net))
    nnx.jit(lambda net: setattr(net, "head", nnx.Linear(4, 3, rngs=nnx.Rngs(1))))(net)
    assert net(jnp.ones((2, 8, 8, 3))).shape == (2, 3)
    assert net.pool.kernel_size == 4
    net.pool.note = "what is no argument may be set"
    del net.pool.note


def test_a_subclass_may_have_arguments_of_its_own():
    class Mine(jaxpool.nnx.AdaptiveAvgPool2d):
        """A layer of somebody else's."""

        def __init__(self, name, size, *rest):
            super().__init__(size)
            self.label = (name, *rest)

    pool = Mine("mine", 2, 3, 4)
    assert (pool.label, pool.output_size) == (("mine", 3, 4), 2)
    assert list(inspect.signature(Mine).parameters) == ["name", "size", "rest"]


def test_vmap():
    x = normal((4, 3, 8, 8))
    pool = jaxpool.nnx.AdaptiveAvgPool2d(3)
    mapped = nnx.vmap(lambda pool, x: pool(x), in_axes=(None, 1), out_axes=1)(pool, x)
    chex.assert_trees_all_close(mapped, jax.vmap(pool, 1, 1)(x), rtol=1e-6)


def test_printed_and_compared_as_modules_of_nnx_are():
    pool = jaxpool.nnx.AvgPool2d(2)
    assert type(pool).__repr__ is nnx.Module.__repr__
    assert pool == pool
    assert pool != jaxpool.nnx.AvgPool2d(2)
    assert jaxpool.nnx.AdaptiveAvgPool2d(1) != jaxpool.nnx.AdaptiveAvgPool2d(1)
    assert len({pool, jaxpool.nnx.AvgPool2d(2)}) == 2
