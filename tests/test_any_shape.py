"""Arrays of any shape: no images, many channels, any rank, axes shorter than the windows."""

import os
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from agreement import compiled
from cases import CASES, pooling
from oracle import Config

import jaxpool

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.mark.parametrize(("batch", "channels"), [((2, 0, 3), 1), ((2,), 0)])
def test_no_images_or_no_channels(batch, channels):
    def everything():
        results = []
        for config in configs:
            x = jnp.ones(config.shape(batch, channels))
            pooled = pooling(config, where=np.ones(x.shape, bool))(x)
            results.append((pooled, jax.grad(lambda x, c=config: pooling(c)(x).sum())(x)))
        return results

    configs = [case.values[0] for case in CASES]
    for config, (pooled, gradient) in zip(configs, compiled(everything), strict=True):
        spatial, _ = oracle.windows(config)
        assert pooled.shape == config.shape(batch, channels, spatial)
        assert gradient.shape == config.shape(batch, channels)


@pytest.mark.parametrize("channels_last", [False, True])
def test_thousands_of_channels(channels_last):
    config = Config((5, 6), (3, 2), (2, 2), ((1, 1), (0, 1)), False, channels_last=channels_last)
    x = np.random.default_rng(0).standard_normal(config.shape((1,), 4099)).astype(np.float32)
    pooled, pullback = jax.vjp(pooling(config), x)
    np.testing.assert_allclose(pooled, oracle.pool(x, config), rtol=1e-5, atol=1e-6)
    expected = oracle.transpose(pooled, config)
    np.testing.assert_allclose(pullback(pooled)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_ranks(ndim, data_format):
    """All axes before those of one image are batch; an image has one axis for its channels."""
    image = (2, *(4,) * ndim) if data_format == "channels_first" else (*(4,) * ndim, 2)
    leads = [(1, 2, 3, 1, 2, 3)[:n] for n in range(9 - len(image))]
    inputs = [np.random.default_rng(0).standard_normal((*lead, *image)) for lead in leads]
    for name, size in ((f"avg_pool{ndim}d", 2), (f"adaptive_avg_pool{ndim}d", 3)):
        function = partial(getattr(jaxpool, name), data_format=data_format)
        for rank in range(ndim + 1):
            with pytest.raises(ValueError, match=f"at least {ndim + 1} axes"):
                function(jnp.ones(image[:rank]), size)

        def everything(inputs, function=function, size=size):
            return [(function(x, size), function(x.reshape(-1, *image), size)) for x in inputs]

        for lead, (pooled, flat) in zip(leads, compiled(everything, inputs), strict=True):
            assert pooled.shape == (*lead, *flat.shape[1:])
            np.testing.assert_array_equal(pooled.reshape(flat.shape), flat)


def free_gigabytes():
    """Memory that nobody uses; 0 where the system does not say."""
    if "SC_AVPHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return 0
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


@pytest.mark.slow
@pytest.mark.skipif(free_gigabytes() < 8, reason="takes 5 GB")
def test_more_than_2_to_the_31_elements():
    """The largest index is past what an int32 holds."""
    x = np.zeros((1, 2**15, 2**16 + 2), np.uint8)
    x[0, -1, -1] = 4
    pooled = np.asarray(jaxpool.avg_pool2d(x, 2))
    assert x.size > 2**31
    assert pooled.shape == (1, 2**14, 2**15 + 1)
    assert pooled[0, -1, -1] == 1
    assert np.count_nonzero(pooled) == 1
