"""Random whole calls by the thousand, and every dtype, compiled for a TPU v5e or an H100.

    python tests/helpers/compile_for.py {tpu,gpu} [--configurations 1000] [--seed N]

The machine needs neither: `benchmarks/chips.py` says what to install. A call is its value, tangent,
gradient and transposed gradient. Each that fails is named, with the first line of its error. A
dtype fails if pools of it do though XLA's own window does not; otherwise the platform lacks it.
"""

import argparse
import contextlib
import multiprocessing
import os
import secrets
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import cycle
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from agreement import PROGRAM, arrays_of, one_program
from cases import CASES, NARROW, POOLS, RARE, WIDE, Call, jax_has
from configs import random_calls
from jax import lax
from tqdm import tqdm

from benchmarks.chips import described, missing
from jaxpool import avg_pool2d

SHAPE = 2, 18, 18  # of the arrays of every dtype
CHIPS = {"tpu": "v5e", "gpu": "h100"}
KINDS = cycle([("float32", None), ("bfloat16", 0.5), ("bfloat16", None), ("float32", 0.5)])
EVERY_KIND = [Call(*case.values, *kind) for case, kind in zip(CASES, KINDS, strict=False)]


class Compiler:
    """Compiles in another process, as JAX must be set up before it starts and a compiler may abort.

    Then the next program gets a new process.
    """

    def __init__(self, chip, *, x64=False):
        self._log = tempfile.NamedTemporaryFile(mode="r")  # noqa: SIM115  (closed with it)
        self._start = chip, x64, self._log.name
        self._process = None

    def error(self, program, *arguments):
        """The first line of what is wrong with `program(*arguments)`; None if it compiles."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._process = ProcessPoolExecutor(1, context)
            self._process.submit(_start, *self._start).result()
        try:
            return self._process.submit(_error, program, arguments).result()
        except BrokenProcessPool:
            self.close()
            lines = Path(self._log.name).read_text(errors="replace").splitlines()
            fatal = [line for line in lines if line.startswith(("F", "***"))]
            return "the compiler aborts: " + (fatal or lines or ["it does not say why"])[0]

    def close(self):
        """Ends the process."""
        if self._process is not None:
            self._process.shutdown()
            self._process = None


def _start(chip, x64, log):
    """Sets up the process that compiles; what the compiler logs goes to a file."""
    os.dup2(os.open(log, os.O_WRONLY | os.O_TRUNC | os.O_APPEND), sys.stderr.fileno())
    global device
    (device, *_) = described(chip)
    jax.config.update("jax_enable_x64", x64)


def _error(program, arguments):
    try:
        f, *given = program(*arguments)
        there = jax.sharding.SingleDeviceSharding(device)
        jax.jit(f, in_shardings=there, out_shardings=there).lower(*given).compile()
    except Exception as error:  # whatever it is
        return f"{type(error).__name__}: {error}".splitlines()[0]
    finally:
        jax.clear_caches()
    return None


def calls_together(*calls):
    """The program of these calls, and its arguments."""
    return one_program(calls), list(map(arrays_of, calls))


def one_pool(dtype, pool):
    """The program of a pool of that dtype, with and without a mask, and of its gradients."""

    def pooled(x, where):
        pools = POOLS[pool], partial(POOLS[pool], where=where)
        if not jnp.issubdtype(dtype, jnp.inexact):
            return [pool(x) for pool in pools]
        results = [jax.vjp(pool, x) for pool in pools]
        return [(value, *pullback(value)) for value, pullback in results]

    return pooled, jax.ShapeDtypeStruct(SHAPE, dtype), jax.ShapeDtypeStruct(SHAPE, bool)


def large_tiles(dtype):
    """The program of tiles that do not fit at once into the memory beside a TPU's vector units."""

    def pooled(x):
        value, pullback = jax.vjp(partial(avg_pool2d, kernel=64), x)
        return value, *pullback(value)

    return pooled, jax.ShapeDtypeStruct((1, 3, 4096, 4096), dtype)


def plain_window(dtype):
    """XLA's own sum over windows, which a platform can compile if it has the dtype."""

    def summed(x):
        if not jnp.issubdtype(dtype, jnp.inexact):
            x = x.astype(float)
        elif jnp.finfo(dtype).bits < 32:
            x = x.astype(jnp.float32)
        zero = np.zeros((), x.dtype)
        x = lax.reduce_window(x, zero, lax.add, (1, 3, 3), (1, 3, 3), "VALID")
        return x.astype(dtype) if jnp.issubdtype(dtype, jnp.inexact) else x

    return summed, jax.ShapeDtypeStruct(SHAPE, dtype)


def failures(compiler, calls):
    """The calls that fail, each with its error: compiled one by one if not together."""
    if not (error := compiler.error(calls_together, *calls)):
        return []
    if len(calls) == 1:
        return [(*calls, error)]
    found = [failure for call in calls for failure in failures(compiler, [call])]
    return found or [(calls, f"together, not one by one: {error}")]


def check_calls(compiler, calls):
    """Compiles the calls; prints those that fail, and returns how many do."""
    failed = 0
    with tqdm(total=len(calls), unit=" calls", smoothing=0) as bar:
        for start in range(0, len(calls), PROGRAM):
            some = calls[start : start + PROGRAM]
            for call, error in failures(compiler, some):
                bar.write(f"{call!r}\n    {error}")
                failed += 1
            bar.update(len(some))
    return failed


def check_large_tiles(compiler):
    """Compiles them; prints those that fail, and returns how many do."""
    errors = [(name, compiler.error(large_tiles, name)) for name in ("float32", "bfloat16")]
    failed = [f"large tiles in {name}\n    {error}" for name, error in errors if error]
    print(*failed, sep="\n", end="\n" * bool(failed), flush=True)
    return len(failed)


def check_dtypes(compiler, names):
    """Compiles pools of these dtypes; prints which fail or lack, and returns how many fail."""
    failed = 0
    for name in filter(jax_has, names):
        found = [(pool, error) for pool in POOLS if (error := compiler.error(one_pool, name, pool))]
        if found and (error := compiler.error(plain_window, name)):
            print(f"lacks {name}: {error}", flush=True)
            continue
        for pool, error in found:
            print(f"{name} {pool}\n    {error}", flush=True)
        failed += bool(found)
    return failed


def main(arguments=None):
    """Compiles them all, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("platform", choices=CHIPS)
    parser.add_argument("--configurations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--dtypes", nargs="*", default=[*NARROW, *RARE, *WIDE])
    options = parser.parse_args(arguments)
    chip = CHIPS[options.platform]
    if reason := missing(chip):
        parser.error(reason)
    print(f"seed {options.seed}", flush=True)
    drawn = random_calls(options.seed, options.configurations) if options.configurations else []
    calls = [*EVERY_KIND, *drawn]
    with (
        contextlib.closing(Compiler(chip)) as compiler,
        contextlib.closing(Compiler(chip, x64=True)) as compiler_x64,
    ):
        failed_calls = check_calls(compiler, calls)
        failed_large = check_large_tiles(compiler)
        narrow = [name for name in options.dtypes if name not in WIDE]
        failed_dtypes = check_dtypes(compiler, narrow)
        wide = [name for name in options.dtypes if name in WIDE]
        failed_dtypes += check_dtypes(compiler_x64, wide)
    compile_ = f"{len(calls) - failed_calls} of {len(calls)} calls compile for {chip}"
    print(f"{compile_}, and of {len(options.dtypes)} dtypes {failed_dtypes} fail")
    return 1 if failed_calls or failed_large or failed_dtypes else 0


if __name__ == "__main__":
    sys.exit(main())
