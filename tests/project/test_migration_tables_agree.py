"""The calls that the migration pages set side by side in their tables give the same."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import JAXPOOL_REFUSES, PYTORCH_REFUSES
from cases import slow
from pages import table

import jaxpool

PEERS = {  # of each, the page with its table of calls, and how these import it
    "Equinox": ("equinox-haiku", "import equinox as eqx"),
    "Haiku": ("equinox-haiku", "import haiku as hk"),
    "Flax": ("flax", "import flax.linen as nn; from flax import nnx"),
    "Keras": ("keras-tensorflow", "import keras"),
    "TensorFlow": ("keras-tensorflow", "import tensorflow as tf"),  # it is in no extra
}
PYTORCH = "docs/migration/pytorch.md"
FIRST = {name: getattr(jaxpool, name) for name in jaxpool.__all__ if "avg" in name.lower()}
LAST = {name: partial(pool, data_format="channels_last") for name, pool in FIRST.items()}


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def given_by(cell, names):
    """What the code of a cell gives for `x`, by itself or as a layer."""
    result = eval(cell.split("`")[1], names)
    return np.asarray(result(names["x"]) if callable(result) else result)


@pytest.mark.parametrize("peer", ["Flax", *slow("Equinox", "Haiku", "Keras", "TensorFlow")])
def test_rows_agree(peer, monkeypatch):
    """The two calls in each row of the table that the peer's name heads."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    pytest.importorskip(peer.lower())
    page, imports = PEERS[peer]
    names = {"jax": jax, "jnp": jnp, "np": np, "steps": np.arange(8) < [[5], [3]]}
    names |= FIRST if peer == "Equinox" else LAST
    exec(imports, names)
    for theirs, ours in table(f"docs/migration/{page}.md", f"{peer}, `x` of shape"):
        spatial = (8, 6, 10)[: int(re.search(r"pool(\d)d", ours)[1])]
        channels_first = re.search("eqx|NCHW|channels_first|channel_axis=1", theirs)
        shape = (4, *spatial) if channels_first else (*spatial, 4)
        names["x"] = random(*shape) if peer == "Equinox" else random(2, *shape)
        expected, found = given_by(theirs, names), given_by(ours, names)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=theirs)


@pytest.mark.parametrize("header", [r"PyTorch \|", r"PyTorch, on"])
def test_rows_of_pytorch_agree(header):
    """A layer and a function; in the second table channels are last."""
    torch = pytest.importorskip("torch")
    last = header == "PyTorch, on"
    x = random(2, 3, 8, 9)
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "x": torch.tensor(x)}
    pools = (LAST if last else FIRST) | {"x": jnp.moveaxis(x, 1, -1) if last else jnp.asarray(x)}
    for theirs, layer, function in table(PYTORCH, header):
        expected = given_by(theirs, names)
        for ours in filter(None, (layer, function)):
            found = given_by(ours, pools)
            found = np.moveaxis(found, -1, 1) if last and found.ndim > 2 else found
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5, err_msg=theirs)


def test_the_page_lists_what_is_refused():
    """The calls that PyTorch or jaxpool alone refuses, as the soak counts them."""
    for peer, calls in {"PyTorch": PYTORCH_REFUSES, "jaxpool": JAXPOOL_REFUSES}.items():
        refused = "; ".join(row[0] for row in table(PYTORCH, f"{peer} refuses"))
        assert refused.split("; ") == [*calls]
