"""One long table of each run, ratios and means of it, and the facts that the pages say.

python -m benchmarks.tables            shows the facts
python -m benchmarks.tables --write    writes them to README and the pages, and draws the chart
python -m benchmarks.tables --check    fails if --write would change a page

A page names a fact where it stands: `<!-- facts: speed -->` before it, `<!-- /facts -->` behind.
`benchmarks/facts.py` has a function for each name.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.peers import JAXPOOL
from benchmarks.pools import Pool

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
# Columns that say what was measured; all others are figures.
KEYS = (
    *("runtime", "peer", "pool", "sharded", "chips"),
    *("dtype", "layout", "direction", "settings", "kernel", "sliding"),
)
BLOCK = re.compile(r"(<!-- facts: (\w+) -->\n\n).*?(?=<!-- /facts -->)", re.DOTALL)


@dataclass
class Table:
    """A run: where it was measured, with which versions, and a row for each thing measured."""

    hardware: str
    versions: dict[str, str]
    records: pd.DataFrame

    def save(self, path: Path) -> None:
        """Writes a line for each figure, and above them the hardware and the versions."""
        keys = [key for key in KEYS if key in self.records]
        long = self.records.melt(keys, var_name="metric").dropna()
        long["value"] = [_written(value) for value in long["value"]]
        order = {key: i for i, key in enumerate(self.records[keys].itertuples(index=False))}
        places = [order[key] for key in long[keys].itertuples(index=False)]
        long = long.iloc[np.argsort(places, kind="stable")]
        head = json.dumps({"hardware": self.hardware, "versions": self.versions})
        path.write_text(f"# {head}\n{long.to_csv(index=False)}")

    @classmethod
    def load(cls, name: str) -> "Table":
        """Reads what `save` wrote, by the name of a file in `results`."""
        path = RESULTS / f"{name}.csv"
        head = json.loads(path.read_text().split("\n", 1)[0].removeprefix("# "))
        long = pd.read_csv(path, skiprows=1, dtype=str)
        keys = [key for key in KEYS if key in long]
        wide = long.set_index([*keys, "metric"])["value"].unstack("metric", sort=False)
        return cls(head["hardware"], head["versions"], wide.reset_index().apply(_numeric))


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if float(value).is_integer() else f"{value:.4g}"


def _numeric(column: pd.Series) -> pd.Series:
    try:
        return pd.to_numeric(column)
    except ValueError:  # operators by name
        return column


def ratios(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A column for each peer: its figure over jaxpool's, of the same pool, dtype and so on."""
    keys = [key for key in KEYS if key in records and key != "peer"]
    peers = records["peer"].unique()
    figures = records.set_index([*keys, "peer"])[metric].unstack("peer", sort=False)[peers]
    return figures.div(figures[JAXPOOL], axis=0).drop(columns=JAXPOOL)


def means(of_pools: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Geometric means of ratios, a row for each value of the keys `by`, or one row."""
    logs = np.log(of_pools)
    return np.exp(logs.groupby(list(by), sort=False).mean() if by else logs.mean().to_frame().T)


def of_kind(of_pools: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The rows of those pools that are `is_common` or `is_large`; all for "all"."""
    names = of_pools.index.get_level_values("pool")
    return of_pools[[kind == "all" or getattr(Pool.named(name), kind) for name in names]]


def show_ratios(records: pd.DataFrame, metric: str) -> str:
    """For the terminal: the ratios of each pool, and jaxpool's figure first."""
    found = ratios(records, metric)
    mine = records[records["peer"] == JAXPOOL].set_index(found.index.names)[metric]
    found.insert(0, f"{JAXPOOL}, {metric}", mine)
    numbers = [number] * len(found.columns)
    means_ = means(found.iloc[:, 1:]).rename(index={0: "geometric mean"})
    shown = [found.to_string(formatters=numbers, na_rep="-")]
    return "\n\n".join([*shown, means_.to_string(formatters=numbers[1:], na_rep="-")])


def number(value: float) -> str:
    """Two digits, or all that are before the point: 0.57, 1.2, 27."""
    if pd.isna(value):
        return "-"
    return f"{value:.2f}" if value < 0.945 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def markdown(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    headers = list(headers)
    lines = [headers, ["---"] * len(headers), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


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

    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks.tables", None, __doc__, formatter_class=formatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    found = {name: fact() for name, fact in facts.FACTS.items()}
    changed = {}
    for path in pages():
        before = path.read_text()
        if (after := written(before, found)) != before:
            changed[path] = after
    if options.write:
        for path, text in changed.items():
            path.write_text(text)
        facts.draw(ROOT / "docs" / "images" / "benchmark.svg")
    elif options.check:
        if changed:
            sys.exit(f"run python -m benchmarks.tables --write: {', '.join(map(str, changed))}")
    else:
        for name, fact in found.items():
            print(f"{name}:\n\n{fact}\n")


if __name__ == "__main__":
    main()
