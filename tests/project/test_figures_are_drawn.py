"""The scripts in docs/figures draw the site's charts, which the site can show light and dark."""

import re
import sys

import pytest
from pages import PAGES, ROOT, assert_is_chart
from processes import run_python

FIGURES, IMAGES = ROOT / "docs" / "figures", ROOT / "docs" / "images"
sys.path.insert(0, str(FIGURES))
import errors  # noqa: E402

NAMES = [library.name for library in errors.LIBRARIES]


@pytest.mark.slow
def test_errors_are_drawn_the_same_each_time(tmp_path):
    pictures = tmp_path / "first.svg", tmp_path / "second.svg"
    arguments = [["--picture", str(picture), "--kernels", "2", "3"] for picture in pictures]
    printed = run_python(FIGURES / "errors.py", *arguments[0], cwd=tmp_path)
    errors.main(arguments[1])
    first, second = (picture.read_text() for picture in pictures)
    assert first == second
    assert_is_chart(pictures[0])
    for name in NAMES:
        assert (f">{name}<" in first) != (f"{name} is not installed" in printed)
    for dtype in errors.DTYPES:
        for k in (2, 3):
            assert len(re.findall(rf"^{dtype} +{k}x{k} ", printed, re.MULTILINE)) == 2
    assert re.search(r"^bfloat16 +2x2 .* 1\.[345]e-03$", printed, re.MULTILINE)


def test_the_committed_errors_name_every_library():
    assert_is_chart(IMAGES / "errors.svg")
    drawn = (IMAGES / "errors.svg").read_text()
    for name in (*NAMES, *errors.DRAWN, *map(str, errors.KERNELS)):
        assert f">{name}<" in drawn


def test_a_library_that_is_missing_is_left_out(tmp_path, monkeypatch):
    def missing(*_):
        raise ImportError

    first, second, *_, last = errors.LIBRARIES
    monkeypatch.setattr(errors, "LIBRARIES", (first._replace(pool=missing), second, last))
    single, sliding = (errors.measure_all([2], slides) for slides in (False, True))
    assert list(single) == [second.name, last.name]
    errors.draw(single, sliding, tmp_path / "errors.svg")
    assert f">{first.name}<" not in (tmp_path / "errors.svg").read_text()


@pytest.mark.parametrize("name", ["numerics", "performance", "masks", "recipes"])
def test_every_picture_is_described_and_there(name):
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)(\{[^}]*\})?", PAGES[f"docs/{name}.md"])
    assert pictures
    for text, target, attributes in pictures:
        assert len(text) > 100
        assert (ROOT / "docs" / target).is_file()
        assert (".chart" in attributes) == target.endswith(".svg")


@pytest.mark.parametrize("name", ["masks_sensor", "recipes_borders", "errors", "benchmark"])
def test_charts_survive_being_inverted(name):
    assert_is_chart(IMAGES / f"{name}.svg")
