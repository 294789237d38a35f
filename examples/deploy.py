"""Converts a network with jaxpool's layers to the runtimes that it will be deployed in.

It shows one short function for each: TensorFlow Lite (LiteRT), in float32 and in int8, TensorFlow's
SavedModel, ONNX, Core ML and IREE. Each file is run, except Core ML's, which takes a Mac, and gives
JAX's numbers.

    python examples/deploy.py [litert int8 savedmodel onnx openvino coreml iree] [--folder DIR]
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax import export

import jaxpool

Function = Callable[[jax.Array], jax.Array]


class Net(nn.Module):
    """Convolutions, a pool that pads, one to 3x3 bins of unequal size, and one to a pixel."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images (batch, height, width, channels) to logits (batch, 10)."""
        x = nn.relu(nn.Conv(16, (3, 3))(x))
        x = jaxpool.AvgPool2d(3, 2, 1, data_format="channels_last")(x)
        x = nn.relu(nn.Conv(32, (3, 3))(x))
        x = jaxpool.AdaptiveAvgPool2d(3, data_format="channels_last")(x)
        x = nn.relu(nn.Conv(32, (3, 3))(x))
        x = jaxpool.AdaptiveAvgPool2d(1, data_format="channels_last")(x)
        return nn.Dense(10)(x.reshape(x.shape[0], -1))


# --8<-- [start:litert]
def to_litert(
    f: Function,
    x: np.ndarray,
    samples: Iterable[np.ndarray] = (),
) -> bytes:
    """A LiteRT model of `f` for inputs like `x`; in int8 if it gets samples."""
    import tensorflow as tf
    from jax.experimental import jax2tf
    from tensorflow import lite

    signature = [tf.TensorSpec(x.shape, x.dtype)]
    with jaxpool.portable():
        traced = tf.function(jax2tf.convert(f), signature, autograph=False)
        concrete = traced.get_concrete_function()
    converter = lite.TFLiteConverter.from_concrete_functions([concrete], traced)
    if samples := list(samples):
        converter.optimizations = [lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([s] for s in samples)
        converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter.convert()


def run_litert(model: bytes, x: np.ndarray) -> np.ndarray:
    """Runs the model by LiteRT's interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


# --8<-- [end:litert]
def litert_operators(model: bytes) -> list[tuple[str, str]]:
    """The operators of the model, and the dtype of what each gives."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=plain)
    dtypes = {d["index"]: np.dtype(d["dtype"]).name for d in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()
    return [(op["op_name"], dtypes[op["outputs"][0]]) for op in operators]


# --8<-- [start:savedmodel]
def to_saved_model(f: Function, x: np.ndarray, folder: Path) -> None:
    """A SavedModel of `f`, for batches of any size, as Serving reads it."""
    import tensorflow as tf
    from jax.experimental import jax2tf

    module = tf.Module()
    module.f = tf.function(
        jax2tf.convert(f, polymorphic_shapes="(batch, ...)"),
        [tf.TensorSpec((None, *x.shape[1:]), x.dtype)],
        autograph=False,
    )
    tf.saved_model.save(module, folder)


def run_saved_model(folder: Path, x: np.ndarray) -> np.ndarray:
    """Runs the SavedModel by TensorFlow."""
    import tensorflow as tf

    return tf.saved_model.load(folder).f(x).numpy()


# --8<-- [end:savedmodel]
# --8<-- [start:onnx]
def to_onnx(f: Function, x: np.ndarray) -> Any:
    """A model in ONNX of `f`, for batches of any size."""
    import jax2onnx

    import jaxpool.jax2onnx  # noqa: F401  (registers the pools)

    return jax2onnx.to_onnx(f, [("batch", *x.shape[1:])])


def run_onnx(model: Any, x: np.ndarray) -> np.ndarray:
    """Runs the model by ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: x})[0]


# --8<-- [end:onnx]
# --8<-- [start:openvino]
def run_openvino(model: Any, x: np.ndarray) -> np.ndarray:
    """Runs the model in ONNX by OpenVINO."""
    import openvino

    core = openvino.Core()
    graph = core.read_model(model.SerializeToString())
    precision = {"INFERENCE_PRECISION_HINT": "f32"}  # else less on some CPUs
    return core.compile_model(graph, "CPU", precision)(x)[0]


# --8<-- [end:openvino]
# --8<-- [start:coreml]
def to_coreml(f: Function, x: np.ndarray) -> Any:
    """A model for Core ML of `f` for inputs like `x`."""
    import coremltools
    import stablehlo_coreml
    from jax._src.interpreters import mlir
    from jax._src.lib.mlir import ir

    with jaxpool.portable():
        text = export.export(jax.jit(f))(x).mlir_module()
    module = ir.Module.parse(text, context=mlir.make_ir_context())
    target = coremltools.target.iOS18
    return coremltools.convert(
        stablehlo_coreml.convert(module, minimum_deployment_target=target),
        source="milinternal",
        minimum_deployment_target=target,
        pass_pipeline=stablehlo_coreml.build_pass_pipeline(),
    )


# --8<-- [end:coreml]
# --8<-- [start:iree]
def to_iree(f: Function, x: np.ndarray) -> bytes:
    """A module for IREE of `f` for inputs like `x`, for this CPU."""
    from iree.compiler import tools

    with jaxpool.portable():
        text = export.export(jax.jit(f))(x).mlir_module()
    return tools.compile_str(
        text,
        input_type="stablehlo",
        target_backends=["llvm-cpu"],
        extra_args=["--iree-llvmcpu-target-cpu=host"],
    )


def run_iree(module: bytes, x: np.ndarray) -> np.ndarray:
    """Runs the module by IREE on the CPU."""
    from iree import runtime

    context = runtime.SystemContext(config=runtime.Config("local-sync"))
    vm_module = runtime.VmModule.copy_buffer(context.instance, module)
    context.add_vm_module(vm_module)
    (name,) = set(context.modules.keys()) - {"hal"}
    return context.modules[name].main(x).to_host()


# --8<-- [end:iree]
def deploy(target: str, f: Function, x: np.ndarray, folder: Path) -> tuple[Path, np.ndarray | None]:
    """Converts `f` and runs the model on `x`: the file, and what came out."""
    if target in ("litert", "int8"):
        rng = np.random.default_rng(1)
        samples = [rng.random(x.shape, np.float32) for _ in range(32)] if target == "int8" else []
        model = to_litert(f, x, samples)
        path = folder / f"{target}.tflite"
        path.write_bytes(model)
        return path, run_litert(model, x)
    if target == "savedmodel":
        to_saved_model(f, x, folder / target)
        return folder / target, run_saved_model(folder / target, x)
    if target in ("onnx", "openvino"):
        model = to_onnx(f, x)
        path = folder / f"{target}.onnx"
        path.write_bytes(model.SerializeToString())
        return path, run_onnx(model, x) if target == "onnx" else run_openvino(model, x)
    if target == "coreml":
        to_coreml(f, x).save(folder / "coreml.mlpackage")
        return folder / "coreml.mlpackage", None
    module = to_iree(f, x)
    (folder / "iree.vmfb").write_bytes(module)
    return folder / "iree.vmfb", run_iree(module, x)


TARGETS = ("litert", "int8", "savedmodel", "onnx", "openvino", "coreml", "iree")


def main(arguments: Sequence[str] | None = None) -> None:
    """Converts the network to each target, and prints how far its outputs are from JAX's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--folder", type=Path, default=Path("deployed"))
    options = parser.parse_args(arguments)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(TARGETS)}")
    options.folder.mkdir(exist_ok=True)

    net, x = Net(), np.random.default_rng(0).random((1, 28, 28, 3), np.float32)
    variables = net.init(jax.random.key(0), x)

    def logits(x: jax.Array) -> jax.Array:
        return net.apply(variables, x)

    wanted = np.asarray(logits(x))
    for target in options.targets or TARGETS:
        path, found = deploy(target, logits, x, options.folder)
        away = "not run here" if found is None else f"off by {np.abs(found - wanted).max():.1e}"
        print(f"{target}: {path}, {away}")


if __name__ == "__main__":
    main()
