"""Random whole configurations, for the property tests and the soak."""

import random

import numpy as np
from cases import Call, RawCall
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from oracle import Adaptive, Config

MOST_PIXELS = {1: 9, 2: 7, 3: 4}


@st.composite
def configs(draw, ndim=None):
    """Any valid call on a small image of 1 to 3 spatial axes."""
    ndim = draw(st.integers(1, 3)) if ndim is None else ndim
    named = draw(st.sampled_from([None, None, None, "VALID", "SAME", "SAME_LOWER"]))
    ceil_mode = draw(st.booleans())
    axes = [draw(_axis(MOST_PIXELS[ndim], named, ceil_mode)) for _ in range(ndim)]
    spatial, kernel, stride, padding, dilation = zip(*axes, strict=True)
    return Config(
        spatial,
        kernel,
        stride,
        named or padding,
        draw(st.booleans()),
        ceil_mode,
        draw(st.sampled_from([None, None, None, 1, 7, -3])),
        dilation,
        draw(st.booleans()),
    )


@st.composite
def adaptive_configs(draw):
    """Any adaptive call on a small image of 1 to 3 spatial axes."""
    ndim = draw(st.integers(1, 3))
    sizes = st.integers(1, MOST_PIXELS[ndim])
    spatial = draw(st.tuples(*[sizes] * ndim))
    output_size = draw(st.tuples(*[st.none() | sizes] * ndim))
    return Adaptive(spatial, output_size, draw(st.booleans()))


def calls():
    """Any call of any function on a small image."""
    return st.builds(
        Call,
        st.one_of(configs(), configs(), configs(), adaptive_configs()),
        st.sampled_from(["float32", "float32", "bfloat16", "float16"]),
        st.sampled_from([None, None, None, 0.0, 0.3, 0.8, 1.0]),
        st.sampled_from([0.0, 0.0, 0.1]),
        st.integers(0, 2**32 - 1),
        st.sampled_from([(2,), (2,), (2,), (), (1,), (2, 1, 3)]),
    )


def random_calls(number, count):
    """That many calls, the same for the same `number`."""
    drawn = []

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @given(calls())
    def draw(call):
        drawn.append(call)

    draw()
    return drawn


def raw_calls(number, count):
    """The same calls as PyTorch can be told them, or with something that it or jaxpool refuses."""
    calls = random_calls(number, count)
    return [_raw(call, random.Random(f"{number} {i}")) for i, call in enumerate(calls)]


def _raw(call, rng):
    """The call without what jaxpool alone has; in each choice now and then something unusual."""

    def mostly(usual, *others):
        return rng.choice(others) if rng.random() < 0.02 else usual

    def spelled(values):
        values = tuple(values)
        all_equal = len({*values}) == 1
        right = [values, list(values), *([values[0], values[:1]] if all_equal else [])]
        wrong = [values[:1], values + values[:1], (), [n and float(n) for n in values]]
        return mostly(rng.choice(right), *wrong, *([] if None in values else [np.array(values)]))

    config, ndim = call.config, call.config.ndim
    batch = mostly(call.batch[:1], (2, *call.batch[:1]), (0,))
    channels = mostly((mostly(3, 0),), ())
    axes = [0] * ndim if rng.random() < 0.3 else range(ndim)
    spatial = [mostly(config.spatial[axis], 0) for axis in axes]
    dtype = call.dtype
    if isinstance(config, Adaptive):
        sizes = [config.output_size[axis] for axis in axes]
        if ndim == 1:  # PyTorch has no None there
            sizes = [mostly(sizes[0] or spatial[0], None)]
        arguments = {"output_size": spelled([mostly(size, 0, -1) for size in sizes])}
    else:
        if ndim == 3 and rng.random() < 0.9:  # of which PyTorch takes less
            spatial = [max(n, config.kernel[axis]) for n, axis in zip(spatial, axes, strict=True)]
            dtype = "float32"
        kernel = [mostly(config.kernel[axis], 0, -1, 2**31) for axis in axes]
        stride = [mostly(config.stride[axis], 0, -1, 2**31) for axis in axes]
        padding = [_equal_pads(config, axis) for axis in axes]
        most = range(max(config.kernel) + 1)
        padding = [mostly(rng.choice([*[pad] * 14, rng.choice(most)]), -1) for pad in padding]
        pairs = tuple((pad, rng.choice(most)) for pad in padding)
        names = "VALID", "SAME", "SAME_LOWER"
        divisor = config.divisor_override if ndim > 1 else None  # PyTorch has none in 1-d
        arguments = {
            "kernel": spelled(kernel),
            "stride": spelled(stride) if rng.random() < 0.8 else None,
            "padding": mostly(spelled(padding), pairs, *names),
            "count_include_pad": mostly(config.count_include_pad, 1, None),
            "ceil_mode": mostly(config.ceil_mode, 1, None),
            "divisor_override": mostly(divisor, 0, 7),
            "dilation": mostly(1, 2, config.dilation),
        }
    shape = (*batch, *channels, *spatial)
    if mostly(False, True):
        arguments["where"] = np.ones((1,) * len(shape), bool)
    if mostly(False, True):
        shape, arguments["data_format"] = (*batch, *spatial, *channels), "channels_last"
    integers = "int64", "int64", "int32", "uint8", "bool"
    dtype = mostly(mostly(dtype, *integers), "complex64", "float8_e5m2")
    return RawCall(config.function, shape, arguments, dtype, call.specials, call.seed)


def _equal_pads(config, axis):
    """Padding of at most half the kernel at both ends of an axis, which then holds a window."""
    if config.padding == "VALID":
        return 0
    pads = config.padding[axis] if not isinstance(config.padding, str) else config.kernel
    return min(max(pads), config.kernel[axis] // 2)


@st.composite
def _axis(draw, most, named, ceil_mode):
    n = draw(st.integers(1, most))
    k = draw(st.integers(1, most))
    d = draw(st.integers(1, 3))
    s = draw(st.integers(1, most + 2))
    extent = (k - 1) * d + 1
    if named in ("SAME", "SAME_LOWER"):
        return n, k, s, (0, 0), d
    low = high = 0
    if named is None:
        low, high = draw(st.integers(0, extent - 1)), draw(st.integers(0, extent - 1))
    overhang = s - 1 if ceil_mode else 0
    n = max(n, extent - low - high - overhang)  # there is a window
    return n, k, s, (low, high), d
