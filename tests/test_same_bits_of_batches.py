"""On the CPU an image has the bits that it has in a batch: of sizes for which XLA adds in ways of
its own.
"""

import random
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import slow, soak

import jaxpool
from jaxpool._plan import HAS_BARRIER

pytestmark = pytest.mark.skipif(not HAS_BARRIER, reason="YNNPACK adds by the size of the batch")


class Case(NamedTuple):
    """A pool of a batch, and perhaps a mask of one image or of its pixels."""

    function: str
    shape: tuple[int, ...]
    arguments: dict
    dtype: str = "float32"
    mask: tuple[int, ...] | None = None

    @property
    def pool(self):
        function = getattr(jaxpool, self.function)
        return lambda x, where: function(x, where=where, **self.arguments)

    def inputs(self, seed):
        rng = np.random.default_rng(seed)
        x = jnp.asarray(rng.standard_normal(self.shape), self.dtype)
        return x, None if self.mask is None else jnp.asarray(rng.random(self.mask) < 0.9)


LAST = {"data_format": "channels_last"}
# In which JAX 0.11 and 0.12 sum a batch by YNNPACK and an image otherwise, if they are left to it.
FAULTS = [
    Case("adaptive_avg_pool2d", (4, 3, 60, 8), {"output_size": 1}),
    Case("adaptive_avg_pool2d", (3, 32, 7, 7), {"output_size": (None, 1)}, mask=(7, 7)),
    Case("adaptive_avg_pool2d", (2, 51, 58, 1), {"output_size": 1, **LAST}),
    Case("adaptive_avg_pool2d", (8, 2, 49, 9), {"output_size": (2, None)}),
    Case("adaptive_avg_pool2d", (2, 8, 55, 97), {"output_size": (2, 19)}),
    Case("adaptive_avg_pool3d", (3, 1, 3, 29, 199), {"output_size": (None, 4, 2)}),
    Case("avg_pool1d", (2, 3, 1209), {"kernel": 14, "padding": 7, "count_include_pad": False}),
    Case("avg_pool2d", (2, 77, 44, 1), {"kernel": 31, "padding": 15, **LAST}),
    Case("avg_pool2d", (4, 16, 17, 8), {"kernel": 8}),
]


def size(rng):
    """Small sizes and, more often, those of which a batch has more than 4096 elements."""
    return rng.randint(1, rng.choice([9, 80, 80, 400]))


def random_case(rng):
    ndim, channels, last = (
        rng.choice([1, 2, 2, 2, 3]),
        rng.choice([1, 1, 2, 3, 8, 77]),
        rng.random(),
    )
    sizes = [size(rng) for _ in range(ndim)]
    one = (*sizes, channels) if last < 0.5 else (channels, *sizes)
    shape = rng.choice([2, 2, 3, 7]), *one
    if np.prod(shape) > 300_000:
        return random_case(rng)
    arguments = dict(LAST) if last < 0.5 else {}
    dtype = rng.choice(["float32", "float32", "bfloat16"])
    mask = rng.choice([None, None, None, one, (*sizes, 1) if last < 0.5 else (*sizes,)])
    kind = rng.choice(["global", "adaptive", "tiles", "fixed", "fixed"])
    if kind == "global":
        arguments["output_size"] = 1
    elif kind == "adaptive":
        outputs = [
            rng.choice([None, 1, rng.randint(1, n), rng.randint(1, 1 + n // 16)]) for n in sizes
        ]
        arguments["output_size"] = tuple(outputs)
    else:
        kernel = [min(n, rng.choice([rng.randint(1, 4), rng.randint(1, 40), n])) for n in sizes]
        stride = [k if kind == "tiles" else rng.choice([1, 2, k]) for k in kernel]
        fits = [2 * k <= n for k, n in zip(kernel, sizes, strict=True)]
        dilation = [2 if fit and rng.random() < 0.2 else 1 for fit in fits]
        arguments |= {
            "kernel": tuple(kernel),
            "stride": tuple(stride),
            "padding": tuple(rng.choice([0, 0, k // 2]) for k in kernel),
            "dilation": tuple(dilation),
            "count_include_pad": rng.random() < 0.5,
            "ceil_mode": rng.random() < 0.3,
        }
    function = "adaptive_avg_pool" if "output_size" in arguments else "avg_pool"
    return Case(f"{function}{ndim}d", shape, arguments, dtype, mask)


def bits(x):
    return np.asarray(x, np.float32).view(np.uint32)  # of all the dtypes here


def differing(cases):
    """The cases in which an image alone, or `vmap`, differs from the batch.

    They are compiled as one program, which takes half the time, and share nothing in it.
    """
    inputs = [case.inputs(seed) for seed, case in enumerate(cases)]

    def batches(inputs):
        return [case.pool(*one) for case, one in zip(cases, inputs, strict=True)]

    def mapped(inputs):
        return [jax.vmap(c.pool, (0, None))(*one) for c, one in zip(cases, inputs, strict=True)]

    image = jax.jit(batches)
    most = max(len(x) for x, _ in inputs)
    images = [image([(x[min(i, len(x) - 1)], m) for x, m in inputs]) for i in range(most)]
    found = zip(cases, jax.jit(batches)(inputs), jax.jit(mapped)(inputs), *images, strict=True)
    for case, batch, by_vmap, *alone in found:
        looped = [bits(image) for image in alone[: len(batch)]]
        if (bits(batch) != np.stack(looped)).any() or (bits(batch) != bits(by_vmap)).any():
            yield case


def test_known_faults():
    assert [*differing(FAULTS)] == []


@pytest.mark.parametrize("number", [0, *slow(*range(1, 8)), *soak(*range(8, 80))])
def test_random_sizes(number):
    """2,000 in all."""
    rng = random.Random(number)
    assert [*differing([random_case(rng) for _ in range(25)])] == []
