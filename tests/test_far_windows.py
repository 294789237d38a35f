"""Windows, steps and gaps of up to 2^31 cost no more than the input and the output do."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agreement import assert_agree, compiled, value_and_gradient
from cases import Call, pooling, slow
from oracle import Config

import jaxpool

MOST = 2**31


def far_configs(seed, count):
    """Axes of a few pixels and windows that reach far beyond them, with few outputs."""
    rng = np.random.default_rng(seed)

    def up_to(most):
        return int(most ** rng.random() ** 0.5)

    drawn = []
    while len(drawn) < count:
        ndim = int(rng.integers(1, 3))
        axes = []
        for _ in range(ndim):
            size, kernel = int(rng.integers(1, 8)), 1 + up_to(MOST - 1)
            dilation = up_to(MOST) if rng.random() < 0.5 else int(rng.integers(1, 4))
            extent = (kernel - 1) * dilation + 1
            low, high = (extent - up_to(extent) for _ in range(2))
            room = max(0, size + low + high - extent)
            stride = max(1, room // int(rng.integers(1, 9)) - int(rng.integers(0, 3)))
            axes.append((size, kernel, stride, (low, high), dilation))
            fits = size + low + high >= extent and room // stride < 12
            if not fits:
                break
        if not fits:
            continue
        spatial, kernel, stride, padding, dilation = zip(*axes, strict=True)
        if rng.random() < 0.3:
            padding, stride = str(rng.choice(["SAME", "SAME_LOWER"])), (up_to(9),) * ndim
        include, ceil, last = (bool(b) for b in rng.integers(0, 2, 3))
        drawn.append(Config(spatial, kernel, stride, padding, include, ceil, None, dilation, last))
    return drawn


@pytest.mark.parametrize("count", [16, *slow(96)])
def test_values_and_gradients(count):
    configs = far_configs(count, count)
    assert sum(max(config.kernel) > 10**6 for config in configs) > count / 8
    assert sum(max(config.dilation) > 10**6 for config in configs) > count / 8
    for start in range(0, count, 48):
        check(configs[start : start + 48])


def check(configs):
    rng = np.random.default_rng(0)
    inputs = [rng.integers(-99, 100, config.shape((1,), 2)) for config in configs]
    inputs = [np.float32(x) for x in inputs]
    for x in inputs[::3]:
        x.flat[rng.integers(x.size)] = np.nan  # reaches the windows that hold it only
    cotangents = [
        np.float32(rng.standard_normal(c.shape((1,), 2, oracle.windows(c)[0]))) for c in configs
    ]

    def everything(inputs, cotangents):
        calls = zip(configs, inputs, cotangents, strict=True)
        return [value_and_gradient(pooling(config), x, ct) for config, x, ct in calls]

    results = compiled(everything, inputs, cotangents)
    for config, x, ct, (pooled, gradient) in zip(configs, inputs, cotangents, results, strict=True):
        message = repr(config)
        np.testing.assert_allclose(pooled, oracle.pool(x, config), rtol=1e-6, err_msg=message)
        expected = oracle.transpose(ct, config)
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6, err_msg=message)


def short_axes():
    """Axes of one pixel and of a few, with windows, steps and gaps as long as they may be."""
    for size, kernel, dilation in itertools.product((1, 2, 5), (1, 2, 7), (1, 3, 11)):
        extent = (kernel - 1) * dilation + 1
        pad = min(extent - 1, 40)
        for stride in (1, size + 1, 60):
            rest = {"count_include_pad": False, "dilation": (dilation,)}
            yield Config((size,), (kernel,), (stride,), "SAME", **rest)
            for padding in ((pad, pad), (pad, 0), (0, pad)):
                if size + sum(padding) >= extent:
                    yield Config((size,), (kernel,), (stride,), (padding,), **rest)


def test_windows_steps_and_gaps_beyond_the_input():
    drawn = list(short_axes())
    assert len(drawn) > 150
    assert_agree([Call(config) for config in drawn], derivatives=False)


@pytest.mark.parametrize("include", [False, True])
def test_masks(include):
    x = np.array([[3.0, np.nan, 5.0]], np.float32)
    where = np.array([[True, False, True]])
    pooled = jaxpool.avg_pool1d(x, MOST - 1, 1, "SAME", include, where=where)
    np.testing.assert_allclose(pooled, [[8 / (MOST - 2 if include else 2)] * 3], rtol=1e-6)


def test_divisors_past_64_bits():
    pooled = jaxpool.avg_pool3d(np.ones((1, 1, 2, 3), np.float32), MOST, 1, MOST // 2)
    np.testing.assert_allclose(pooled, np.full((1, 2, 3, 4), 6 / MOST**3), rtol=1e-6)


def test_the_program_does_not_grow_with_the_window():
    """Neither what it computes nor what it reads and writes."""

    def cost(kernel):
        f = jax.jit(jax.grad(lambda x: jaxpool.avg_pool1d(x, kernel, 1, "SAME").sum()))
        program = f.lower(jnp.ones((1, 20))).compile()
        return program.cost_analysis(), program.memory_analysis().temp_size_in_bytes

    assert cost(201) == cost(MOST - 1)


def test_strips():
    strips = jaxpool.pool_strips((9,), 2, MOST - 1, 1, "SAME")
    x = np.arange(9.0, dtype=np.float32)[None]
    parts = [jaxpool.avg_pool1d(x[:, s.input], MOST - 1, 1, s.padding) for s in strips]
    whole = jaxpool.avg_pool1d(x, MOST - 1, 1, "SAME")
    np.testing.assert_array_equal(np.concatenate(parts, -1), whole)
