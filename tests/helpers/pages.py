"""The pages as a reader sees them, and how the Python on them is run."""

import ast
import re
import textwrap
from pathlib import Path
from types import SimpleNamespace

from processes import ROOT

FOLDER = Path(__file__).parent

PAGES = {
    str(page.relative_to(ROOT)): page.read_text()
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
}
README = PAGES["README.md"]
INCLUDE = re.compile(r'^( *)--8<-- "([^":]+)(?::(\w+))?"$', re.MULTILINE)  # pymdownx.snippets


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


def table(name, header):
    """The cells of the rows below the one that begins with `header`, a pattern."""
    pattern = rf"^\| {header}.*\|\n\|[-|]+\n((?:\|.*\n)+)"
    (rows,) = re.findall(pattern, PAGES[name], re.MULTILINE)
    return [[cell.strip("| ") for cell in row.split(" |")[:-1]] for row in rows.splitlines()]


def python_in(text):
    """The Python blocks of a page, in order."""
    return re.findall(r"```(?:python|{ \.python })\n(.*?)```", text, re.DOTALL)


def defined(name):
    """What a page imports and defines, and the keywords that it shares, without its examples."""

    def is_kept(node):
        if isinstance(node, ast.Assign):
            return isinstance(node.value, ast.Dict) or ast.unparse(node.value).startswith(
                "partial("
            )
        return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)

    tree = ast.parse("\n".join(python_in(assembled(name))))
    tree.body = [node for node in tree.body if is_kept(node)]
    names = {}
    exec(compile(tree, name, "exec"), names)
    return SimpleNamespace(**names)


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
