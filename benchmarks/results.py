"""What came out: the results of a run, the ratios to jaxpool, and a file to keep them in."""

import json
import os
import platform
from dataclasses import dataclass, field, fields
from importlib import metadata
from pathlib import Path
from statistics import geometric_mean
from typing import Any, NamedTuple

from benchmarks.cells import CELLS, GROUPS, LAYOUTS
from benchmarks.compare import Result
from benchmarks.extras import Extra
from benchmarks.measure import Timing
from benchmarks.peers import cores
from benchmarks.programs import COPY, JAXPOOL, Compiled

PACKAGES = (
    *("jaxpool", "jax", "flax", "equinox", "keras", "dm-haiku", "torch", "scipy"),
    *("opencv-python-headless", "opencv-python"),
)


class Setting(NamedTuple):
    """The dtype, layout and direction of a table."""

    dtype: str
    layout: str
    direction: str


class Ratio(NamedTuple):
    """A peer's time over jaxpool's: above 1, jaxpool is faster.

    Args:
      value: the ratio of the medians.
      spread: of the peer's time, see `Timing.spread`.
      native: whether both were timed in the same layout; else the peer was in its only one.
      at_least, differs: see `Result`.
    """

    value: float
    spread: float | None
    native: bool
    at_least: bool
    differs: bool


@dataclass
class Run:
    """All results of a run, and where they came from."""

    environment: dict[str, Any]
    results: list[Result] = field(default_factory=list)
    extras: list[Extra] = field(default_factory=list)
    with_defaults: list[Result] = field(default_factory=list)  # see settings.py

    @property
    def cells(self) -> list[str]:
        """The names of the cells, in the order of the run."""
        return list(dict.fromkeys(result.cell for result in self.results))

    @property
    def peers(self) -> list[str]:
        """The peers, without jaxpool and the copy."""
        peers = dict.fromkeys(result.peer for result in self.results)
        return [peer for peer in peers if peer not in (JAXPOOL, COPY)]

    @property
    def settings(self) -> list[Setting]:
        """The settings in which jaxpool was measured, direction by direction."""
        mine = [result for result in self.results if result.peer == JAXPOOL]
        directions = dict.fromkeys(result.direction for result in mine)
        settings = dict.fromkeys(Setting(r.dtype, r.layout, r.direction) for r in mine)
        return [s for direction in directions for s in settings if s.direction == direction]

    def find(self, peer: str, cell: str, setting: Setting) -> Result | None:
        """The result of a peer, None if it was not asked for."""
        if not hasattr(self, "_by_key"):
            self._by_key = {
                (r.peer, r.cell, r.dtype, r.layout, r.direction): r for r in self.results
            }
        return self._by_key.get((peer, cell, *setting))

    def ratio(self, peer: str, cell: str, setting: Setting) -> Ratio | None:
        """The ratio of a peer in a cell, in its own layout if it has not that of `setting`."""
        theirs = self.find(peer, cell, setting)
        native = theirs is not None and not theirs.other_layout
        if not native:
            other = next(layout for layout in LAYOUTS if layout != setting.layout)
            theirs = self.find(peer, cell, setting._replace(layout=other))
        mine = self.find(JAXPOOL, cell, setting)
        if not (mine and mine.timing and theirs and theirs.timing):
            return None
        value = theirs.timing.median / mine.timing.median
        return Ratio(value, theirs.timing.spread, native, theirs.at_least, theirs.differs)

    def mean(
        self, peer: str, setting: Setting, native: bool = True, group: str = "all cells"
    ) -> float | None:
        """The geometric mean over the cells in which both were timed in the same layout, or not."""
        cells = [cell.name for cell in CELLS if GROUPS[group](cell) and cell.name in self.cells]
        ratios = [self.ratio(peer, cell, setting) for cell in cells]
        values = [ratio.value for ratio in ratios if ratio and ratio.native == native]
        return geometric_mean(values) if values else None

    def save(self, path: Path, **more: Any) -> None:
        """Writes everything, and `more`, as JSON."""
        head = json.dumps({"environment": self.environment, **more}, indent=1).removesuffix("\n}")
        parts = [head]
        for name in ("with_defaults", "extras", "results"):
            lines = [f"  {json.dumps(_to_json(record))}" for record in getattr(self, name)]
            parts.append(f' "{name}": [\n' + ",\n".join(lines) + "\n ]")
        path.write_text(",\n".join(parts) + "\n}\n")

    @classmethod
    def load(cls, path: Path) -> "Run":
        """Reads what `save` wrote."""
        return cls.parse(path.read_text())

    @classmethod
    def parse(cls, text: str) -> "Run":
        """The same, of the text."""
        content = json.loads(text)
        results, with_defaults = (
            [Result(**_from_json(record)) for record in content[name]]
            for name in ("results", "with_defaults")
        )
        extras = [Extra(**_from_json(record)) for record in content["extras"]]
        return cls(content["environment"], results, extras, with_defaults)


def environment(defaults: bool) -> dict[str, Any]:
    """The machine and the versions that a run depends on, and whether anything else was running."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": cores(),
        "settings": "defaults" if defaults else "those of settings.py",
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        **{name: version for name in PACKAGES if (version := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _to_json(record: Result | Extra) -> dict[str, Any]:
    """The fields of a record that are not at their defaults, with names in the tuples within."""
    return {
        f.name: value._asdict() if isinstance(value, Timing | Compiled) else value
        for f in fields(record)
        if (value := getattr(record, f.name)) != f.default
    }


def _from_json(record: dict[str, Any]) -> dict[str, Any]:
    within = {"timing": Timing, "compiled": Compiled}
    return record | {name: within[name](**record[name]) for name in within if name in record}
