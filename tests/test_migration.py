"""The migration pages say what is so: their code, their tables of calls, ONNX node by node."""

import random
import re
from importlib.util import find_spec
from pathlib import Path

import jax
import numpy as np
import pytest
from processes import run_python
from test_docs import PAGES, assembled, assert_blocks_run, python_in

PEERS = {  # of each page, with what its tables of calls import
    "equinox-haiku": {"equinox": "import equinox as eqx", "haiku": "import haiku as hk"},
    "flax": {"flax": "import flax.linen as nn; from flax import nnx"},
    "keras-tensorflow": {"keras": "import keras"},
    "onnx": {"onnx": "", "onnxruntime": ""},
}
TENSORFLOW = {"tensorflow": "import tensorflow as tf"}
IMPORTS = """
import os
os.environ["KERAS_BACKEND"] = "jax"
import jax, jax.numpy as jnp, numpy as np
from jaxpool import *
last = {"data_format": "channels_last"}
steps = np.arange(8) < np.array([[5], [3]])
"""


def in_another_process(call):
    """Runs `call` of this file where no other test has chosen Keras's backend."""
    run_python("-c", f"import test_migration; test_migration.{call}", cwd=Path(__file__).parent)


def skip_without(*modules):
    """As `pytest.importorskip`, but imports nothing."""
    for module in modules:
        if not find_spec(module):
            pytest.skip(f"{module} is not installed")


@pytest.mark.parametrize("page", PEERS)
def test_page(page):
    skip_without(*PEERS[page])
    in_another_process(f"assert_page_holds({page!r})")


def test_table_of_tensorflow():
    """For who has it: it is in no extra of this project."""
    skip_without(*TENSORFLOW)
    in_another_process("assert_rows_agree('keras-tensorflow', test_migration.TENSORFLOW)")


def assert_page_holds(page):
    """Its blocks print what they say, and the calls in its tables do the same.

    In old JAX most blocks would print other numbers, for XLA added bfloat16 in float32 and rounded
    the ends of Keras's bins otherwise; and Haiku cannot be imported.
    """
    old = jax.__version_info__ < (0, 5)
    if page == "onnx" or not old:
        assert_blocks_run(assembled(f"docs/migration/{page}.md"))
    if page != "onnx":  # whose table is of attributes: see `test_onnx_nodes`
        peers = {name: how for name, how in PEERS[page].items() if name != "haiku" or not old}
        assert_rows_agree(page, peers)


def assert_rows_agree(page, peers):
    """The two calls in each row of the tables that the names of `peers` head give the same."""
    text = PAGES[f"docs/migration/{page}.md"]
    for peer, imports in peers.items():
        header = rf"^\| {peer}, `x` of shape .*\| jaxpool \|\n"
        (table,) = re.findall(header + r"\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE | re.I)
        names = {}
        exec(f"{IMPORTS}{imports}", names)
        for row in table.splitlines():
            theirs, ours = re.fullmatch(r"\| `([^`]+)`[^|]*\| `([^`]+)` \|", row).groups()
            names["x"] = example(theirs, ours)
            expected, got = (np.asarray(eval(call, names)) for call in (theirs, ours))
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=theirs)


def example(theirs, ours):
    """An input of the layout that the peer's call is for."""
    axes = int(re.search(r"pool(\d)d", ours)[1])
    channels_first = re.search("eqx|NCHW|channels_first|channel_axis=1", theirs)
    spatial = (8, 6, 10)[:axes]
    shape = (4, *spatial) if channels_first else (*spatial, 4)
    batch = () if "eqx" in theirs else (2,)
    return np.random.default_rng(0).standard_normal((*batch, *shape), np.float32)


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
    skip_without(*PEERS["onnx"])
    names = {"print": lambda *_: None}
    for block in python_in(PAGES["docs/migration/onnx.md"])[:2]:
        exec(block, names)
    return names


@pytest.mark.parametrize("opset", [7, 10, 11, 19, 22])
def test_onnx_nodes(onnx_page, opset):
    rng = random.Random(opset)
    for _ in range(50):
        attributes, spatial = random_node(rng, opset)
        x = np.random.default_rng(0).standard_normal((2, 3, *spatial), np.float32)
        theirs = onnx_page["run"]("AveragePool", x, opset, **attributes)
        ours = onnx_page["ours"](x, **attributes)
        shown = f"{attributes} of {spatial}"
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6, err_msg=shown)


def test_what_the_opsets_of_onnx_say():
    skip_without("onnx")
    import onnx

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
