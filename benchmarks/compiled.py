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

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import pandas as pd
from tqdm import tqdm

from benchmarks.chips import CHIPS, TPU, described, missing
from benchmarks.hlo import cycles, kernels
from benchmarks.peers import IN_JAX, JAXPOOL
from benchmarks.pools import ACCELERATOR, DIRECTIONS, DTYPES, LAST, LAYOUTS, Pool, add_choice, union
from benchmarks.programs import Program, prepare
from benchmarks.tables import Table, show_ratios, versions

METRICS = ("hbm_bytes", "temporary_bytes", "kernels", "cycles")
KEY = ["pool", "dtype", "layout", "direction"]
TOLERANCE = 0.02
# Most rows of the plan, in little time.
QUICK = [
    Pool.named(name)
    for name in (
        "8x64x128x128 k2 s2",
        "16x64x112x112 k3 s2 p1",
        "32x512x7x7 k7 s7",
        "32x128x56x56 k56 s56",
        "4x16x128x128 k31 s1 p15",
        "32x256x13x13 to6",
        "8x64x128x128 k8 s8 masked",
    )
]
QUICK_SETTINGS = [("float32", LAST, "forward"), ("bfloat16", LAST, "backward")]


def compiler(chip: str, folder: Path) -> Callable[[Program], dict[str, int]]:
    """What compiles programs for a chip and counts; a process can have one only.

    Args:
      chip: of `CHIPS`.
      folder: where libtpu may write its schedules.
    """
    if chip in TPU:
        # Of all passes, and not of the last alone, it would write 50 times as much.
        os.environ["LIBTPU_INIT_ARGS"] = (
            f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true"
            " --xla_jf_dump_llo_pass_label_regex=^final_bundles"
        )
    else:  # kernels are counted one by one
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_enable_command_buffer="
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
        if rate := CHIPS[chip].bytes_per_cycle:
            figures["cycles"] = sum(cycles(kernel, folder, rate) for kernel in found)
        return figures

    return cost


def measure(options: argparse.Namespace) -> pd.DataFrame:
    """The costs of all that the options ask for."""
    pools = QUICK if options.quick else union(options.pools)
    settings = QUICK_SETTINGS if options.quick else product(DTYPES, LAYOUTS, DIRECTIONS)
    records = []
    with TemporaryDirectory() as folder:
        cost = compiler(options.chip, Path(folder))
        for pool, setting in tqdm(list(product(pools, settings))):
            for peer in (JAXPOOL, *options.peers):
                if program := prepare(peer, pool, *setting):
                    key = dict(zip(KEY, (pool.name, *setting), strict=True))
                    records.append({"peer": peer} | key | cost(program))
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
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "benchmarks.compiled", None, __doc__, formatter_class=formatter
    )
    every = [peer for peer in IN_JAX if peer != JAXPOOL]
    add = parser.add_argument
    add("--chip", choices=CHIPS, default="v5e")
    add("--quick", action="store_true", help="a few pools, each in two settings")
    add_choice(parser, ACCELERATOR)
    add("--peers", nargs="*", choices=every, help="all by default, none with --check")
    add("--save", type=Path, metavar="FILE", help="write all figures")
    add("--check", action="store_true", help="exit with 1 if jaxpool is worse than committed")
    options = parser.parse_args(arguments)
    if options.peers is None:
        options.peers = [] if options.check else every
    if reason := missing(options.chip):
        print(reason, file=sys.stderr)
        return 2
    used = versions(CHIPS[options.chip].packages)
    committed = Table.load(f"compiled_{options.chip}") if options.check else None
    if committed and committed.versions != used:
        print(f"committed with {committed.versions}, and here is {used}", file=sys.stderr)
        return 2
    records = measure(options)
    if options.save:
        Table(CHIPS[options.chip].title, used, records).save(options.save)
    if committed is None:
        print(show_ratios(records, "cycles" if "cycles" in records else "hbm_bytes"))
        return 0
    worse = regressions(committed.records, records)
    print(*worse, f"{len(worse)} figures are worse by more than {TOLERANCE:.0%}, or new", sep="\n")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
