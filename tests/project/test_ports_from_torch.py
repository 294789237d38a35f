"""The blocks that the migration pages port to Flax Linen and NNX give PyTorch's numbers.

golden/make_torch_blocks.py wrote them down, so that no test needs PyTorch.
"""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pages import FOLDER, assembled, python_in

GOLDEN = np.load(FOLDER.parent / "golden" / "torch_blocks.npz")
BLOCKS = {
    "PoolBranch": {"features": 7},
    "Shortcut": {"features": 7, "stride": 2},
    "PoolMixer": {},
}


def golden(prefix):
    """All arrays whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): GOLDEN[name] for name in GOLDEN if name.startswith(prefix)}


def ported(page="resnet50d"):
    """The functions and modules that the page defines."""
    names = {}
    for code in python_in(assembled(f"docs/migration/{page}.md")):
        if re.search(r"^(import|from|def|class) ", code, re.MULTILINE):
            exec(compile(code, page, "exec"), names)
    return names


def channels_last(x):
    return jnp.moveaxis(x, 1, -1)


def channels_first(x):
    return jnp.moveaxis(x, -1, 1)


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["PoolBranch", "Shortcut", pytest.param("PoolMixer", marks=pytest.mark.slow)]
)
def test_values_and_gradients(name):
    names = ported()
    block, convert = names[name](**BLOCKS[name]), names["convert"]
    variables = convert(golden(f"{name}/before/"))
    x = channels_last(GOLDEN[f"{name}/x"])
    initial = jax.eval_shape(lambda: block.init(jax.random.key(0), x, train=False))
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, initial)
    y, pullback = jax.vjp(
        lambda x: channels_first(block.apply(variables, channels_last(x), train=False)),
        GOLDEN[f"{name}/x"],
    )
    assert_close(y, GOLDEN[f"{name}/y"])
    assert_close(pullback(GOLDEN[f"{name}/cotangent"])[0], GOLDEN[f"{name}/gradient"])


@pytest.mark.parametrize("name", ["PoolBranch", "Shortcut"])
def test_a_step_of_training(name):
    names = ported()
    block, convert = names[name](**BLOCKS[name]), names["convert"]
    before, after = (convert(golden(f"{name}/{when}/")) for when in ("before", "after"))
    y, updated = block.apply(
        before, channels_last(GOLDEN[f"{name}/x"]), train=True, mutable=["batch_stats"]
    )
    assert_close(channels_first(y), GOLDEN[f"{name}/trained"])
    n = y.size // y.shape[-1]
    (old,), (theirs,), (ours,) = (v["batch_stats"].values() for v in (before, after, updated))
    assert_close(ours["mean"], theirs["mean"])
    assert_close((ours["var"] - 0.9 * old["var"]) * n / (n - 1), theirs["var"] - 0.9 * old["var"])


def test_values_and_a_step_of_training_in_nnx():
    names = ported("nnx")
    block, convert = names["shortcut"](5, 7, nnx.Rngs(0)), names["convert"]
    nnx.update(block, convert(golden("Shortcut/before/")))
    x = channels_last(GOLDEN["Shortcut/x"])
    block.eval()
    assert_close(channels_first(block(x)), GOLDEN["Shortcut/y"])
    block.train()
    assert_close(channels_first(block(x)), GOLDEN["Shortcut/trained"])
    assert_close(block.layers[2].mean, golden("Shortcut/after/")["2.running_mean"])


@pytest.mark.parametrize("ndim", range(4))
def test_weights_of_any_rank(ndim):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 3, 2, 5, 1)[: 2 + ndim], np.float32)  # of Linear if ndim is 0
    x = rng.standard_normal(weight.shape[1:], np.float32)
    window = {"kernel_size": x.shape[1:], "padding": "VALID"} if ndim else {}
    layer = (nn.Conv if ndim else nn.Dense)(4, use_bias=False, **window)
    y = layer.apply(ported()["convert"]({"weight": weight}), jnp.moveaxis(x, 0, -1)[None])
    assert_close(y.ravel(), np.tensordot(weight, x, x.ndim))
