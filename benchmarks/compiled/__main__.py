"""Compares the compiled programs of jaxpool and its peers on a chip that need not be there.

python -m benchmarks.compiled --chip v5e --json v5e.json --picture v5e.png
python -m benchmarks.compiled --chip h100 --cells k31 pool+conv --peers flax
python -m benchmarks.compiled --chip v5e --quick --check v5e.json
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from itertools import product
from pathlib import Path
from time import perf_counter

from tqdm import tqdm

from benchmarks.cells import choose, parser_of
from benchmarks.compiled.cells import CELLS, QUICK
from benchmarks.compiled.check import difference, regressions
from benchmarks.compiled.chips import CHIPS, versions
from benchmarks.compiled.compiler import Compiler
from benchmarks.compiled.pools import JAXPOOL, PEERS
from benchmarks.compiled.programs import prepare
from benchmarks.compiled.report import report, summary
from benchmarks.compiled.results import SETTINGS, Key, Run
from benchmarks.picture import draw
from benchmarks.results import Setting

QUICK_SETTINGS = (
    Setting("float32", "channels_last", "forward"),
    Setting("bfloat16", "channels_last", "backward"),
)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, with cells and peers filled in."""
    parser = parser_of("benchmarks.compiled", __doc__, CELLS)
    add = parser.add_argument
    add("--chip", choices=CHIPS, default="v5e", help=f"of {', '.join(CHIPS)}; v5e by default")
    add("--quick", action="store_true", help="a few cells, each in two settings")
    add("--cells", nargs="+", metavar="WORD", help="a word of their names, such as k3 or relu+pool")
    add("--peers", nargs="*", choices=PEERS, metavar="PEER", help=f"of {', '.join(PEERS)}")
    add("--json", type=Path, metavar="FILE", help="write all figures")
    add("--picture", type=Path, metavar="FILE", help="draw the ratios")
    add("--load", type=Path, metavar="FILE", help="take what --json wrote, and compile nothing")
    add("--check", type=Path, metavar="FILE", help="exit with 1 if jaxpool is worse than there")
    options = parser.parse_args(arguments)
    cells = QUICK if options.quick else CELLS
    options.cells = choose(options.cells, CELLS, parser) if options.cells else cells
    if options.peers is None:
        options.peers = () if options.check else PEERS
    return options


def compile_all(options: argparse.Namespace, run: Run) -> None:
    """Adds the costs of all that the options ask for to the run, behind a progress bar."""
    compiler = Compiler(run.chip)
    settings = QUICK_SETTINGS if options.quick else SETTINGS
    for cell, setting in tqdm(list(product(options.cells, settings))):
        for peer in (JAXPOOL, *options.peers):
            key = Key(peer, cell.name, *setting)
            try:
                if program := prepare(peer, cell, setting):
                    run.costs[key] = compiler.cost(program)
            except Exception as error:
                if peer == JAXPOOL:
                    raise
                # Of another version than those that this was written for; the others go on.
                warnings.warn(f"no figures of {' '.join(key)}: {error}", stacklevel=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compiles, reports, writes the files that the options name; 1 if a check failed, 2 if none."""
    options = parse(arguments)
    try:
        run = Run.load(options.load) if options.load else Run(options.chip, versions(options.chip))
    except PackageNotFoundError as missing:
        return _refuse(f'{missing.name} is missing: pip install -e ".[compilers]" has it')
    committed = Run.load(options.check) if options.check else None
    if committed and (reason := difference(committed, run.chip, run.versions)):
        return _refuse(f"--check {options.check}: {reason}")

    start = perf_counter()
    if not options.load:
        compile_all(options, run)
        minutes, seconds = divmod(round(perf_counter() - start), 60)
        print(f"{len(run.costs)} programs in {minutes}:{seconds:02d}", file=sys.stderr)
    print(report(run))
    if options.json:
        run.save(options.json)
    if options.picture:
        draw(run, options.picture, f"{run.about}\n{summary(run)}", better="better")
    if not committed:
        return 0
    worse = regressions(committed, run)
    print("", *worse, f"{len(worse)} figures are worse by more than 2%, or new", sep="\n")
    return 1 if worse else 0


def _refuse(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
