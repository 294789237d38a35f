"""The layers of Linen and NNX: the functions' arguments and values, checked once, read-only."""

import copy
import inspect
import itertools
import pickle
from dataclasses import FrozenInstanceError, fields

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import normal
from flax.errors import SetAttributeFrozenModuleError

import jaxpool
import jaxpool.nnx

pytestmark = pytest.mark.usefixtures("quickly")

LIBRARIES = [jaxpool.linen, jaxpool.nnx]
NAMES = [f"{kind}AvgPool{n}d" for kind in ("", "Adaptive") for n in (1, 2, 3)]
WINDOWS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    {"kernel_size": [3], "stride": 1, "padding": "SAME", "data_format": "channels_last"},
    {"kernel_size": 2, "dilation": 2, "ceil_mode": True, "divisor_override": 3},
]
BINS = [
    {"output_size": 3},
    {"output_size": 1, "data_format": "channels_last"},
    {"output_size": [None], "data_format": "channels_first"},
]
CALLS = [*itertools.product(NAMES[:3], WINDOWS), *itertools.product(NAMES[3:], BINS)]

both = pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)


def function_of(name):
    return getattr(jaxpool, name.replace("AvgPool", "_avg_pool").lower().removeprefix("_"))


def arguments(parameters):
    """The names, kinds and defaults of what a layer takes, without what Flax adds."""
    return [(p.name, p.kind, p.default) for p in parameters if p.name not in ("parent", "name")]


def field_names(layer):
    return {field.name for field in fields(layer)} - {"parent", "name"}


@both
@pytest.mark.parametrize(("name", "options"), CALLS)
def test_the_layer_is_the_function(library, name, options):
    layer, function = getattr(library, name), function_of(name)
    x = normal((2, 8, *[8] * layer.ndim))
    size, *rest = options
    options_of_function = {option: options[option] for option in rest}
    pool = layer(**options)
    for where in (None, x > 0):
        expected = function(x, options[size], **options_of_function, where=where)
        chex.assert_trees_all_equal(pool(x, where), expected)
        chex.assert_trees_all_equal(jax.jit(pool)(x, where=where), expected)


@both
@pytest.mark.parametrize("name", NAMES)
def test_the_arguments_are_those_of_the_function(library, name):
    """Names, order, kinds and defaults; `kernel` is `kernel_size`, as in PyTorch."""
    layer = getattr(library, name)
    _, *of_function, _ = inspect.signature(function_of(name)).parameters.values()
    expected = [
        (argument.replace("kernel", "kernel_size"), *rest)
        for argument, *rest in arguments(of_function)
    ]
    assert arguments(inspect.signature(layer).parameters.values()) == expected
    called = inspect.signature(layer(2)).parameters
    assert list(called) == ["x", "where"]
    assert called["where"].default is None
    assert layer.__doc__ == getattr(jaxpool.linen, name).__doc__


def test_the_names_of_the_package_are_the_linen_layers():
    assert [name for name in jaxpool.__all__ if "AvgPool" in name] == sorted(NAMES)
    for name in NAMES:
        assert getattr(jaxpool, name) is getattr(jaxpool.linen, name)


@both
def test_the_stride_is_the_kernel_as_in_pytorch(library):
    assert library.AvgPool2d(3).stride == 3
    assert library.AvgPool2d((2, 3)).stride == (2, 3)
    assert library.AvgPool2d(3, 1).stride == 1


@both
def test_fields_are_kept_as_given_except_lists_and_arrays(library):
    assert library.AvgPool2d(3, padding="SAME").padding == "SAME"
    assert library.AdaptiveAvgPool2d([None, 2]).output_size == (None, 2)
    for sequence in (list, np.array):
        pads = sequence([[0, 1], [1, 0]])
        pool = library.AvgPool2d(sequence([3, 2]), sequence([1, 1]), pads, dilation=sequence([1]))
        kept = pool.kernel_size, pool.stride, pool.padding, pool.dilation
        assert kept == ((3, 2), (1, 1), ((0, 1), (1, 0)), (1,))


@both
def test_arguments_are_checked_once(library, monkeypatch):
    pools = library.AvgPool2d(2), library.AdaptiveAvgPool2d(1)
    for name in ("parse_pool", "parse_adaptive"):
        monkeypatch.delattr(f"jaxpool._layers.{name}")
    for pool in pools:
        pool(jnp.ones((1, 4, 4)))


@both
@pytest.mark.parametrize("name", ["AvgPool2d", "AdaptiveAvgPool2d"])
def test_fields_are_read_only(library, name):
    """Of copies as well."""
    layer = getattr(library, name)(2)
    error = {jaxpool.linen: SetAttributeFrozenModuleError}.get(library, FrozenInstanceError)
    copies = copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    for pool in (layer, *copies):
        for field in field_names(layer):
            with pytest.raises(error, match=rf"\b{field}=1"):
                setattr(pool, field, 1)
            with pytest.raises(error, match=rf"\b{field}\b"):
                delattr(pool, field)
            assert getattr(pool, field) == getattr(layer, field)
        assert pool(jnp.ones((1, 4, 4))).shape == (1, 2, 2)


@both
@pytest.mark.parametrize("name", NAMES)
def test_wrong_arguments_raise_when_constructed(library, name):
    layer, is_adaptive = getattr(library, name), "Adaptive" in name
    size, last = ("output_size",) * 2 if is_adaptive else ("kernel_size", "count_include_pad")
    with pytest.raises(ValueError, match=rf"^{name}: `{size}` must be at least 1, got .*=0"):
        layer(0)
    with pytest.raises(TypeError, match=rf"^{name}: `{size}` must be .*got .*=2\.0"):
        layer(2.0)
    surplus = rf"^{name}: arguments after `{last}` are keyword-only, got 'surplus'$"
    with pytest.raises(TypeError, match=surplus):
        layer(*[1] * (1 if is_adaptive else 4), "surplus", "more")
    with pytest.raises(TypeError, match=rf"^{name}: got an unexpected keyword argument 'size'$"):
        layer(size=2)
    with pytest.raises(TypeError, match=r"__init__\(\) missing "):
        layer()
    with pytest.raises(TypeError, match=rf"^{name}: `x` must be a JAX or NumPy array"):
        layer(1)([1.0])


@both
def test_an_unknown_argument_of_a_call(library):
    """Equinox passes `key` to all layers of a model."""
    with pytest.raises(TypeError, match=r"^PoolingLayer\.__call__\(\) got .* argument 'key'"):
        library.AvgPool2d(2)(jnp.ones((1, 4, 4)), key=None)


@both
def test_a_subclass_is_named_in_its_errors(library):
    class Mine(library.AvgPool2d):
        """A layer of somebody else's."""

    with pytest.raises(ValueError, match=r"^Mine: `kernel_size` must be at least 1"):
        Mine(0)


@both
def test_printed_as_flax_prints_its_layers(library):
    printed = repr(library.AvgPool2d(3, 2))
    assert printed.startswith("AvgPool2d(")
    assert "kernel_size=3" in printed.replace(" ", "")
    assert "output_size=7" in repr(library.AdaptiveAvgPool2d(7)).replace(" ", "")
