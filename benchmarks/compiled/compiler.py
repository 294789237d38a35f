"""Compiles for a chip that is not there, and counts what the program costs."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import jax

from benchmarks.chips import described
from benchmarks.compiled.chips import CHIPS, Tpu
from benchmarks.compiled.cycles import cycles
from benchmarks.compiled.hlo import computations, kernels
from benchmarks.compiled.loads import loads
from benchmarks.compiled.programs import Program


class Cost(NamedTuple):
    """What a compiled program costs.

    Args:
      hbm_bytes: that cross HBM, the padding of tiles with them.
      temporary_bytes: of HBM that it holds besides its arguments and results.
      kernels: that the chip starts, one after the other.
      cycles: of a TPU, see `cycles.py`.
      loads: from the L1 caches of a GPU, see `loads.py`.
      microseconds: of a GPU on paper: of each kernel the longer of its traffic and its loads, and
        the launches.
    """

    hbm_bytes: int
    temporary_bytes: int
    kernels: int
    cycles: int | None = None
    loads: int | None = None
    microseconds: float | None = None

    @property
    def figure(self) -> float:
        """What ratios are of: its cycles, or of a GPU its microseconds."""
        return self.cycles or self.microseconds or 0


class Compiler:
    """One of XLA's compilers; a process can have one only, and uses JAX on its CPU besides."""

    def __init__(self, chip: str) -> None:
        self._chip = CHIPS[chip]
        self._folder = TemporaryDirectory()  # goes when this object does
        if isinstance(self._chip, Tpu):
            # Of all passes, and not of the last alone, it would write 50 times as much.
            os.environ["LIBTPU_INIT_ARGS"] = (
                f"--xla_jf_dump_to={self._folder.name} --xla_jf_dump_llo_text=true"
                " --xla_jf_dump_llo_pass_label_regex=^final_bundles"
            )
        else:  # kernels are counted one by one
            flags = os.environ.get("XLA_FLAGS", "")
            os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_enable_command_buffer="
        device = described(chip)[0]
        self._sharding = jax.sharding.SingleDeviceSharding(device)

    def cost(self, program: Program) -> Cost:
        """Compiles the program and counts."""
        dump = Path(self._folder.name)
        for path in dump.iterdir():
            path.unlink()
        jitted = jax.jit(
            program.function, in_shardings=self._sharding, out_shardings=self._sharding
        )
        compiled = jitted.lower(*program.arguments).compile()
        text = compiled.as_text() or ""
        found = list(kernels(text))
        hbm_bytes = sum(kernel.hbm_bytes for kernel in found)
        cost = Cost(hbm_bytes, compiled.memory_analysis().temp_size_in_bytes, len(found))
        if isinstance(self._chip, Tpu):
            rate = self._chip.bytes_per_cycle
            return cost._replace(cycles=sum(cycles(kernel, dump, rate) for kernel in found))
        within = computations(text)
        loaded = [loads(kernel.operation, within) for kernel in found]
        seconds = sum(
            max(kernel.hbm_bytes / self._chip.hbm_bytes, count / self._chip.loads)
            + self._chip.launch
            for kernel, count in zip(found, loaded, strict=True)
        )
        return cost._replace(loads=round(sum(loaded)), microseconds=round(1e6 * seconds, 2))
