"""What the migration pages port to Flax gives PyTorch's numbers: blocks and a whole network.

golden/make_torch_*.py wrote them down, so most tests need neither PyTorch nor timm.
"""

import json
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow
from flax import nnx
from pages import FOLDER, PAGES, defined
from processes import run_python

from examples import port_resnet50d

BLOCKS = np.load(FOLDER.parent / "golden" / "torch_blocks.npz")
RESNET = np.load(FOLDER.parent / "golden" / "torch_resnet.npz")
PAGE = "docs/migration/resnet50d.md"


def golden(prefix):
    """All arrays of blocks whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): BLOCKS[name] for name in BLOCKS if name.startswith(prefix)}


def channels_last(x):
    return jnp.moveaxis(x, 1, -1)


def channels_first(x):
    return jnp.moveaxis(x, -1, 1)


def assert_close(actual, expected, atol=1e-5):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=atol)


@pytest.mark.parametrize("name", ["PoolBranch", "Shortcut", *slow("PoolMixer")])
def test_a_block_in_linen(name):
    options = {"PoolBranch": {"features": 7}, "Shortcut": {"features": 7, "stride": 2}}
    page = defined(PAGE)
    block = getattr(page, name)(**options.get(name, {}))
    variables = page.convert(golden(f"{name}/before/"))
    x = channels_last(BLOCKS[f"{name}/x"])
    y, pullback = jax.vjp(lambda x: block.apply(variables, x, train=False), x)
    assert_close(channels_first(y), BLOCKS[f"{name}/y"])
    (gradient,) = pullback(channels_last(BLOCKS[f"{name}/cotangent"]))
    assert_close(channels_first(gradient), BLOCKS[f"{name}/gradient"])
    if "batch_stats" in variables:
        y, _ = block.apply(variables, x, train=True, mutable=["batch_stats"])
        assert_close(channels_first(y), BLOCKS[f"{name}/trained"])


def test_the_shortcut_in_nnx():
    page = defined("docs/migration/nnx.md")
    block = page.shortcut(5, 7, nnx.Rngs(0))
    nnx.update(block, page.convert(golden("Shortcut/before/")))
    x = channels_last(BLOCKS["Shortcut/x"])
    block.eval()
    assert_close(channels_first(block(x)), BLOCKS["Shortcut/y"])
    block.train()
    assert_close(channels_first(block(x)), BLOCKS["Shortcut/trained"])
    assert_close(block.layers[2].mean, golden("Shortcut/after/")["2.running_mean"])


@pytest.mark.parametrize("ndim", range(4))
def test_weights_of_any_rank(ndim):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 3, 2, 5, 1)[: 2 + ndim], np.float32)  # of Linear if ndim is 0
    x = rng.standard_normal(weight.shape[1:], np.float32)
    window = {"kernel_size": x.shape[1:], "padding": "VALID"} if ndim else {}
    layer = (nn.Conv if ndim else nn.Dense)(4, use_bias=False, **window)
    y = layer.apply(defined(PAGE).convert({"weight": weight}), jnp.moveaxis(x, 0, -1)[None])
    assert_close(y.ravel(), np.tensordot(weight, x, x.ndim))


def outputs(size, **options):
    """Of the small network with the golden weights, on the golden images of this size."""
    small = {"channels": (16, 32, 64, 128), "stem_width": 8, "classes": 10}
    network = port_resnet50d.ResNetD((1, 1, 1, 1), **small)
    state = port_resnet50d.random_state(json.loads(str(RESNET["shapes"])), 0)
    variables = port_resnet50d.convert(state)
    shape = 2, 3, *map(int, size.split("x"))
    x = channels_last(np.random.RandomState(1).standard_normal(shape).astype(np.float32))
    return jax.jit(lambda v, x: network.apply(v, x, **options))(variables, x)


@pytest.mark.parametrize("size", ["16x9", "35x66", *slow("32x32")])
def test_logits(size):
    assert_close(outputs(size), RESNET[size])


@pytest.mark.slow
def test_a_step_of_training():
    logits, updated = outputs("35x66", train=True, mutable=["batch_stats"])
    assert_close(logits, RESNET["trained"])
    mean = updated["batch_stats"]["layer4"]["0"]["downsample"]["2"]["mean"]
    assert_close(mean, RESNET["mean"], 1e-6)


@pytest.mark.slow
def test_the_whole_network(tmp_path):
    """Logits equal PyTorch's to 1e-4 at each size of the page."""
    pytest.importorskip("timm")
    _, *lines = run_python(port_resnet50d.__file__, cwd=tmp_path).splitlines()
    rows = [line.split() for line in lines]
    assert [size for size, _, _ in rows] == ["224x224", "225x193", "32x32"]
    assert all(float(largest) > 1 and float(apart) < 1e-4 for _, largest, apart in rows)


def test_commands_of_the_page(tmp_path):
    """The pool is printed as the page has it, and weights may pass through a file."""
    pytest.importorskip("timm")
    commands = r"^python - << END\n(.*?)^END$"
    printing, saving = re.findall(commands, PAGES[PAGE], re.MULTILINE | re.DOTALL)
    assert f"```text\n{run_python('-c', printing)}```" in PAGES[PAGE]
    run_python("-c", saving.replace("pretrained=True", "pretrained=False"), cwd=tmp_path)
    variables = port_resnet50d.convert(np.load(tmp_path / "resnet50d.npz"))
    network, x = port_resnet50d.ResNetD(), np.ones((2, 32, 32, 3))
    initial = jax.eval_shape(network.init, jax.random.key(0), x)
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, initial)
