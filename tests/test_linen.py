"""The Flax Linen layers: frozen, hashable, checked when constructed, at home in every lift."""

import copy
import dataclasses
import inspect
import itertools
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import normal
from flax import linen as nn
from flax.errors import SetAttributeFrozenModuleError

import jaxpool
import jaxpool.nnx
from jaxpool import AvgPool1d, AvgPool2d, AvgPool3d, avg_pool1d, avg_pool2d, avg_pool3d

OPTIONS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    {"kernel_size": 3, "stride": 1, "padding": "SAME", "data_format": "channels_last"},
    {"kernel_size": 2, "dilation": 2, "ceil_mode": True, "divisor_override": 3},
]
ADAPTIVE_OPTIONS = [
    {"output_size": 3},
    {"output_size": 1, "data_format": "channels_last"},
    {"output_size": [None], "data_format": "channels_first"},
]
LAYERS = [(AvgPool1d, avg_pool1d), (AvgPool2d, avg_pool2d), (AvgPool3d, avg_pool3d)]
ADAPTIVE_LAYERS = [
    (jaxpool.AdaptiveAvgPool1d, jaxpool.adaptive_avg_pool1d),
    (jaxpool.AdaptiveAvgPool2d, jaxpool.adaptive_avg_pool2d),
    (jaxpool.AdaptiveAvgPool3d, jaxpool.adaptive_avg_pool3d),
]
ALL = [
    *itertools.product(LAYERS, OPTIONS),
    *itertools.product(ADAPTIVE_LAYERS, ADAPTIVE_OPTIONS),
]


@pytest.mark.parametrize(("pair", "options"), ALL)
def test_the_layer_is_the_function(pair, options):
    layer, function = pair
    x = normal((2, 8, *[8] * layer.ndim))
    size, *rest = options
    expected = function(x, options[size], **{name: options[name] for name in rest})
    pool = layer(**options)
    chex.assert_trees_all_equal(pool(x), expected)
    chex.assert_trees_all_equal(pool.apply({}, x), expected)
    chex.assert_trees_all_equal(jax.jit(pool)(x), expected)
    pooled, variables = pool.init_with_output(jax.random.key(0), x)
    chex.assert_trees_all_equal(pooled, expected)
    assert not variables


@pytest.mark.parametrize(("layer", "function"), [*LAYERS, *ADAPTIVE_LAYERS])
def test_the_arguments_are_those_of_the_function(layer, function):
    """Names, order, kinds and defaults; `kernel` is `kernel_size`, as in PyTorch."""
    of_function = list(inspect.signature(function).parameters.values())[1:-1]
    of_layer = [
        p for p in inspect.signature(layer).parameters.values() if p.name not in ("parent", "name")
    ]
    names = [p.name.replace("kernel", "kernel_size") for p in of_function]
    assert [p.name for p in of_layer] == names
    assert [(p.kind, p.default) for p in of_layer] == [(p.kind, p.default) for p in of_function]
    when_called = inspect.signature(layer.__call__).parameters
    assert list(when_called)[1:] == ["x", "where"]
    assert when_called["where"].default is None


def test_the_names_of_the_package_are_the_linen_layers():
    layers = [name for name in jaxpool.__all__ if "AvgPool" in name]
    assert len(layers) == 6
    for name in layers:
        assert getattr(jaxpool, name) is getattr(jaxpool.linen, name)


def test_the_stride_is_the_kernel_as_in_pytorch():
    assert AvgPool2d(3).stride == 3
    assert AvgPool2d((2, 3)).stride == (2, 3)
    assert AvgPool2d(3, 1).stride == 1


def test_fields_are_kept_as_given_except_lists_and_arrays():
    pool = AvgPool2d([3, 2], [1, 1], [[0, 1], [1, 0]], dilation=[1, 2])
    assert pool.kernel_size == (3, 2)
    assert pool.stride == (1, 1)
    assert pool.padding == ((0, 1), (1, 0))
    assert pool.dilation == (1, 2)
    assert AvgPool2d(3, padding="SAME").padding == "SAME"
    assert jaxpool.AdaptiveAvgPool2d([None, 2]).output_size == (None, 2)
    pool = AvgPool2d(np.array([3, 2]), padding=np.array([[0, 1], [1, 0]]))
    assert (pool.kernel_size, pool.padding) == ((3, 2), ((0, 1), (1, 0)))
    assert jaxpool.AdaptiveAvgPool2d(np.array([3, 2])) == jaxpool.AdaptiveAvgPool2d((3, 2))


def test_arguments_are_checked_once(monkeypatch):
    pools = AvgPool2d(2), jaxpool.AdaptiveAvgPool2d(1), jaxpool.nnx.AvgPool2d(2)
    for name in ("parse_pool", "parse_adaptive"):
        monkeypatch.delattr(f"jaxpool._layers.{name}")
    for pool in pools:
        pool(jnp.ones((1, 4, 4)))


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


def test_printed_as_flax_prints_its_layers():
    assert repr(jaxpool.AvgPool2d(3, 2)).startswith("AvgPool2d(\n    # attributes\n")
    assert "    output_size = 7\n" in repr(jaxpool.AdaptiveAvgPool2d(7))


@pytest.mark.parametrize("layer", [AvgPool2d(2), jaxpool.AdaptiveAvgPool2d(2)])
def test_fields_are_read_only(layer):
    """Outside of a model and bound, where Flax lets nobody set them either."""
    given = repr(layer)
    for pool in (layer, layer.bind({})):
        for field in dataclasses.fields(pool):
            if field.name in ("parent", "name"):
                continue
            with pytest.raises(SetAttributeFrozenModuleError, match=f"{field.name}=1.*frozen"):
                setattr(pool, field.name, 1)
            with pytest.raises(SetAttributeFrozenModuleError):
                delattr(pool, field.name)
    assert repr(layer) == given
    assert layer(jnp.ones((1, 4, 4))).shape == (1, 2, 2)


def test_a_scope_can_be_shared():
    class Outer(nn.Module):
        def setup(self):
            self.pool = AvgPool2d(2)
            nn.share_scope(self, self.pool)

        def __call__(self, x):
            return self.pool(x)

    assert Outer().apply({}, jnp.ones((1, 4, 4))).shape == (1, 2, 2)


def test_frozen_in_a_model():
    class Model(nn.Module):
        def setup(self):
            self.pool = AvgPool2d(2)

        def __call__(self, x):
            self.pool.stride = 1
            return self.pool(x)

    with pytest.raises(SetAttributeFrozenModuleError):
        Model().apply({}, jnp.ones((1, 4, 4)))


def test_copies():
    pool = AvgPool2d([3, 3], padding=1)
    assert pool.clone() == pool
    assert pool.clone(padding=0).padding == 0
    assert pool.copy() == pool
    assert copy.copy(pool) == pool
    assert copy.deepcopy(pool) == pool
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


def test_channels_last_between_convolutions_equals_channels_first():
    x = normal((2, 6, 8, 3))
    last = AvgPool2d((2, 4), padding=1, data_format="channels_last")(x)
    first = AvgPool2d((2, 4), padding=1)(jnp.moveaxis(x, -1, 1))
    chex.assert_trees_all_close(last, jnp.moveaxis(first, 1, -1), rtol=1e-6)


@pytest.mark.parametrize("layer", [AvgPool2d, jaxpool.nnx.AvgPool2d])
def test_an_unknown_argument_of_a_call(layer):
    """Equinox passes `key` to all layers of a model."""
    with pytest.raises(TypeError, match=r"^PoolingLayer\.__call__\(\) got .* argument 'key'"):
        layer(2)(jnp.ones((1, 4, 4)), key=None)


def test_a_subclass_is_named_in_its_errors():
    class Mine(AvgPool2d):
        """A layer of somebody else's."""

    with pytest.raises(ValueError, match=r"^Mine: `kernel_size` must be at least 1"):
        Mine(0)
