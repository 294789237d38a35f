"""Times pools in the runtimes of docs/deploy.md: jaxpool's, Flax's, and a mask by hand.

python -m benchmarks.deploy --runtimes LiteRT IREE --pools k3 to1
python -m benchmarks.deploy --save benchmarks/results/deploy.csv

It needs the dependency group `deploy`, and uses one thread. Inputs are channels last.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import product
from tempfile import TemporaryDirectory
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.measure import Clock, compare, this_cpu
from benchmarks.peers import IN_JAX, JAXPOOL, drawn
from benchmarks.pools import DEPLOYED, LAST, Pool, in_layout
from benchmarks.tables import Table, read_options, versions
from examples import deploy

PACKAGES = (
    *("jax", "flax", "tensorflow", "ai-edge-litert"),
    *("jax2onnx", "onnxruntime", "iree-base-compiler"),
)
TOLERANCE = 1e-5


def models(pool: Pool) -> dict[str, deploy.Function | None]:
    """The pool by jaxpool and Flax, and under a mask by hand: two pools and a division.

    A mask is true where the first channel is above a half.
    """
    if not pool.masked:
        return {peer: IN_JAX[peer](pool, LAST) for peer in (JAXPOOL, "flax")}
    plain = IN_JAX[JAXPOOL](Pool(pool.replace(" masked", "")), LAST)

    def by_hand(x: Any) -> Any:
        valid = x[..., :1] > 0.5
        return plain(jnp.where(valid, x, 0)) / plain(valid.astype(x.dtype))

    return {JAXPOOL: lambda x: plain(x, where=x[..., :1] > 0.5), "by hand": by_hand}


def in_litert(f: deploy.Function, x: np.ndarray) -> tuple[Any, ...]:
    """What runs the pool, what reads the result, and the operators."""
    from ai_edge_litert.interpreter import Interpreter

    model = deploy.to_litert(f, x)
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    result = interpreter.get_output_details()[0]["index"]
    operators = [name for name, _ in deploy.litert_operators(model)]
    return interpreter.invoke, lambda _: interpreter.get_tensor(result), operators


def in_onnx_runtime(f: deploy.Function, x: np.ndarray) -> tuple[Any, ...]:
    """The same in ONNX Runtime."""
    import onnxruntime

    model, options = deploy.to_onnx(f, x), onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    operators = [node.op_type for node in model.graph.node if node.op_type != "Constant"]
    run = partial(session.run, None, {session.get_inputs()[0].name: x})
    return run, lambda found: found[0], operators


def in_iree(f: deploy.Function, x: np.ndarray) -> tuple[Any, ...]:
    """The same in IREE, which has no operators."""
    from iree import runtime

    config = runtime.Config("local-sync")
    module = runtime.VmModule.copy_buffer(config.vm_instance, deploy.to_iree(f, x))
    main = runtime.load_vm_module(module, config).main
    return partial(main, runtime.asdevicearray(config.device, x)), np.asarray, []


def in_tensorflow(f: deploy.Function, x: np.ndarray) -> tuple[Any, ...]:
    """The same in TensorFlow, from a SavedModel."""
    import tensorflow as tf

    with TemporaryDirectory() as folder:
        deploy.to_saved_model(f, x, folder)
        return partial(tf.saved_model.load(folder).f, tf.constant(x)), np.asarray, []


RUNTIMES = {
    "LiteRT": in_litert,
    "ONNX Runtime": in_onnx_runtime,
    "IREE": in_iree,
    "SavedModel": in_tensorflow,
}


def clocks(runtime: str, pool: Pool) -> Iterator[Clock]:
    """The models of all who have the pool in a runtime."""
    x = drawn(in_layout(pool.shape, LAST))
    for peer, function in models(pool).items():
        if function:
            run, read, operators = RUNTIMES[runtime](function, x)
            each = [f"{n} {name}" if n > 1 else name for name, n in Counter(operators).items()]
            about = {"runtime": runtime, "peer": peer, "pool": pool}
            yield Clock(about | {"operators": ", ".join(each)}, run, read)


def main() -> None:
    """Measures, prints the ratios, and writes what --save names."""
    runtimes = {"nargs": "+", "choices": RUNTIMES, "default": RUNTIMES}
    seconds = {"type": float, "default": 0.5, "help": "for each model; %(default)s"}
    options = read_options(__doc__, DEPLOYED, runtimes=runtimes, seconds=seconds)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    logging.disable(logging.WARNING)
    cases = list(product(options.runtimes, options.pools))
    runs = [compare(clocks(*case), options.seconds) for case in tqdm(cases)]
    records = pd.DataFrame([record for run in runs for record in run])
    records["problem"] = np.where(records["apart"] > TOLERANCE, "wrong", None)
    Table(this_cpu(), versions(PACKAGES), records).report("us", options.save)


if __name__ == "__main__":
    main()
