"""Every value is that of the definition, to the two roundings of one division.

The inputs are small integers, whose sums are exact. XLA may divide by a constant by multiplying
by its reciprocal, and so round twice.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import soak
from cases import pooling
from configs import configs
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from oracle import Config

import jaxpool


def integers(shape, seed=0):
    return np.random.default_rng(seed).integers(-99, 100, shape).astype(np.float32)


def assert_same(pooled, x, config):
    """Equal but for the rounding of one division of exact integers."""
    two_roundings = 2 * np.finfo(np.float32).eps / 2
    np.testing.assert_allclose(
        pooled, oracle.pool(x, config), rtol=1.01 * two_roundings, atol=0, err_msg=repr(config)
    )


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


CROSS = list(all_options())
CHUNK = 64  # calls per compiled program: compiling one program for each would take minutes


@pytest.mark.parametrize("start", range(0, len(CROSS), CHUNK))
def test_full_cross_of_options(start):
    chunk = CROSS[start : start + CHUNK]
    inputs = [integers(config.shape(batch=())) for config in chunk]
    outputs = jax.jit(lambda xs: [pooling(config)(x) for x, config in zip(xs, chunk, strict=True)])(
        inputs
    )
    for x, pooled, config in zip(inputs, outputs, chunk, strict=True):
        assert_same(pooled, x, config)


@settings(max_examples=soak.PROGRAMS, deadline=None, phases=[Phase.generate])
@given(soak.programs)
def test_random_calls(drawn):
    """2,000 of them: value, gradient, transposed gradient; `python tests/soak.py` runs more."""
    soak.check(drawn)


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
    drawn = list(long_windows())
    inputs = [integers(config.shape()) for config in drawn]

    @jax.jit
    def everything(xs):
        pulled = [jax.vjp(pooling(config), x) for x, config in zip(xs, drawn, strict=True)]
        return [(pooled, *pullback(jnp.sin(pooled))) for pooled, pullback in pulled]

    for x, config, (pooled, gradient) in zip(inputs, drawn, everything(inputs), strict=True):
        assert_same(pooled, x, config)
        expected = oracle.transpose(np.sin(pooled), config)
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5, err_msg=repr(config))


@settings(max_examples=25, deadline=None)
@given(configs(), st.sampled_from([(), (1,), (2, 1, 3)]))
def test_eager_calls_with_any_leading_axes(config, batch):
    x = integers(config.shape(batch))
    assert_same(pooling(config)(x), x, config)


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
    x = integers((1, 5))
    whole = Config((5,), (9,), (9,), ((2, 2),))
    assert_same(jaxpool.avg_pool1d(x, 9, padding=2), x, whole)
    far = Config((5,), (2,), (50,), ((0, 0),))
    assert_same(jaxpool.avg_pool1d(x, 2, 50), x, far)
    apart = Config((5,), (2,), (1,), ((7, 7),), dilation=(12,))
    assert_same(jaxpool.avg_pool1d(x, 2, 1, 7, dilation=12), x, apart)
