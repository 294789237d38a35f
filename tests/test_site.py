"""The site's drawings show what the oracle says, and what pages share comes from one place."""

import re
from itertools import product

import oracle
import pytest
from test_against_torch import CALLS
from test_docs import PAGES, README, hooks, words

DRAWINGS = hooks.DRAWING.findall(PAGES["docs/windows.md"])
SHARED = [
    (page, name, section)
    for page, text in PAGES.items()
    for _, name, section in hooks.INCLUDE.findall(text)
]


def assert_drawn(drawn, taps, divisors):
    """The taps are positions, of which 0 is the first cell of the input; those that count tell."""
    assert [[c - drawn.low for c in row.nonzero()[0]] for row in drawn.taps] == taps
    assert drawn.divisors == divisors
    for output, divisor in enumerate(divisors):
        roles = [drawn.role(output, column) for column in range(drawn.taps.shape[1])]
        assert roles.count({"tap", "counted"}) == (divisor or 0)


@pytest.mark.parametrize("padding", [0, 1, [(2, 0)], "SAME", "SAME_LOWER"])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_what_is_drawn_of_a_window(padding, ceil_mode):
    pads = ((padding, padding),) if isinstance(padding, int) else padding
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
    assert len(drawings) == len(source.splitlines()) == drawn.count("<figcaption>")
    for width, described in drawings:
        assert len(described) > 30
        assert int(width) < 700  # of which a phone shows at least half the size
    assert "nan" not in drawn


def test_every_kind_of_drawing_is_used():
    assert {kind for kind, _ in DRAWINGS} == set(hooks.windows.DRAWINGS)


@pytest.mark.parametrize(("page", "name", "section"), SHARED)
def test_what_is_included_is_there(page, name, section):
    included = hooks.include(f'--8<-- "{name}{":" * bool(section)}{section}"', page)
    assert len(included) > 100
    assert "--8<--" not in included.replace("<!-- --8<-- [", "")


def test_every_section_of_the_readme_is_used():
    sections = re.findall(r"\[start:(\w+)\]", README)
    assert sections == re.findall(r"\[end:(\w+)\]", README)
    assert set(sections) == {section for _, name, section in SHARED if name == "README.md"}


def test_links_lead_to_pages():
    text = "[a](docs/scaling.md#x) [b](examples/poolformer.py) [c](https://e.org) [d](SECURITY.md)"
    home = "[a](scaling.md#x) [b](examples.md#poolformer) [c](https://e.org) [d](security.md)"
    assert hooks.relink(text, "README.md", "docs/index.md") == home
    deeper = "[e](../masks.md) ![f](../images/a.png)"
    assert hooks.relink(deeper, "docs/migration/onnx.md", "docs/migration/onnx.md") == deeper
    moved = "![f](../images/a.png)"
    assert hooks.relink("![f](docs/images/a.png)", "README.md", "docs/migration/onnx.md") == moved


def test_every_page_is_in_the_navigation():
    navigation = (hooks.ROOT / "mkdocs.yml").read_text()
    named = set(re.findall(r": ([\w/-]+\.md)$", navigation, re.MULTILINE))
    assert named == {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}


def test_every_example_is_shown():
    examples = {f"examples/{path.name}" for path in (hooks.ROOT / "examples").glob("*.py")}
    assert examples == {name for page, name, _ in SHARED if page == "docs/examples.md"}


def test_figures_on_the_first_page():
    home = words("docs/index.md")
    (row,) = re.findall(r"^\| `flax.linen.avg_pool` \| (.*) \|$", README, re.MULTILINE)
    forward, backward, narrow_forward, narrow_backward = row.split(" | ")
    assert f"take {forward} times as long forward and {backward} backward, in" in home
    assert f"bfloat16 {narrow_forward} and {narrow_backward} times" in home
    assert f"for {len(CALLS)} calls" in home
