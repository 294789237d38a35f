"""The site's drawings show what the oracle says of windows and bins."""

import re
from itertools import product

import oracle
import pytest
from cases import slow
from pages import PAGES, ROOT

from docs.figures.windows import DRAWINGS, Windows


def assert_drawn(drawn, taps, divisors):
    """The taps are positions, of which 0 is the first cell of the input; those that count tell."""
    assert [[c - drawn.low for c in row.nonzero()[0]] for row in drawn.taps] == [*map(list, taps)]
    assert drawn.divisors == divisors
    for output, divisor in enumerate(divisors):
        roles = [drawn.role(output, column) for column in range(drawn.taps.shape[1])]
        assert roles.count({"tap", "counted"}) == (divisor or 0)


@pytest.mark.parametrize("padding", [1, *slow(0, ((2, 0),), "SAME", "SAME_LOWER")])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_windows(padding, ceil_mode):
    axis = (padding, padding) if isinstance(padding, int) else padding
    pads = axis if isinstance(axis, str) else (axis,)
    for stride, dilation, count in product((1, 2, 4), (1, 2), (False, True)):
        given = {"stride": stride, "dilation": dilation, "ceil_mode": ceil_mode}
        drawn = Windows.of(7, kernel=3, padding=pads, count_include_pad=count, **given)
        config = oracle.Config((7,), (3,), (stride,), pads, count, ceil_mode, dilation=(dilation,))
        taps = oracle.axis_windows(7, 3, stride, dilation, axis, ceil_mode)
        assert_drawn(drawn, taps, [divisor for *_, divisor in oracle.windows(config)[1]])


@pytest.mark.parametrize(("size", "outputs"), [(8, 4), (7, 3), (3, 5), (5, 1)])
def test_bins(size, outputs):
    taps = oracle.bins(size, outputs)
    assert_drawn(Windows.of(size, output_size=outputs), taps, list(map(len, taps)))


def test_a_window_of_padding_alone():
    arguments = {"kernel": 2, "dilation": 3, "padding": 1, "count_include_pad": False}
    assert_drawn(Windows.of(2, **arguments), [[-1, 2]], [None])


def test_the_site_draws_every_kind():
    """Else a page would show the call, and not its drawing."""
    fences = re.findall(r"- name: (\w+)\n +class", (ROOT / "mkdocs.yml").read_text())
    drawn = re.findall(r"^```(\w+)\n", PAGES["docs/windows.md"], re.MULTILINE)
    assert {*fences} == {*DRAWINGS} <= {*drawn}
