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
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import pandas as pd
from tqdm import tqdm

from benchmarks.chips import CHIPS, NO_GRAPHS, PACKAGES, add_xla_flag, described
from benchmarks.hlo import cycles, kernels
from benchmarks.peers import IN_JAX, JAXPOOL, prepare
from benchmarks.pools import ACCELERATOR, LAST, QUICK, Case, cases
from benchmarks.tables import Table, read_options, versions

METRICS = ("hbm_bytes", "temporary_bytes", "kernels", "cycles")
TOLERANCE = 0.02


def measure(chip: str, cases: list[Case], peers: list[str]) -> Iterator[dict[str, Any]]:
    """The costs of all programs that there are."""
    # Of all passes, and not of the last alone, libtpu would write 50 times as much.
    dump = TemporaryDirectory()
    folder = Path(dump.name)
    os.environ["LIBTPU_INIT_ARGS"] = (
        f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true"
        " --xla_jf_dump_llo_pass_label_regex=^final_bundles"
    )
    add_xla_flag(NO_GRAPHS)
    on_chip = jax.sharding.SingleDeviceSharding(described(chip)[0])
    for case, peer in tqdm(list(product(cases, peers))):
        if program := prepare(peer, case):
            function, shapes = program
            jitted = jax.jit(function, in_shardings=on_chip, out_shardings=on_chip)
            compiled = jitted.lower(*shapes).compile()
            found = list(kernels(compiled.as_text() or ""))
            record = {"peer": peer} | case._asdict() | {"hbm_bytes": sum(size for _, size in found)}
            record["temporary_bytes"] = compiled.memory_analysis().temp_size_in_bytes
            record["kernels"] = len(found)
            if chip == "v5e":
                record["cycles"] = sum(cycles(*kernel, folder) for kernel in found)
            yield record
        for path in folder.iterdir():
            path.unlink()


def regressions(before: pd.DataFrame, now: pd.DataFrame) -> list[str]:
    """A line for each figure of jaxpool that is worse, or of a program that is new."""
    keys, lines = ["peer", *Case._fields], []
    both = now.merge(before, "left", keys, suffixes=("", " before"))
    for metric in (metric for metric in METRICS if metric in now):
        for *key, was, found in both[[*keys, f"{metric} before", metric]].itertuples(index=False):
            if key[0] == JAXPOOL and not found <= was * (1 + TOLERANCE):
                lines.append(f"{' '.join(key[1:])}: {metric} {was:.0f} -> {found}")
    return lines


def main() -> None:
    """Compiles, and prints ratios and saves, or checks."""
    options = read_options(
        __doc__,
        ACCELERATOR,
        IN_JAX,
        chip={"choices": CHIPS, "default": "v5e"},
        quick={"action": "store_true", "help": "a few pools, each in two settings"},
        check={"action": "store_true", "help": "fail if jaxpool is worse than committed"},
    )
    chip, used, every = options.chip, versions(PACKAGES[options.chip]), cases(options.pools)
    if options.quick:
        settings = ("float32", LAST, "forward"), ("bfloat16", LAST, "backward")
        every = [Case(pool, *setting) for pool, setting in product(QUICK, settings)]
    if options.check:
        committed = Table.load(f"compiled_{chip}")
        if committed.versions != used:
            sys.exit(f"committed with {committed.versions}, and here is {used}")
        worse = regressions(committed.records, pd.DataFrame(measure(chip, every, [JAXPOOL])))
        print(*worse, f"{len(worse)} figures are worse by over {TOLERANCE:.0%}, or new", sep="\n")
        sys.exit(bool(worse))
    records = pd.DataFrame(measure(chip, every, [JAXPOOL, *options.peers]))
    metric = "cycles" if chip == "v5e" else "hbm_bytes"
    Table(CHIPS[chip], used, records).report(metric, options.save)


if __name__ == "__main__":
    main()
