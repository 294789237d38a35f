"""What a test may call: one call of every kind, and how the library is called."""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from oracle import Adaptive, Config

import jaxpool
from jaxpool import adaptive_avg_pool2d, avg_pool2d


class Call(NamedTuple):
    """A configuration and what it is called with."""

    config: Config | Adaptive
    dtype: str = "float32"
    mask: float | None = None  # the share of elements that are there
    specials: float = 0.0  # the share of NaN, infinities and negative zeros
    seed: int = 0
    batch: tuple[int, ...] = (2,)


class RawCall(NamedTuple):
    """A function and its arguments as written, which it may refuse."""

    function: str
    shape: tuple[int, ...]
    arguments: dict
    dtype: str
    specials: float
    seed: int

    @property
    def ndim(self):
        return int(self.function[-2])

    @property
    def spatial(self):
        end = len(self.shape) - ("data_format" in self.arguments)
        return self.shape[end - self.ndim : end]

    @property
    def is_adaptive(self):
        return self.function.startswith("adaptive")

    def entries(self, argument):
        """All that is in an argument, or a zero if it is not given."""
        value = self.arguments.get(argument)
        return np.ravel(0 if value is None else value)


def slow(*parameters):
    """The parameters, marked as slow."""
    return [
        pytest.param(*(p if isinstance(p, tuple) else (p,)), marks=pytest.mark.slow)
        for p in parameters
    ]


def soak(*parameters):
    """The parameters, marked as slow and as part of the soak, which CI leaves out."""
    marks = pytest.mark.slow, pytest.mark.soak
    return [pytest.param(*(p if isinstance(p, tuple) else (p,)), marks=marks) for p in parameters]


def slow_but(cases, *names):
    """The cases, of which only those of these names are not slow."""
    assert {*names} <= {case.id for case in cases}
    return [
        c if c.id in names else pytest.param(*c.values, id=c.id, marks=pytest.mark.slow)
        for c in cases
    ]


def jax_has(dtype):
    """Whether this JAX has a dtype of that name."""
    return hasattr(jnp, dtype if dtype != "bool" else "bool_")


def pooling(config, **options):
    """The call as a function of the array."""
    function = getattr(jaxpool, config.function)
    return lambda x: function(x, **config.arguments(), **options)


def normal(shape, dtype="float32", seed=0):
    """Normal numbers, by NumPy, as those of jax.random are compiled anew for each shape."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


FIXED = [
    pytest.param(Config(*case), id=name)
    for name, case in {
        "tiles": ((8, 6), (2, 3), (2, 3), "VALID"),
        "tiles with a rest": ((9, 7), (2, 3), (2, 3), "VALID"),
        "overlapping": ((9, 8), (3, 3), (1, 1), ((1, 1), (1, 1))),
        "overlapping, excluding": ((9, 8), (3, 3), (2, 2), ((1, 1), (1, 1)), False),
        "same": ((9, 8), (3, 2), (2, 3), "SAME", False),
        "same_lower": ((9, 8), (3, 2), (2, 3), "SAME_LOWER"),
        "ceil": ((9, 8), (3, 3), (2, 2), ((1, 0), (0, 1)), True, True),
        "ceil, excluding": ((9, 8), (3, 3), (2, 2), ((1, 0), (0, 1)), False, True),
        "dilated": ((9, 9), (3, 2), (1, 2), ((2, 2), (0, 1)), True, False, None, (2, 3)),
        "override": ((9, 8), (3, 3), (2, 2), ((1, 1), (1, 1)), True, True, -3),
        "one window": ((9, 8), (9, 8), (1, 1), "VALID"),
        "one padded, dilated window": (
            (3, 3),
            (3, 2),
            (1, 1),
            ((1, 1), (0, 1)),
            False,
            False,
            None,
            (2, 3),
        ),
        "wide": ((40, 37), (31, 25), (1, 2), ((15, 15), (12, 12)), False),
        "wide strides": ((9, 9), (2, 1), (5, 4), "VALID"),
        "channels last": ((9, 8), (3, 3), (2, 2), ((1, 1), (1, 1)), False, False, None, (), True),
        "1-d": ((11,), (4,), (3,), ((1, 2),), False, True),
        "beyond the input": ((2, 9), (6, 3), (5, 2), ((1, 0), (1, 1)), True, True),
        "3-d": ((5, 6, 4), (2, 3, 2), (1, 2, 2), ((0, 1), (1, 1), (0, 0)), False),
    }.items()
]

ADAPTIVE = [
    pytest.param(Adaptive(*case), id=f"adaptive {name}")
    for name, case in {
        "tiles": ((8, 6), (4, 3)),
        "global": ((8, 6), (1, 1)),
        "bins": ((9, 7), (4, 5)),
        "kept axis": ((9, 7), (None, 5)),
        "more outputs": ((3, 4), (5, 8)),
        "long bins": ((55, 3), (3, 2)),
        "channels last": ((9, 8), (4, 6), True),
        "1-d": ((11,), (4,)),
        "3-d": ((5, 6, 4), (2, 3, 3)),
    }.items()
]
CASES = FIXED + ADAPTIVE

# Pools of 18 x 18 that are summed in different ways.
POOLS = {
    "tiles": partial(avg_pool2d, kernel=3),
    "overlapping": partial(avg_pool2d, kernel=3, stride=2, padding=1, count_include_pad=False),
    "long": partial(avg_pool2d, kernel=15, stride=1),
    "one window": partial(avg_pool2d, kernel=18),
    "bins": partial(adaptive_avg_pool2d, output_size=5),
}

# The dtypes of JAX; the wide ones need x64.
NARROW = ["bool", "int4", "uint8", "int32", "bfloat16", "float16", "float32", "complex64"]
NARROW += ["float8_e4m3fn", "float8_e5m2"]
RARE = ["int2", "uint2", "uint4", "int8", "int16", "uint16", "uint32", "float4_e2m1fn"]
RARE += ["float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fnuz"]
RARE += ["float8_e5m2fnuz", "float8_e8m0fnu"]
WIDE = ["int64", "uint64", "float64", "complex128"]
