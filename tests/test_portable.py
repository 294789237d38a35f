"""Inside of `portable()` a pool is written in the plain form, and gives the same numbers."""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agree, value_and_gradient
from cases import ADAPTIVE, CASES, FIXED, normal, pooling, slow
from configs import random_calls
from jax import export
from oracle import pool

import jaxpool
from jaxpool import adaptive_avg_pool2d, avg_pool1d, avg_pool2d, avg_pool3d, portable

pytestmark = pytest.mark.usefixtures("quickly")

PLAIN = {
    *("broadcast_in_dim", "concatenate", "convert_element_type", "copy", "expand_dims"),
    *("pad", "reshape", "slice", "squeeze", "transpose", "select_n"),
    *("add", "div", "max", "mul", "sub"),
    *("conv_general_dilated", "reduce_sum", "reduce_window_sum"),
}
LAST = {"data_format": "channels_last"}
has_context = hasattr(jax, "make_user_context")


def primitives(f, *arguments):
    """The names of those that `f` is traced to inside; a jit counts as one."""
    with portable():
        return {equation.primitive.name for equation in jax.make_jaxpr(f)(*arguments).eqns}


def program(f, *arguments):
    with portable():
        return export.export(jax.jit(f))(*arguments).mlir_module()


def operations(f, *arguments):
    """The operations of the program, without those that only change a shape."""
    found = re.findall(r"\bstablehlo\.(\w+)", program(f, *arguments))
    shapes = "add", "broadcast_in_dim", "constant", "reshape", "return", "transpose"
    return [name for name in found if name not in shapes]  # an addition is a reduction's


@pytest.mark.parametrize("count", [40, *slow(80)])
def test_random_calls_agree_with_the_oracle(count):
    """Values, tangents, gradients and their transposes."""
    with portable():
        assert_agree(random_calls(count, count), in_plain_form=True)


@pytest.mark.parametrize("config", CASES)
def test_only_plain_primitives(config):
    x = jnp.ones(config.shape(), jnp.bfloat16)
    assert primitives(pooling(config), x) <= PLAIN
    assert "avg_pool" in str(jax.make_jaxpr(pooling(config))(x))


@pytest.mark.parametrize("config", [*FIXED[2:4], *ADAPTIVE[1:3]])
def test_only_plain_primitives_in_masked_pools_and_gradients(config):
    x = normal(config.shape())
    where = np.arange(x.shape[-1]) % 2 > 0
    assert primitives(pooling(config, where=where), x) <= PLAIN
    assert primitives(lambda x, where: pooling(config, where=where)(x), x, where) <= PLAIN
    pooled = pooling(config)(x)
    pullback = primitives(lambda x, g: jax.vjp(pooling(config), x)[1](g), x, pooled)
    assert pullback <= PLAIN | {"add_any", "split"}


def test_layers():
    x = normal((2, 8, 8, 3))
    linen = jaxpool.AvgPool2d(3, 2, 1, **LAST)
    assert primitives(lambda x: linen.apply({}, x), x) <= PLAIN
    assert primitives(jaxpool.nnx.AdaptiveAvgPool2d(1, **LAST), x) <= PLAIN


IMAGES = jnp.ones((1, 12, 12, 4))
FORMS = {
    "tiles": (partial(avg_pool2d, kernel=2), "reduce_window divide"),
    "padding that counts": (
        partial(avg_pool2d, kernel=3, stride=1, padding=1),
        "pad reduce_window divide",
    ),
    "padding that does not count, TensorFlow's SAME": (
        partial(avg_pool2d, kernel=3, stride=1, padding=1, count_include_pad=False),
        "reduce_window reduce_window divide",
    ),
    "other padding that does not count": (
        partial(avg_pool2d, kernel=3, stride=2, padding=1, count_include_pad=False),
        "pad reduce_window divide multiply multiply",
    ),
    "SAME along one axis alone": (
        partial(avg_pool2d, kernel=3, stride=1, padding=(1, 0), count_include_pad=False),
        "pad reduce_window divide multiply",
    ),
    "ceil_mode": (
        partial(avg_pool2d, kernel=3, stride=2, ceil_mode=True),
        "reduce_window reduce_window divide",
    ),
    "divisor_override": (
        partial(avg_pool2d, kernel=3, divisor_override=5),
        "reduce_window divide multiply",
    ),
    "divisor_override, the size": (
        partial(avg_pool2d, kernel=3, padding=1, divisor_override=9),
        "pad reduce_window divide",
    ),
    "dilation": (
        partial(avg_pool2d, kernel=3, stride=1, padding=2, dilation=2),
        "convolution divide",
    ),
    "global": (partial(adaptive_avg_pool2d, output_size=1), "reduce_window divide"),
    "equal bins": (partial(adaptive_avg_pool2d, output_size=(3, None)), "reduce_window divide"),
    "uneven bins": (
        partial(adaptive_avg_pool2d, output_size=(5, None)),
        f"{'slice reduce ' * 5}concatenate multiply",
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name):
    f, form = FORMS[name]
    assert operations(partial(f, **LAST), IMAGES) == form.split()


def test_a_global_pool_of_channels_first_is_a_plain_sum():
    assert operations(partial(adaptive_avg_pool2d, output_size=1), IMAGES) == ["reduce", "divide"]


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (partial(avg_pool2d, kernel=2, **LAST), (2, 3, 8, 8, 4)),
        (partial(avg_pool2d, kernel=2), (4, 8, 8)),
        (partial(avg_pool1d, kernel=3, padding=1), (2, 4, 9)),
        (partial(avg_pool1d, kernel=3, padding=1, **LAST), (2, 9, 4)),
        (partial(avg_pool3d, kernel=2), (2, 4, 6, 6, 6)),
        (partial(avg_pool3d, kernel=2, **LAST), (2, 6, 6, 6, 4)),
        (jax.vmap(jax.vmap(partial(avg_pool2d, kernel=2), 3), 1), (8, 3, 8, 2, 4)),
    ],
    ids=["rank 5", "rank 3", "1-d", "1-d last", "3-d", "3-d last", "vmap"],
)
def test_windows_have_four_axes(f, shape):
    text = program(f, jnp.ones(shape))
    windows = re.findall(r"window_dimensions = array<i64: ([\d, ]+)>", text)
    assert {len(window.split(",")) for window in windows} == {4}


@pytest.mark.parametrize("dtype", ["int32", "bool", "bfloat16", "complex64"])
def test_dtypes(dtype):
    x = (normal((2, 3, 9, 9)) * 5).astype(dtype)
    outside = avg_pool2d(x, 3, 2, 1, False)
    with portable():
        inside = avg_pool2d(x, 3, 2, 1, False)
    assert inside.dtype == outside.dtype
    tolerance = 1e-2 if dtype == "bfloat16" else 1e-5
    inside, outside = (np.asarray(a, "complex64") for a in (inside, outside))
    np.testing.assert_allclose(inside, outside, rtol=tolerance, atol=1e-5)


@pytest.mark.parametrize("batched", [0, 2, 4])
def test_vmap(batched):
    x = normal((2, 3, 4, 9, 9))
    f = partial(avg_pool2d, kernel=3, stride=2, padding=1, where=np.arange(9) != 4)
    x = jnp.moveaxis(x, 0, batched)
    with portable():
        found = jax.vmap(lambda x: value_and_gradient(f, x), batched)(x)
    for inside, outside in zip(
        found, jax.vmap(lambda x: value_and_gradient(f, x), batched)(x), strict=True
    ):
        np.testing.assert_allclose(inside, outside, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "f",
    [
        partial(avg_pool2d, kernel=3, stride=2, padding=1, count_include_pad=False, **LAST),
        partial(avg_pool2d, kernel=3, stride=2, ceil_mode=True, dilation=2, **LAST),
        partial(avg_pool2d, kernel=2, padding="SAME", **LAST),
        partial(adaptive_avg_pool2d, output_size=(1, 5), **LAST),
    ],
    ids=["excluding", "ceil_mode", "SAME", "adaptive"],
)
@pytest.mark.parametrize("shape", ["b, 14, 17, 3", "b, h, w, 3", "2, 14, w, c"])
def test_symbolic_sizes(f, shape):
    sizes = export.symbolic_shape(
        shape, constraints=[f"{size} >= 5" for size in "hw" if size in shape]
    )
    with portable():
        exported = export.export(jax.jit(f))(jax.ShapeDtypeStruct(sizes, jnp.float32))
    x = normal((2, 14, 17, 3))
    np.testing.assert_allclose(exported.call(x), f(x), rtol=1e-5, atol=1e-6)


def test_a_batch_of_symbolic_size_is_convolved():
    """Of a division by a constant of symbolic size LiteRT's converter makes no average."""
    x = jax.ShapeDtypeStruct(export.symbolic_shape("b, 8, 8, 4"), jnp.float32)
    assert "stablehlo.convolution" in program(partial(avg_pool2d, kernel=2, **LAST), x)


def is_plain(f, x):
    return "avg_pool" not in str(jax.make_jaxpr(lambda x: f(x))(x))


def test_nesting_and_errors():
    x = jnp.ones((1, 4, 4))
    f = partial(avg_pool2d, kernel=2)
    with portable():
        with portable():
            assert is_plain(f, x)
        assert is_plain(f, x)
        with pytest.raises(ValueError, match="must be at least 1"):
            avg_pool2d(x, 0)
    assert not is_plain(f, x)
    with pytest.raises(ZeroDivisionError), portable():
        raise ZeroDivisionError
    assert not is_plain(f, x)


def test_each_thread_has_its_own():
    x = jnp.ones((1, 4, 4))
    f = partial(avg_pool2d, kernel=2)
    with ThreadPoolExecutor(1) as other, portable():
        assert is_plain(f, x)
        assert not other.submit(is_plain, f, x).result()


def test_decorator():
    f = portable()(lambda x: avg_pool2d(x, 2))
    assert is_plain(f, jnp.ones((1, 4, 4)))
    assert is_plain(f, jnp.ones((1, 4, 4)))


def test_a_function_that_was_called_outside_is_lowered_anew_inside():
    """And keeps its fast form outside."""
    x = normal((1, 3, 8, 8))
    f = jax.jit(lambda x: avg_pool2d(x, 2))
    outside = f(x)
    text = f.lower(x).as_text()
    assert "stablehlo.reduce_window" in program(f, x)
    with portable():
        if has_context:
            assert is_plain(f, x)
        np.testing.assert_allclose(f(x), outside, rtol=1e-6, atol=1e-6)
    assert f.lower(x).as_text() == text
    assert "stablehlo.reduce_window" not in text
    np.testing.assert_array_equal(f(x), outside)


def test_the_oracle_is_met_by_eager_calls():
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 8)).astype(np.float32)
    (config,) = FIXED[3].values
    with portable():
        np.testing.assert_allclose(pooling(config)(x), pool(x, config), rtol=1e-6, atol=1e-6)
