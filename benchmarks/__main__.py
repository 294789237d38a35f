"""Compares jaxpool with its peers, and says what it found.

python -m benchmarks --quick
python -m benchmarks --cells k31 k127 --peers flax torch
python -m benchmarks --json results.json --picture results.png
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks.cells import CELLS, DIRECTIONS, DTYPES, LAYOUTS, QUICK, choose, parser_of
from benchmarks.compare import Effort, compare
from benchmarks.extras import COMPILE, compiling, dispatch
from benchmarks.goals import goals
from benchmarks.picture import draw
from benchmarks.programs import JAXPOOL, PEERS
from benchmarks.report import report
from benchmarks.results import Run, environment
from benchmarks.settings import make_them, without_them

# Measured with the settings and without: one with a large result, one that takes little time.
TWICE = CELLS[1], CELLS[2]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, with those that `--quick` changes filled in."""
    parser = parser_of("benchmarks", __doc__, CELLS)
    add = parser.add_argument
    add("--quick", action="store_true", help="a few cells, short: about a minute")
    add("--cells", nargs="+", metavar="WORD", help="a word of their names, such as k3 or excl")
    add("--peers", nargs="*", choices=PEERS, default=list(PEERS), metavar="PEER", help=_all(PEERS))
    for name, choices in (("--dtypes", DTYPES), ("--layouts", LAYOUTS)):
        add(name, nargs="+", choices=choices, default=choices, metavar="NAME", help=_all(choices))
    every = (*DIRECTIONS, "both")
    add("--directions", nargs="+", choices=every, metavar="NAME", help=_all(every))
    add("--seconds", type=float, help="for each peer, cell and direction; 0.3 by default")
    add("--rounds", type=int, help="of turns that the peers take in that time; 7 by default")
    add("--patience", type=float, help="how many seconds one call may take; 3 by default")
    add("--defaults", action="store_true", help="leave out the settings of settings.py")
    add("--json", type=Path, metavar="PATH", help="write all results")
    add("--picture", type=Path, metavar="PATH", help="draw the ratios")
    add("--load", type=Path, metavar="PATH", help="show what --json wrote, and measure nothing")
    options = parser.parse_args(arguments)

    quick = options.quick
    cells = QUICK if quick else CELLS
    options.cells = choose(options.cells, CELLS, parser) if options.cells else cells
    options.directions = options.directions or (DIRECTIONS if quick else every)
    default = Effort(0.03, 3, 1.0) if quick else Effort()
    chosen = {"seconds": options.seconds, "rounds": options.rounds, "patience": options.patience}
    options.effort = default._replace(**{k: v for k, v in chosen.items() if v is not None})
    return options


def _all(names: Iterable[str]) -> str:
    return f"of {', '.join(names)}; all by default"


def measure(options: argparse.Namespace) -> Run:
    """Measures all that the options ask for, behind a progress bar."""
    run = Run(environment(options.defaults))
    steps = len(options.cells) * len(options.dtypes) * len(options.directions)
    with tqdm(total=steps + (1 + len(COMPILE)) * (not options.defaults)) as bar:
        for cell in options.cells:
            for dtype in options.dtypes:
                bar.set_description(f"{cell.name} {dtype}".ljust(36))
                choice = options.layouts, options.directions, options.peers
                for results in compare(cell, dtype, *choice, options.effort):
                    run.results += results
                    bar.update()
        if options.defaults:
            return run
        bar.set_description("dispatch and compilation".ljust(36))
        everyone = [JAXPOOL, *options.peers]
        run.extras += dispatch(everyone, options.effort)
        bar.update()
        size = 256 if options.quick else 1024
        for extras in compiling(everyone, size, options.effort):
            run.extras += extras
            bar.update()
    if twice := [cell.name for cell in TWICE if cell in options.cells]:
        chosen = ["--cells", *twice, "--dtypes", "float32", "--peers", *options.peers]
        chosen += ["--layouts", *options.layouts, "--directions", *options.directions]
        for name, value in options.effort._asdict().items():
            chosen += [f"--{name}", str(value)]
        run.with_defaults = Run.parse(without_them(*chosen)).results
    return run


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, reports, and writes the files that the options name."""
    options = parse(arguments)
    run = Run.load(options.load) if options.load else measure(options)
    print(report(run))
    if options.json:
        run.save(options.json, goals=[goal._asdict() for goal in goals(run)])
    if options.picture:
        draw(run, options.picture)


if __name__ == "__main__":
    options = parse(None)
    if not (options.defaults or options.load):
        make_them()
    main()
