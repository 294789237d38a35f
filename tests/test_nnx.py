"""The Flax NNX layers: the same arguments, attributes and behaviour as the Linen ones."""

import copy
import dataclasses
import inspect
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import normal
from flax import nnx

import jaxpool
import jaxpool.nnx

NAMES = [f"{kind}AvgPool{n}d" for kind in ("", "Adaptive") for n in (1, 2, 3)]
OPTIONS = [
    ("AvgPool", {"kernel_size": 2}),
    ("AvgPool", {"kernel_size": [3], "stride": 2, "padding": [[1, 0]], "ceil_mode": True}),
    ("AvgPool", {"kernel_size": 3, "stride": 1, "padding": "SAME", "count_include_pad": False}),
    ("AvgPool", {"kernel_size": 2, "dilation": 2, "divisor_override": 3}),
    ("AvgPool", {"kernel_size": 2, "data_format": "channels_last"}),
    ("AdaptiveAvgPool", {"output_size": 3}),
    ("AdaptiveAvgPool", {"output_size": [None], "data_format": "channels_last"}),
]


def arguments(layer):
    """The names, kinds and defaults of what a layer takes, without what Flax adds."""
    parameters = list(inspect.signature(layer.__init__).parameters.values())[1:]
    return [(p.name, p.kind, p.default) for p in parameters if p.name not in ("parent", "name")]


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_documentation_are_those_of_linen(name):
    ours, linen = getattr(jaxpool.nnx, name), getattr(jaxpool.linen, name)
    assert issubclass(ours, nnx.Module)
    assert ours.__name__ == name
    assert arguments(ours) == arguments(linen)
    assert ours.__doc__ == linen.__doc__


@pytest.mark.parametrize("name", NAMES)
def test_inspect_shows_the_arguments_of_the_class_and_of_the_call(name):
    """`jax.jit` and others inspect what they are given."""
    layer = getattr(jaxpool.nnx, name)
    shown = inspect.signature(layer)
    assert [(p.name, p.kind, p.default) for p in shown.parameters.values()] == arguments(layer)
    assert inspect.signature(layer(2)) == inspect.signature(getattr(jaxpool.linen, name)(2))


def test_a_subclass_may_have_arguments_of_its_own():
    class Mine(jaxpool.nnx.AdaptiveAvgPool2d):
        """A layer of somebody else's."""

        def __init__(self, name, size, *rest):
            super().__init__(size)
            self.label = (name, *rest)

    pool = Mine("mine", 2, 3, 4)
    assert (pool.label, pool.output_size) == (("mine", 3, 4), 2)
    assert list(inspect.signature(Mine).parameters) == ["name", "size", "rest"]


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize(("kind", "options"), OPTIONS)
def test_values_and_attributes_are_those_of_linen(kind, options, ndim):
    options = dict(options)
    if isinstance(options.get("padding"), list):
        options["padding"] = options["padding"] * ndim
    ours = getattr(jaxpool.nnx, f"{kind}{ndim}d")(**options)
    linen = getattr(jaxpool.linen, f"{kind}{ndim}d")(**options)
    x = normal((2, 8, *[8] * ndim))
    chex.assert_trees_all_equal(ours(x), linen(x))
    where = x > 0
    chex.assert_trees_all_equal(ours(x, where), linen(x, where=where))
    chex.assert_trees_all_equal(ours(x, where=where), linen(x, where))
    for field in dataclasses.fields(linen):
        if field.name not in ("parent", "name"):
            assert getattr(ours, field.name) == getattr(linen, field.name)
            assert not isinstance(getattr(ours, field.name), list)


def test_in_sequential_and_jit():
    x = normal((2, 3, 8, 8))
    model = nnx.Sequential(
        jaxpool.nnx.AvgPool2d(3, 2, 1), nnx.relu, jaxpool.nnx.AdaptiveAvgPool2d((3, None))
    )
    expected = jaxpool.adaptive_avg_pool2d(nnx.relu(jaxpool.avg_pool2d(x, 3, 2, 1)), (3, None))
    chex.assert_trees_all_close(model(x), expected, rtol=1e-6)
    chex.assert_trees_all_close(nnx.jit(lambda m, x: m(x))(model, x), expected, rtol=1e-6)


class Net(nnx.Module):
    """A convolution, pools and a linear layer."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.pool = jaxpool.nnx.AvgPool2d(2, data_format="channels_last")
        self.mean = jaxpool.nnx.AdaptiveAvgPool2d(1, data_format="channels_last")
        self.head = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, x):
        return self.head(self.mean(self.pool(nnx.relu(self.conv(x)))).reshape(len(x), -1))


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

    pool = jaxpool.nnx.AvgPool2d([2, 4], padding=[[0, 1], [1, 2]])
    graph, state = nnx.split(pool)
    assert not jax.tree.leaves(state)
    again = nnx.merge(graph, state)
    assert again.padding == ((0, 1), (1, 2))
    assert graph == nnx.split(jaxpool.nnx.AvgPool2d((2, 4), (2, 4), ((0, 1), (1, 2))))[0]
    assert hash(graph) == hash(nnx.split(copy.deepcopy(pool))[0])


@pytest.mark.parametrize("layer", [jaxpool.nnx.AvgPool2d(2), jaxpool.nnx.AdaptiveAvgPool2d(2)])
def test_attributes_are_read_only(layer):
    merged = nnx.merge(*nnx.split(layer))
    for pool in (layer, merged, nnx.clone(layer), copy.deepcopy(layer), copy.copy(layer)):
        for field in dataclasses.fields(pool):
            message = (
                f"^{type(pool).__name__}: `{field.name}` is read-only, got {field.name}=1: const"
            )
            with pytest.raises(dataclasses.FrozenInstanceError, match=message):
                setattr(pool, field.name, 1)
            with pytest.raises(dataclasses.FrozenInstanceError, match=f"`{field.name}` is read-on"):
                delattr(pool, field.name)
        assert dataclasses.asdict(pool) == dataclasses.asdict(layer)
        assert pool(jnp.ones((1, 4, 4))).shape == (1, 2, 2)


def test_a_model_can_be_changed_around_a_pool():
    net = Net(nnx.Rngs(0))
    net.pool = jaxpool.nnx.AvgPool2d(4, data_format="channels_last")
    nnx.update(net, nnx.state(net))
    nnx.jit(lambda net: setattr(net, "head", nnx.Linear(4, 3, rngs=nnx.Rngs(1))))(net)
    assert net(jnp.ones((2, 8, 8, 3))).shape == (2, 3)
    assert net.pool.kernel_size == 4
    net.pool.note = "what is no argument may be set"
    del net.pool.note


def test_pickled():
    pool = pickle.loads(pickle.dumps(jaxpool.nnx.AvgPool2d(2, padding=1)))
    assert pool.padding == 1
    assert pool(jnp.ones((1, 4, 4))).shape == (1, 3, 3)


def test_arguments_that_are_arrays_are_no_data():
    pool = jaxpool.nnx.AvgPool2d(np.array([2, 4]), padding=np.array([[0, 1], [1, 2]]))
    graph, state = nnx.split(pool)
    assert not jax.tree.leaves(state)
    assert graph == nnx.split(jaxpool.nnx.AvgPool2d((2, 4), padding=((0, 1), (1, 2))))[0]
    assert pool.padding == ((0, 1), (1, 2))


def test_vmap():
    x = normal((4, 3, 8, 8))
    pool = jaxpool.nnx.AdaptiveAvgPool2d(3)
    mapped = nnx.vmap(lambda pool, x: pool(x), in_axes=(None, 1), out_axes=1)(pool, x)
    chex.assert_trees_all_close(mapped, jax.vmap(pool, 1, 1)(x), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_arguments_raise_when_constructed(name):
    argument = "output_size" if "Adaptive" in name else "kernel_size"
    layer = getattr(jaxpool.nnx, name)
    with pytest.raises(ValueError, match=rf"^{name}: `{argument}` must be at least 1, got .*=0"):
        layer(0)
    with pytest.raises(TypeError, match=rf"^{name}: `{argument}` must be .*got .*=2\.0"):
        layer(2.0)
    last = "output_size" if "Adaptive" in name else "count_include_pad"
    with pytest.raises(
        TypeError, match=rf"^{name}: arguments after `{last}` are keyword-only, got 'surplus'$"
    ):
        layer(*[1] * (1 if "Adaptive" in name else 4), "surplus", "more")
    with pytest.raises(TypeError, match=rf"^{name}: got an unexpected keyword argument 'size'$"):
        layer(size=2)
    with pytest.raises(TypeError, match=r"^(Adaptive)?AvgPool\.__init__\(\) missing "):
        layer()
    with pytest.raises(TypeError, match=rf"^{name}: `x` must be a JAX or NumPy array"):
        layer(1)([1.0])


def test_printed_as_flax_prints_its_layers():
    assert type(jaxpool.nnx.AvgPool2d(3)).__repr__ is nnx.Module.__repr__
    assert "output_size=7" in repr(jaxpool.nnx.AdaptiveAvgPool2d(7)).replace(" ", "")


def test_a_layer_equals_itself_alone_as_all_modules_of_nnx_do():
    pool = jaxpool.nnx.AvgPool2d(2)
    assert pool == pool
    assert pool != jaxpool.nnx.AvgPool2d(2)
    assert jaxpool.nnx.AdaptiveAvgPool2d(1) != jaxpool.nnx.AdaptiveAvgPool2d(1)
    assert len({pool, jaxpool.nnx.AvgPool2d(2)}) == 2
