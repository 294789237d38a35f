"""What each chip does in a second or a cycle; `benchmarks/chips.py` describes it to XLA."""

from importlib import metadata
from typing import NamedTuple


class Tpu(NamedTuple):
    """A TPU.

    Args:
      title: what it is called.
      bytes_per_cycle: the traffic of HBM that XLA estimates of a loop over a float32 array, and
        that it gives no estimate of where a `reduce-window` stands alone.
    """

    title: str
    bytes_per_cycle: float
    packages: tuple[str, ...] = ("libtpu",)
    figure: str = "cycles"


class Gpu(NamedTuple):
    """A GPU, with its roofline on paper.

    Args:
      title: what it is called.
      hbm_bytes, loads: what it moves, and loads from the L1 caches, in a second.
      launch: seconds that it takes to launch a kernel.
    """

    title: str
    hbm_bytes: float
    loads: float
    launch: float
    packages: tuple[str, ...] = ("jax-cuda12-plugin", "jax-cuda12-pjrt", "nvidia-cuda-nvcc-cu12")
    figure: str = "microseconds"


CHIPS: dict[str, Tpu | Gpu] = {
    "v5e": Tpu("TPU v5e", 440),
    "v6e": Tpu("TPU v6e", 756),
    "v5p": Tpu("TPU v5p", 1131),
    # 132 cores at 1.76 GHz, each with 32 loads a cycle.
    "h100": Gpu("H100", 3.35e12, 7.4e12, 2e-6),
}


def versions(chip: str) -> dict[str, str]:
    """The versions that decide what is compiled for a chip; raises if one is not installed."""
    packages = ("jax", "jaxlib", *CHIPS[chip].packages)
    return {package: metadata.version(package) for package in packages}
