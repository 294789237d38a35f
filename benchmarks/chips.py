"""A TPU and a GPU that this machine need not have, as devices that programs are compiled for.

    device = described("v5e")[0]
    on_chip = jax.sharding.SingleDeviceSharding(device)
    compiled = jax.jit(f, in_shardings=on_chip, out_shardings=on_chip).lower(x).compile()

The program cannot be run. The CUDA plugin has to be of the version of jaxlib.
"""

import os
from importlib.util import find_spec
from typing import Any

CHIPS = {"v5e": "TPU v5e", "h100": "H100"}
PACKAGES = {  # whose versions decide what is compiled
    "v5e": ("jax", "jaxlib", "libtpu"),
    "h100": ("jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda12-pjrt", "nvidia-cuda-nvcc-cu12"),
}
TPU = {  # what libtpu would ask the network for, and that other processes may use it
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_ID": "0",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
H100 = """
platform_name: "CUDA" device_description_str: "NVIDIA H100 80GB HBM3"
runtime_version { major: 12 minor: 8 } dnn_version_info { major: 9 minor: 8 }
gpu_device_info {
  cuda_compute_capability { major: 9 } core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  memory_bandwidth: 3352320000000 device_memory_size: 84942979072 l2_cache_size: 52428800
  threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472 registers_per_block_limit: 65536 registers_per_core_limit: 65536
}
"""
# Kernels of a CUDA graph are neither counted nor named one by one.
NO_GRAPHS = "--xla_gpu_enable_command_buffer="


def add_xla_flag(flag: str) -> None:
    """For XLA to read when it starts."""
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}"


def missing(chip: str) -> str | None:
    """Says how to install what compiles for the chip; None if it is installed."""
    modules = {"v5e": ["libtpu"], "h100": ["jax_cuda12_plugin", "jax_cuda13_plugin"]}
    if any(map(find_spec, modules[chip])):
        return None
    return f"nothing here compiles for {chip}: python -m pip install {' '.join(PACKAGES[chip][2:])}"


def described(chip: str, topology: str = "2x2") -> list[Any]:
    """One H100, or TPUs in a topology. JAX must not have been used yet: it stays on the CPU."""
    if reason := missing(chip):
        raise ModuleNotFoundError(reason)
    import jax
    from jax.experimental import topologies

    jax.config.update("jax_platforms", "cpu")
    if chip == "v5e":
        os.environ.update(TPU)
        return list(topologies.get_topology_desc(f"v5e:{topology}", "tpu").devices)
    add_xla_flag("--xla_gpu_autotune_level=0")  # to choose between kernels XLA would run them
    found = topologies.get_topology_desc(chip, "cuda", target_config=H100, topology="1x1x1")
    return list(found.devices)
