"""Pools convert to other runtimes, as these runtimes' own operators, and give JAX's numbers there.

tests/test_onnx_export.py is about the plugin for jax2onnx.
"""

from collections import Counter
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import normal

import jaxpool
from examples import deploy
from jaxpool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
)

pytest.importorskip("tensorflow", reason="the runtimes are in the group deploy")

LAST = {"data_format": "channels_last"}
IMAGE = (1, 14, 14, 8)
FIRST = (1, 8, 14, 14)
SEQUENCE = (1, 30, 8)
VOLUME = (1, 6, 8, 8, 4)
MASK = np.random.default_rng(0).random((14, 14, 1)) < 0.7

# What pools of an image become in LiteRT, by TensorFlow's converter: arguments and operators.
WINDOWS = {
    "2x2": ({"kernel": 2}, "AVERAGE_POOL_2D"),
    "3x3 s1 p1": ({"kernel": 3, "stride": 1, "padding": 1}, "PAD AVERAGE_POOL_2D"),
    "3x3 s1 p1, excluding": (
        {"kernel": 3, "stride": 1, "padding": 1, "count_include_pad": False},
        "AVERAGE_POOL_2D",
    ),
    "3x3 s2 p1, excluding": (
        {"kernel": 3, "stride": 2, "padding": 1, "count_include_pad": False},
        "PAD AVERAGE_POOL_2D MUL",
    ),
    "padded along one axis, excluding": (
        {"kernel": 3, "stride": 1, "padding": (1, 0), "count_include_pad": False},
        "PAD AVERAGE_POOL_2D MUL",
    ),
    "asymmetric": ({"kernel": 3, "padding": ((0, 2), (1, 0))}, "PAD AVERAGE_POOL_2D"),
    "SAME": ({"kernel": 3, "stride": 2, "padding": "SAME"}, "PAD AVERAGE_POOL_2D"),
    "ceil_mode": ({"kernel": 3, "stride": 2, "ceil_mode": True}, "AVERAGE_POOL_2D"),
    "ceil_mode, padding": (
        {"kernel": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        "PAD AVERAGE_POOL_2D MUL",
    ),
    "ceil_mode, larger than the image": (
        {"kernel": 20, "stride": 8, "ceil_mode": True},
        "PAD AVERAGE_POOL_2D MUL",
    ),
    "7x7": ({"kernel": 7}, "AVERAGE_POOL_2D"),
    "11x11": ({"kernel": 11, "stride": 1}, "AVERAGE_POOL_2D"),
    "divisor_override": ({"kernel": 3, "divisor_override": 5}, "AVERAGE_POOL_2D MUL"),
    "dilated": ({"kernel": 3, "stride": 1, "padding": 2, "dilation": 2}, "DEPTHWISE_CONV_2D"),
}
BINS = {
    "global": (1, "AVERAGE_POOL_2D"),
    "one axis": ((None, 1), "AVERAGE_POOL_2D"),
    "equal bins": (7, "AVERAGE_POOL_2D"),
    "uneven bins": (3, f"{'SLICE ' * 6}{'SUM ' * 6}CONCATENATION CONCATENATION MUL"),
}
halved = partial(avg_pool2d, kernel=2, **LAST)
POOLS = {name: (partial(avg_pool2d, **w, **LAST), IMAGE, to) for name, (w, to) in WINDOWS.items()}
POOLS |= {
    name: (partial(adaptive_avg_pool2d, output_size=bins, **LAST), IMAGE, to)
    for name, (bins, to) in BINS.items()
}
POOLS |= {
    "2x2, first": (partial(avg_pool2d, kernel=2), FIRST, "TRANSPOSE AVERAGE_POOL_2D TRANSPOSE"),
    "3x3 s2 p1, excluding, first": (
        partial(avg_pool2d, **WINDOWS["3x3 s2 p1, excluding"][0]),
        FIRST,
        "PAD TRANSPOSE AVERAGE_POOL_2D TRANSPOSE MUL",
    ),
    "global, first": (partial(adaptive_avg_pool2d, output_size=1), FIRST, "SUM MUL RESHAPE"),
    "1-d": (
        partial(avg_pool1d, kernel=4, stride=2, **LAST),
        SEQUENCE,
        "RESHAPE AVERAGE_POOL_2D RESHAPE",
    ),
    "1-d, first": (
        partial(avg_pool1d, kernel=3, stride=1, padding=1, count_include_pad=False),
        (1, 8, 30),
        "TRANSPOSE RESHAPE AVERAGE_POOL_2D RESHAPE TRANSPOSE",
    ),
    "1-d, equal bins": (
        partial(adaptive_avg_pool1d, output_size=5, **LAST),
        SEQUENCE,
        "RESHAPE AVERAGE_POOL_2D RESHAPE",
    ),
    "3-d": (
        partial(avg_pool3d, kernel=2, **LAST),
        VOLUME,
        "RESHAPE AVERAGE_POOL_2D RESHAPE AVERAGE_POOL_2D RESHAPE",
    ),
    "no batch": (halved, IMAGE[1:], "RESHAPE AVERAGE_POOL_2D RESHAPE"),
    "two batch axes": (halved, (2, 3, *IMAGE[1:]), "RESHAPE AVERAGE_POOL_2D RESHAPE"),
    "mapped": (jax.vmap(halved), (2, *IMAGE[1:]), "AVERAGE_POOL_2D"),
    "transposed before and after": (
        lambda x: halved(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        FIRST,
        "TRANSPOSE AVERAGE_POOL_2D TRANSPOSE",
    ),
    "masked": (
        lambda x: avg_pool2d(x, 3, 1, 1, False, where=MASK, **LAST),
        IMAGE,
        "SELECT_V2 AVERAGE_POOL_2D AVERAGE_POOL_2D MAXIMUM DIV DIV MUL ADD",
    ),
    "masked by itself": (
        lambda x: adaptive_avg_pool2d(x, 7, where=x > 0, **LAST),
        IMAGE,
        "GREATER SELECT_V2 CAST AVERAGE_POOL_2D AVERAGE_POOL_2D MAXIMUM DIV DIV MUL ADD",
    ),
    "float16": (
        lambda x: halved(x.astype(jnp.float16)).astype(jnp.float32),
        IMAGE,
        "CAST CAST AVERAGE_POOL_2D CAST CAST",
    ),
    "of integers": (
        lambda x: halved((x * 9).astype(jnp.int32)),
        IMAGE,
        "MUL CAST CAST AVERAGE_POOL_2D",
    ),
}
# What converters other than LiteRT's, which show no operators, are tried on: each kind of program.
KINDS = [
    "3x3 s2 p1, excluding, first",
    "ceil_mode, padding",
    "dilated",
    "uneven bins",
    "1-d, first",
    "3-d",
    "no batch",
    "masked by itself",
    "float16",
    "of integers",
]
GRADIENT = jax.grad(lambda x: (avg_pool2d(x, 3, 2, 1, **LAST) ** 2).sum())


def assert_equal(found, wanted, tolerance=1e-6):
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.dtype == wanted.dtype
    scale = max(1, np.max(np.abs(wanted), initial=0, where=np.isfinite(wanted)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("name", POOLS)
def test_litert(name):
    pool, shape, operators = POOLS[name]
    x = np.asarray(normal(shape))
    wanted = np.asarray(pool(x))
    model = deploy.to_litert(pool, x)
    found = Counter(operator for operator, _ in deploy.litert_operators(model))
    assert found == Counter(operators.split())
    assert_equal(deploy.run_litert(model, x), wanted)
    np.testing.assert_array_equal(pool(x), wanted)  # JAX still has its own form


@pytest.mark.parametrize("name", KINDS)
def test_coreml(name):
    """Converted: only a Mac runs it."""
    pytest.importorskip("stablehlo_coreml")
    pool, shape, _ = POOLS[name]
    model = deploy.to_coreml(pool, np.asarray(normal(shape)))
    found = {op.op_type for op in model._mil_program.functions["main"].operations}
    assert found <= {
        *("add", "cast", "concat", "const", "conv", "expand_dims", "greater", "maximum", "mul"),
        *("pad", "real_div", "reduce_mean", "reduce_sum", "reshape", "select", "slice_by_index"),
        *("slice_by_size", "squeeze", "transpose", "tile"),
    }


@pytest.mark.parametrize("name", KINDS)
def test_iree(name):
    pytest.importorskip("iree.compiler")
    pool, shape, _ = POOLS[name]
    x = np.asarray(normal(shape))
    assert_equal(deploy.run_iree(deploy.to_iree(pool, x), x), pool(x))


@pytest.mark.parametrize("name", [name for name in KINDS if name != "no batch"])
def test_saved_model(name, tmp_path):
    """For batches of any size."""
    pool, shape, _ = POOLS[name]
    x = np.asarray(normal((3, *shape[1:])))
    deploy.to_saved_model(pool, x, tmp_path)
    assert_equal(deploy.run_saved_model(tmp_path, x), pool(x))


@pytest.mark.parametrize("name", KINDS[:6])  # tests/test_onnx_export.py has others like the rest
def test_openvino(name):
    pytest.importorskip("openvino")
    pytest.importorskip("jax2onnx")
    pool, shape, _ = POOLS[name]
    x = np.asarray(normal(shape))
    assert_equal(deploy.run_openvino(deploy.to_onnx(pool, x), x), pool(x), 2e-6)


@pytest.mark.parametrize("to", ["litert", "iree", "saved_model"])
def test_gradients(to, tmp_path):
    x = np.asarray(normal(IMAGE))
    if to == "litert":
        found = deploy.run_litert(deploy.to_litert(GRADIENT, x), x)
    elif to == "iree":
        found = deploy.run_iree(deploy.to_iree(GRADIENT, x), x)
    else:
        deploy.to_saved_model(GRADIENT, x, tmp_path)
        found = deploy.run_saved_model(tmp_path, x)
    assert_equal(found, GRADIENT(x))


def test_int8():
    """All operators but the conversions at both ends are of int8."""
    net = deploy.Net()
    samples = [np.asarray(normal((1, 28, 28, 3), seed=seed)) for seed in range(8)]
    variables = net.init(jax.random.key(0), samples[0])
    logits = partial(net.apply, variables)
    model = deploy.to_litert(logits, samples[0], samples)
    *operators, last = deploy.litert_operators(model)
    assert {dtype for _, dtype in operators} == {"int8"}
    assert last == ("DEQUANTIZE", "float32")
    assert ("AVERAGE_POOL_2D", "int8") in operators
    wanted = np.asarray(logits(samples[0]))
    assert_equal(deploy.run_litert(model, samples[0]), wanted, tolerance=0.05)


def flax_pools(next_function, arguments, keywords, context):
    """Calls of jaxpool's layers as Flax's pools: for `nn.intercept_methods`."""
    layer = context.module
    if not isinstance(layer, jaxpool.AvgPool2d):
        return next_function(*arguments, **keywords)
    size = layer.kernel_size if isinstance(layer.kernel_size, tuple) else (layer.kernel_size,) * 2
    return nn.avg_pool(arguments[0], size, size)


@pytest.mark.slow
def test_int8_loses_no_accuracy_that_flax_keeps():
    """On digits that the network was not trained on."""
    pytest.importorskip("optax")
    from sklearn.datasets import load_digits

    from examples import train_digits as digits

    found = load_digits()
    images, labels = found.images[..., None].astype(np.float32) / 16, found.target
    state = digits.TrainState.create(
        apply_fn=digits.DigitNet().apply,
        params=digits.DigitNet().init(jax.random.key(0), images[:1]),
        tx=digits.optax.adam(3e-3),
    )
    rng = np.random.default_rng(0)
    for _ in range(6):
        for batch in digits.batches(1200, rng):
            state, _ = digits.train_step(state, images[batch], labels[batch])

    def logits(x):
        return state.apply_fn(state.params, x)

    def logits_by_flax(x):
        with nn.intercept_methods(flax_pools):
            return logits(x)

    rest = images[1200:]
    np.testing.assert_allclose(logits(rest), logits_by_flax(rest), atol=1e-4)
    samples = [images[: len(rest)]]
    accuracy = {}
    for name, f in {"jaxpool": logits, "flax": logits_by_flax}.items():
        model = deploy.to_litert(f, rest, samples)
        assert ("AVERAGE_POOL_2D", "int8") in deploy.litert_operators(model)
        guesses = deploy.run_litert(model, rest).argmax(axis=-1)
        accuracy[name] = np.mean(guesses == labels[1200:])
    exact = np.mean(np.argmax(logits(rest), axis=-1) == labels[1200:])
    assert exact > 0.9
    assert accuracy["jaxpool"] >= accuracy["flax"] - 1 / len(rest)
    assert accuracy["jaxpool"] > exact - 0.02


@pytest.mark.slow
def test_onnx_runtime_quantizes_around_its_average_pool(tmp_path):
    """Each AveragePool, between convolutions, has input and output in int8."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    import onnx

    net, path = deploy.Net(), tmp_path / "float.onnx"
    samples = [np.asarray(normal((1, 28, 28, 3), seed=seed)) for seed in range(8)]
    logits = partial(net.apply, net.init(jax.random.key(0), samples[0]))
    path.write_bytes(deploy.to_onnx(logits, samples[0]).SerializeToString())
    name = onnx.load(path).graph.input[0].name

    class Samples(quantization.CalibrationDataReader):
        left = iter(samples)

        def get_next(self):
            sample = next(self.left, None)
            return None if sample is None else {name: sample}

    quantization.quantize_static(path, tmp_path / "int8.onnx", Samples())
    model = onnx.load(tmp_path / "int8.onnx")
    maker = {output: node.op_type for node in model.graph.node for output in node.output}
    readers = {given: node.op_type for node in model.graph.node for given in node.input}
    pools = [node for node in model.graph.node if node.op_type == "AveragePool"]
    assert len(pools) == 1
    for pool in pools:
        assert maker[pool.input[0]] == "DequantizeLinear"
        assert readers[pool.output[0]] == "QuantizeLinear"
    found = deploy.run_onnx(model, samples[0])
    assert_equal(found, logits(samples[0]), tolerance=0.1)
