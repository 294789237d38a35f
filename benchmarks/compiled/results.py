"""What came out: the costs of a run, their ratios to jaxpool's, and a file to keep them in."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import geometric_mean
from typing import Any, ClassVar, NamedTuple

from benchmarks.cells import DIRECTIONS, DTYPES, LAYOUTS
from benchmarks.compiled.cells import CELLS, GROUPS
from benchmarks.compiled.chips import CHIPS
from benchmarks.compiled.compiler import Cost
from benchmarks.compiled.pools import JAXPOOL
from benchmarks.results import Ratio, Setting

BY_NAME = {cell.name: cell for cell in CELLS}
SETTINGS = tuple(Setting(*names) for names in product(DTYPES, LAYOUTS, DIRECTIONS))


class Key(NamedTuple):
    """Whose program it is, and of what."""

    peer: str
    cell: str
    dtype: str
    layout: str
    direction: str


@dataclass
class Run:
    """All costs of a run, for one chip, and the versions that they depend on."""

    chip: str
    versions: dict[str, str]
    costs: dict[Key, Cost] = field(default_factory=dict)
    cost: ClassVar[Any] = Cost  # what is kept of a program; its `figure` is what ratios are of

    @property
    def cells(self) -> list[str]:
        """The names of the cells, in the order of the run."""
        return list(dict.fromkeys(key.cell for key in self.costs))

    @property
    def peers(self) -> list[str]:
        """The peers, without jaxpool."""
        peers = dict.fromkeys(key.peer for key in self.costs)
        return [peer for peer in peers if peer != JAXPOOL]

    @property
    def settings(self) -> list[Setting]:
        """The settings, in the order of the run."""
        return list(dict.fromkeys(Setting(*key[2:]) for key in self.costs))

    @property
    def about(self) -> str:
        """What the figures are of, which every output says."""
        chip = CHIPS[self.chip].title
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"Programs compiled for one {chip}, not run on it ({versions})."

    @property
    def headline(self) -> dict[str, dict[str, float]]:
        """The geometric mean of each peer's ratios over each group of cells."""
        return {
            group: {
                peer: mean for peer in self.peers if (mean := self.mean(peer, self.settings, group))
            }
            for group in GROUPS
        }

    def find(self, peer: str, cell: str, setting: Setting) -> Cost | None:
        """The cost of a peer's program, None if there is none."""
        return self.costs.get(Key(peer, cell, *setting))

    def ratio(self, peer: str, cell: str, setting: Setting) -> Ratio | None:
        """The ratio of a peer's figure to jaxpool's: above 1, jaxpool is better."""
        theirs, mine = (self.find(name, cell, setting) for name in (peer, JAXPOOL))
        if not (theirs and mine):
            return None
        value = theirs.figure / mine.figure
        return Ratio(value, None, native=True, at_least=False, differs=False)

    def mean(
        self, peer: str, settings: Sequence[Setting], group: str = "all cells"
    ) -> float | None:
        """The geometric mean of a peer's ratios in these settings over a group of cells, if any."""
        ratios = [
            self.ratio(peer, cell, setting)
            for cell in self.cells
            if GROUPS[group](BY_NAME[cell])
            for setting in settings
        ]
        values = [ratio.value for ratio in ratios if ratio]
        return geometric_mean(values) if values else None

    def save(self, path: Path) -> None:
        """Writes everything as JSON, one program a line."""
        head = {"about": self.about, "chip": self.chip, "versions": self.versions}
        text = json.dumps(head | {"headline": self.headline}, indent=1).removesuffix("\n}")
        lines = [
            json.dumps(key._asdict() | {k: v for k, v in cost._asdict().items() if v is not None})
            for key, cost in self.costs.items()
        ]
        path.write_text(text + ',\n "costs": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n")

    @classmethod
    def load(cls, path: Path) -> "Run":
        """Reads what `save` wrote."""
        content = json.loads(path.read_text())
        run = cls(content["chip"], content["versions"])
        for record in content["costs"]:
            key = Key(*(record.pop(name) for name in Key._fields))
            run.costs[key] = cls.cost(**record)
        return run
