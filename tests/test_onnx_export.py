"""jax2onnx converts pools to operators of ONNX, and ONNX Runtime gives jaxpool's numbers."""

from functools import partial

import flax.nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import normal, pooling, slow
from configs import random_calls
from processes import run_python

import jaxpool
from jaxpool import (
    AvgPool2d,
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    nnx,
)

jax2onnx = pytest.importorskip("jax2onnx")
onnxruntime = pytest.importorskip("onnxruntime")
import jaxpool.jax2onnx  # noqa: E402

IMAGES = (2, 3, 14, 14)
LAST = (2, 14, 14, 3)
ANY_BATCH = ("B", 3, 14, 14)
ANY_SIZE = ("B", 3, "H", "W")


def convert(f, *inputs, **options):
    """The model, and the names of its operators."""
    model = jax2onnx.to_onnx(f, list(inputs), **options)
    return model, [node.op_type for node in model.graph.node]


def run(model, *arrays):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [given.name for given in session.get_inputs()]
    return session.run(None, dict(zip(names, map(np.asarray, arrays), strict=True)))[0]


def assert_equal(found, wanted, tolerance=1e-6):
    wanted = np.asarray(wanted)
    assert found.dtype == wanted.dtype
    scale = max(1, np.max(np.abs(wanted), initial=0, where=np.isfinite(wanted)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * scale)


def assert_converts(pool, shape, operators=None, sizes=None, dtype="float32", **options):
    """To these operators; `sizes` of the input, if some in `shape` are symbols."""
    x = normal(sizes or shape) * 3
    x = x > 0 if dtype == "bool" else x.astype(dtype)
    model, found = convert(pool, shape if sizes else x, **options)
    assert operators is None or found == operators.split()
    assert_equal(run(model, x), pool(x))


FIXED = {
    "2x2": ({"kernel": 2}, "AveragePool"),
    "3x3 s2 p1, excluding": (
        {"kernel": 3, "stride": 2, "padding": 1, "count_include_pad": False},
        "AveragePool",
    ),
    "3x3 s1 p1": ({"kernel": 3, "stride": 1, "padding": 1}, "AveragePool"),
    "7x7 tiles": ({"kernel": 7}, "AveragePool"),
    "11x11": ({"kernel": 11, "stride": 1}, "AveragePool"),
    "tiles with a rest": ({"kernel": 4}, "AveragePool"),
    "ceil_mode": ({"kernel": 3, "stride": 2, "ceil_mode": True}, "AveragePool"),
    "ceil_mode, padding": (
        {"kernel": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        "AveragePool Mul",
    ),
    "ceil_mode, padding, excluding": (
        {"kernel": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
        "AveragePool",
    ),
    "ceil_mode, the last window starts in the padding": (
        {"kernel": 2, "stride": 2, "padding": ((1, 1), (0, 1)), "ceil_mode": True},
        "AveragePool",
    ),
    "ceil_mode, larger than the input": (
        {"kernel": 20, "stride": 8, "ceil_mode": True},
        "AveragePool",
    ),
    "ceil_mode, larger than the padded input": (
        {"kernel": 20, "stride": 8, "padding": 1, "ceil_mode": True},
        "AveragePool Mul",
    ),
    "asymmetric": ({"kernel": 3, "padding": ((0, 2), (1, 0))}, "AveragePool"),
    "asymmetric, excluding": (
        {"kernel": 3, "padding": ((0, 2), (1, 0)), "count_include_pad": False},
        "AveragePool",
    ),
    "dilated": ({"kernel": 3, "stride": 1, "padding": 2, "dilation": 2}, "AveragePool"),
    "dilated, excluding": (
        {"kernel": 3, "stride": 1, "padding": 2, "dilation": 2, "count_include_pad": False},
        "AveragePool",
    ),
    "padding as long as the kernel": (
        {"kernel": 2, "stride": 1, "padding": 2, "dilation": 3},
        "Pad AveragePool",
    ),
    "padding as long as the kernel, excluding": (
        {"kernel": 2, "stride": 1, "padding": 2, "dilation": 3, "count_include_pad": False},
        "Pad AveragePool Mul",
    ),
    "nothing counts": (
        {"kernel": 2, "padding": ((8, 0), (0, 8)), "dilation": 14, "count_include_pad": False},
        "Pad AveragePool Mul",
    ),
    "divisor_override": (
        {"kernel": 3, "stride": 1, "padding": 1, "divisor_override": 7},
        "AveragePool Mul",
    ),
    "SAME": ({"kernel": 3, "stride": 2, "padding": "SAME"}, "AveragePool"),
    "SAME, excluding": (
        {"kernel": 3, "stride": 2, "padding": "SAME", "count_include_pad": False},
        "AveragePool",
    ),
    "SAME_LOWER": ({"kernel": 2, "stride": 1, "padding": "SAME_LOWER"}, "AveragePool"),
    "all": ({"kernel": 14}, "GlobalAveragePool"),
    "a row": ({"kernel": (1, 14)}, "AveragePool"),
    "nothing": ({"kernel": 1}, "AveragePool"),
}


@pytest.mark.parametrize("name", FIXED)
def test_fixed_windows(name):
    arguments, operators = FIXED[name]
    assert_converts(partial(avg_pool2d, **arguments), IMAGES, operators)


@pytest.mark.parametrize("name", ["3x3 s1 p1", "ceil_mode, padding", "all"])
def test_channels_last(name):
    arguments, operators = FIXED[name]
    pool = partial(avg_pool2d, **arguments, data_format="channels_last")
    assert_converts(pool, LAST, f"Transpose {operators} Transpose")


ADAPTIVE = {
    "global": (1, "GlobalAveragePool"),
    "equal": (7, "AveragePool"),
    "uneven": (5, "MatMul MatMul"),
    "more": (17, "MatMul MatMul"),
    "kept axis": ((None, 2), "AveragePool"),
    "kept axis, uneven": ((None, 5), "MatMul"),
}


@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive(name):
    output_size, operators = ADAPTIVE[name]
    assert_converts(partial(adaptive_avg_pool2d, output_size=output_size), IMAGES, operators)


def test_uneven_bins_in_channels_last():
    pool = partial(adaptive_avg_pool2d, output_size=5, data_format="channels_last")
    assert_converts(pool, LAST, "Reshape MatMul Reshape MatMul")


@pytest.mark.parametrize(
    ("pool", "shape", "operators"),
    [
        (partial(avg_pool1d, kernel=3, stride=2), (2, 3, 9), "AveragePool"),
        (partial(avg_pool3d, kernel=3, stride=2, padding=1), (2, 3, 5, 6, 7), "AveragePool"),
        (partial(adaptive_avg_pool1d, output_size=4), (2, 3, 9), "MatMul"),
        (partial(adaptive_avg_pool3d, output_size=1), (2, 3, 5, 6, 7), "GlobalAveragePool"),
        (partial(avg_pool2d, kernel=2), (3, 8, 8), "Unsqueeze AveragePool Squeeze"),
        (partial(avg_pool2d, kernel=2), (2, 4, 3, 8, 8), "Reshape AveragePool Reshape"),
        (partial(avg_pool2d, kernel=2), (0, 3, 8, 8), "AveragePool"),
        (
            partial(avg_pool2d, kernel=2, data_format="channels_last"),
            (8, 8, 3),
            "Transpose Unsqueeze AveragePool Squeeze Transpose",
        ),
        (
            jax.vmap(partial(avg_pool2d, kernel=2), -1, -1),
            (3, 8, 8, 2),
            "Transpose AveragePool Transpose",
        ),
    ],
)
def test_axes(pool, shape, operators):
    assert_converts(pool, shape, operators)


@pytest.mark.parametrize(
    ("dtype", "arguments", "operators"),
    [
        ("float16", {}, "AveragePool"),
        ("float16", {"divisor_override": 3}, "Cast AveragePool Mul Cast"),
        ("int32", {}, "Cast AveragePool"),
        ("uint8", {}, "Cast AveragePool"),
        ("bool", {}, "Cast AveragePool"),
    ],
)
def test_dtypes(dtype, arguments, operators):
    assert_converts(partial(avg_pool2d, kernel=2, **arguments), IMAGES, operators, dtype=dtype)


def test_bfloat16_is_added_in_float32():
    x = normal((1, 1, 56, 56)) + 100
    pool = lambda x: adaptive_avg_pool2d(x.astype(jnp.bfloat16), 1).astype(jnp.float32)  # noqa: E731
    model, operators = convert(pool, x)
    assert operators == ["Cast", "Cast", "GlobalAveragePool", "Cast", "Cast"]
    assert_equal(run(model, x), pool(x))


@pytest.mark.usefixtures("x64")
def test_double_precision():
    x = normal(IMAGES, "float64")
    for pool in partial(avg_pool2d, kernel=3, stride=2, padding=1), AvgPool2d(14):
        model, operators = convert(pool, x, enable_double_precision=True)
        assert operators == ["MatMul", "MatMul"]
        assert_equal(run(model, x), pool(x), 1e-15)


def test_complex_numbers_are_refused():
    x = normal(IMAGES, "complex64")
    with pytest.raises(NotImplementedError, match="complex"):
        convert(partial(avg_pool2d, kernel=2), x)


QUOTIENT = "Max Div Mul Div Add"
MASKED = {
    "fixed": (
        partial(avg_pool2d, kernel=2),
        f"Where AveragePool Mul Cast AveragePool Mul {QUOTIENT}",
    ),
    "padded": (
        partial(avg_pool2d, kernel=3, stride=2, padding=1),
        f"Where AveragePool Mul Cast AveragePool Mul Mul Sub Add {QUOTIENT}",
    ),
    "global": (
        partial(adaptive_avg_pool2d, output_size=1),
        f"Where AveragePool Mul Cast AveragePool Mul {QUOTIENT}",
    ),
    "uneven": (
        partial(adaptive_avg_pool2d, output_size=5),
        f"Where MatMul MatMul Cast MatMul MatMul {QUOTIENT}",
    ),
}


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", MASKED)
def test_masked(name, share):
    pool, operators = MASKED[name]
    masked = lambda x, where: pool(x, where=where)  # noqa: E731
    where = np.random.default_rng(0).random(IMAGES) < share
    x = np.where(where, normal(IMAGES), np.nan)
    model, found = convert(masked, x, where)
    assert found == operators.split()
    assert_equal(run(model, x, where), masked(x, where))


def test_a_constant_mask():
    where = np.tri(14, dtype=bool)
    assert_converts(partial(avg_pool2d, kernel=2, where=where), IMAGES)


@pytest.mark.parametrize("name", FIXED)
def test_a_symbolic_batch(name):
    arguments, operators = FIXED[name]
    assert_converts(partial(avg_pool2d, **arguments), ANY_BATCH, operators, sizes=(5, *IMAGES[1:]))


IMPOSSIBLE = {
    "ceil_mode, padding",
    "ceil_mode, larger than the padded input",
    "padding as long as the kernel, excluding",
    "nothing counts",
}
NEEDS_SIZES = {"all", "a row", "ceil_mode, larger than the input"} | IMPOSSIBLE


@pytest.mark.parametrize("name", sorted(FIXED.keys() - NEEDS_SIZES))
def test_symbolic_sizes(name):
    arguments, operators = FIXED[name]
    pool = partial(avg_pool2d, **arguments)
    model, found = convert(pool, ANY_SIZE)
    assert found == operators.split()
    for sizes in (5, 3, 14, 14), (1, 3, 17, 12):
        x = normal(sizes)
        assert_equal(run(model, x), pool(x))


@pytest.mark.parametrize("name", sorted(IMPOSSIBLE))
def test_symbolic_sizes_that_onnx_has_no_operator_for(name):
    with pytest.raises(NotImplementedError, match="convert with known sizes"):
        convert(partial(avg_pool2d, **FIXED[name][0]), ANY_SIZE)


@pytest.mark.parametrize(
    ("pool", "shape", "operators"),
    [
        (partial(adaptive_avg_pool2d, output_size=1), ANY_SIZE, "GlobalAveragePool"),
        (partial(adaptive_avg_pool2d, output_size=5), ANY_BATCH, "MatMul MatMul"),
        (partial(adaptive_avg_pool2d, output_size=5), ANY_SIZE, None),
        (partial(adaptive_avg_pool2d, output_size=(None, 1)), ANY_SIZE, None),
        (partial(avg_pool2d, kernel=3), (3, "H", "W"), "Unsqueeze AveragePool Squeeze"),
        (partial(avg_pool2d, kernel=2), ("A", "B", 3, "H", "W"), None),
        *((lambda x, p=p: p(x, where=x > 0), ANY_SIZE, None) for p, _ in MASKED.values()),
    ],
)
def test_other_symbols(pool, shape, operators):
    symbols = {"A": 2, "B": 4, "H": 14, "W": 17}
    sizes = tuple(symbols.get(n, n) for n in shape)
    assert_converts(pool, shape, operators, sizes=sizes)


@pytest.mark.parametrize(
    "pool", [partial(avg_pool2d, kernel=3, stride=2, padding=1), AvgPool2d(14)]
)
@pytest.mark.parametrize("shape", [IMAGES, ANY_BATCH])
def test_gradients(pool, shape):
    gradient = jax.grad(lambda x: (pool(x) ** 3).sum())
    assert_converts(gradient, shape, sizes=IMAGES)


def test_gradients_of_bins_and_masks():
    assert_converts(jax.grad(lambda x: (adaptive_avg_pool2d(x, 5) ** 3).sum()), IMAGES)
    assert_converts(jax.grad(lambda x: (avg_pool2d(x, 3, where=x > 0) ** 3).sum()), IMAGES)


def test_tangents():
    pool = partial(avg_pool2d, kernel=3, stride=1, padding=1)
    assert_converts(lambda x: jax.jvp(pool, (x,), (2 * x,))[1], IMAGES, "Mul AveragePool")


@pytest.mark.parametrize("opset", [13, 17, 18, 19, 22])
def test_opsets(opset):
    dilated = "AveragePool" if opset >= 19 else "MatMul MatMul"
    for name, operators in (("3x3 s1 p1", "AveragePool"), ("dilated", dilated)):
        pool = partial(avg_pool2d, **FIXED[name][0])
        assert_converts(pool, IMAGES, operators, opset=opset)
    assert_converts(partial(adaptive_avg_pool2d, output_size=5), IMAGES, opset=opset)


def test_layers():
    assert_converts(AvgPool2d(3, 2, 1), IMAGES, "AveragePool")
    assert_converts(nnx.AvgPool2d(3, 2, 1), IMAGES, "AveragePool")


def test_a_model_in_channels_last_transposes_once():
    rngs, options = flax.nnx.Rngs(0), {"data_format": "channels_last"}
    first, second = (flax.nnx.Conv(n, 4, (3, 3), rngs=rngs) for n in (3, 4))
    pool, last = AvgPool2d(3, 2, 1, **options), jaxpool.AdaptiveAvgPool2d(1, **options)
    operators = "Transpose Conv AveragePool Conv GlobalAveragePool Transpose"
    assert_converts(lambda x: last(second(pool(first(x)))), LAST, operators)


POOLS = {
    "fixed": partial(avg_pool2d, kernel=3, stride=1, padding=1),
    "global": partial(adaptive_avg_pool2d, output_size=1),
    "uneven": partial(adaptive_avg_pool2d, output_size=5),
    "masked": lambda x: avg_pool2d(x, 3, 2, 1, where=x > 0),
    "masked global": lambda x: adaptive_avg_pool2d(x, 1, where=x > 0),
    "masked uneven": lambda x: adaptive_avg_pool2d(x, 5, where=x > 0),
}


@pytest.mark.parametrize("is_converted_first", [True, False])
@pytest.mark.parametrize("name", POOLS)
def test_the_same_pool_is_called_and_converted(name, is_converted_first):
    """Nothing that JAX keeps of one trace breaks the other."""
    pool = POOLS[name]
    x = normal((1, 3, 11 + is_converted_first, 13))  # no other test has called it with
    if is_converted_first:
        model, _ = convert(pool, x)
    called = [pool(x), jax.jit(pool)(x), jax.jit(jax.vmap(pool))(x[None])[0]]
    jax.grad(lambda x: pool(x).sum())(x)
    model, _ = convert(pool, x)
    for values in called:
        assert_equal(run(model, x), values)


@pytest.mark.parametrize("number", [0, *slow(1, 2)])
def test_random_calls(number):
    for call in random_calls(number, 60):
        x = normal(call.config.shape(call.batch), seed=call.seed)
        where = np.random.default_rng(call.seed).random(x.shape) >= (call.mask or 0)
        arrays = (x,) if call.mask is None else (x, where)

        def pool(x, where=None, call=call):
            return pooling(call.config, where=where)(x.astype(call.dtype)).astype(jnp.float32)

        model, _ = convert(pool, *arrays)
        tolerance = {"float32": 1e-6, "float16": 1e-3, "bfloat16": 8e-3}[call.dtype]
        try:
            assert_equal(run(model, *arrays), pool(*arrays), tolerance)
        except Exception as error:
            error.add_note(str(call))
            raise


@pytest.mark.slow
def test_jax2onnx_asks_for_the_plugin():
    """In another process, where jax2onnx is imported first. Importing the plugin twice is right."""
    program = """
import importlib, jax2onnx, jaxpool

def last_operator():
    model = jax2onnx.to_onnx(lambda x: jaxpool.avg_pool2d(x, 2), [(1, 1, 4, 4)])
    return model.graph.node[-1].op_type

try:
    last_operator()
except NotImplementedError as error:
    print(error)
with jaxpool.portable():
    print(last_operator())
import jaxpool.jax2onnx
print(last_operator())
importlib.reload(jaxpool.jax2onnx)
print(last_operator())
"""
    error, *operators = run_python("-c", program).splitlines()
    assert "No plugins registered for primitive 'avg_pool'" in error
    assert operators == ["Div", "AveragePool", "AveragePool"]
