"""Times pools in the runtimes of docs/deploy.md: jaxpool's, Flax's, and one built by hand.

python -m benchmarks.deploy --runtimes LiteRT IREE --pools k3 to1
python -m benchmarks.deploy --save benchmarks/results/deploy.csv

It needs the dependency group `deploy`, and uses one thread. A pool by hand is a model of the
runtime's own operators, if it has one for such windows. Only values that are JAX's are timed.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import jax
import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.measure import Clock, figures, take_turns, this_cpu
from benchmarks.peers import IN_JAX, JAXPOOL, drawn
from benchmarks.pools import DEPLOYED, FIRST, LAST, Pool, in_layout
from benchmarks.tables import Table, parser, versions
from examples import deploy

FLAX, HAND = "flax", "by hand"
Running: TypeAlias = tuple[Callable[[], Any], Callable[[Any], np.ndarray]]  # and reads the result


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
    spatial = tuple(range(1, n + 1) if layout == LAST else range(2, n + 2))

    def window(x: Any) -> Any:
        if not pool.name_of_padding:
            x = tf.pad(x, [(0, 0), *pool.pads, (0, 0)])
        return tf.nn.avg_pool(x, pool.kernel, pool.stride, pool.name_of_padding or "VALID")

    def average(x: Any) -> Any:
        if pool.masked:
            valid = x[..., :1] > 0.5
            return window(tf.where(valid, x, 0.0)) / window(tf.cast(valid, x.dtype))
        if pool.counts or pool.name_of_padding:
            return window(x)
        with tf.init_scope():
            factor = (1 / window(tf.ones((1, *pool.sizes, 1)))).numpy()
        return window(x) * factor

    def function(x: Any) -> Any:
        if pool.is_global:
            return tf.reduce_mean(x, spatial, keepdims=True)
        if layout == LAST:
            return average(x)
        y = average(tf.transpose(x, (0, *spatial, 1)))
        return tf.transpose(y, (0, n + 1, *range(1, n + 1)))

    f = tf.function(function, [tf.TensorSpec(x.shape)])
    return tf.lite.TFLiteConverter.from_concrete_functions([f.get_concrete_function()], f).convert()


def onnx_by_hand(pool: Pool, layout: str, x: np.ndarray) -> Any:
    """A model in ONNX, which pools channels first."""
    import onnx

    pool, n = pool.in_windows, pool.ndim
    if pool.bins:
        return None
    lists = {"kernel_shape": pool.kernel, "strides": pool.stride, "dilations": pool.dilation}
    attributes = {name: [value] * n for name, value in lists.items()}
    attributes |= {"pads": [pool.padding] * 2 * n, "ceil_mode": int(pool.ceil)}
    attributes["count_include_pad"] = int(pool.counts)
    window = f"AveragePool <{', '.join(f'{name} = {v}' for name, v in attributes.items())}>"
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


def in_saved_model(f: deploy.Function, x: np.ndarray) -> Any:
    """A SavedModel, loaded."""
    import tensorflow as tf

    with TemporaryDirectory() as folder:
        deploy.to_saved_model(f, x, folder)
        return tf.saved_model.load(folder)


def in_litert(model: bytes, x: np.ndarray) -> Running:
    """In LiteRT's interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    result = interpreter.get_output_details()[0]["index"]
    return interpreter.invoke, lambda _: interpreter.get_tensor(result)


def in_onnx_runtime(model: Any, x: np.ndarray) -> Running:
    """In ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    given = {session.get_inputs()[0].name: x}
    return lambda: session.run(None, given)[0], np.asarray


def in_iree(module: bytes, x: np.ndarray) -> Running:
    """In IREE."""
    from iree import runtime

    config = runtime.Config("local-sync")
    loaded = runtime.VmModule.copy_buffer(config.vm_instance, module)
    main, given = (
        runtime.load_vm_module(loaded, config).main,
        runtime.asdevicearray(config.device, x),
    )
    return lambda: main(given), np.asarray


def in_tensorflow(module: Any, x: np.ndarray) -> Running:
    """In TensorFlow."""
    import tensorflow as tf

    given = tf.constant(x)
    return lambda: module.f(given), np.asarray


RUNTIMES = {  # what converts, builds by hand and runs; the packages
    "LiteRT": (deploy.to_litert, litert_by_hand, in_litert, "tensorflow", "ai-edge-litert"),
    "ONNX Runtime": (deploy.to_onnx, onnx_by_hand, in_onnx_runtime, "jax2onnx", "onnxruntime"),
    "IREE": (deploy.to_iree, None, in_iree, "iree-base-compiler"),
    "SavedModel": (in_saved_model, None, in_tensorflow, "tensorflow"),
}


def measure(runtime: str, pool: Pool, layout: str, seconds: float) -> Iterator[dict[str, Any]]:
    """The records of all who have the pool in a runtime, timed in turns."""
    convert, by_hand, run, *_ = RUNTIMES[runtime]
    functions = {peer: in_jax(peer, pool, layout) for peer in (JAXPOOL, FLAX)}
    models = {peer: f and partial(convert, f) for peer, f in functions.items()}
    models[HAND] = by_hand and partial(by_hand, pool, layout)
    x, timed = drawn(in_layout(pool.shape, layout)), []
    wanted = np.asarray(functions[JAXPOOL](x))
    for peer, model_of in models.items():
        if not model_of or (model := model_of(x)) is None:
            continue
        call, read = run(model, x)
        record = {"runtime": runtime, "peer": peer, "pool": pool.name, "layout": layout}
        if runtime == "LiteRT":
            counts = Counter(name for name, _ in deploy.litert_operators(model))
            record["operators"] = ", ".join(f"{n} {o}" if n > 1 else o for o, n in counts.items())
        if np.allclose(read(call()), wanted, 0, 1e-5, equal_nan=True):
            timed.append((record, Clock(call)))
        else:
            yield record | {"problem": "wrong"}
    take_turns([clock for _, clock in timed], seconds, rounds=20)
    for record, clock in timed:
        yield record | figures(clock.times)


def main() -> None:
    """Measures, prints the ratios, and writes what --save names."""
    made = parser("deploy", __doc__, DEPLOYED, ())
    made.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=[*RUNTIMES])
    made.add_argument("--seconds", type=float, default=0.5, help="for each model")
    options = made.parse_args()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    logging.disable(logging.WARNING)
    cases = list(product(options.runtimes, options.pools, (LAST, FIRST)))
    records = [record for case in tqdm(cases) for record in measure(*case, options.seconds)]
    packages = ["jax", "flax", *(p for name in options.runtimes for p in RUNTIMES[name][3:])]
    used = versions(dict.fromkeys(packages))
    Table(this_cpu(), used, pd.DataFrame(records)).report("us", options.save)


if __name__ == "__main__":
    main()
