"""Under jit: one trace per shape, the same bits as eager, and a program without excess."""

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import normal

import jaxpool
from jaxpool import avg_pool2d, avg_pool3d


@pytest.fixture(autouse=True)
def _fresh_trace_counter():
    chex.clear_trace_counter()


def test_no_retrace_for_the_same_shape():
    @jax.jit
    @chex.assert_max_traces(n=1)
    def pool(x):
        return avg_pool2d(x, [3, 3], 2, 1, False)

    for seed in range(3):
        pool(normal((2, 3, 9, 9), seed=seed))
    with pytest.raises(AssertionError):
        pool(jnp.ones((2, 3, 8, 8)))


def test_static_arguments_trace_once_for_each_value():
    @chex.assert_max_traces(n=2)
    def counted(x, kernel):
        return avg_pool2d(x, kernel)

    pool = jax.jit(counted, static_argnames="kernel")
    for kernel in (2, 3, 2, 3):
        assert pool(jnp.ones((1, 6, 6)), kernel=kernel).shape == (1, 6 // kernel, 6 // kernel)


def test_an_eager_call_compiles_once():
    x = jnp.ones((1, 3, 23, 29))
    avg_pool2d(x, [3, 3], 2, 1)
    compiled = jaxpool._average._jitted_average._cache_size()
    for kernel in (3, [3, 3], (3, np.int64(3))):
        avg_pool2d(x, kernel, 2, ((1, 1), [1, 1]))
    assert jaxpool._average._jitted_average._cache_size() == compiled


def test_no_call_is_left_in_a_program():
    """What an eager call is compiled by does not show in a program around it."""
    program = jax.jit(lambda x: avg_pool2d(x, 2)).lower(jnp.ones((1, 4, 4))).as_text()
    assert "@main" in program
    assert "@_average" not in program


@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 1, "padding": 1, "count_include_pad": False}, {"ceil_mode": True}],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_jit_and_eager_agree_to_the_last_bit(options, dtype):
    x = normal((2, 3, 17, 18), dtype)
    chex.assert_trees_all_equal(
        jax.jit(lambda x: avg_pool2d(x, 3, **options))(x), avg_pool2d(x, 3, **options)
    )


def test_without_jit():
    x = normal((2, 3, 9, 9))
    with jax.disable_jit():
        pooled = avg_pool2d(x, 3, 2, 1, False)
    chex.assert_trees_all_close(pooled, avg_pool2d(x, 3, 2, 1, False), rtol=1e-6)
    with jax.disable_jit():
        pooled = avg_pool2d(np.asarray(x), 3, 2, 1, False)
    chex.assert_trees_all_close(pooled, avg_pool2d(x, 3, 2, 1, False), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "complex128", "int64", "bool", ">f4", "float16"])
@pytest.mark.parametrize("where", [None, np.arange(4) < 3, True])
def test_dtypes_of_numpy_without_jit(dtype, where):
    """Some of which JAX does not have without x64; the plain form is not jitted either."""
    x = np.arange(32).reshape(2, 4, 4).astype(dtype)
    expected = avg_pool2d(x, 2, where=where)
    for context in (jax.disable_jit(), jaxpool.portable()):
        with context:
            found = avg_pool2d(x, 2, where=where)
        chex.assert_trees_all_close(found, expected, rtol=1e-6)
        assert found.dtype == expected.dtype


def operations(pool, x):
    """The names of the operations in the program of `pool`."""
    text = jax.jit(pool).lower(x).as_text()
    rest = {"return", "constant", "add"}
    return set(re.findall(r"\b(?:stablehlo|chlo)\.(\w+)", text)) - rest


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("kernel", [2, 3, 4, 10])
def test_few_exact_taps_are_a_sum_of_slices(kernel, ceil_mode):
    def pool(x):
        return avg_pool2d(x, kernel, ceil_mode=ceil_mode)

    x = jnp.ones((2, 3, 60, 60))
    by_axis = kernel > 3
    stored = {"optimization_barrier"} if by_axis else set()
    assert operations(pool, x) == {"slice", "broadcast_in_dim", "multiply"} | stored
    slices = 2 * kernel if by_axis else kernel**2
    assert jax.jit(pool).lower(x).as_text().count("stablehlo.slice") == slices


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("kernel", [15, 20])
def test_an_exact_window_is_a_sum_and_a_product(kernel, ceil_mode):
    found = operations(
        lambda x: avg_pool2d(x, kernel, ceil_mode=ceil_mode), jnp.ones((64, 3, 60, 60))
    )
    assert found == {"reduce_window", "broadcast_in_dim", "multiply"}


def test_one_window_is_a_plain_sum():
    found = operations(lambda x: avg_pool2d(x, 7), jnp.ones((64, 3, 7, 7)))
    assert found <= {"reduce", "broadcast_in_dim", "reshape", "multiply"}


def test_a_window_of_one_pixel_is_no_sum():
    assert "reduce_window" not in operations(lambda x: avg_pool2d(x, 1), jnp.ones((2, 3, 7, 7)))


def test_only_16_bit_floats_are_converted():
    assert "convert" not in operations(lambda x: avg_pool2d(x, 3, 2, 1), jnp.ones((2, 3, 9, 9)))
    x = jnp.ones((2, 3, 9, 9), jnp.bfloat16)
    assert "convert" in operations(lambda x: avg_pool2d(x, 3, 2, 1), x)


def test_the_largest_constant_is_one_vector():
    """The divisor is the outer product of one vector of counts per axis, formed as it is used."""
    x = jax.ShapeDtypeStruct((1, 1, 64, 65, 66), jnp.float32)
    jaxpr = jax.make_jaxpr(lambda x: avg_pool3d(x, 5, 1, 2, False))(x)
    sizes = sorted(np.size(constant) for constant in jaxpr.consts)
    assert sizes in ([64, 65, 66], [])
    text = jax.jit(lambda x: avg_pool3d(x, 5, 1, 2, False)).lower(x).compile().as_text()
    constants = re.findall(r"= f32\[([\d,]*)\]\S* constant\(", text)
    assert constants
    assert max(np.prod([int(n) for n in c.split(",") if n]) for c in constants) <= 66


@pytest.mark.parametrize(
    ("name", "pool"),
    [
        ("avg_pool2d", lambda x: avg_pool2d(x, 3, 2, 1)),
        ("adaptive_avg_pool2d", lambda x: jaxpool.adaptive_avg_pool2d(x, 4)),
        ("AvgPool2d", jaxpool.AvgPool2d(2)),
    ],
)
def test_operations_are_named_after_the_call(name, pool):
    """In profiles and in dumps of programs, forward and backward."""
    x = jnp.ones((2, 3, 9, 9))
    gradient = jax.jit(jax.grad(lambda x: jnp.square(pool(x)).sum())).lower(x).compile().as_text()
    names = re.findall(r'op_name="([^"]*)"', gradient)
    ours = {found for found in names if f"jaxpool.{name}" in found}
    assert any("transpose" in found for found in ours)
    assert any("transpose" not in found for found in ours)
