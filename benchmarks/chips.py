"""TPUs and GPUs that this machine need not have, as devices that programs are compiled for.

libtpu compiles for every TPU, and the CUDA plugin of JAX for every GPU that a text describes:

    device = described("v5e")[0]
    on_chip = jax.sharding.SingleDeviceSharding(device)
    compiled = jax.jit(f, in_shardings=on_chip, out_shardings=on_chip).lower(x).compile()

The arguments may be of NumPy or a `jax.ShapeDtypeStruct`. The program cannot be run. The plugin
has to be of the version of jaxlib.
"""

import os
from importlib.util import find_spec
from typing import Any, NamedTuple


class Chip(NamedTuple):
    """A chip.

    Args:
      title: its name.
      packages: those whose versions decide what is compiled for it.
      bytes_per_cycle: of a TPU, the traffic of HBM that XLA estimates of a loop in float32.
      topology, slice_type: of a TPU, how four are connected, and what libtpu calls these.
    """

    title: str
    packages: tuple[str, ...]
    bytes_per_cycle: float = 0
    topology: str = ""
    slice_type: str = ""


_TPU = ("jax", "jaxlib", "libtpu")
_GPU = ("jax", "jaxlib", "jax-cuda12-plugin", "jax-cuda12-pjrt", "nvidia-cuda-nvcc-cu12")
TPU = {
    "v5e": Chip("TPU v5e", _TPU, 440, "2x2", "v5litepod-4"),
    "v6e": Chip("TPU v6e", _TPU, 756, "2x2", "v6e-4"),
    "v5p": Chip("TPU v5p", _TPU, 1131, "2x2x1", "v5p-8"),
}
CHIPS = TPU | {"h100": Chip("H100", _GPU)}
VARIABLES = {  # what libtpu would ask the network for, and that other processes may use it
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


def missing(chip: str) -> str | None:
    """Says how to install what compiles for the chip; None if it is installed."""
    if chip in TPU:
        modules, install = ["libtpu"], "libtpu"
    else:
        modules = ["jax_cuda12_plugin", "jax_cuda13_plugin"]
        install = "jax-cuda12-plugin jax-cuda12-pjrt nvidia-cuda-nvcc-cu12"
    if any(map(find_spec, modules)):
        return None
    return f"nothing here compiles for {chip}: python -m pip install {install}"


def described(chip: str, topology: str | None = None) -> list[Any]:
    """The devices of a chip that need not be there.

    Call it before JAX is first used (importing it is no use): it sets what JAX and the compiler
    read when they start, and keeps this process on the CPU.

    Args:
        chip: "v5e", "v6e", "v5p" or "h100".
        topology: how the TPUs are connected, such as "16x16"; four of them if None.

    Returns:
        The devices, for the shardings that a program is compiled with: one H100, or all TPUs.

    Raises:
        ModuleNotFoundError: nothing installed compiles for the chip; the message says what would.
    """
    if reason := missing(chip):
        raise ModuleNotFoundError(reason)
    import jax
    from jax.experimental import topologies

    jax.config.update("jax_platforms", "cpu")
    if chip in TPU:
        os.environ.update(VARIABLES, TPU_ACCELERATOR_TYPE=TPU[chip].slice_type)
        name = f"{chip}:{topology or TPU[chip].topology}"
        found = topologies.get_topology_desc(name, "tpu")
    else:
        # To choose between kernels XLA would run them.
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_gpu_autotune_level=0"
        found = topologies.get_topology_desc(chip, "cuda", target_config=H100, topology="1x1x1")
    return list(found.devices)
