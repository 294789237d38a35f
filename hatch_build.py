"""The description on a package index: README.md with links that work there.

Hatchling runs this when it builds. A link to a file of the repository becomes one to
`Source` of `[project.urls]`; as long as there is none, its text stays and a picture is left out.
"""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[([^]]*)\]\(([^):#]+)(#[^)]*)?\)")


class DescriptionHook(MetadataHookInterface):
    """Sets `readme` of the project."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling with `[project]`."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        source = metadata.get("urls", {}).get("Source")
        metadata["readme"] = {"content-type": "text/markdown", "text": described(text, source)}


def described(readme: str, source: str | None) -> str:
    """`readme` with its relative links and pictures led to `source`, or without them."""

    def led(match: re.Match[str]) -> str:
        picture, text, target, place = match.groups(default="")
        if source is None:
            return "" if picture else text
        return f"{picture}[{text}]({source}/{'raw' if picture else 'blob'}/HEAD/{target}{place})"

    return LINK.sub(led, readme)
