"""The table of each run, ratios and means of it, and the facts that the pages say.

python -m benchmarks.tables --write    writes them to README and the pages, and draws the chart
python -m benchmarks.tables --check    fails if --write would change a page

A page names a fact where it stands: `<!-- facts: speed -->` before it, `<!-- /facts -->` behind.
`benchmarks/facts.py` has a function for each name.
"""

import json
import re
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.peers import JAXPOOL
from benchmarks.pools import Pool

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
# Columns that say what was measured, beside the peer; all others are figures.
KEYS = ("runtime", "pool", "sharded", "chips", "dtype", "layout", "direction", "settings")
BLOCK = re.compile(r"(<!-- facts: (\w+) -->)\n\n.*?(?=<!-- /facts -->)", re.DOTALL)
NOISY = 0.15  # times with a larger spread are not to be believed


@dataclass
class Table:
    """A run: where it was measured, with which versions, and a row for each thing measured."""

    hardware: str
    versions: dict[str, str]
    records: pd.DataFrame

    def save(self, path: Path) -> None:
        """Writes the rows, and above them the hardware and the versions."""
        head = json.dumps({"hardware": self.hardware, "versions": self.versions})
        rows = self.records.convert_dtypes()  # counts stay whole beside gaps
        path.write_text(f"# {head}\n{rows.to_csv(index=False, float_format='%.4g')}")

    @classmethod
    def load(cls, name: str) -> "Table":
        """Reads what `save` wrote, by the name of a file in `results`."""
        path = RESULTS / f"{name}.csv"
        head = json.loads(path.read_text().split("\n", 1)[0].removeprefix("# "))
        return cls(**head, records=pd.read_csv(path, skiprows=1))

    def report(self, metric: str, path: Path | None) -> None:
        """Prints ratios and warns of noise, as each command does, and saves if there is a path."""
        records, found = self.records, ratios(self.records, metric)
        mine = records[records["peer"] == JAXPOOL].set_index(found.index.names)[metric]
        by = [key for key in ("runtime", "settings") if key in records]
        print(f"{metric} over jaxpool's on {self.hardware}: above 1, jaxpool is better.")
        for shown in (found.assign(**{f"{JAXPOOL}, {metric}": mine}), means(found, by)):
            print(f"\n{shown.map(number).to_string()}")
        noisy = records[records["spread"] > NOISY] if "spread" in records else records[:0]
        if not noisy.empty:
            print(f"{len(noisy)} of {len(records)} times are noisy:", file=sys.stderr)
            print(noisy[["peer", *found.index.names, "spread"]].to_string(), file=sys.stderr)
        if path:
            self.save(path)


def read_options(
    about: str, pools: Iterable[Pool], peers: Iterable[str] = (), **more: Any
) -> Namespace:
    """What a command is called with: pools and peers, where to save, and more options."""
    parser = ArgumentParser(description=about, formatter_class=RawDescriptionHelpFormatter)
    words = {pool: {pool, *pool.split()} for pool in pools}
    every, others = set().union(*words.values()), [peer for peer in peers if peer != JAXPOOL]
    more["pools"] = {"nargs": "+", "choices": every, "default": every, "metavar": "WORD"}
    more["pools"]["help"] = "those with such a word in their names: k3, excl, 32x512x7x7"
    if others:
        more["peers"] = {"nargs": "*", "choices": others, "default": others}
    more["save"] = {"type": Path, "metavar": "FILE", "help": "write all figures"}
    for option, settings in more.items():
        parser.add_argument(f"--{option}", **settings)
    options = parser.parse_args()
    options.pools = [pool for pool, said in words.items() if said & {*options.pools}]
    return options


def ratios(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A column for each peer: its figure over jaxpool's, of the same pool, dtype and so on."""
    keys = [key for key in KEYS if key in records]
    figures = records.set_index([*keys, "peer"])[metric].unstack("peer", sort=False)
    return figures.div(figures.pop(JAXPOOL), axis=0)


def means(of_pools: pd.DataFrame, by: Sequence[str] = (), kind: str = "") -> pd.DataFrame:
    """Geometric means of ratios: a row for each of the keys `by`, or one, of a kind of pools."""
    names = of_pools.index.get_level_values("pool")
    logs = np.log(of_pools[[not kind or getattr(Pool(name), kind) for name in names]])
    return np.exp(logs.groupby(list(by) or (lambda _: "mean"), sort=False).mean())


def number(value: float) -> str:
    """Two digits, or all that are before the point: 0.57, 1.2, 27."""
    if pd.isna(value):
        return "-"
    return f"{value:.2f}" if value < 0.945 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    found = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    return {name: found[name] for name in packages if name in found}


def markdown(part: pd.DataFrame | str) -> str:
    """A table, or a paragraph or items."""
    if isinstance(part, str):
        items, indent = re.split(r"\n\s*(?=- )", part), "  " if part.startswith("-") else ""
        options = {"width": 110, "subsequent_indent": indent, "break_on_hyphens": False}
        return "\n".join(fill(" ".join(item.split()), **options) for item in items)
    rows = part if part.index.name is None else part.reset_index()
    lines = [rows.columns, ["---"] * len(rows.columns), *rows.fillna("-").to_numpy()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pages() -> list[Path]:
    """README and all pages of the site."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def written(page: str) -> str:
    """The text of a page with its facts in place."""
    from benchmarks import facts  # which reads the tables by this module

    def block(found: re.Match[str]) -> str:
        return "\n\n".join([found[1], *map(markdown, getattr(facts, found[2])()), ""])

    return BLOCK.sub(block, page)


def main() -> None:
    """Writes or checks the facts."""
    from benchmarks import facts

    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true", help="what it does by default")
    options = parser.parse_args()
    texts = {path: (path.read_text(), written(path.read_text())) for path in tqdm(pages())}
    changed = {path: after for path, (before, after) in texts.items() if after != before}
    if options.write:
        for path, text in changed.items():
            path.write_text(text)
        facts.draw(ROOT / "docs" / "images" / "benchmark.svg")
    elif changed:
        sys.exit(f"run python -m benchmarks.tables --write: {', '.join(map(str, changed))}")


if __name__ == "__main__":
    main()
