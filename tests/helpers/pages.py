"""The pages as a reader sees them, and how the Python on them is run."""

import re
import textwrap
import traceback
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent

PAGES = {
    str(page.relative_to(ROOT)): page.read_text()
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
}
README = PAGES["README.md"]
INCLUDE = re.compile(r'^( *)--8<-- "([^":]+)(?::(\w+))?"$', re.MULTILINE)  # pymdownx.snippets


def words(name):
    """The text of a page in one line."""
    return " ".join(PAGES[name].split())


def assembled(name):
    """The page with what it includes, without the drawings, which run nothing."""

    def included(match):
        indent, source, section = match.groups()
        text = (ROOT / source).read_text()
        if section:
            _, text = re.split(rf".*--8<-- \[start:{section}\].*\n", text)
            text, _ = re.split(rf"\n.*--8<-- \[end:{section}\]", text)
        return textwrap.indent(text.rstrip("\n"), indent)

    return INCLUDE.sub(included, PAGES[name])


def python_in(text):
    """The Python blocks of a page, in order."""
    return re.findall(r"```(?:python|{ \.python })\n(.*?)```", text, re.DOTALL)


def assert_blocks_run(text):
    """One after the other in one namespace; comments behind a line or below say what it prints."""
    blocks = python_in(text)
    assert blocks
    names = {}
    for block in blocks:
        printed = []
        names["print"] = lambda *values, printed=printed: printed.append(" ".join(map(str, values)))
        exec(compile(block, "block", "exec"), names)
        comments = re.findall(r"^ *print\(.*?\)((?:(?:  |\n *)# .*)+)$", block, re.MULTILINE)
        promised = [line for lines in comments for line in re.findall("# (.*)", lines)]
        assert printed == promised, f"{printed} is printed, and not {promised}"


def failure_of(text):
    """The traceback, if its blocks do not run, as text: not every error can leave a process."""
    try:
        assert_blocks_run(text)
    except Exception:
        return traceback.format_exc()
    return ""


def assert_is_chart(path):
    """A picture of vectors and text that is not large, on nothing, so that it can be inverted."""
    text = path.read_text()
    assert len(text) < 100_000
    assert "<svg" in text
    assert "<text" in text
    assert "sans-serif" in text
    assert "<image" not in text
    assert "<dc:date>" not in text
    assert re.search(r'id="patch_1">\s*<path d="[^"]*" style="fill: none', text)
