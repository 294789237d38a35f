"""ONNX Runtime gives for an AveragePool what the call of docs/migration/onnx.md gives for it."""

import random
from importlib.util import find_spec

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


@pytest.fixture(scope="module")
def onnx_page():
    """What the first two blocks of the page on ONNX define."""
    if not (find_spec("onnx") and find_spec("onnxruntime")):
        pytest.skip("ONNX or its runtime is not installed")
    names = {"print": lambda *_: None}
    for block in python_in(PAGES["docs/migration/onnx.md"])[:2]:
        exec(block, names)
    return names


@pytest.mark.parametrize(
    ("opset", "count"), [(22, 12), *slow(*((n, 50) for n in (7, 10, 11, 19, 22)))]
)
def test_onnx_nodes(onnx_page, opset, count):
    rng = random.Random(opset)
    nodes = [random_node(rng, opset) for _ in range(count)]
    inputs = [
        np.random.default_rng(0).standard_normal((2, 3, *spatial), np.float32)
        for _, spatial in nodes
    ]

    @jax.jit  # one program for all, which compiles sooner than one for each
    def pool(inputs):
        pairs = zip(nodes, inputs, strict=True)
        return [onnx_page["ours"](x, **attributes) for (attributes, _), x in pairs]

    for (attributes, spatial), x, ours in zip(nodes, inputs, pool(inputs), strict=True):
        theirs = onnx_page["run"]("AveragePool", x, opset, **attributes)
        shown = f"{attributes} of {spatial}"
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6, err_msg=shown)


def test_what_the_opsets_of_onnx_say():
    onnx = pytest.importorskip("onnx")
    opsets = [1, 7, 10, 11, 19, 22]
    schemas = {opset: onnx.defs.get_schema("AveragePool", opset) for opset in opsets}
    assert all(schema.since_version == opset for opset, schema in schemas.items())
    new = {
        attribute: min(o for o, schema in schemas.items() if attribute in schema.attributes)
        for attribute in schemas[22].attributes
    }
    first = {"kernel_shape": 1, "strides": 1, "pads": 1, "auto_pad": 1}
    assert new == first | {"count_include_pad": 7, "ceil_mode": 10, "dilations": 19}

    def opsets_with(text, where):
        return [opset for opset, schema in schemas.items() if text in where(schema)]

    def description(name):
        return lambda schema: schema.attributes[name].description

    assert opsets_with("the stride defaults to 1", description("strides")) == [11, 19, 22]
    assert opsets_with("ceil(input_shape[i] / strides[i])", description("auto_pad")) == [11, 19, 22]
    wrong_size = "floor(input_spatial_shape[i] / strides_spatial_shape[i])"
    assert opsets_with(wrong_size, lambda s: s.doc) == [11]
    ignored = "would start in the right padded region are ignored"
    assert opsets_with(ignored, lambda s: s.doc) == [22]
    types = [s.type_constraints[0].allowed_type_strs for s in schemas.values()]
    assert ["tensor(bfloat16)" in names for names in types] == [False] * 5 + [True]
