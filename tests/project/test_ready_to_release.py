"""What a release, the host of the repository and pre-commit read agrees with the library."""

import re

import pytest
import yaml
from pages import PAGES, ROOT

import jaxpool

WORKFLOWS = {"docs.yml", "release.yml", "test.yml"}
in_checkout = pytest.mark.skipif(
    not (ROOT / ".github").exists(), reason="the sdist has no files of the host"
)


def read(name):
    return yaml.safe_load((ROOT / name).read_text())


def test_the_citation_is_of_this_version():
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"].startswith("jaxpool")
    assert citation["authors"] == [{"name": "The jaxpool authors"}]
    assert citation["version"] == jaxpool.__version__
    heading = f"\n## {citation['version']} - {citation['date-released']}\n"
    assert heading in PAGES["CHANGELOG.md"]


@in_checkout
def test_workflows_pin_what_they_use_and_may_write_little():
    workflows = {path.name: path.read_text() for path in (ROOT / ".github/workflows").iterdir()}
    assert set(workflows) == WORKFLOWS
    for text in workflows.values():
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] in ({}, {"contents": "read"})
        assert workflow["jobs"]
        for used in re.findall(r"uses: (.*)", text):
            assert re.fullmatch(r"\./\S+|[\w/-]+@[0-9a-f]{40} # v[\d.]+", used), used


@in_checkout
@pytest.mark.parametrize("name", ["bug", "feature"])
def test_issue_templates(name):
    template = read(f".github/ISSUE_TEMPLATE/{name}.yml")
    assert template["name"]
    assert template["description"]
    assert any(field.get("validations") == {"required": True} for field in template["body"])


@in_checkout
def test_there_is_a_template_for_pull_requests():
    assert "CHANGELOG.md" in (ROOT / ".github/PULL_REQUEST_TEMPLATE.md").read_text()


@in_checkout
def test_pre_commit_has_the_ruff_of_ci():
    ruff, mypy = read(".pre-commit-config.yaml")["repos"]
    locked = re.search(r"^ruff==(\S+)", (ROOT / ".ci/locks/newest.txt").read_text(), re.MULTILINE)
    assert ruff["rev"] == f"v{locked[1]}"
    assert [hook["id"] for hook in ruff["hooks"]] == ["ruff-check", "ruff-format"]
    assert [hook["id"] for hook in mypy["hooks"]] == ["mypy"]
