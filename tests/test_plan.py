"""The plan: every geometry has a way on every platform, and these are the ways of common pools.

Who changes a rule sees here what that changes.
"""

import itertools
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import value_and_gradient
from cases import CASES
from configs import random_calls
from oracle import Adaptive, Config
from spans import spans_of

from jaxpool import _plan, _primitive, avg_pool2d
from jaxpool._far import is_far
from jaxpool._plan import RULES, plan
from jaxpool._window import AdaptiveBins, Span

# pool, what is summed, purpose | cpu | gpu | tpu. A step is a way and the axes that it sums along.
PLANS = Path(__file__).parent / "golden" / "plans.txt"


def pool(spatial, kernel, stride, padding=0, **options):
    """A pool over images of shape (2, 3, *spatial), equal along all axes."""
    ndim = len(spatial)
    return Config(spatial, (kernel,) * ndim, (stride,) * ndim, ((padding,) * 2,) * ndim, **options)


POOLS = {
    "2x2 s2": pool((224, 224), 2, 2),
    "2x2 s2, channels_last": pool((224, 224), 2, 2, channels_last=True),
    "2x2 s2 ceil": pool((35, 35), 2, 2, ceil_mode=True),
    "2x2 s2 p1": pool((32, 32), 2, 2, 1),
    "3x3 s1": pool((35, 35), 3, 1),
    "3x3 s1 p1": pool((56, 56), 3, 1, 1),
    "3x3 s2 p1": pool((112, 112), 3, 2, 1),
    "3x3 s2 p1, channels_last": pool((112, 112), 3, 2, 1, channels_last=True),
    "5x5 s1 p2": pool((28, 28), 5, 1, 2),
    "7x7 s1 p3": pool((512, 512), 7, 1, 3),
    "8x8 s8": pool((128, 128), 8, 8),
    "11x11 s1": pool((64, 64), 11, 1),
    "20x20 s20": pool((224, 224), 20, 20),
    "128x128 s128": pool((1024, 1024), 128, 128),  # as one window it fails to compile for a TPU
    "31x31 s1 p15": pool((128, 128), 31, 1, 15),
    "127x127 s1 p63": pool((512, 512), 127, 1, 63),
    "7x7 of 7x7": pool((7, 7), 7, 7),
    "4x4x4 s4": pool((32, 32, 32), 4, 4),
    "3x3x3 s2 p1": pool((32, 32, 32), 3, 2, 1),
    "4 s4": pool((16384,), 4, 4),
    "adaptive 7x7 to 1": Adaptive((7, 7), (1, 1)),
    "adaptive 8x8 to 4": Adaptive((8, 8), (4, 4)),
    "adaptive 13x13 to 6": Adaptive((13, 13), (6, 6)),
    "adaptive 100x100 to 60": Adaptive((100, 100), (60, 60)),
}


SUMS = [("stored", "value"), ("converted", "value"), ("masked", "value")]
SUMS += [("counted", "value"), ("stored", "gradient"), ("converted", "gradient")]
PLATFORMS = "cpu", "gpu", "tpu"


def steps(rules, config, origin, purpose):
    """The name of each way and its windows."""
    found = plan(rules, spans_of(config), len(config.shape()), origin, purpose == "gradient")
    return [(step.way.__name__, step.windows) for step in found]


def written(config, origin, purpose):
    """The plan of each platform as text."""
    axes = [span.axis for span in spans_of(config)]
    names = dict(zip(axes, "dhw"[-len(axes) :], strict=True))

    def named(way, windows):
        return f"{way} {''.join(names[span.axis] for span in windows)}".rstrip()

    every = [steps(rules, config, origin, purpose) for rules in PLATFORMS]
    return [", ".join(named(*step) for step in found) for found in every]


def table():
    """All plans; of 16 bits (converted), masks and their counts where they differ from float32."""
    for name, config in POOLS.items():
        for origin, purpose in SUMS:
            found, usual = written(config, origin, purpose), written(config, "stored", purpose)
            if found != usual or origin == "stored":
                yield " | ".join([f"{name:24} {origin:9} {purpose:8}", *found])


def test_common_pools(monkeypatch):
    """Of JAX 0.11 and later; before that, plans for the CPU differ."""
    monkeypatch.setattr(_plan, "HAS_BARRIER", True)
    found = list(table())
    assert found == PLANS.read_text().splitlines(), "\n".join(["The table now:", *found])


@pytest.mark.parametrize("has_barrier", [False, True])
def test_every_geometry_has_a_way_on_every_platform(has_barrier, monkeypatch):
    monkeypatch.setattr(_plan, "HAS_BARRIER", has_barrier)
    configs = [call.config for call in random_calls(7, 400)]
    for config in [*configs, *(case.values[0] for case in CASES)]:
        spans = spans_of(config)
        needed = {s for s in spans if isinstance(s, AdaptiveBins) or not s.is_identity}
        for sums, rules in itertools.product(SUMS, RULES):
            axes = [(way, s.axis) for way, windows in steps(rules, config, *sums) for s in windows]
            taken = {axis for way, axis in axes if way == "take_near"}
            assert taken == {s.axis for s in needed if isinstance(s, Span) and is_far(s)}
            summed = [axis for way, axis in axes if way != "take_near"]
            again = [(way, axis) for way, axis in axes if summed.count(axis) > 1]
            assert {way for way, _ in again} <= {"window", "whole"}  # a TPU's tiles, then all
            assert len(again) == 2 * len({axis for _, axis in again})
            assert {*summed, *taken} == {span.axis for span in needed}


@pytest.mark.parametrize(
    ("dtype", "masked", "of_value", "of_gradient"),
    [
        ("float32", False, ["stored"], ["stored"]),
        ("bfloat16", False, ["converted"], ["converted"]),
        ("int32", False, ["converted"], []),
        ("float32", True, ["masked", "counted"], ["masked"]),
        ("bfloat16", True, ["masked", "counted"], ["masked"]),
    ],
)
def test_a_plan_is_made_for_what_is_summed(dtype, masked, of_value, of_gradient, monkeypatch):
    asked = []
    monkeypatch.setattr(_primitive, "plan", lambda *args: asked.append(args[-2:]) or plan(*args))
    x, where = jnp.ones((1, 5, 6), dtype), np.ones((5, 6), bool) if masked else None

    def f(x):
        pool = partial(avg_pool2d, kernel=2, where=where)
        return value_and_gradient(pool, x) if of_gradient else pool(x)

    jax.jit(f).lower(x)
    assert asked == [*((origin, False) for origin in of_value), *((o, True) for o in of_gradient)]
