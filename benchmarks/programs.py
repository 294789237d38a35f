"""What is timed: a pool, its pullback or both, as one call on data that already lies in place."""

import re
from collections.abc import Callable
from math import prod
from time import perf_counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Wrapped

from benchmarks import peers
from benchmarks.cells import Case, Cell
from benchmarks.peers import CannotError, Pool


class Data(NamedTuple):
    """An input and a cotangent, as JAX arrays in the layout of a case."""

    x: jax.Array
    ct: jax.Array


class Compiled(NamedTuple):
    """What is known of a program before it runs."""

    seconds: float
    temporary_bytes: int
    largest_constant: int


class Program(NamedTuple):
    """A call without arguments, which returns when the work is done, and how to look at it."""

    call: Callable[[], Any]
    first_sample: Callable[[Any], list[np.ndarray]]
    compiled: Compiled | None = None


class Peer(NamedTuple):
    """How a library is asked for a pool, how a program is made of it, and how slow it may be.

    Args:
      pool, program: the two steps from a case to something to time.
      reads_every_tap: whether its time grows with the number of taps.
      rest: seconds until its threads sleep, which would take the cores from whose turn is next.
    """

    pool: Callable[[Case], Pool]
    program: Callable[[Pool, Case, str, Data], Program]
    reads_every_tap: bool = True
    rest: float = 0.0


def make_data(cell: Cell, dtype: str) -> dict[str, Data]:
    """The data of a cell by layout: the same numbers, between 0 and 1, laid out in each."""
    generator = np.random.default_rng(0)
    x, ct = (
        jnp.asarray(generator.random(shape, np.float32), dtype)
        for shape in (cell.shape, cell.output)
    )
    last = Data(jnp.moveaxis(x, 1, -1), jnp.moveaxis(ct, 1, -1))
    return jax.block_until_ready({"channels_first": Data(x, ct), "channels_last": last})


def compile_jax(function: Wrapped, *args: Any) -> Compiled:
    """Traces and compiles the jitted `function`, whose next call then need not."""
    start = perf_counter()
    compiled = function.lower(*args).compile()
    seconds = perf_counter() - start
    memory = compiled.memory_analysis()
    shapes = re.findall(r"= \w+\[([\d,]*)\]\S* constant\(", compiled.as_text() or "")
    sizes = [prod(map(int, filter(None, shape.split(",")))) for shape in shapes]
    return Compiled(seconds, memory.temp_size_in_bytes, max(sizes, default=0))


def jax_function(pool: Pool, direction: str, data: Data) -> tuple[Wrapped, list[jax.Array]]:
    """The function of a direction, jitted, and its arguments."""
    x, ct = data
    # Flax returns float32 for bfloat16 where it excludes the padding.
    ct = ct.astype(jax.eval_shape(pool, x).dtype)

    def backward(ct: jax.Array) -> jax.Array:
        # A pool is linear, so nothing of these zeros remains in the program.
        gradient: jax.Array = jax.vjp(pool, jnp.zeros(x.shape, x.dtype))[1](ct)[0]
        return gradient

    def both(x: jax.Array, ct: jax.Array) -> tuple[jax.Array, jax.Array]:
        y, pullback = jax.vjp(pool, x)
        return y, pullback(ct)[0]

    if direction == "forward":
        # A new function each time, or jax.jit would remember the program of an earlier one.
        return jax.jit(lambda x: pool(x)), [x]
    return (jax.jit(backward), [ct]) if direction == "backward" else (jax.jit(both), [x, ct])


def jax_program(pool: Pool, case: Case, direction: str, data: Data) -> Program:
    """Jitted and compiled."""
    function, args = jax_function(pool, direction, data)
    compiled = compile_jax(function, *args)
    return Program(
        lambda: jax.block_until_ready(function(*args)),
        lambda out: [_first_sample(case, y) for y in jax.tree.leaves(out)],
        compiled,
    )


def copy_program(pool: Pool, case: Case, _: str, data: Data) -> Program:
    """The same in every direction: a copy of the input, also for the pullback to compare with."""
    return jax_program(pool, case, "forward", data)


def torch_program(pool: Pool, case: Case, direction: str, data: Data) -> Program:
    """As PyTorch runs it: op by op; the pullback on a graph that is kept."""
    import torch

    x, ct = map(torch.from_dlpack, data)
    if case.layout == "channels_last":  # in PyTorch a matter of strides, not of shape
        x, ct = x.movedim(-1, 1), ct.movedim(-1, 1)
    if direction == "forward":
        call = torch.no_grad()(lambda: (pool(x),))
    elif direction == "backward":
        y = pool(x.requires_grad_())

        def call() -> Any:
            return torch.autograd.grad(y, x, ct, retain_graph=True)
    else:
        x.requires_grad_()

        def call() -> Any:
            y = pool(x)
            return y.detach(), *torch.autograd.grad(y, x, ct)

    return Program(call, lambda out: [y[0].float().numpy() for y in out])


def numpy_program(pool: Pool, case: Case, direction: str, data: Data) -> Program:
    """On a NumPy view of the data, which needs no copy."""
    if direction != "forward":
        raise CannotError("has no gradient")
    x = np.asarray(data.x)
    return Program(lambda: pool(x), lambda out: [_first_sample(case, out)])


def _first_sample(case: Case, batch: Any) -> np.ndarray:
    sample = np.asarray(batch)[0].astype(np.float32)
    return np.moveaxis(sample, -1, 0) if case.layout == "channels_last" else sample


COPY, JAXPOOL = "copy", "jaxpool"
JAX_PEERS = {
    "flax": Peer(peers.flax, jax_program),
    "equinox": Peer(peers.equinox, jax_program),
    "keras": Peer(peers.keras, jax_program),
    "haiku": Peer(peers.haiku, jax_program),
    "reduce_window": Peer(peers.reduce_window, jax_program),
}
OTHER_PEERS = {
    "torch": Peer(peers.torch, torch_program, rest=0.25),
    "scipy": Peer(peers.scipy, numpy_program, reads_every_tap=False),
    "opencv": Peer(peers.opencv, numpy_program, reads_every_tap=False),
}
PEERS = JAX_PEERS | OTHER_PEERS
# What every other time is divided by, and a yardstick for it.
EVERYONE = {
    JAXPOOL: Peer(peers.jaxpool_, jax_program, reads_every_tap=False),
    COPY: Peer(peers.copy, copy_program, reads_every_tap=False),
    **PEERS,
}


def prepare(name: str, case: Case, direction: str, data: Data) -> Program:
    """The program of a peer, compiled; raises `CannotError` if it has none."""
    peer = EVERYONE[name]
    try:
        return peer.program(peer.pool(case), case, direction, data)
    except ImportError as error:
        raise CannotError("is not installed") from error
