"""The version is the same wherever a release writes it. CI checks the form of these files."""

import re

from pages import PAGES, ROOT

import jaxpool


def test_the_version_is_one():
    citation = (ROOT / "CITATION.cff").read_text()
    (version,) = re.findall(r"^version: (.+)$", citation, re.MULTILINE)
    (date,) = re.findall(r"^date-released: (.+)$", citation, re.MULTILINE)
    assert version == jaxpool.__version__
    assert f"\n## {version} - {date}\n" in PAGES["CHANGELOG.md"]
    assert f"\nsite_name: jaxpool {version} " in (ROOT / "mkdocs.yml").read_text()
