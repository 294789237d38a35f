"""Times pools in the runtimes of docs/deploy.md: jaxpool's, Flax's, and one built by hand.

python -m benchmarks.deploy --runtimes LiteRT IREE --pools k3 to1
python -m benchmarks.deploy --save benchmarks/results/deploy.csv

It needs the dependency group `deploy`, and uses one thread. A pool by hand is a model of the
runtime's own operators. Only values that are JAX's are timed.
"""

import argparse
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr
from io import StringIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.cpu import processor
from benchmarks.measure import Clock, take_turns, warn_of_noise, watched
from benchmarks.peers import IN_JAX, JAXPOOL, cores, drawn
from benchmarks.pools import DEPLOYED, FIRST, LAST, Pool, add_choice, in_layout, union
from benchmarks.tables import Table, show_ratios, versions
from examples import deploy

FLAX, HAND = "flax", "by hand"


def in_jax(peer: str, pool: Pool, layout: str) -> deploy.Function | None:
    """The pool of a library; under a mask, of the pixels with a first channel above a half."""
    function = IN_JAX[peer](pool, layout)
    if not (function and pool.masked):
        return function
    channels = 1 if layout == FIRST else -1
    return lambda x: function(x, where=jax.lax.slice_in_dim(x, 0, 1, axis=channels) > 0.5)


def in_tensorflow(pool: Pool, layout: str, shape: Sequence[int | None]) -> Any:
    """The pool by TensorFlow's operators, channels last as they are."""
    import tensorflow as tf

    k, s, n = pool.kernel, pool.stride, pool.ndim
    axes = [axis + (layout == FIRST) for axis in range(1, n + 1)]

    def bins(x: Any) -> Any:
        for axis in axes:
            size, before = x.shape[axis], (slice(None),) * axis
            starts = [i * size // pool.bins for i in range(pool.bins)]
            ends = [-(-(i + 1) * size // pool.bins) for i in range(pool.bins)]
            parts = [x[(*before, slice(*bounds))] for bounds in zip(starts, ends, strict=True)]
            x = tf.concat([tf.reduce_mean(part, axis, keepdims=True) for part in parts], axis)
        return x

    def window(x: Any) -> Any:
        if n == 3:  # LiteRT has images only
            _, d, h, w, c = x.shape
            x = tf.nn.avg_pool2d(tf.reshape(x, (-1, h, w, c)), k, s, "VALID")
            x = tf.nn.avg_pool2d(tf.reshape(x, (-1, d, h * w // s**2, c)), (k, 1), (s, 1), "VALID")
            return tf.reshape(x, (-1, d // s, h // s, w // s, c))
        if pool.dilation > 1:
            ones = tf.fill((k, k, x.shape[-1], 1), 1 / k**2)
            return tf.nn.depthwise_conv2d(x, ones, [1] * 4, "SAME", dilations=[pool.dilation] * 2)
        padding = pool.name_of_padding
        if not padding:
            x = tf.pad(x, [[0, 0], *([[pool.padding] * 2] * n), [0, 0]])
        return getattr(tf.nn, f"avg_pool{n}d")(x, k, s, padding or "VALID")

    def average(x: Any) -> Any:
        if pool.masked:
            valid = x[..., :1] > 0.5
            return window(tf.where(valid, x, 0.0)) / window(tf.cast(valid, x.dtype))
        if pool.counts or pool.name_of_padding:
            return window(x)
        with tf.init_scope():
            factor = (1 / window(tf.ones((1, *pool.shape[2:], 1)))).numpy()
        return window(x) * factor

    def function(x: Any) -> Any:
        if pool.bins == 1:
            return tf.reduce_mean(x, axes, keepdims=True)
        if pool.bins:
            equal = pool.shape[2] // pool.bins
            if pool.shape[2] % pool.bins:
                return bins(x)
            return in_tensorflow(pool._replace(bins=0, kernel=equal, stride=equal), layout, shape)(
                x
            )
        if layout == LAST:
            return average(x)
        y = average(tf.transpose(x, (0, *axes, 1)))
        return tf.transpose(y, (0, axes[-1], *range(1, axes[-1])))

    return tf.function(function, [tf.TensorSpec(shape)])


def litert_by_hand(pool: Pool, layout: str, x: np.ndarray) -> bytes:
    """A model for LiteRT."""
    import tensorflow as tf

    f = in_tensorflow(pool, layout, x.shape)
    return tf.lite.TFLiteConverter.from_concrete_functions([f.get_concrete_function()], f).convert()


def to_saved_model(f: deploy.Function, x: np.ndarray) -> Any:
    """The folder of a SavedModel."""
    folder = TemporaryDirectory()
    deploy.to_saved_model(f, x, folder.name)
    return folder


def onnx_by_hand(pool: Pool, layout: str, x: np.ndarray) -> Any:
    """A model in ONNX; None if it has no operator for the bins."""
    import onnx

    if pool.bins > 1 and pool.shape[2] % pool.bins:
        return None
    kernel = pool.kernel or pool.shape[2] // pool.bins
    values = {"kernel_shape": kernel, "strides": pool.stride or kernel, "dilations": pool.dilation}
    lists = {name: [value] * pool.ndim for name, value in values.items()}
    lists["pads"] = [pool.padding] * 2 * pool.ndim
    numbers = {"ceil_mode": int(pool.ceil), "count_include_pad": int(pool.counts)}
    attributes = ", ".join(f"{name} = {value}" for name, value in (lists | numbers).items())
    window = f"AveragePool <{attributes}>"
    a, b = "xy" if layout == FIRST else "ab"
    body = f"{b} = {'GlobalAveragePool' if pool.bins == 1 else window} ({a})"
    if pool.masked:
        body = f"""zero = Constant <value = float {{0.0}}> ()
            half = Constant <value = float {{0.5}}> ()
            start = Constant <value_ints = [0]> ()
            end = Constant <value_ints = [1]> ()
            channel = Slice ({a}, start, end, end)
            valid = Greater (channel, half)
            pixels = Where (valid, {a}, zero)
            ones = Cast <to = 1> (valid)
            total = {window} (pixels)
            count = {window} (ones)
            {b} = Div (total, count)"""
    if layout == LAST:
        first, last = [0, x.ndim - 1, *range(1, x.ndim - 1)], [0, *range(2, x.ndim), 1]
        body = f"a = Transpose <perm = {first}> (x)\n{body}\ny = Transpose <perm = {last}> (b)"
    given = ", ".join(map(str, ["batch", *x.shape[1:]]))
    found = ", ".join("batch" + "_" * i for i in range(x.ndim))
    opset = '<ir_version: 10, opset_import: ["" : 21]>'
    head = f"{opset} pool (float[{given}] x) => (float[{found}] y)"
    return onnx.parser.parse_model(f"{head} {{{body}\n}}")


class Model(NamedTuple):
    """A converted pool: its call is timed, `read` gives the value of what it returns."""

    operators: Iterable[str]
    bytes: int
    call: Callable[[], Any]
    read: Callable[[Any], Any] = np.asarray


def run_litert(model: bytes, x: np.ndarray) -> Model:
    """In LiteRT's interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    result = interpreter.get_output_details()[0]["index"]
    names = [name for name, _ in deploy.litert_operators(model)]
    return Model(names, len(model), interpreter.invoke, lambda _: interpreter.get_tensor(result))


def run_onnx(model: Any, x: np.ndarray) -> Model:
    """In ONNX Runtime."""
    import onnxruntime

    written, options = model.SerializeToString(), onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(written, options)
    given = {session.get_inputs()[0].name: x}
    names = [node.op_type for node in model.graph.node if node.op_type != "Constant"]
    return Model(names, len(written), lambda: session.run(None, given)[0])


def run_iree(module: bytes, x: np.ndarray) -> Model:
    """In IREE, which has no operators."""
    from iree import runtime

    context = runtime.SystemContext(config=runtime.Config("local-sync"))
    context.add_vm_module(runtime.VmModule.copy_buffer(context.instance, module))
    (name,) = set(context.modules.keys()) - {"hal"}
    main, given = context.modules[name].main, runtime.asdevicearray(context.config.device, x)
    return Model([], len(module), lambda: main(given), lambda found: found.to_host())


def run_tensorflow(folder: Any, x: np.ndarray) -> Model:
    """In TensorFlow."""
    import tensorflow as tf

    f, given = tf.saved_model.load(folder.name).f, tf.constant(x)
    operations = f.concrete_functions[0].graph.get_operations()
    left_out = "Const", "Identity", "IdentityN", "NoOp", "Placeholder"
    names = [operation.type for operation in operations if operation.type not in left_out]
    size = (Path(folder.name) / "saved_model.pb").stat().st_size
    return Model(names, size, lambda: f(given))


RUNTIMES = {  # what converts, builds by hand and runs; the packages
    "LiteRT": (deploy.to_litert, litert_by_hand, run_litert, "tensorflow", "ai-edge-litert"),
    "ONNX Runtime": (deploy.to_onnx, onnx_by_hand, run_onnx, "jax2onnx", "onnxruntime"),
    "IREE": (deploy.to_iree, None, run_iree, "iree-base-compiler"),
    "SavedModel": (to_saved_model, None, run_tensorflow, "tensorflow"),
}


def measure(runtime: str, pool: Pool, layout: str, seconds: float) -> list[dict[str, Any]]:
    """The records of all who have the pool in a runtime, timed in turns."""
    records, timed = [], []
    x = drawn(in_layout(pool.shape, layout))
    convert, by_hand, run, *_ = RUNTIMES[runtime]
    functions = {peer: in_jax(peer, pool, layout) for peer in (JAXPOOL, FLAX)}
    models = {peer: f and (lambda f=f: convert(f, x)) for peer, f in functions.items()}
    models[HAND] = by_hand and (lambda: by_hand(pool, layout, x))
    wanted = np.asarray(functions[JAXPOOL](x))
    for peer, model_of in models.items():
        record = {"runtime": runtime, "peer": peer, "pool": pool.name, "layout": layout}
        try:
            with redirect_stderr(StringIO()):  # other progress bars
                model = model_of and model_of()
            if model is None:
                continue
            ran = run(model, x)
            found = ran.read(ran.call())
        except Exception as error:  # whatever a converter raises
            problem = f"fails: {type(error).__name__}: {error}"[:200]
            records.append(record | {"problem": problem.replace("\n", " ")})
            continue
        counts = Counter(ran.operators)
        record["operators"] = ", ".join(f"{n} {o}" if n > 1 else o for o, n in counts.items())
        record["bytes"] = ran.bytes
        records.append(record)
        if found.shape != wanted.shape or not np.allclose(found, wanted, 0, 1e-5, equal_nan=True):
            record["problem"] = "wrong"
        else:
            timed.append((record, *repeated(ran.call)))
    take_turns([clock for *_, clock in timed], seconds, rounds=20)
    for record, times, clock in timed:
        record |= {"us": 1e6 * clock.seconds / times, "spread": clock.spread}
    return records


def repeated(call: Callable[[], Any]) -> tuple[int, Clock]:
    """As many calls as take a millisecond: their number, and a clock of them."""
    first = Clock(call)
    for _ in range(5):
        first.run()
    times = math.ceil(1e-3 / min(first.times))
    return times, Clock(lambda: [call() for _ in range(times)])


def main() -> None:
    """Measures, prints the ratios, and writes what --save names."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks.deploy", None, __doc__, formatter_class=formatter)
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=[*RUNTIMES])
    add_choice(parser, DEPLOYED)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each model; 0.5 by default")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write all records")
    options = parser.parse_args()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    logging.disable(logging.WARNING)
    records = []
    with watched():
        cases = list(product(options.runtimes, union(options.pools), (LAST, FIRST)))
        for runtime, pool, layout in tqdm(cases):
            records += measure(runtime, pool, layout, options.seconds)
    packages = ["jax", "flax", *(p for name in options.runtimes for p in RUNTIMES[name][3:])]
    hardware = f"{cores()} cores of an {processor()}"
    table = Table(hardware, versions(dict.fromkeys(packages)), pd.DataFrame(records))
    keys = table.records[["runtime", "peer", "pool", "layout"]].agg(", ".join, axis=1)
    if "problem" in table.records:
        print(*(keys + ": " + table.records["problem"]).dropna(), sep="\n")
    print(show_ratios(table.records, "us"))
    warn_of_noise(dict(zip(keys, table.records["spread"], strict=True)))
    if options.save:
        table.save(options.save)


if __name__ == "__main__":
    main()
