"""The site's drawings show what the oracle says of windows and bins."""

import re
from itertools import product

import oracle
import pytest
from cases import slow
from pages import PAGES, hooks

DRAWINGS = hooks.DRAWING.findall(PAGES["docs/windows.md"])


def assert_drawn(drawn, taps, divisors):
    """The taps are positions, of which 0 is the first cell of the input; those that count tell."""
    assert [[c - drawn.low for c in row.nonzero()[0]] for row in drawn.taps] == [*map(list, taps)]
    assert drawn.divisors == divisors
    for output, divisor in enumerate(divisors):
        roles = [drawn.role(output, column) for column in range(drawn.taps.shape[1])]
        assert roles.count({"tap", "counted"}) == (divisor or 0)


@pytest.mark.parametrize("padding", [1, *slow(0, [(2, 0)], "SAME", "SAME_LOWER")])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_what_is_drawn_of_a_window(padding, ceil_mode):
    pads = ((padding, padding),) if isinstance(padding, int) else padding
    pads = pads if isinstance(pads, str) else tuple(pads)
    for stride, dilation, count in product((1, 2, 4), (1, 2), (False, True)):
        given = {"stride": stride, "dilation": dilation, "ceil_mode": ceil_mode}
        drawn = hooks.windows.Windows.of(
            7, kernel=3, padding=padding, count_include_pad=count, **given
        )
        config = oracle.Config((7,), (3,), (stride,), pads, count, ceil_mode, dilation=(dilation,))
        axis = pads if isinstance(pads, str) else pads[0]
        taps = oracle.axis_windows(7, 3, stride, dilation, axis, ceil_mode)
        assert_drawn(drawn, taps, [divisor for *_, divisor in oracle.windows(config)[1]])


@pytest.mark.parametrize(("size", "outputs"), [(8, 4), (7, 3), (3, 5), (5, 1)])
def test_what_is_drawn_of_bins(size, outputs):
    taps = oracle.bins(size, outputs)
    drawn = hooks.windows.Windows.of(size, output_size=outputs)
    assert_drawn(drawn, taps, list(map(len, taps)))


def test_what_is_drawn_of_nothing():
    arguments = {"kernel": 2, "dilation": 3, "padding": 1, "count_include_pad": False}
    assert_drawn(hooks.windows.Windows.of(2, **arguments), [[-1, 2]], [None])


@pytest.mark.parametrize(("kind", "source"), DRAWINGS)
def test_drawings_have_words_and_fit_a_phone(kind, source):
    drawn = hooks.windows.figures(kind, source)
    drawings = re.findall(r'<svg [^>]*viewBox="-1 -1 (\d+) \d+"[^>]* aria-label="([^"]+)"', drawn)
    assert len(source.splitlines()) == drawn.count("<figcaption>")
    assert len(drawings) == drawn.count("<svg")
    for width, described in drawings:
        assert len(described) > 30
        assert int(width) < 344  # pixels, so that a phone shows it at the scale of the others
    assert "nan" not in drawn


def test_every_kind_of_drawing_is_used():
    assert {kind for kind, _ in DRAWINGS} == set(hooks.windows.DRAWINGS)
