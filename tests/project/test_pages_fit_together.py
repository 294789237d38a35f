"""What the pages share comes from one place, and what they name or link is there.

The build of the site checks the links, sections and navigation of its pages.
"""

import json
import re

import numpy as np
import pytest
from pages import FOLDER, INCLUDE, PAGES, ROOT, words

from docs.figures.windows import DRAWINGS

GOLDEN = FOLDER.parent / "golden" / "torch.npz"


@pytest.mark.parametrize("name", [name for name in PAGES if "/" not in name])
def test_links_and_pictures_exist(name):
    for target in re.findall(r"\]\(([^)#:]+)[)#]", PAGES[name]):
        assert (ROOT / target).exists(), target


def test_every_example_is_shown():
    shown = {name for page in PAGES.values() for _, name, _ in INCLUDE.findall(page)}
    assert shown >= {f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py")}


def test_figures_on_the_first_page():
    calls = json.loads(str(np.load(GOLDEN)["calls"]))["calls"]
    assert f"for {len(calls)} calls" in words("README.md")


@pytest.mark.parametrize("name", PAGES)
def test_code_needs_no_scrolling(name):
    """A page is 80 columns wide beside its navigation; drawings are not shown as code."""
    blocks = re.findall(r"^ *```(\S*).*\n((?:.*\n)*?) *```$", PAGES[name], re.MULTILINE)
    lines = [line for kind, text in blocks if kind not in DRAWINGS for line in text.splitlines()]
    assert [line for line in lines if len(line) > 80] == []
