"""PyTorch's numbers: of the calls in golden/make_torch.py and, if it is installed, of others."""

import itertools
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from against_torch import assert_agrees_with_torch
from agreement import compiled
from cases import slow
from configs import raw_calls

import jaxpool

GOLDEN = np.load(Path(__file__).with_name("golden") / "torch.npz")
CALLS = list(enumerate(json.loads(str(GOLDEN["calls"]))["calls"]))
CHUNK = 48
STARTS = list(range(0, len(CALLS), CHUNK))


@pytest.mark.parametrize("start", STARTS[::3] + slow(*STARTS[1::3], *STARTS[2::3]))
def test_values_and_gradients(start):
    chunk = CALLS[start : start + CHUNK]

    def everything(inputs):
        results = []
        for _, (ndim, batched, arguments) in chunk:
            options = {("kernel" if k == "kernel_size" else k): v for k, v in arguments.items()}
            kind = "adaptive_avg_pool" if "output_size" in options else "avg_pool"
            pool = getattr(jaxpool, f"{kind}{ndim}d")
            x = inputs[ndim] if batched else inputs[ndim][0]
            pooled, pullback = jax.vjp(lambda x, pool=pool, o=options: pool(x, **o), x)
            results.append((pooled, pullback(jax.numpy.ones_like(pooled))[0]))
        return results

    inputs = {ndim: GOLDEN[f"x{ndim}"].astype(np.float32) for ndim in (1, 2, 3)}
    for (i, call), (pooled, gradient) in zip(chunk, compiled(everything, inputs), strict=True):
        np.testing.assert_allclose(pooled, GOLDEN[f"y{i}"], rtol=5e-7, err_msg=str(call))
        np.testing.assert_allclose(gradient[:1, :1], GOLDEN[f"g{i}"], rtol=2e-6, err_msg=str(call))


def test_the_calls_cover_what_they_should():
    for ndim in (1, 2, 3):
        mine = [(batched, a) for _, (n, batched, a) in CALLS if n == ndim]
        adaptive = [call for call in mine if "output_size" in call[1]]
        assert len(adaptive) >= 14
        assert {batched for batched, _ in adaptive} == {True, False}
        mine = [call for call in mine if call not in adaptive]
        for option in ("ceil_mode", "count_include_pad"):
            assert {a[option] for _, a in mine} == {True, False}
        assert {batched for batched, _ in mine} == {True, False}
        assert any("divisor_override" in a for _, a in mine) == (ndim > 1)


@pytest.mark.parametrize(("number", "count"), [(0, 32), *slow((1, 500))])
def test_random_calls(number, count):
    """`python tests/helpers/soak.py --against torch` runs more of them."""
    pytest.importorskip("torch")
    assert_agrees_with_torch(raw_calls(number, count))


@pytest.mark.slow
@pytest.mark.parametrize("size", list(itertools.product([5, 6, 9], [4, 7, 8])))
def test_same_padding_of_timm(size):
    """Its padding counts, with and without `count_include_pad`."""
    torch, layers = pytest.importorskip("torch"), pytest.importorskip("timm.layers")
    options = list(itertools.product([1, 2, 3, 4, 5, 7], [1, 2, 3, 4], [False, True]))
    x = np.random.default_rng(0).standard_normal((1, 2, *size), np.float32)

    def everything(x):
        same = {"padding": "SAME", "count_include_pad": True}
        return [jaxpool.avg_pool2d(x, k, s, ceil_mode=ceil, **same) for k, s, ceil in options]

    for (k, s, ceil), ours in zip(options, compiled(everything, x), strict=True):
        for include in (True, False):
            pool = layers.AvgPool2dSame(k, s, ceil_mode=ceil, count_include_pad=include)
            np.testing.assert_allclose(ours, pool(torch.tensor(x)), rtol=1e-5, atol=1e-6)
