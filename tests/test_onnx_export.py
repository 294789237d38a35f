"""jax2onnx converts the pools of vision models, and ONNX Runtime gives their numbers."""

from functools import partial

import jax
import numpy as np
import pytest
from cases import normal

from jaxpool import AvgPool2d, adaptive_avg_pool2d, avg_pool2d

pytestmark = pytest.mark.slow
jax2onnx = pytest.importorskip("jax2onnx")
onnxruntime = pytest.importorskip("onnxruntime")

POOLS = {
    "2x2": partial(avg_pool2d, kernel=2),
    "3x3 s2 p1, excluding": partial(
        avg_pool2d, kernel=3, stride=2, padding=1, count_include_pad=False
    ),
    "3x3 s1 p1": partial(avg_pool2d, kernel=3, stride=1, padding=1),
    "7x7": partial(avg_pool2d, kernel=7),
    "global": partial(adaptive_avg_pool2d, output_size=1),
    "adaptive": partial(adaptive_avg_pool2d, output_size=5),
}


def assert_converts(pool, shape, batches=(2,)):
    """With a batch of that size, or a symbolic one if there are several."""
    pools = {batch: np.asarray(pool(normal((batch, *shape)))) for batch in batches}
    jax.clear_caches()  # jax2onnx traces jnp.sum to a primitive of its own, which is remembered
    batch = batches[0] if len(batches) == 1 else "B"
    model = jax2onnx.to_onnx(lambda x: pool(x), [(batch, *shape)])
    jax.clear_caches()
    assert not {"If", "Loop"} & {node.op_type for node in model.graph.node}
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (name,) = (given.name for given in session.get_inputs())
    for batch, pooled in pools.items():
        (found,) = session.run(None, {name: np.asarray(normal((batch, *shape)))})
        np.testing.assert_allclose(found, pooled, rtol=0, atol=1e-6)


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("name", POOLS)
def test_a_batch(name, data_format):
    shape = (3, 14, 14) if data_format == "channels_first" else (14, 14, 3)
    assert_converts(partial(POOLS[name], data_format=data_format), shape)


@pytest.mark.parametrize("name", ["2x2", "7x7", "global", "adaptive"])
def test_a_symbolic_batch(name):
    assert_converts(POOLS[name], (3, 14, 14), batches=(2, 5))


def test_a_layer():
    assert_converts(AvgPool2d(3, 2, 1), (3, 14, 14))
