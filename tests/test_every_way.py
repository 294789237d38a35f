"""Every way to sum is right for every geometry that it takes, and so is every platform's plan.

All on the CPU, so that the ways that only a TPU takes are proven as well.
"""

import itertools
from functools import partial

import jax
import numpy as np
import oracle
import pytest
from agreement import assert_agree, compiled
from cases import slow
from configs import random_calls
from oracle import Adaptive, Config
from spans import spans_of

from jaxpool import _levels, _primitive, _steady, _ways
from jaxpool._window import AdaptiveBins

# XLA gets a reduce_window of one dilated window wrong: see `whole`.
TAKES = {
    "whole": lambda span: span.outputs == 1,
    "steady_whole": lambda span: span.outputs == 1,
    **dict.fromkeys(
        ("window", "padded_window", "steady_window"),
        lambda span: span.outputs > 1 or span.dilation == 1,
    ),
    "slices": lambda span: span.is_known,
    "tiles": lambda span: span.is_tiling,
    **dict.fromkeys(
        ("windows_of_windows", "levels", "turned_levels"),
        lambda span: span.kernel >= 4 and (span.outputs > 1 or span.dilation == 1),
    ),
}
BINS = ("bins", "steady_bins", "turned_bins", "sliced_bins", "turned_sliced_bins")
WAYS = vars(_ways) | vars(_levels) | vars(_steady)


def one_axis():
    """Windows along one of two axes; the other is left as it is."""
    paddings = [(0, 0), (0, 2), (3, 0), (2, 1), "SAME", "SAME_LOWER"]
    for n, k, s, d, p, ceil in itertools.product(
        [1, 5, 8, 13], [1, 2, 3, 4, 6, 7, 13], [1, 2, 3, 5, 7], [1, 2], paddings, [False, True]
    ):
        extent = (k - 1) * d + 1
        low, high = (0, 0) if isinstance(p, str) else p
        if max(low, high) >= extent or (not isinstance(p, str) and n + low + high < extent):
            continue
        padding = p if isinstance(p, str) else (p, (0, 0))
        yield Config((n, 3), (k, 1), (s, 1), padding, True, ceil, 1, (d, 1), n % 2 == 0)


def agree(way, configs):
    """The way's sums and their transposes are the oracle's, of NaN and infinities as well."""
    cases = []
    for number, config in enumerate(configs):
        rng = np.random.default_rng(number)
        x = rng.integers(-99, 100, config.shape((1,), 2)).astype(np.float32)
        x.flat[rng.integers(x.size)] = rng.choice([np.nan, np.inf])
        shape = config.shape((1,), 2, oracle.windows(config)[0])
        cases.append((x, rng.integers(-99, 100, shape).astype(np.float32)))
    spans = [[span for span in spans_of(config) if takes(way, span)] for config in configs]
    ways = [partial(WAYS[way], spans=some) for some in spans]

    def everything(cases):
        return [
            (f(x), *jax.linear_transpose(f, x)(ct)) for f, (x, ct) in zip(ways, cases, strict=True)
        ]

    for config, (x, ct), found in zip(configs, cases, compiled(everything, cases), strict=True):
        for one, right in zip(found, oracle.sums(x, ct, config), strict=True):
            np.testing.assert_array_equal(one, right, err_msg=f"{way} of {config!r}")


def takes(way, span):
    """Whether the way sums along this axis; the other axes of a test are left as they are."""
    if isinstance(span, AdaptiveBins):
        return way in BINS
    return way not in BINS and not span.is_identity


@pytest.mark.parametrize("count", [32, *slow(64)])
@pytest.mark.parametrize("way", sorted(TAKES))
def test_sums_along_an_axis(way, count):
    configs = []
    for config in one_axis():
        span = spans_of(config)[0]
        if not span.is_identity and TAKES[way](span):
            configs.append(config)
    chosen = np.random.default_rng(0).permutation(len(configs))[:count]
    assert len(chosen) >= 32
    agree(way, [configs[i] for i in chosen])


@pytest.mark.parametrize("way", sorted(TAKES))
def test_sums_along_several_axes(way):
    tiled = ((9, 8), (4, 5), (4, 5), ((1, 1), (2, 0)))
    single = ((6, 5), (4, 3), (9, 9), ((0, 2), (1, 1)))
    window = single if "whole" in way else tiled
    dilations = [(1, 1)] if way == "tiles" else [(1, 1), (2, 2)]
    agree(
        way,
        [
            Config(*window, True, ceil, 1, dilation, last)
            for ceil, dilation, last in itertools.product([False, True], dilations, [False, True])
        ],
    )


@pytest.mark.parametrize("count", [24, *slow(72)])
@pytest.mark.parametrize("way", BINS)
def test_bins(way, count):
    sizes = [(n, m) for n in range(1, 14) for m in range(2, 12) if n % m]
    configs = [Adaptive((n, 3), (m, None), last) for n, m in sizes for last in (False, True)]
    chosen = np.random.default_rng(0).permutation(len(configs))[:count]
    agree(way, [configs[i] for i in chosen])


@pytest.mark.parametrize("count", [32, *slow(64)])
@pytest.mark.parametrize("rules", ["gpu", "tpu", "plain"])
def test_the_plans_of_other_platforms(rules, count, monkeypatch):
    """Values, tangents, gradients and their transposes, masked or not, in 16 and 32 bits."""
    monkeypatch.setitem(_primitive.RULES, "cpu", rules)
    jax.clear_caches()
    assert_agree(random_calls(31 + len(rules), count))
    jax.clear_caches()
