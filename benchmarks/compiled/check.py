"""Whether jaxpool's programs have become worse than those of committed results."""

from benchmarks.compiled.pools import JAXPOOL
from benchmarks.compiled.results import Run

TOLERANCE = 0.02
CHECKED = ("hbm_bytes", "temporary_bytes", "kernels", "cycles")


def difference(committed: Run, chip: str, versions: dict[str, str]) -> str | None:
    """Why programs of this chip and these versions cannot be compared; None if they can."""
    if chip != committed.chip:
        return f"the committed results are of {committed.chip}, not of {chip}"
    others = [
        f"{name} {committed.versions.get(name)}, not {versions.get(name)}"
        for name in {**committed.versions, **versions}
        if committed.versions.get(name) != versions.get(name)
    ]
    if not others:
        return None
    return f"the committed results are of {'; of '.join(others)}: install those, or write them anew"


def regressions(committed: Run, run: Run) -> list[str]:
    """A line for each figure that is worse, and for each program that is new."""
    lines = []
    for key, cost in run.costs.items():
        if key.peer != JAXPOOL:
            continue
        where = " ".join(key[1:])
        if key not in committed.costs:
            lines.append(f"{where}: is not among the committed results")
            continue
        before = committed.costs[key]
        for name in CHECKED:
            old, new = getattr(before, name), getattr(cost, name)
            if old is not None and new > old * (1 + TOLERANCE):
                percent = f"{new / old - 1:+.1%}" if old else "from nothing"
                lines.append(f"{where}: {name} {old} -> {new} ({percent})")
    return lines
