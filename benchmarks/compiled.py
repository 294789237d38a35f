"""Counts what compiled programs of jaxpool and its peers cost on a chip that need not be there.

python -m benchmarks.compiled --chip v5e --save benchmarks/results/compiled_v5e.csv
python -m benchmarks.compiled --chip h100 --pools k31 pool+conv --peers flax
python -m benchmarks.compiled --chip v5e --quick --check

XLA's compilers run without the chips that they compile for. The figures depend on the versions of
JAX and of the compilers, and on nothing else: they are the same on every machine, however busy.

hbm_bytes        cross HBM, with the padding of tiles
temporary_bytes  of HBM that the program holds besides its arguments and results
kernels          that the chip starts, one after the other
cycles           of a TPU, an estimate that is good to some 20%
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import pandas as pd
from tqdm import tqdm

from benchmarks.chips import CHIPS, NO_GRAPHS, PACKAGES, add_xla_flag, described, missing
from benchmarks.hlo import cycles, kernels
from benchmarks.peers import IN_JAX, JAXPOOL
from benchmarks.pools import ACCELERATOR, DIRECTIONS, DTYPES, LAST, LAYOUTS, QUICK, Case
from benchmarks.programs import Program, prepare
from benchmarks.tables import Table, parser, versions

METRICS = ("hbm_bytes", "temporary_bytes", "kernels", "cycles")
KEY = list(Case._fields)
TOLERANCE = 0.02
QUICK_SETTINGS = [("float32", LAST, "forward"), ("bfloat16", LAST, "backward")]


def compiler(chip: str, folder: Path) -> Callable[[Program], dict[str, int]]:
    """What compiles programs for a chip and counts; a process can have one only.

    Args:
      chip: of `CHIPS`.
      folder: where libtpu may write its schedules.
    """
    # Of all passes, and not of the last alone, libtpu would write 50 times as much.
    os.environ["LIBTPU_INIT_ARGS"] = (
        f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true"
        " --xla_jf_dump_llo_pass_label_regex=^final_bundles"
    )
    if chip == "h100":
        add_xla_flag(NO_GRAPHS)
    on_chip = jax.sharding.SingleDeviceSharding(described(chip)[0])

    def cost(program: Program) -> dict[str, int]:
        for path in folder.iterdir():
            path.unlink()
        jitted = jax.jit(program.function, in_shardings=on_chip, out_shardings=on_chip)
        compiled = jitted.lower(*program.arguments).compile()
        found = list(kernels(compiled.as_text() or ""))
        figures = {
            "hbm_bytes": sum(kernel.hbm_bytes for kernel in found),
            "temporary_bytes": compiled.memory_analysis().temp_size_in_bytes,
            "kernels": len(found),
        }
        if chip == "v5e":
            figures["cycles"] = sum(cycles(kernel, folder) for kernel in found)
        return figures

    return cost


def measure(chip: str, cases: Iterable[Case], peers: Sequence[str]) -> pd.DataFrame:
    """The costs of all programs that there are."""
    with TemporaryDirectory() as folder:
        cost = compiler(chip, Path(folder))
        records = [
            {"peer": peer} | case.key | cost(program)
            for case in tqdm(cases)
            for peer in (JAXPOOL, *peers)
            if (program := prepare(peer, case))
        ]
    return pd.DataFrame(records)


def regressions(before: pd.DataFrame, now: pd.DataFrame) -> list[str]:
    """A line for each figure of jaxpool that is worse, and for each program that is new."""
    old, new = (part[part["peer"] == JAXPOOL].set_index(KEY) for part in (before, now))
    lines = []
    for key, row in new.iterrows():
        where = " ".join(key)
        if key not in old.index:
            lines.append(f"{where}: is not among the committed results")
            continue
        for metric in (metric for metric in METRICS if metric in row):
            was, found = (int(part.loc[key, metric]) for part in (old, new))
            if found > was * (1 + TOLERANCE):
                lines.append(f"{where}: {metric} {was} -> {found}")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Compiles, prints ratios, saves; 1 if a check finds something worse, 2 if it cannot check."""
    made = parser("compiled", __doc__, ACCELERATOR, [*IN_JAX])
    made.add_argument("--chip", choices=CHIPS, default="v5e")
    made.add_argument("--quick", action="store_true", help="a few pools, each in two settings")
    made.add_argument("--check", action="store_true", help="1 if jaxpool is worse than committed")
    options = made.parse_args(arguments)
    chip, used = options.chip, versions(PACKAGES[options.chip])
    if reason := missing(chip):
        print(reason, file=sys.stderr)
        return 2
    pools = QUICK if options.quick else options.pools
    settings = QUICK_SETTINGS if options.quick else product(DTYPES, LAYOUTS, DIRECTIONS)
    cases = [Case(pool, *setting) for pool, setting in product(pools, settings)]
    if not options.check:
        table = Table(CHIPS[chip], used, measure(chip, cases, options.peers))
        table.report("cycles" if chip == "v5e" else "hbm_bytes", options.save)
        return 0
    committed = Table.load(f"compiled_{chip}")
    if committed.versions != used:
        print(f"committed with {committed.versions}, and here is {used}", file=sys.stderr)
        return 2
    worse = regressions(committed.records, measure(chip, cases, []))
    print(*worse, f"{len(worse)} figures are worse by more than {TOLERANCE:.0%}, or new", sep="\n")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
