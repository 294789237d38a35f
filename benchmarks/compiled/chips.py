"""The chips that can be compiled for, and what each one is known to do in a second or a cycle."""

from importlib import metadata
from typing import NamedTuple

_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84942979072 shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 8 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""


class Tpu(NamedTuple):
    """A TPU.

    Args:
      title: what it is called.
      topology, accelerator: its names for JAX and for libtpu.
      bytes_per_cycle: the traffic of HBM that XLA estimates of a loop over a float32 array, and
        that it gives no estimate of where a `reduce-window` stands alone.
    """

    title: str
    topology: str
    accelerator: str
    bytes_per_cycle: float
    packages: tuple[str, ...] = ("libtpu",)
    figure: str = "cycles"


class Gpu(NamedTuple):
    """A GPU, with its roofline on paper.

    Args:
      title: what it is called.
      target: its description for XLA.
      hbm_bytes, loads: what it moves, and loads from the L1 caches, in a second.
      launch: seconds that it takes to launch a kernel.
    """

    title: str
    target: str
    hbm_bytes: float
    loads: float
    launch: float
    packages: tuple[str, ...] = ("jax-cuda12-plugin", "jax-cuda12-pjrt", "nvidia-cuda-nvcc-cu12")
    figure: str = "hbm_bytes"


CHIPS: dict[str, Tpu | Gpu] = {
    "v5e": Tpu("TPU v5e", "v5e:2x2", "v5litepod-4", 440),
    "v6e": Tpu("TPU v6e", "v6e:2x2", "v6e-4", 756),
    "v5p": Tpu("TPU v5p", "v5p:2x2x1", "v5p-8", 1131),
    # 132 cores at 1.76 GHz, each with 32 loads a cycle.
    "h100": Gpu("H100", _H100, 3.35e12, 7.4e12, 2e-6),
}


def versions(chip: str) -> dict[str, str]:
    """The versions that decide what is compiled for a chip; raises if one is not installed."""
    packages = ("jax", "jaxlib", *CHIPS[chip].packages)
    return {package: metadata.version(package) for package in packages}
