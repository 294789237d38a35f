"""ONNX Runtime gives for an AveragePool what the call of docs/migration/onnx.md gives for it."""

import random

import jax
import numpy as np
import pytest
from cases import slow
from pages import PAGES, python_in


def random_node(rng, opset):
    """The attributes of an AveragePool, and sizes for it, that ONNX Runtime gets right."""
    kernel = [rng.randint(1, 4) for _ in range(rng.choice([1, 2, 2, 3]))]
    auto_pad = rng.choice([None, "NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
    same = auto_pad in ("SAME_UPPER", "SAME_LOWER")
    optional = {
        "strides": [rng.randint(1, k if same else 4) for k in kernel],
        "count_include_pad": rng.randint(0, 1),
    }
    if opset >= 10:
        optional["ceil_mode"] = rng.randint(0, 1)
    if opset >= 19 and not same:
        optional["dilations"] = [rng.randint(1, 3) for _ in kernel]
    if auto_pad in (None, "NOTSET"):
        optional["pads"] = [rng.randint(0, k - 1) for k in kernel + kernel]
    attributes = {"kernel_shape": kernel, **({"auto_pad": auto_pad} if auto_pad else {})}
    attributes |= {name: value for name, value in optional.items() if rng.random() < 0.7}
    dilations = attributes.get("dilations", [1] * len(kernel))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    return attributes, [extent + rng.randint(0, 5) for extent in extents]


@pytest.mark.parametrize(
    ("opset", "count"), [(22, 12), *slow(*((n, 50) for n in (7, 10, 11, 19, 22)))]
)
def test_onnx_nodes(opset, count):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    names = {"print": lambda *_: None}
    for block in python_in(PAGES["docs/migration/onnx.md"])[:2]:
        exec(block, names)
    rng = random.Random(opset)
    nodes, sizes = zip(*(random_node(rng, opset) for _ in range(count)), strict=True)
    arrays = [np.random.default_rng(0).standard_normal((2, 3, *n), np.float32) for n in sizes]

    @jax.jit  # one program for all, which compiles sooner than one for each
    def pool(arrays):
        return [names["ours"](x, **node) for node, x in zip(nodes, arrays, strict=True)]

    for node, x, ours in zip(nodes, arrays, pool(arrays), strict=True):
        theirs = names["run"]("AveragePool", x, opset, **node)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6, err_msg=f"{node}, {x.shape}")


def test_the_opsets_that_bring_attributes():
    """Which decide what a random node may have."""
    onnx = pytest.importorskip("onnx")
    new = {}
    for opset in (1, 7, 10, 11, 19, 22):
        for attribute in onnx.defs.get_schema("AveragePool", opset).attributes:
            new.setdefault(attribute, opset)
    first = {"kernel_shape": 1, "strides": 1, "pads": 1, "auto_pad": 1}
    assert new == first | {"count_include_pad": 7, "ceil_mode": 10, "dilations": 19}
