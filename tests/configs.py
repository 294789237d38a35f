"""Random whole configurations, for the property tests and the soak."""

from cases import Call
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
    """That many calls, the same for the same `number`, no two of them equal."""
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
