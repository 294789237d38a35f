"""What the pages share comes from one place, and what they name or link is there."""

import json
import re

import numpy as np
import pytest
from pages import FOLDER, INCLUDE, PAGES, README, ROOT, hooks, words

import jaxpool

GOLDEN = FOLDER.parent / "golden" / "torch.npz"
DRAWINGS = hooks.windows.DRAWINGS
SHARED = [
    (page, name, section)
    for page, text in PAGES.items()
    for _, name, section in INCLUDE.findall(text)
]


@pytest.mark.parametrize("name", PAGES)
def test_links_and_pictures_exist(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)#:]+)\)|src=\"([^\":]+)\"", PAGES[name]):
        assert (page.parent / "".join(target)).exists(), target


def test_every_section_of_the_readme_is_used():
    sections = re.findall(r"\[start:(\w+)\]", README)
    assert sections == re.findall(r"\[end:(\w+)\]", README)
    assert set(sections) == {section for _, name, section in SHARED if name == "README.md"}


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    named = set(re.findall(r": ([\w/-]+\.md)$", navigation, re.MULTILINE))
    assert named == {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}


def test_every_example_is_shown():
    examples = {f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py")}
    assert examples == {name for page, name, _ in SHARED if page == "docs/examples.md"}


def test_figures_on_the_first_page():
    calls = json.loads(str(np.load(GOLDEN)["calls"]))["calls"]
    assert f"for {len(calls)} calls" in words("docs/index.md")


def test_the_changelog_has_the_version():
    assert f"\n## {jaxpool.__version__} - 20" in PAGES["CHANGELOG.md"]


@pytest.mark.parametrize("name", PAGES)
def test_code_needs_no_scrolling(name):
    """A page is 80 columns wide beside its navigation; drawings are not shown as code."""
    blocks = re.findall(r"^ *```(\S*).*\n((?:.*\n)*?) *```$", PAGES[name], re.MULTILINE)
    lines = [line for kind, text in blocks if kind not in DRAWINGS for line in text.splitlines()]
    assert [line for line in lines if len(line) > 80] == []
