"""Random whole calls by the thousand against the oracle: values and derivatives.

Two thousand are part of the tests; this runs any number of them:

    python tests/soak.py [--configurations 100000] [--seed N] [--processes 2]

A failure names the call, and the command that makes it again. Nearly all of the time XLA compiles;
`--quick` takes less of it, by code generation that users do not have.
"""

import argparse
import multiprocessing
import secrets
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed

import jax
from agreement import QUICKLY, assert_agree
from configs import random_calls
from tqdm import tqdm

CHUNK = 2000  # calls


def run_chunk(number, chunk, options):
    """Checks `CHUNK` calls, compiled with the options; returns what went wrong."""
    try:
        assert_agree(random_calls(f"{number} {chunk}", CHUNK), options=options)
    except AssertionError as error:
        return str(error)
    finally:
        jax.clear_caches()
    return None


def main(arguments=None):
    """Runs the chunks, or one of them, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
        given = QUICKLY if options.quick else None
        waiting = {workers.submit(run_chunk, options.seed, chunk, given): chunk for chunk in chunks}
        for done in as_completed(waiting):
            if error := done.result():
                workers.shutdown(cancel_futures=True)
                print(error, file=sys.stderr)
                again = f"--seed {options.seed} --chunk {waiting[done]}"
                print(f"again: python tests/soak.py {again}", file=sys.stderr)
                return 1
            bar.update(CHUNK)
    print(f"{len(chunks) * CHUNK} configurations agree with the oracle")
    return 0


if __name__ == "__main__":
    sys.exit(main())
