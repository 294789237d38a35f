"""Every value, and every derivative, is that of the definition.

To two roundings: the inputs are small integers, whose sums are exact, and these are multiplied by
the reciprocal of the divisor.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import assert_agree
from cases import Call, slow
from configs import random_calls
from oracle import Config

import jaxpool


def all_options():
    """The full cross of the options on one image, less what is not allowed."""
    for kernel, stride, padding, dilation in itertools.product(
        [(1, 1), (2, 2), (3, 3), (2, 3)],
        [(1, 1), (2, 2), (3, 2)],
        [((0, 0),) * 2, ((1, 1),) * 2, ((0, 1), (2, 0)), "VALID", "SAME", "SAME_LOWER"],
        [(1, 1), (2, 2), (1, 3)],
    ):
        extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        if not isinstance(padding, str) and any(
            max(p) >= e for p, e in zip(padding, extent, strict=True)
        ):
            continue
        for rest in itertools.product([True, False], [True, False], [None, 5], [False, True]):
            include, ceil, override, last = rest
            yield Config((7, 8), kernel, stride, padding, include, ceil, override, dilation, last)


CROSS = [Call(config) for config in all_options()]
CHUNKS = [CROSS[start : start + 448] for start in range(0, len(CROSS), 448)]


@pytest.mark.parametrize("calls", [CROSS[::13], *slow(*CHUNKS)], ids=len)
def test_full_cross_of_options(calls):
    assert_agree(calls, derivatives=False)


@pytest.mark.parametrize(("number", "count"), [(0, 128), *slow((1, 250))])
def test_random_calls(number, count):
    """`python tests/helpers/soak.py` runs more of them."""
    assert_agree(random_calls(number, count))


@pytest.mark.slow
def test_values_of_random_calls():
    assert_agree(random_calls(5, 300), derivatives=False)


@pytest.mark.parametrize("number", [9, *slow(10)])
def test_random_calls_compiled_as_users_compile_them(number):
    assert_agree(random_calls(number, 32 if number == 9 else 128), options=None)


def long_windows():
    """Windows of many taps, which are summed in steps, with every other option drawn."""
    rng = np.random.default_rng(0)
    for kernel in [*range(13, 34), 37, 49, 64, 101]:
        stride, dilation = int(rng.integers(1, 4)), int(rng.integers(1, 3))
        extent = (kernel - 1) * dilation + 1
        pads = tuple(int(pad) for pad in rng.integers(0, extent, 2))
        size = extent - min(extent - 1, sum(pads)) + int(rng.integers(1, 40))
        include, ceil, last = (bool(b) for b in rng.integers(0, 2, 3))
        options = include, ceil, None, (dilation,), last
        yield Config((size,), (kernel,), (stride,), (pads,), *options)
        yield Config((size + extent,), (kernel,), (stride,), ((0, 0),), *options)
        yield Config((size + kernel,), (kernel,), (1,), "SAME", include, ceil, None, (), last)


def test_long_windows():
    assert_agree([Call(config) for config in long_windows()])


def integers(shape):
    return np.random.default_rng(0).integers(-99, 100, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ({"kernel": 3}, {"kernel": (3, 3), "stride": (3, 3), "padding": ((0, 0), (0, 0))}),
        ({"kernel": [3]}, {"kernel": (3, 3)}),
        ({"kernel": [2, 3]}, {"kernel": (2, 3), "stride": (2, 3)}),
        ({"kernel": 3, "stride": [1]}, {"kernel": 3, "stride": (1, 1)}),
        ({"kernel": 3, "padding": 1}, {"kernel": 3, "padding": ((1, 1), (1, 1))}),
        ({"kernel": 3, "padding": [1, 2]}, {"kernel": 3, "padding": ((1, 1), (2, 2))}),
        ({"kernel": 3, "padding": [[1, 2], [0, 1]]}, {"kernel": 3, "padding": ((1, 2), (0, 1))}),
        ({"kernel": 3, "padding": "VALID"}, {"kernel": 3}),
        ({"kernel": 2, "dilation": [3]}, {"kernel": 2, "dilation": (3, 3)}),
        ({"kernel": np.int64(2), "stride": np.int32(1)}, {"kernel": 2, "stride": 1}),
        ({"kernel": np.array([2, 3])}, {"kernel": (2, 3)}),
        (
            {"kernel": 3, "stride": np.array([1, 2]), "padding": np.array([0, 1], np.uint8)},
            {"kernel": 3, "stride": (1, 2), "padding": ((0, 0), (1, 1))},
        ),
        (
            {"kernel": 3, "padding": np.array([[0, 1], [1, 0]]), "dilation": np.array([1, 2])},
            {"kernel": 3, "padding": ((0, 1), (1, 0)), "dilation": (1, 2)},
        ),
    ],
)
def test_short_forms_mean_the_long_ones(short, long):
    x = integers((1, 10, 10))
    np.testing.assert_array_equal(jaxpool.avg_pool2d(x, **short), jaxpool.avg_pool2d(x, **long))


def test_positional_order_is_that_of_the_javascript_library():
    x = integers((1, 4, 4))
    np.testing.assert_array_equal(
        jaxpool.avg_pool2d(x, 2, 2, 1, False),
        jaxpool.avg_pool2d(x, kernel=2, stride=2, padding=1, count_include_pad=False),
    )


def test_numpy_input_gives_a_jax_array():
    assert isinstance(jaxpool.avg_pool2d(np.ones((1, 2, 2), np.float32), 2), jax.Array)


def test_window_of_one_pixel_changes_nothing():
    x = integers((2, 3, 4, 4))
    np.testing.assert_array_equal(jaxpool.avg_pool2d(x, 1), x)


def test_ceil_mode_overhang_never_counts():
    """The classic mistake: the last row and column here have 2 pixels, not 3."""
    x = np.ones((1, 5, 5), np.float32)
    for include in (True, False):
        pooled = jaxpool.avg_pool2d(x, 3, 3, count_include_pad=include, ceil_mode=True)
        np.testing.assert_array_equal(pooled, np.ones((1, 2, 2)))


def test_ceil_mode_averages_what_there_is_of_a_smaller_input():
    """The shortcut of a ResNet-D on small images."""
    for shape in [(1, 1), (1, 4), (4, 1)]:
        x = integers((3, *shape))
        for include in (True, False):
            pooled = jaxpool.avg_pool2d(x, 2, 2, 0, include, ceil_mode=True)
            halved = tuple(-(-size // 2) for size in shape)
            expected = x.reshape(3, *halved, -1).mean(-1)
            np.testing.assert_array_equal(pooled, expected)


def test_window_without_a_counting_tap_gives_nan():
    """Taps at -1 and 1 of one pixel at 0 (dilation 2, padding 1): only padding is read."""
    x = np.ones((1, 1), np.float32)
    pooled = jaxpool.avg_pool1d(x, 2, 1, 1, False, dilation=2)
    np.testing.assert_array_equal(pooled, [[np.nan]])
    np.testing.assert_array_equal(jaxpool.avg_pool1d(x, 2, 1, 1, True, dilation=2), [[0]])
    overridden = jaxpool.avg_pool1d(x, 2, 1, 1, False, dilation=2, divisor_override=2)
    np.testing.assert_array_equal(overridden, [[0]])


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (0, 0, 4, 4)])
def test_empty_batch_or_channels(shape):
    assert jaxpool.avg_pool2d(jnp.ones(shape), 2).shape == (*shape[:2], 2, 2)


def test_the_longest_kernel_and_the_widest_steps():
    whole = Config((5,), (9,), (9,), ((2, 2),))
    far = Config((5,), (2,), (50,), ((0, 0),))
    apart = Config((5,), (2,), (1,), ((7, 7),), dilation=(12,))
    assert_agree([Call(config) for config in (whole, far, apart)])
