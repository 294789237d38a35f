"""Times pools in the runtimes of docs/deploy.md: jaxpool's, Flax's, and one built by hand.

python -m benchmarks.deploy --runtimes LiteRT IREE --pools k3 to1
python -m benchmarks.deploy --save benchmarks/results/deploy.csv

It needs the dependency group `deploy`, and uses one thread. A pool by hand is a model of the
runtime's own operators, if it has one for such windows.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import product
from tempfile import TemporaryDirectory
from typing import Any

import jax
import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.measure import Clock, compare, this_cpu
from benchmarks.peers import IN_JAX, JAXPOOL, drawn
from benchmarks.pools import DEPLOYED, FIRST, LAST, Pool, in_layout
from benchmarks.tables import Table, read_options, versions
from examples import deploy

PACKAGES = "jax", "flax", "tensorflow", "ai-edge-litert", "jax2onnx", "onnxruntime"
TOLERANCE = 1e-5


def in_jax(peer: str, pool: Pool, layout: str) -> deploy.Function | None:
    """The pool of a library; under a mask, of the pixels with a first channel above a half."""
    function, channels = IN_JAX[peer](pool, layout), 1 if layout == FIRST else -1
    if not (function and pool.masked):
        return function
    return lambda x: function(x, where=jax.lax.slice_in_dim(x, 0, 1, axis=channels) > 0.5)


def litert_by_hand(pool: Pool, layout: str, x: np.ndarray) -> bytes | None:
    """A model for LiteRT, which pools images channels last."""
    import tensorflow as tf

    pool, n = pool.in_windows, pool.ndim
    if pool.bins or pool.dilation > 1 or n > 2:
        return None

    def window(x: Any) -> Any:
        if not pool.name_of_padding:
            x = tf.pad(x, [(0, 0), *pool.pads, (0, 0)])
        return tf.nn.avg_pool(x, pool.kernel, pool.stride, pool.name_of_padding or "VALID")

    ones = window(tf.ones((1, *pool.sizes, 1))).numpy()

    def function(x: Any) -> Any:
        if layout == FIRST and pool.is_global:
            return tf.reduce_mean(x, range(2, n + 2), keepdims=True)
        if layout == FIRST:
            x = tf.transpose(x, (0, *range(2, n + 2), 1))
        valid = x[..., :1] > 0.5
        if pool.masked:
            y = window(tf.where(valid, x, 0.0)) / window(tf.cast(valid, x.dtype))
        else:
            y = window(x) if pool.counts or pool.name_of_padding else window(x) * (1 / ones)
        return y if layout == LAST else tf.transpose(y, (0, n + 1, *range(1, n + 1)))

    f = tf.function(function, [tf.TensorSpec(x.shape)])
    return tf.lite.TFLiteConverter.from_concrete_functions([f.get_concrete_function()], f).convert()


def onnx_by_hand(pool: Pool, layout: str, x: np.ndarray) -> Any:
    """A model in ONNX, which pools channels first."""
    import onnx

    pool, n = pool.in_windows, pool.ndim
    if pool.bins:
        return None
    lists = {"kernel_shape": pool.kernel, "strides": pool.stride, "dilations": pool.dilation}
    values = {name: [value] * n for name, value in lists.items()}
    values |= {"pads": [pool.padding] * 2 * n, "ceil_mode": int(pool.ceil)}
    values["count_include_pad"] = int(pool.counts)
    window = f"AveragePool <{', '.join(f'{name} = {value}' for name, value in values.items())}>"
    a, b = "xy" if layout == FIRST else "ab"
    body = f"{b} = {'GlobalAveragePool' if pool.is_global else window} ({a})"
    if pool.masked:
        body = f"""zero = Constant <value = float {{0.0}}> ()
            half = Constant <value = float {{0.5}}> ()
            first = Constant <value_ints = [0]> ()
            channel = Gather <axis = 1> ({a}, first)
            valid = Greater (channel, half)
            pixels = Where (valid, {a}, zero)
            ones = Cast <to = 1> (valid)
            total = {window} (pixels)
            count = {window} (ones)
            {b} = Div (total, count)"""
    if layout == LAST:
        first, last = [0, n + 1, *range(1, n + 1)], [0, *range(2, n + 2), 1]
        body = f"a = Transpose <perm = {first}> (x)\n{body}\ny = Transpose <perm = {last}> (b)"
    given, found = ", ".join(["batch", *map(str, x.shape[1:])]), ", ".join("ijklm"[: n + 2])
    head = (
        f'<ir_version: 10, opset_import: ["" : 21]> pool (float[{given}] x) => (float[{found}] y)'
    )
    return onnx.parser.parse_model(f"{head} {{{body}\n}}")


def in_litert(model: bytes, x: np.ndarray) -> tuple[Any, Any]:
    """What runs a model and what reads the result, as all of these return."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    result = interpreter.get_output_details()[0]["index"]
    return interpreter.invoke, lambda _: interpreter.get_tensor(result)


def in_onnx_runtime(model: Any, x: np.ndarray) -> tuple[Any, Any]:
    """On one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return partial(session.run, None, {session.get_inputs()[0].name: x}), lambda found: found[0]


def in_iree(module: bytes, x: np.ndarray) -> tuple[Any, Any]:
    """On one thread, from its own memory."""
    from iree import runtime

    config = runtime.Config("local-sync")
    loaded = runtime.VmModule.copy_buffer(config.vm_instance, module)
    main = runtime.load_vm_module(loaded, config).main
    return partial(main, runtime.asdevicearray(config.device, x)), np.asarray


def in_tensorflow(f: deploy.Function, x: np.ndarray) -> tuple[Any, Any]:
    """From a SavedModel."""
    import tensorflow as tf

    with TemporaryDirectory() as folder:
        deploy.to_saved_model(f, x, folder)
        return partial(tf.saved_model.load(folder).f, tf.constant(x)), np.asarray


RUNTIMES = {  # what converts, builds by hand and loads
    "LiteRT": (deploy.to_litert, litert_by_hand, in_litert),
    "ONNX Runtime": (deploy.to_onnx, onnx_by_hand, in_onnx_runtime),
    "IREE": (deploy.to_iree, None, in_iree),
    "SavedModel": (lambda f, _: f, None, in_tensorflow),
}


def clocks(runtime: str, pool: Pool, layout: str) -> Iterator[Clock]:
    """The models of all who have the pool in a runtime."""
    convert, by_hand, load = RUNTIMES[runtime]
    functions = {peer: in_jax(peer, pool, layout) for peer in (JAXPOOL, "flax")}
    models = {peer: f and partial(convert, f) for peer, f in functions.items()}
    models["by hand"] = by_hand and partial(by_hand, pool, layout)
    x = drawn(in_layout(pool.shape, layout))
    for peer, model_of in models.items():
        if model_of and (model := model_of(x)):
            about = {"runtime": runtime, "peer": peer, "pool": pool.name, "layout": layout}
            if runtime == "LiteRT":
                counts = Counter(name for name, _ in deploy.litert_operators(model))
                each = (f"{n} {name}" if n > 1 else name for name, n in counts.items())
                about["operators"] = ", ".join(each)
            yield Clock(about, *load(model, x))


def main() -> None:
    """Measures, prints the ratios, and writes what --save names."""
    runtimes = {"nargs": "+", "choices": RUNTIMES, "default": RUNTIMES}
    seconds = {"type": float, "default": 0.5, "help": "for each model"}
    options = read_options("deploy", __doc__, DEPLOYED, runtimes=runtimes, seconds=seconds)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    logging.disable(logging.WARNING)
    cases = list(product(options.runtimes, options.pools, (LAST, FIRST)))
    runs = [compare(clocks(*case), options.seconds) for case in tqdm(cases)]
    records = pd.DataFrame([record for run in runs for record in run])
    records["problem"] = np.where(records["apart"] > TOLERANCE, "wrong", None)
    Table(this_cpu(), versions(PACKAGES), records).report("us", options.save)


if __name__ == "__main__":
    main()
