"""The calls that the migration pages set side by side in their tables give the same."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import JAXPOOL_REFUSES, PYTORCH_REFUSES
from cases import slow
from pages import PAGES

import jaxpool

PEERS = {  # of each, the page with its table of calls, and how these import it
    "equinox": ("equinox-haiku", "import equinox as eqx"),
    "haiku": ("equinox-haiku", "import haiku as hk"),
    "flax": ("flax", "import flax.linen as nn; from flax import nnx"),
    "keras": ("keras-tensorflow", "import keras"),
    "tensorflow": ("keras-tensorflow", "import tensorflow as tf"),  # it is in no extra
}
PYTORCH = PAGES["docs/migration/pytorch.md"]
CALLS = r"^\| `((?:nn|F|torch)\..*)` \| (?:`(.*)` )?\| `(.*)` \|$"  # theirs, layer, function
FIRST, OTHERS = (
    {theirs: ours for theirs, *ours in re.findall(CALLS, section, re.MULTILINE)}
    for section in PYTORCH.split("\n### Channels last\n")
)
POOLS = {name: getattr(jaxpool, name) for name in jaxpool.__all__ if "avg" in name.lower()}
POOLS_LAST = {name: partial(pool, data_format="channels_last") for name, pool in POOLS.items()}


def rows(page, header):
    """Those of the table of two columns that begins with `header`."""
    table = rf"^\| {header}.*\|\n\|---\|---\|\n((?:\|.*\n)+)"
    (found,) = re.findall(table, page, re.MULTILINE | re.IGNORECASE)
    return found.splitlines()


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


@pytest.mark.parametrize("peer", ["flax", *slow("equinox", "haiku", "keras", "tensorflow")])
def test_rows_agree(peer, monkeypatch):
    """The two calls in each row of the table that the peer's name heads."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    pytest.importorskip(peer)
    page, imports = PEERS[peer]
    names = POOLS if peer == "equinox" else POOLS_LAST
    names = names | {"jax": jax, "jnp": jnp, "np": np, "steps": np.arange(8) < [[5], [3]]}
    exec(imports, names)
    for row in rows(PAGES[f"docs/migration/{page}.md"], f"{peer}, `x` of shape"):
        theirs, ours = re.fullmatch(r"\| `([^`]+)`[^|]*\| `([^`]+)` \|", row).groups()
        spatial = (8, 6, 10)[: int(re.search(r"pool(\d)d", ours)[1])]
        channels_first = re.search("eqx|NCHW|channels_first|channel_axis=1", theirs)
        shape = (4, *spatial) if channels_first else (*spatial, 4)
        names["x"] = random(*shape) if peer == "equinox" else random(2, *shape)
        expected, got = (np.asarray(eval(call, names)) for call in (theirs, ours))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=theirs)


def test_the_tables_of_pytorch_were_read():
    assert len(FIRST) == 8
    assert len(OTHERS) == 2
    assert OTHERS.keys() < FIRST.keys()


@pytest.mark.parametrize("theirs", FIRST)
@pytest.mark.parametrize("last", [False, True], ids=["channels_first", "channels_last"])
def test_a_row_of_pytorch(theirs, last):
    torch = pytest.importorskip("torch")
    layer, function = (FIRST | OTHERS if last else FIRST)[theirs]
    (ndim,) = set(re.findall(r"(\d)d", function)) or {"2"}
    x = random(2, 3, *{"1": (13,), "2": (8, 9), "3": (4, 5, 6)}[ndim])
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "x": torch.tensor(x)}
    expected = eval(theirs, names)
    expected = expected(names["x"]) if callable(expected) else expected
    x = jnp.moveaxis(x, 1, -1) if last else jnp.asarray(x)
    names = (POOLS_LAST if last else POOLS) | {"x": x}
    for result in [eval(function, names)] + ([eval(layer, names)(x)] if layer else []):
        first = jnp.moveaxis(result, -1, 1) if last and result.ndim > 2 else result
        np.testing.assert_allclose(first, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("peer", "table"), [("PyTorch", PYTORCH_REFUSES), ("jaxpool", JAXPOOL_REFUSES)]
)
def test_the_page_lists_what_is_refused(peer, table):
    """The calls that PyTorch or jaxpool alone refuses, as the soak counts them."""
    found = rows(PYTORCH, f"{peer} refuses")
    refused = "; ".join(row.split(" | ")[0].removeprefix("| ") for row in found)
    assert refused.split("; ") == [*table]
