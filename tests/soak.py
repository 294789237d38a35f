"""Random whole calls by the thousand against the oracle: values, gradients, and gradients back.

Two thousand are part of the tests; this runs as many as one likes:

    python tests/soak.py [--configurations 100000] [--seed N] [--processes 2]

A failure names the call, and the command that makes it again. Nearly all of the time XLA compiles;
three times faster, though by other code generators than users have, with

    XLA_FLAGS="--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"
"""

import argparse
import multiprocessing
import secrets
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed

import jax
import jax.numpy as jnp
import numpy as np
import oracle
from cases import cotangent_of, pooling
from configs import calls
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from tqdm import tqdm

PROGRAM = 20  # calls per compiled program: compiling one program for each would take hours
PROGRAMS = 100
CHUNK = PROGRAM * PROGRAMS

programs = st.lists(calls(), min_size=PROGRAM, max_size=PROGRAM)


def check(drawn):
    """Compares what one compiled program gives for the calls with what the oracle says."""
    arrays = [_arrays(call) for call in drawn]

    @jax.jit
    def everything(arrays):
        return [_results(*one) for one in zip(drawn, arrays, strict=True)]

    for call, given_arrays, results in zip(drawn, arrays, everything(arrays), strict=True):
        results = [np.asarray(r.astype(jnp.float32)) for r in results]
        for what, found, expected, tolerance in _expected(call, *given_arrays, results):
            np.testing.assert_allclose(found, expected, **tolerance, err_msg=f"{what} of {call!r}")


def _arrays(call):
    """An input of whole numbers and, perhaps, NaN and infinities; a tangent; the mask."""
    rng = np.random.default_rng(call.seed)
    shape = call.config.shape(batch=(2,), channels=1)
    x, tangent = rng.integers(-99, 100, (2, *shape)).astype(np.float32)
    special = rng.choice([np.nan, np.inf, -np.inf, -0.0], shape)
    x = np.where(rng.random(shape) < call.specials, special, x)
    where = None
    if call.mask is not None:
        one = rng.random(len(shape)) < 0.3  # axes over which the mask is broadcast
        kept = np.where(one, 1, shape)
        where = rng.random(kept) < call.mask
    return x.astype(call.dtype), tangent.astype(call.dtype), where


def _results(call, arrays):
    """The value, a cotangent of it, its gradient; through the gradient's transpose the tangent."""
    x, tangent, where = arrays
    pooled, pullback = jax.vjp(pooling(call.config, where=where), x)
    cotangent = cotangent_of(pooled)
    (back,) = jax.linear_transpose(pullback, cotangent)((tangent,))
    return pooled, cotangent, *pullback(cotangent), back


def _expected(call, x, tangent, where, results):
    """What is compared: its name, what was found, what the oracle says, how near it must be."""
    pooled, cotangent, gradient, back = results
    everywhere = np.ones(x.shape, bool) if where is None else where
    x, tangent = x.astype(np.float32), tangent.astype(np.float32)
    with np.errstate(invalid="ignore"):  # inf - inf
        value, _ = oracle.masked_pool(x, everywhere, cotangent, call.config)
    there, expected = oracle.masked_pool(tangent, everywhere, cotangent, call.config)
    # Sums of whole numbers are exact. The division rounds, twice where XLA multiplies by the
    # reciprocal; then a 16-bit result is rounded.
    half = jnp.finfo(call.dtype).eps / 2
    once = {"rtol": 1.01 * (half if half > 1e-6 else 2 * half), "atol": 0}
    summed = {"rtol": max(1.01 * half, 1e-5), "atol": 1e-6}
    yield "value", pooled, value, once
    yield "gradient", gradient, expected, summed
    yield "transposed gradient", back, np.nan_to_num(there), once


def run_chunk(number, chunk):
    """Checks `CHUNK` calls; returns what went wrong."""

    @seed(f"{number} {chunk}")
    @settings(
        max_examples=PROGRAMS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs)
    def examine(drawn):
        check(drawn)

    try:
        examine()
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
        waiting = {workers.submit(run_chunk, options.seed, chunk): chunk for chunk in chunks}
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
