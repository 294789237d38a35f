"""jax.export: one program for every size and platform, and the values of the real sizes."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import compiled, value_and_gradient
from cases import normal, slow
from jax import export

import jaxpool

pytestmark = pytest.mark.usefixtures("quickly")

PLATFORMS = ("cpu", "cuda", "tpu")
SIZES = ["a >= 1", "b >= 5", "c >= 5", "d >= 5"]
OPTIONS = {
    "tiles": {"kernel": 2},
    "overlapping": {"kernel": 3, "stride": 2, "padding": 1},
    "excluding": {"kernel": 3, "stride": 2, "padding": 1, "count_include_pad": False},
    "ceil": {"kernel": 3, "stride": 2, "padding": ((1, 0), (0, 1)), "ceil_mode": True},
    "ceil, wide stride": {"kernel": 2, "stride": 4, "ceil_mode": True, "padding": 1},
    "ceil, excluding": {
        "kernel": 3,
        "stride": 2,
        "padding": 1,
        "ceil_mode": True,
        "count_include_pad": False,
    },
    "same": {"kernel": 3, "stride": 2, "padding": "SAME", "count_include_pad": False},
    "same_lower": {"kernel": 4, "stride": 3, "padding": "SAME_LOWER"},
    "same, wide stride": {"kernel": 2, "stride": 3, "padding": "SAME"},
    "dilated, excluding": {
        "kernel": 2,
        "stride": 1,
        "padding": 1,
        "dilation": 2,
        "count_include_pad": False,
    },
    "override": {"kernel": 3, "stride": 2, "padding": 1, "divisor_override": 5},
}


def exported(f, shape, **scope):
    """`f` for a symbolic shape, through bytes and back."""
    x = jax.ShapeDtypeStruct(export.symbolic_shape(shape, **scope), jnp.float32)
    return export.deserialize(export.export(jax.jit(f), platforms=PLATFORMS)(x).serialize())


def assert_same(program, pool, shapes):
    """The exported value and gradient are those of the call itself, at each of the shapes."""
    inputs = [normal(shape) for shape in shapes]
    expected = compiled(lambda inputs: [value_and_gradient(pool, x) for x in inputs], inputs)
    for x, results in zip(inputs, expected, strict=True):
        for found, one in zip(program.call(x), results, strict=True):
            np.testing.assert_allclose(found, one, rtol=1e-5, atol=1e-6)


QUICK = [
    ("tiles", "channels_last"),
    ("ceil, excluding", "channels_first"),
    ("same, wide stride", "channels_last"),
    ("dilated, excluding", "channels_first"),
]
REST = {*itertools.product(OPTIONS, ["channels_first", "channels_last"])} - {*QUICK}


@pytest.mark.parametrize(("name", "data_format"), [*QUICK, *slow(*sorted(REST))])
def test_all_sizes_symbolic(name, data_format):
    pool = partial(jaxpool.avg_pool2d, **OPTIONS[name], data_format=data_format)
    program = exported(partial(value_and_gradient, pool), "a, b, c, d", constraints=SIZES)
    assert program.platforms == PLATFORMS
    assert_same(program, pool, [(1, 8, 6, 7), (3, 5, 9, 8), (2, 10, 5, 5)])


@pytest.mark.parametrize(
    ("pool", "shape"),
    [(jaxpool.avg_pool1d, (2, 3, 11)), *slow((jaxpool.avg_pool3d, (2, 3, 7, 8, 9)))],
)
def test_one_and_three_axes(pool, shape):
    names = ", ".join("abcde"[: len(shape)])

    def f(x):
        return pool(x, 3, 2, 1, False, ceil_mode=True)

    x = normal(shape)
    np.testing.assert_allclose(exported(f, names).call(x), f(x), rtol=1e-5, atol=1e-6)


def test_symbolic_batch_alone_keeps_the_static_program():
    """Additions of slices, for which the sizes of the axes have to be known."""

    def additions(shape):
        program = exported(lambda x: jaxpool.avg_pool2d(x, 2), shape)
        assert program.call(jnp.ones((5, 3, 8, 8))).shape == (5, 3, 4, 4)
        return program.mlir_module().count("stablehlo.add")

    assert additions("b, 3, 8, 8") == additions("5, 3, 8, 8")
    assert additions("5, 3, h, w") != additions("5, 3, 8, 8")


def test_a_layer():
    layer = jaxpool.AvgPool2d(2, data_format="channels_last")
    program = exported(lambda x: layer.apply({}, x), "b, h, w, 3")
    assert program.call(jnp.ones((2, 6, 9, 3))).shape == (2, 3, 4, 3)


@pytest.mark.parametrize("output_size", [5, *slow(3, 9), (2, None)])
def test_adaptive_with_symbolic_batch_and_channels(output_size):
    def pool(x):
        return jaxpool.adaptive_avg_pool2d(x, output_size)

    program = exported(partial(value_and_gradient, pool), "b, c, 7, 6")
    assert_same(program, pool, [(3, 4, 7, 6)])


def test_global_and_kept_axes_of_any_size():
    def pool(x):
        return jaxpool.adaptive_avg_pool2d(x, (1, None))

    program = exported(partial(value_and_gradient, pool), "b, c, h, w")
    assert_same(program, pool, [(1, 2, 5, 6), (3, 4, 7, 1)])


@pytest.mark.parametrize(
    ("outputs", "shape", "sizes"),
    [
        (2, "b, 3, 2*h, 2*w", [(1, 3, 4, 2), (2, 3, 10, 8)]),
        ((4, 3), "b, 3, 8*h, 3*w", [(2, 3, 8, 9)]),
        *slow((8, "b, 3, 8*h, 8*w", [(2, 3, 16, 24)])),
    ],
)
def test_bins_of_multiples_are_windows(outputs, shape, sizes):
    def pool(x):
        return jaxpool.adaptive_avg_pool2d(x, outputs)

    program = exported(partial(value_and_gradient, pool), shape)
    assert "gather" not in program.mlir_module()
    assert_same(program, pool, sizes)


@pytest.mark.parametrize(("outputs", "masked"), [((5, 2), False), *slow((3, True), (9, False))])
def test_bins_of_any_size(outputs, masked):
    def pool(x):
        where = (x[:, :1] > -1) if masked else None
        return jaxpool.adaptive_avg_pool2d(x, outputs, where=where)

    program = exported(partial(value_and_gradient, pool), "b, c, h, w")
    assert_same(program, pool, [(1, 2, 5, 6), (2, 1, 13, 2), (1, 1, 1, 1)])


def test_a_nan_stays_in_its_bins_of_any_size():
    program = exported(lambda x: jaxpool.adaptive_avg_pool1d(x, 3), "c, l")
    x = np.arange(7.0, dtype=np.float32)[None]
    x[0, 1] = np.nan
    np.testing.assert_array_equal(program.call(x), [[np.nan, 3, 5]])


@pytest.mark.parametrize("layer", [False, True])
def test_a_kernel_of_all_of_an_axis(layer):
    """`AvgPool2d(x.shape[1:3])` is a global pool of any size."""

    def pool(x):
        options = {"data_format": "channels_last"}
        if layer:
            return jaxpool.AvgPool2d(x.shape[1:3], **options)(x)
        return jaxpool.avg_pool2d(x, (x.shape[1], 2), **options)

    program = exported(partial(value_and_gradient, pool), "b, h, w, 3")
    assert_same(program, pool, [(1, 5, 6, 3), (2, 1, 2, 3)])


@pytest.mark.parametrize("options", [{"padding": 1}, {"dilation": 2}, {"padding": "SAME"}])
def test_other_symbolic_kernels_are_refused(options):
    message = r"^avg_pool2d: `kernel` must be ints, or all of an axis .*AdaptiveAvgPool2d\(1\)"
    with pytest.raises(ValueError, match=message):
        exported(lambda x: jaxpool.avg_pool2d(x, x.shape[2], **options), "b, 3, h, h")
    with pytest.raises(ValueError, match=message):
        exported(lambda x: jaxpool.avg_pool2d(x, x.shape[2] - 1), "b, 3, h, h")


@pytest.mark.parametrize(
    ("padding", "count_include_pad"),
    [(1, False), ("SAME", True), *slow((1, True), ("SAME", False))],
)
def test_masks(padding, count_include_pad):
    def pool(x):
        where = x[:, :1] > 0
        return jaxpool.avg_pool2d(x, 3, 2, padding, count_include_pad, where=where)

    program = exported(pool, "a, b, c, d", constraints=SIZES)
    for shape in [(1, 8, 6, 7), (3, 5, 9, 8)]:
        x = normal(shape)
        np.testing.assert_allclose(program.call(x), pool(x), rtol=1e-5, atol=1e-6)


def test_ceil_mode_of_sizes_smaller_than_the_kernel():
    pool = partial(jaxpool.avg_pool2d, kernel=2, ceil_mode=True, count_include_pad=False)
    program = exported(partial(value_and_gradient, pool), "b, 3, h, w")
    assert_same(program, pool, [(2, 3, 1, 1), (1, 3, 4, 1), (1, 3, 5, 6)])


def test_without_a_lower_bound_on_the_size():
    program = exported(lambda x: jaxpool.avg_pool2d(x, 3), "b, 3, h, w")
    assert program.call(jnp.ones((2, 3, 9, 7))).shape == (2, 3, 3, 2)
