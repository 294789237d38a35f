"""Times jaxpool and its peers on the GPU of this machine.

python -m benchmarks.gpu --json h100.json
python -m benchmarks.gpu --cells k31 to6 --peers flax torch
python -m benchmarks.gpu --load benchmarks/results/h100.json

The programs are those of `benchmarks.compiled`, and PyTorch's own pools. What counts is how long
the kernels run, as CUDA's profiler reports it, without what lies between them.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import distributions
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from benchmarks.cells import choose, parser_of
from benchmarks.compiled.cells import CELLS, Cell
from benchmarks.compiled.pools import EVERYONE, JAXPOOL
from benchmarks.compiled.programs import prepare
from benchmarks.compiled.report import by_setting, headline
from benchmarks.compiled.results import SETTINGS, Key, Run
from benchmarks.report import number, paragraphs
from benchmarks.results import Setting

TORCH = "torch"
PEERS = (*(name for name in EVERYONE if name != JAXPOOL), TORCH)
WARM_UP, CALLS = 3, 20
TITLE = """\
Time over jaxpool's, geometric mean: above 1, jaxpool is faster. Of each program the median of 20
calls, of each call the time that its kernels run. Inputs that fit in the L2 cache stay there."""


class Time(NamedTuple):
    """What a call takes."""

    microseconds: float
    kernels: int

    @property
    def figure(self) -> float:
        """What ratios are of."""
        return self.microseconds


class Times(Run):
    """The times of all programs; the GPU's name is the chip, and first among the versions."""

    cost = Time

    @property
    def about(self) -> str:
        """What the figures are of."""
        gpu, *versions = (f"{name} {version}" for name, version in self.versions.items())
        return f"Times of kernels on one {gpu} ({', '.join(versions)})."


def measure(options: argparse.Namespace, run: Times) -> None:
    """Adds the times of all that the options ask for, cell by cell."""
    peers = [JAXPOOL, *(peer for peer in options.peers if peer != TORCH)]
    for cell in tqdm(options.cells):
        programs = {}
        for peer, setting in product(peers, SETTINGS):
            if program := prepare(peer, cell, setting):
                key = Key(peer, cell.name, *setting)
                programs[key] = jax.jit(program.function), program.arguments
        run.costs.update(_jax_times(programs))
    if TORCH in options.peers:  # with a profiler, and so a process, of its own
        with get_context("spawn").Pool(1) as pool:
            run.costs.update(pool.apply(_torch_times, (options.cells, SETTINGS)))


def _jax_times(programs: dict[Key, tuple[Any, tuple[Any, ...]]]) -> dict[Key, Time]:
    """The times of jitted functions of arguments of these shapes."""
    lowered = {}
    for number_, (key, (jitted, shapes)) in enumerate(programs.items()):
        jitted.__wrapped__.__name__ = f"program{number_}"
        lowered[key] = jitted.lower(*shapes)
    with ThreadPoolExecutor() as pool:
        executables = pool.map(lambda one: one.compile(), lowered.values())
        compiled = dict(zip(lowered, executables, strict=True))
    arguments = {key: _draw(shapes) for key, (_, shapes) in programs.items()}
    keys, order = list(programs), np.random.default_rng(0)

    def call(times: int) -> None:
        for _ in range(times):
            for i in order.permutation(len(keys)):  # what runs before leaves the caches changed
                jax.block_until_ready(compiled[keys[i]](*arguments[keys[i]]))

    call(WARM_UP)
    with TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            call(CALLS)
        (path,) = Path(folder).rglob("*.xplane.pb")
        events = list(_kernels(path))
    names = {f"jit_program{number_}": key for number_, key in enumerate(programs)}
    durations: dict[Key, list[float]] = {key: [] for key in programs}
    for module, microseconds in events:
        durations[names[module]].append(microseconds)
    return {key: _time(found) for key, found in durations.items()}


def _kernels(path: Path) -> Iterable[tuple[str, float]]:
    """The module of each kernel that a profile holds, and its microseconds, in their order."""
    profile = jax.profiler.ProfileData.from_file(str(path))
    found = [
        (event.start_ns, dict(event.stats)["hlo_module"], event.duration_ns / 1e3)
        for plane in profile.planes
        if plane.name.startswith("/device:GPU")
        for line in plane.lines
        if line.name.startswith("Stream")
        for event in line.events
        if "hlo_module" in dict(event.stats)
    ]
    return ((module, microseconds) for _, module, microseconds in sorted(found))


def _draw(shapes: Any) -> Any:
    """Normal arrays, and masks of which half is true, on the device."""
    rng = np.random.default_rng(0)

    def one(shape: jax.ShapeDtypeStruct) -> jax.Array:
        drawn = rng.standard_normal(shape.shape, np.float32)
        return jnp.asarray(drawn > 0 if shape.dtype == bool else drawn, shape.dtype)

    return jax.tree.map(one, shapes)


def _time(durations: Sequence[float]) -> Time:
    """Of the kernels of `CALLS` calls."""
    calls = np.asarray(durations).reshape(CALLS, -1)
    return Time(round(median(calls.sum(1)), 2), calls.shape[1])


def _torch_times(cells: Sequence[Cell], settings: Sequence[Setting]) -> dict[Key, Time]:
    """The times of PyTorch's pools, of those cells that are a pool alone and have no mask."""
    import torch

    times = {}
    for cell, setting in product(cells, settings):
        if cell.block or cell.masked:
            continue
        call = _torch_call(cell, setting)
        for _ in range(WARM_UP):
            call()
        torch.cuda.synchronize()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            for _ in range(CALLS):
                call()
            torch.cuda.synchronize()
        on_gpu = torch.autograd.DeviceType.CUDA
        kernels = [event.time_range for event in profile.events() if event.device_type == on_gpu]
        kernels.sort(key=lambda kernel: kernel.start)
        times[Key(TORCH, cell.name, *setting)] = _time([k.elapsed_us() for k in kernels])
    return times


def _torch_call(cell: Cell, setting: Setting) -> Callable[[], Any]:
    """A call of PyTorch's pool, or of its gradient."""
    import torch
    from torch.nn import functional

    layouts = {"channels_first": torch.contiguous_format, "channels_last": torch.channels_last}
    x = torch.randn(cell.shape, device="cuda", dtype=getattr(torch, setting.dtype))
    x = x.to(memory_format=layouts[setting.layout]).requires_grad_()
    if cell.outputs:
        pool = partial(functional.adaptive_avg_pool2d, output_size=cell.outputs)
    else:
        pool = partial(
            functional.avg_pool2d,
            kernel_size=cell.kernel,
            stride=cell.stride,
            padding=cell.padding,
            ceil_mode=cell.ceil,
            count_include_pad=not cell.ceil,
        )
    if setting.direction == "forward":
        return partial(pool, x.detach())
    y = pool(x)
    return partial(torch.autograd.grad, y, x, torch.randn_like(y), retain_graph=True)


def report(run: Run) -> str:
    """The whole report of times."""
    costs = by_setting(run, _words, ": microseconds / kernels")
    return paragraphs([[run.about], headline(run, TITLE), *costs])


def _words(time: Time) -> str:
    return f"{number(time.microseconds)} / {time.kernels}"


def _versions() -> dict[str, str]:
    """What the times depend on besides the GPU."""
    packages = ("jax", "jaxlib", "flax", "equinox", "keras", "torch")
    found = {package.metadata["Name"].lower(): package.version for package in distributions()}
    return {name: found[name] for name in packages if name in found}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, with cells filled in."""
    parser = parser_of("benchmarks.gpu", __doc__, CELLS)
    add = parser.add_argument
    add("--cells", nargs="+", metavar="WORD", help="a word of their names, such as k3 or relu+pool")
    add("--peers", nargs="*", choices=PEERS, default=PEERS, metavar="PEER")
    add("--json", type=Path, metavar="FILE", help="write all times")
    add("--load", type=Path, metavar="FILE", help="take what --json wrote, and measure nothing")
    options = parser.parse_args(arguments)
    options.cells = choose(options.cells, CELLS, parser) if options.cells else CELLS
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, reports, and writes the file that the options name."""
    options = parse(arguments)
    if options.load:
        run = Times.load(options.load)
    else:
        # Kernels of a CUDA graph would not say whose they are; PyTorch needs memory as well.
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_enable_command_buffer="
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        vendor, gpu = jax.devices("gpu")[0].device_kind.split(" ", 1)
        run = Times(gpu, {vendor: gpu, **_versions()})
        measure(options, run)
    print(report(run))
    if options.json:
        run.save(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
