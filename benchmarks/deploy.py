"""Compares pools in the runtimes of docs/deploy.md: jaxpool's, Flax's, and one built by hand.

python -m benchmarks.deploy --runtime LiteRT IREE --pool 3x3 global
python -m benchmarks.deploy --save benchmarks/results/deploy.json
python -m benchmarks.deploy --load benchmarks/results/deploy.json --write docs/deploy.md

It needs the extra `deploy`. Only values that are JAX's are timed.
"""

import argparse
import json
import logging
import math
import platform
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr
from importlib import metadata
from io import StringIO
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen
from tqdm import tqdm

import jaxpool
from benchmarks.measure import Clock, take_turns
from benchmarks.peers import cores
from examples import deploy

JAXPOOL, FLAX, HAND = "jaxpool", "Flax", "by hand"
LAST, FIRST = "channels_last", "channels_first"
ROUNDS, ATTEMPTS = 20, 4  # the quietest attempt counts
NOISY = 0.1  # half of the distance between the quartiles, as a fraction of the median
BEFORE, AFTER = "<!-- deploy-table: start -->\n", "<!-- deploy-table: end -->"
NOTE = (
    'Times relative to jaxpool\'s: above 1, jaxpool is faster. "By hand" is a model built of the '
    'runtime\'s own operators. "-": there is no such pool. "wrong": its values are not JAX\'s. The '
    "input is float32, [1, 56, 56, 64] if the row does not say otherwise. One of {}; {}."
)


class Pool(NamedTuple):
    """A pool of an image in channels_last, or of its pixels with a positive first channel.

    Args:
      bins: the size of the output; `kernel` is then that of equal bins.
      same: whether the padding is TensorFlow's "SAME", which does not count.
    """

    shape: tuple[int, ...]
    kernel: int
    stride: int
    padding: int = 0
    ceil_mode: bool = False  # with one element more after the image
    counts: bool = True
    dilation: int = 1
    bins: int = 0
    masked: bool = False
    same: bool = False

    @property
    def is_uneven(self) -> bool:
        """Whether the bins differ in length."""
        return self.bins > 0 and self.shape[1] % self.bins > 0

    def each(self, value: Any) -> list[Any]:
        """The value for each axis of the image."""
        return [value] * (len(self.shape) - 2)


IMAGE = (1, 56, 56, 64)
POOLS = {
    "2x2": Pool(IMAGE, 2, 2),
    "3x3, stride 1, padding 1": Pool(IMAGE, 3, 1, 1),
    "3x3, stride 1, padding 1 not counted": Pool(IMAGE, 3, 1, 1, counts=False, same=True),
    "3x3, stride 2, padding 1 not counted": Pool(IMAGE, 3, 2, 1, counts=False),
    "3x3, stride 2, `ceil_mode`": Pool(IMAGE, 3, 2, 0, ceil_mode=True, counts=False, same=True),
    "7x7, stride 1": Pool(IMAGE, 7, 1),
    "7x7": Pool(IMAGE, 7, 7),
    "11x11, stride 1": Pool(IMAGE, 11, 1),
    "global, 7x7x512": Pool((1, 7, 7, 512), 7, 1, bins=1),
    "bins, 56 to 7": Pool(IMAGE, 8, 8, bins=7),
    "bins, 56 to 6": Pool(IMAGE, 10, 10, bins=6),
    "1-d, 4, stride 2, 1000x64": Pool((1, 1000, 64), 4, 2),
    "3-d, 2x2x2, 16x28x28x32": Pool((1, 16, 28, 28, 32), 2, 2),
    "3x3, dilation 2, padding 2": Pool(IMAGE, 3, 1, 2, dilation=2),
    "3x3, stride 1, padding 1 not counted, masked": Pool(
        IMAGE, 3, 1, 1, False, False, masked=True, same=True
    ),
}


def by_jaxpool(pool: Pool, layout: str) -> deploy.Function:
    """The pool as a function of JAX."""
    channels = 1 if layout == FIRST else len(pool.shape) - 1

    def function(x: jax.Array) -> jax.Array:
        where = jax.lax.slice_in_dim(x, 0, 1, axis=channels) > 0 if pool.masked else None
        name, more = f"avg_pool{x.ndim - 2}d", {"data_format": layout, "where": where}
        if pool.bins:
            return getattr(jaxpool, f"adaptive_{name}")(x, pool.bins, **more)
        more |= {"ceil_mode": pool.ceil_mode, "dilation": pool.dilation}
        window = pool.kernel, pool.stride, pool.padding, pool.counts
        return getattr(jaxpool, name)(x, *window, **more)

    return function


def by_flax(pool: Pool, layout: str) -> deploy.Function | None:
    """The same by Flax, None if it cannot."""
    if layout == FIRST or pool.masked or pool.dilation > 1 or pool.is_uneven:
        return None
    window, strides = (tuple(pool.each(n)) for n in (pool.kernel, pool.stride))
    end = pool.padding + pool.ceil_mode
    pads = pool.each((pool.padding, end)) if end else "VALID"
    more = {"strides": strides, "padding": pads, "count_include_pad": pool.counts}
    return lambda x: linen.avg_pool(x, window_shape=window, **more)


def by_tensorflow(pool: Pool, layout: str, shape: Sequence[int | None]) -> Any:
    """The same by TensorFlow's operators."""
    import tensorflow as tf

    k, s = pool.kernel, pool.stride
    axes = [axis + (layout == FIRST) for axis in range(1, len(shape) - 1)]

    def bins(x: Any) -> Any:
        for axis in axes:
            size, before = x.shape[axis], (slice(None),) * axis
            starts = [i * size // pool.bins for i in range(pool.bins)]
            ends = [-(-(i + 1) * size // pool.bins) for i in range(pool.bins)]
            parts = [x[(*before, slice(*bounds))] for bounds in zip(starts, ends, strict=True)]
            x = tf.concat([tf.reduce_mean(part, axis, keepdims=True) for part in parts], axis)
        return x

    def window(x: Any) -> Any:
        if len(axes) == 3:  # LiteRT has images only
            _, d, h, w, c = x.shape
            x = tf.nn.avg_pool2d(tf.reshape(x, (-1, h, w, c)), k, s, "VALID")
            x = tf.nn.avg_pool2d(tf.reshape(x, (-1, d, h * w // s**2, c)), (k, 1), (s, 1), "VALID")
            return tf.reshape(x, (-1, d // s, h // s, w // s, c))
        if pool.dilation > 1:
            ones = tf.fill((k, k, x.shape[-1], 1), 1 / k**2)
            return tf.nn.depthwise_conv2d(x, ones, [1] * 4, "SAME", dilations=[pool.dilation] * 2)
        if pool.padding and not pool.same:
            x = tf.pad(x, [[0, 0], *pool.each([pool.padding] * 2), [0, 0]])
        average = getattr(tf.nn, f"avg_pool{len(axes)}d")
        return average(x, k, s, "SAME" if pool.same else "VALID")

    def function(x: Any) -> Any:
        if pool.masked:
            valid = x[..., :1] > 0
            return window(tf.where(valid, x, 0.0)) / window(tf.cast(valid, x.dtype))
        if pool.counts or pool.same:
            return window(x)
        with tf.init_scope():
            factor = (1 / window(tf.ones((1, *pool.shape[1:-1], 1)))).numpy()
        return window(x) * factor

    def in_layout(x: Any) -> Any:
        if pool.bins == 1:
            return tf.reduce_mean(x, axes, keepdims=True)
        if pool.is_uneven or layout == LAST:
            return bins(x) if pool.is_uneven else function(x)
        y = function(tf.transpose(x, (0, *axes, 1)))
        return tf.transpose(y, (0, axes[-1], *range(1, axes[-1])))

    return tf.function(in_layout, [tf.TensorSpec(shape)])


def litert_by_hand(pool: Pool, layout: str, x: np.ndarray) -> bytes:
    """The same for LiteRT."""
    import tensorflow as tf

    f = by_tensorflow(pool, layout, x.shape)
    return tf.lite.TFLiteConverter.from_concrete_functions([f.get_concrete_function()], f).convert()


def saved_by_hand(pool: Pool, layout: str, x: np.ndarray) -> Any:
    """The same for TensorFlow."""
    import tensorflow as tf

    module, folder = tf.Module(), TemporaryDirectory()
    module.f = by_tensorflow(pool, layout, (None, *x.shape[1:]))
    tf.saved_model.save(module, folder.name)
    return folder


def to_saved_model(f: deploy.Function, x: np.ndarray) -> Any:
    """The folder of a SavedModel."""
    folder = TemporaryDirectory()
    deploy.to_saved_model(f, x, folder.name)
    return folder


def onnx_by_hand(pool: Pool, layout: str, x: np.ndarray) -> Any:
    """The same for ONNX, None if it has no operator."""
    import onnx

    if pool.is_uneven:
        return None
    lists = {"kernel_shape": pool.each(pool.kernel), "strides": pool.each(pool.stride)}
    lists |= {"pads": pool.each(pool.padding) * 2, "dilations": pool.each(pool.dilation)}
    numbers = {"ceil_mode": int(pool.ceil_mode), "count_include_pad": int(pool.counts)}
    attributes = ", ".join(f"{name} = {value}" for name, value in (lists | numbers).items())
    window = f"AveragePool <{attributes}>"
    a, b = "xy" if layout == FIRST else "ab"
    body = f"{b} = {'GlobalAveragePool' if pool.bins == 1 else window} ({a})"
    if pool.masked:
        body = f"""zero = Constant <value = float {{0.0}}> ()
            start = Constant <value_ints = [0]> ()
            end = Constant <value_ints = [1]> ()
            channel = Slice ({a}, start, end, end)
            valid = Greater (channel, zero)
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
    versions = '<ir_version: 10, opset_import: ["" : 21]>'
    head = f"{versions} pool (float[{given}] x) => (float[{found}] y)"
    return onnx.parser.parse_model(f"{head} {{{body}\n}}")


class Model(NamedTuple):
    """A converted pool: its call is timed, `read` gives the value of what it returns."""

    operators: Iterable[str]
    bytes: int
    call: Callable[[], Any] | None = None
    read: Callable[[Any], Any] = np.asarray


def in_litert(model: bytes, x: np.ndarray) -> Model:
    """On one thread."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    result = interpreter.get_output_details()[0]["index"]
    names = [name for name, _ in deploy.litert_operators(model)]
    return Model(names, len(model), interpreter.invoke, lambda _: interpreter.get_tensor(result))


def in_onnx_runtime(model: Any, x: np.ndarray) -> Model:
    """On one thread."""
    import onnxruntime

    written, options = model.SerializeToString(), onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(written, options)
    given = {session.get_inputs()[0].name: x}
    names = [node.op_type for node in model.graph.node if node.op_type != "Constant"]
    return Model(names, len(written), lambda: session.run(None, given)[0])


def in_iree(module: bytes, x: np.ndarray) -> Model:
    """On one thread; it has no operators."""
    from iree import runtime

    context = runtime.SystemContext(config=runtime.Config("local-sync"))
    context.add_vm_module(runtime.VmModule.copy_buffer(context.instance, module))
    (name,) = set(context.modules.keys()) - {"hal"}
    main, given = context.modules[name].main, runtime.asdevicearray(context.config.device, x)
    return Model([], len(module), lambda: main(given), lambda found: found.to_host())


def in_tensorflow(folder: Any, x: np.ndarray) -> Model:
    """On one thread."""
    import tensorflow as tf

    f, given = tf.saved_model.load(folder.name).f, tf.constant(x)
    operations = f.concrete_functions[0].graph.get_operations()
    left_out = "Const", "Identity", "IdentityN", "NoOp", "Placeholder"
    names = [operation.type for operation in operations if operation.type not in left_out]
    size = (Path(folder.name) / "saved_model.pb").stat().st_size
    return Model(names, size, lambda: f(given))


def in_coreml(model: Any, _: np.ndarray) -> Model:
    """Not run: that takes a Mac."""
    operations = model._mil_program.functions["main"].operations
    names = [o.op_type for o in operations if o.op_type not in ("const", "cast")]
    return Model(names, model.get_spec().ByteSize())


RUNTIMES = {  # what converts, builds by hand and runs; the packages
    "LiteRT": (deploy.to_litert, litert_by_hand, in_litert, "tensorflow", "ai-edge-litert"),
    "ONNX Runtime": (deploy.to_onnx, onnx_by_hand, in_onnx_runtime, "jax2onnx", "onnxruntime"),
    "IREE": (deploy.to_iree, None, in_iree, "iree-base-compiler"),
    "SavedModel": (to_saved_model, saved_by_hand, in_tensorflow, "tensorflow"),
    "Core ML": (deploy.to_coreml, None, in_coreml, "coremltools", "stablehlo-coreml"),
}
LITERT, ONNX, *_ = RUNTIMES
COLUMNS = [*product((LITERT, ONNX), (HAND, FLAX)), ("IREE", FLAX), ("SavedModel", FLAX)]


def measure(runtime: str, name: str, layout: str, seconds: float) -> list[dict[str, Any]]:
    """The records of all who have the pool in a runtime, timed in turns."""
    pool, records, timed = POOLS[name], [], []
    x = np.random.default_rng(0).standard_normal(pool.shape, np.float32)
    x = np.moveaxis(x, -1, 1).copy() if layout == FIRST else x
    ours, flax = by_jaxpool(pool, layout), by_flax(pool, layout)
    convert, by_hand, run, *_ = RUNTIMES[runtime]
    models = {
        JAXPOOL: lambda: convert(ours, x),
        FLAX: lambda: flax and convert(flax, x),
        HAND: lambda: by_hand and by_hand(pool, layout, x),
    }
    wanted = np.asarray(ours(x))
    for who, model_of in models.items():
        record = {"runtime": runtime, "pool": name, "layout": layout, "who": who}
        try:
            with redirect_stderr(StringIO()):  # other progress bars
                model = model_of()
            if model is None:
                continue
            ran = run(model, x)
            found = ran.read(ran.call()) if ran.call else wanted
        except Exception as error:  # whatever a converter raises
            records.append(record | {"problem": f"fails: {type(error).__name__}: {error}"[:200]})
            continue
        counts = Counter(ran.operators)
        operators = (f"{n} {name}" if n > 1 else name for name, n in counts.items())
        records.append(record := record | {"operators": ", ".join(operators), "bytes": ran.bytes})
        if found.shape != wanted.shape or not np.allclose(found, wanted, 0, 1e-5, equal_nan=True):
            record["problem"] = "wrong"
        elif ran.call:
            timed.append((record, *repeated(ran.call)))
    quietest = math.inf
    for _ in range(ATTEMPTS if timed else 0):
        for *_, clock in timed:
            clock.times.clear()
        take_turns([clock for *_, clock in timed], seconds, ROUNDS)
        noise = max(clock.timing.spread or 0 for *_, clock in timed)
        if noise < quietest:
            quietest = noise
            for record, times, clock in timed:
                record["us"] = round(clock.timing.median / times * 1e6, 1)
                record["spread"] = round(clock.timing.spread or 0, 3)
        if noise < NOISY:
            break
    return records


def repeated(call: Callable[[], Any]) -> tuple[int, Clock]:
    """As many calls as take a millisecond: their number, and a clock of them."""
    first = Clock(call)
    for _ in range(5):
        first.run()
    times = math.ceil(1e-3 / min(first.times))

    def calls() -> None:
        for _ in range(times):
            call()

    return times, Clock(calls)


def table(content: dict[str, Any]) -> str:
    """The records as a table in Markdown."""
    keys = "runtime", "pool", "layout", "who"
    found = {tuple(record[key] for key in keys): record for record in content["records"]}

    def ratio(runtime: str, pool: str, layout: str, who: str) -> str:
        mine, other = (found.get((runtime, pool, layout, w)) for w in (JAXPOOL, who))
        if not (mine and other):
            return "-"
        if problem := mine.get("problem") or other.get("problem"):
            return problem.split(":")[0]
        value = other["us"] / mine["us"]
        return f"{value:.2f}" if value < 9.95 else f"{value:.0f}"

    rows = [["pool", f"operators in {LITERT}", *(f"{r}, {w}" for r, w in COLUMNS)]]
    rows.append(["---"] * len(rows[0]))
    for pool, layout in dict.fromkeys(key[1:3] for key in found):
        record = found.get((LITERT, pool, layout, JAXPOOL), {})
        name = pool + (", channels first" if layout == FIRST else "")
        rates = [ratio(runtime, pool, layout, who) for runtime, who in COLUMNS]
        rows.append([name, record.get("operators", "-"), *rates])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    versions = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    note = textwrap.fill(NOTE.format(content["hardware"], versions), 112)
    return "\n".join([*lines, "", note])


def environment(runtimes: Sequence[str]) -> dict[str, Any]:
    """The machine, and the versions of what ran."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    names = dict.fromkeys(["jax", "flax", *(n for r in runtimes for n in RUNTIMES[r][3:])])
    versions = {name: metadata.version(name) for name in names}
    hardware = f"{cores()} cores of an {(models or [platform.machine()])[0]}"
    return {"hardware": hardware, "versions": {"Python": platform.python_version()} | versions}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures or loads, prints the table, and writes what the options name."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks.deploy", None, __doc__, formatter_class=formatter)
    add, every = parser.add_argument, ", ".join(RUNTIMES)
    add("--runtime", nargs="+", choices=RUNTIMES, default=[*RUNTIMES], metavar="NAME", help=every)
    add("--pool", nargs="+", default=[""], metavar="WORD", help="in the names of the pools")
    add("--seconds", type=float, default=0.5, help="for each model; 0.5 by default")
    add("--save", type=Path, metavar="FILE", help="write the records as JSON")
    add("--load", type=Path, metavar="FILE", help="show what --save wrote, and measure nothing")
    add("--write", type=Path, metavar="PAGE", help="write the table to its block in a page")
    add("--check", action="store_true", help="fail if --write would change the page")
    options = parser.parse_args(arguments)
    if options.load:
        content = json.loads(options.load.read_text())
    else:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        logging.disable(logging.WARNING)
        content = environment(options.runtime) | {"records": []}
        pools = [name for name in POOLS if any(word in name for word in options.pool)]
        for case in (bar := tqdm([*product(options.runtime, pools, (LAST, FIRST))])):
            bar.set_description(" ".join(case).ljust(60))
            content["records"] += measure(*case, options.seconds)
    print(table(content))
    for record in content["records"]:
        noise = record.get("spread", 0)
        if problem := record.get("problem") or (noise > NOISY and f"noisy, ±{noise:.0%}"):
            print(*[*record.values()][:4], problem, sep=", ", file=sys.stderr)
    if options.save:
        head = json.dumps(content | {"records": []}, indent=1).removesuffix("]\n}")
        lines = ",\n".join(f"  {json.dumps(record)}" for record in content["records"])
        options.save.write_text(f"{head}\n{lines}\n ]\n}}\n")
    if options.write:
        page = options.write.read_text()
        (before, rest), block = page.split(BEFORE), table(content)
        wanted = f"{before}{BEFORE}\n{block}\n\n{AFTER}{rest.split(AFTER)[1]}"
        if options.check and page != wanted:
            sys.exit(f"the table in {options.write} is not that of {options.load}")
        options.write.write_text(wanted)


if __name__ == "__main__":
    main()
