"""The table of each run, ratios and means of it, and the facts that the pages say.

python -m benchmarks.tables            shows the facts
python -m benchmarks.tables --write    writes them to README and the pages, and draws the chart
python -m benchmarks.tables --check    fails if --write would change a page

A page names a fact where it stands: `<!-- facts: speed -->` before it, `<!-- /facts -->` behind.
`benchmarks/facts.py` has a function for each name.
"""

import json
import re
import sys
from argparse import Action, ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import warn_of_noise
from benchmarks.peers import JAXPOOL
from benchmarks.pools import Pool

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
# Columns that say what was measured, beside the peer; all others are figures.
KEYS = ("runtime", "pool", "sharded", "chips", "dtype", "layout", "direction", "settings")
BLOCK = re.compile(r"(<!-- facts: (\w+) -->\n\n).*?(?=<!-- /facts -->)", re.DOTALL)


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
        apart = [key for key in ("runtime", "settings") if key in records]
        mine = records[records["peer"] == JAXPOOL].set_index(found.index.names)[metric]
        print(f"{metric} over jaxpool's on {self.hardware}: above 1, jaxpool is better.\n")
        for shown in (found.assign(**{f"{JAXPOOL}, {metric}": mine}), means(found, apart)):
            print(shown.map(number).to_string(), "\n")
        if "spread" in records:
            keys = records[["peer", *found.index.names]].agg(" ".join, axis=1)
            warn_of_noise(dict(zip(keys, records["spread"], strict=True)))
        if path:
            self.save(path)


def parser(command: str, about: str, pools: Sequence[Pool], peers: Sequence[str]) -> ArgumentParser:
    """The options of each command: which pools and peers, and where to save."""
    name, formatter = f"python -m benchmarks.{command}", RawDescriptionHelpFormatter
    made = ArgumentParser(name, None, about, formatter_class=formatter)
    words = "with one of these words in their names, such as k3, excl or 32x512x7x7; else all"
    made.add_argument(
        "--pools", nargs="+", action=_Chosen, default=pools, metavar="WORD", help=words
    )
    others = [peer for peer in peers if peer != JAXPOOL]
    if others:
        made.add_argument("--peers", nargs="*", choices=others, default=others)
    made.add_argument("--save", type=Path, metavar="FILE", help="write all figures")
    return made


class _Chosen(Action):
    """The pools of words."""

    def __call__(self, parser: ArgumentParser, options: Any, words: Any, _: Any = None) -> None:
        said = {pool: {pool.name, *pool.name.split()} for pool in self.default}
        if unknown := {*words}.difference(*said.values()):
            names = ", ".join(pool.name for pool in said)
            parser.error(f"no pool has {', '.join(unknown)} in its name. They are {names}")
        setattr(options, self.dest, [pool for pool in said if said[pool] & {*words}])


def ratios(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A column for each peer: its figure over jaxpool's, of the same pool, dtype and so on."""
    keys = [key for key in KEYS if key in records]
    peers = records["peer"].unique()
    figures = records.set_index([*keys, "peer"])[metric].unstack("peer", sort=False)[peers]
    return figures.div(figures[JAXPOOL], axis=0).drop(columns=JAXPOOL)


def means(of_pools: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Geometric means of ratios, a row for each value of the keys `by`, or one row."""
    logs = np.log(of_pools)
    return np.exp(
        logs.groupby(list(by), sort=False).mean() if by else logs.mean().to_frame("mean").T
    )


def of_kind(of_pools: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The rows of those pools that are `is_common` or `is_large`; all for "all"."""
    names = of_pools.index.get_level_values("pool")
    return of_pools[[kind == "all" or getattr(Pool(name), kind) for name in names]]


def number(value: float) -> str:
    """Two digits, or all that are before the point: 0.57, 1.2, 27."""
    if pd.isna(value):
        return "-"
    return f"{value:.2f}" if value < 0.945 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those packages that are installed."""
    found = {d.metadata["Name"].lower(): d.version for d in metadata.distributions()}
    return {name: found[name] for name in packages if name in found}


def pages() -> list[Path]:
    """README and all pages of the site."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def written(page: str, facts: dict[str, str]) -> str:
    """The text of a page with its facts in place."""
    return BLOCK.sub(lambda found: f"{found[1]}{facts[found[2]]}\n\n", page)


def main(arguments: Sequence[str] | None = None) -> None:
    """Shows, writes or checks the facts."""
    from benchmarks import facts  # which reads the tables by this module

    about = ArgumentParser("python -m benchmarks.tables", None, __doc__)
    about.formatter_class = RawDescriptionHelpFormatter
    about.add_argument("--write", action="store_true")
    about.add_argument("--check", action="store_true")
    options = about.parse_args(arguments)
    found = {name: fact() for name, fact in facts.FACTS.items()}
    before = {path: path.read_text() for path in pages()}
    after = {path: written(text, found) for path, text in before.items()}
    changed = [path for path in before if after[path] != before[path]]
    if options.write:
        for path in changed:
            path.write_text(after[path])
        facts.draw(ROOT / "docs" / "images" / "benchmark.svg")
    elif options.check and changed:
        sys.exit(f"run python -m benchmarks.tables --write: {', '.join(map(str, changed))}")
    elif not options.check:
        print(*(f"{name}:\n\n{fact}\n" for name, fact in found.items()), sep="\n")


if __name__ == "__main__":
    main()
