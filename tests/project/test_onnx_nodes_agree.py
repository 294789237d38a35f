"""ONNX Runtime gives for an AveragePool what the call of docs/migration/onnx.md gives for it."""

import random

import jax
import numpy as np
import pytest
from cases import slow
from pages import defined


def random_node(rng, known):
    """Attributes of an AveragePool, of the known ones, and sizes that ONNX Runtime gets right."""
    kernel = [rng.randint(1, 4) for _ in range(rng.choice([1, 2, 2, 3]))]
    auto_pad = rng.choice(["NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
    same = auto_pad in ("SAME_UPPER", "SAME_LOWER")
    optional = {
        "strides": [rng.randint(1, k if same else 4) for k in kernel],
        "count_include_pad": rng.randint(0, 1),
        "ceil_mode": rng.randint(0, 1),
    }
    if not same:
        optional["dilations"] = [rng.randint(1, 3) for _ in kernel]
    if auto_pad == "NOTSET":
        optional |= {"pads": [rng.randint(0, k - 1) for k in kernel + kernel]}
    attributes = {n: v for n, v in optional.items() if n in known and rng.random() < 0.7}
    attributes |= {"kernel_shape": kernel}
    if auto_pad != "NOTSET" or rng.random() < 0.5:  # its default
        attributes |= {"auto_pad": auto_pad}
    dilations = attributes.get("dilations", [1] * len(kernel))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    return attributes, [extent + rng.randint(0, 5) for extent in extents]


@pytest.mark.parametrize("opset", [22, *slow(7, 10, 11, 19)])
def test_onnx_nodes(opset):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    page, rng = defined("docs/migration/onnx.md"), random.Random(opset)
    known = onnx.defs.get_schema("AveragePool", opset).attributes
    nodes, sizes = zip(*(random_node(rng, known) for _ in range(25)), strict=True)
    arrays = [np.random.default_rng(0).standard_normal((2, 3, *n), np.float32) for n in sizes]

    @jax.jit  # one program for all, which compiles sooner than one for each
    def pool(arrays):
        return [page.ours(x, **node) for node, x in zip(nodes, arrays, strict=True)]

    for node, x, ours in zip(nodes, arrays, pool(arrays), strict=True):
        theirs = page.run("AveragePool", x, opset, **node)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6, err_msg=f"{node}, {x.shape}")
