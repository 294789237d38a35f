"""Random whole calls by the thousand against the oracle or PyTorch: values and derivatives.

Two thousand are part of the tests; this runs any number of them:

    python tests/helpers/soak.py [--against torch] [--configurations N] [--seed N] [--processes 2]

Against PyTorch, if it is installed, it compares as well which calls are refused, and counts how
often each difference that docs/migration/pytorch.md lists was the reason.

A failure names the call, and the command that makes it again. Nearly all of the time XLA compiles;
`--quick` takes less of it, by code generation that users do not have.
"""

import argparse
import multiprocessing
import secrets
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed

import jax
from against_torch import assert_agrees_with_torch
from agreement import QUICKLY, assert_agree
from configs import random_calls, raw_calls
from tqdm import tqdm

CHUNK = 2000  # calls


def run_chunk(against, number, chunk, options):
    """Checks `CHUNK` calls, compiled with the options; returns the differences found, or an error.

    The differences are those that PyTorch may have, counted.
    """
    number = f"{number} {chunk}"
    try:
        if against == "torch":
            return assert_agrees_with_torch(raw_calls(number, CHUNK), options=options)
        assert_agree(random_calls(number, CHUNK), options=options)
    except AssertionError as error:
        return str(error)
    finally:
        jax.clear_caches()
    return Counter()


def main(arguments=None):
    """Runs the chunks, or one of them, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", choices=["oracle", "torch"], default="oracle")
    parser.add_argument("--configurations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="by quick code generation")
    parser.add_argument("--chunk", type=int, help="only this one, to see a failure again")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    chunks = range(-(-options.configurations // CHUNK))
    if options.chunk is not None:
        chunks = [options.chunk]
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(options.processes, context) as workers,
        tqdm(total=len(chunks) * CHUNK, unit=" configurations", smoothing=0) as bar,
    ):
        given = options.against, options.seed
        compiling = QUICKLY if options.quick else None
        waiting = {workers.submit(run_chunk, *given, chunk, compiling): chunk for chunk in chunks}
        differences = Counter()
        for done in as_completed(waiting):
            if isinstance(error := done.result(), str):
                workers.shutdown(cancel_futures=True)
                print(error, file=sys.stderr)
                again = f"--against {options.against} --seed {options.seed} --chunk {waiting[done]}"
                print(f"again: python tests/helpers/soak.py {again}", file=sys.stderr)
                return 1
            differences += done.result()
            bar.update(CHUNK)
    print(f"{len(chunks) * CHUNK} configurations agree with {options.against}")
    for difference, count in differences.most_common():
        print(f"{count:7} {difference}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
