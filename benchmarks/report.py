"""The results as text: tables of ratios, means, what else a call costs, and the goals."""

from collections.abc import Iterable, Iterator, Sequence
from math import prod

from benchmarks.cells import GROUPS
from benchmarks.extras import COMPILE, DISPATCH, Extra
from benchmarks.goals import BY_NAME, goals
from benchmarks.programs import COPY, JAXPOOL
from benchmarks.results import Ratio, Run, Setting

PREAMBLE = """\
Tables give jaxpool's time and, as multiples of it, the times of the others: above 1, jaxpool is
faster. Each is the median over calls that all peers took in turns; behind it, of three calls or
more, is half the distance between the quartiles. Each peer is timed, jitted where it can be, in
the layouts that it is made for, on data that already lies in that layout, and jaxpool in both
layouts, so that like is compared with like. 16-bit arrays are given to it as they are, and how
it adds them is its own affair.
  *  the peer's only layout, which is not the one of the table
  >  at least, going by a strip of the input, because a call would take too long
  !  its values differ from jaxpool's
  -  cannot, for the reason with that letter below
"""


class Reasons:
    """Letters for the reasons why peers cannot."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def letter(self, reason: str) -> str:
        """The letter of a reason, a new one if it is new."""
        return self._letters.setdefault(reason, chr(ord("a") + len(self._letters)))

    def lines(self) -> Iterator[str]:
        """What the letters stand for."""
        if self._letters:
            yield "Reasons why a peer cannot"
        yield from (f"  {letter}  {reason}" for reason, letter in self._letters.items())


def report(run: Run) -> str:
    """The whole report."""
    reasons = Reasons()
    parts = [
        [", ".join(f"{name} {value}" for name, value in run.environment.items()), "", PREAMBLE],
        *(_ratios(run, setting, reasons) for setting in run.settings),
        *(_means(run, group) for group in GROUPS),
        _with_defaults(run),
        _extras(run, reasons),
        _programs(run),
        list(reasons.lines()),
        _goals(run),
    ]
    return paragraphs(parts)


def _ratios(run: Run, setting: Setting, reasons: Reasons) -> list[str]:
    rows = []
    for cell in run.cells:
        mine = run.find(JAXPOOL, cell, setting)
        if not (mine and mine.timing):
            continue
        time = f"{_seconds(mine.timing.median)} {_percent(mine.timing.spread)}"
        others = [_ratio(run, peer, cell, setting, reasons) for peer in (COPY, *run.peers)]
        rows.append([cell, time, *others])
    title = f"{setting.direction}, {setting.dtype}, {setting.layout}"
    return table(title, [JAXPOOL, COPY, *run.peers], rows)


def _ratio(run: Run, peer: str, cell: str, setting: Setting, reasons: Reasons) -> str:
    ratio = run.ratio(peer, cell, setting)
    if ratio is None:
        found = run.find(peer, cell, setting)
        return f"- {reasons.letter(found.cannot)}" if found and found.cannot else ""
    if peer == COPY:  # the same in every layout
        ratio = ratio._replace(native=True)
    return _marked(ratio)


def _marked(ratio: Ratio) -> str:
    marks = ("!" if ratio.differs else "") + ("" if ratio.native else "*")
    bound = ">" if ratio.at_least else ""
    return f"{bound}{number(ratio.value)}{marks} {_percent(ratio.spread):4}"


def _means(run: Run, group: str) -> list[str]:
    rows = []
    for setting in run.settings:
        means = []
        for peer in run.peers:
            native, other = (run.mean(peer, setting, alike, group) for alike in (True, False))
            mean = native or other
            means.append(f"{number(mean)}{'' if native else '*'}" if mean else "")
        rows.append([" ".join((setting.direction, setting.dtype, setting.layout)), *means])
    return table(f"Geometric means, {group} that a peer can do", run.peers, rows)


def _with_defaults(run: Run) -> list[str]:
    """The cells that were measured again, with the times of the tables above first."""
    peers = [JAXPOOL, COPY, *run.peers]
    rows: dict[str, list[str]] = {}
    for result in run.with_defaults:
        setting = Setting(result.dtype, result.layout, result.direction)
        kept = run.find(result.peer, result.cell, setting)
        row = rows.setdefault(" ".join([result.cell, *setting]), [""] * len(peers))
        if kept and kept.timing and result.timing:
            times = [_seconds(timing.median) for timing in (kept.timing, result.timing)]
            row[peers.index(result.peer)] = " / ".join(times)
    title = "With the settings of settings.py, as above / with the defaults of glibc and JAX"
    return table(title, peers, [[name, *row] for name, row in rows.items() if any(row)])


def _extras(run: Run, reasons: Reasons) -> list[str]:
    peers = [JAXPOOL, *run.peers]
    rows: dict[tuple[str, bool], list[str]] = {}
    by_key = {(e.what, e.count_include_pad, e.peer): e for e in run.extras}
    for what in (DISPATCH, *COMPILE.values()):
        for counted in (True, False):
            extras = [by_key.get((what, counted, peer)) for peer in peers]
            if any(extras):
                cell = next(extra.cell for extra in extras if extra)
                rows[what, counted] = [f"{what}, {cell}", *(_extra(e, reasons) for e in extras)]
    return table("Time of a call without jax.jit, and to trace and compile", peers, rows.values())


def _extra(extra: Extra | None, reasons: Reasons) -> str:
    if extra is None:
        return ""
    if extra.timing is None:
        return f"- {reasons.letter(extra.cannot or '')}"
    return f"{_seconds(extra.timing.median)} {_percent(extra.timing.spread)}"


def _programs(run: Run) -> list[str]:
    """The most that the compiled programs take over all cells."""
    peers = list(dict.fromkeys(result.peer for result in run.results if result.compiled))
    peers.remove(COPY)
    memory, constants = [], []
    for setting in run.settings:
        found = [
            [
                (result.compiled, prod(BY_NAME[cell].shape))
                for cell in run.cells
                if (result := run.find(peer, cell, setting)) and result.compiled
            ]
            for peer in peers
        ]
        name = " ".join((setting.direction, setting.dtype, setting.layout))
        copies = [[c.temporary_bytes / (4 * size) for c, size in cells] for cells in found]
        memory.append([name, *(number(max(cells)) if cells else "" for cells in copies)])
        elements = [[c.largest_constant for c, _ in cells] for cells in found]
        constants.append([name, *(str(max(cells)) if cells else "" for cells in elements)])
    title = "Temporary memory of the program, in float32 copies of the input: most over the cells"
    return [
        *table(title, peers, memory),
        "",
        *table("Elements of the largest constant: most over the cells", peers, constants),
    ]


def _goals(run: Run) -> list[str]:
    verdicts = {True: "met", False: "NOT MET", None: ""}
    rows = [[goal.text, verdicts[goal.met], goal.measured] for goal in goals(run)]
    return table("Goals: other / jaxpool, like with like", ["", "measured"], rows, left=True)


def paragraphs(parts: Iterable[Sequence[str]]) -> str:
    """The lines of all parts that have any, an empty line between one part and the next."""
    return "\n\n".join("\n".join(part) for part in parts if part)


def table(
    title: str, headers: Sequence[str], rows: Iterable[Sequence[str]], left: bool = False
) -> list[str]:
    """A table with `title` above its first column, the others under `headers`."""
    rows = [["", *headers], *rows]
    if len(rows) == 1 or not headers:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if left or not i else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return [title, *lines]


def number(value: float) -> str:
    """Three digits, or all that are before the point."""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def _percent(spread: float | None) -> str:
    return "" if spread is None else f"±{spread:.0%}".rjust(4)


def _seconds(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{number(seconds / scale)} {unit}"
    return f"{number(seconds / 1e-6)} µs"
