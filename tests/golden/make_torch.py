"""Writes torch.npz: what PyTorch gives for the calls below, so that no test needs PyTorch.

pip install torch numpy && python tests/golden/make_torch.py
"""

import itertools
import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

SHAPES = {1: (2, 13), 2: (2, 8, 9), 3: (1, 4, 5, 6)}


def calls():
    """(number of spatial axes, whether batched, PyTorch's keyword arguments)."""
    for ndim, kernel, stride, pad in itertools.product(
        [1, 2, 3], [2, 3, "mixed"], [None, 1, 2, 3], [0, 1]
    ):
        sizes = [3, 2, 4][:ndim] if kernel == "mixed" else kernel
        for ceil, include, override in itertools.product([False, True], [True, False], [None, 5]):
            if override and ndim == 1:  # PyTorch has none in 1-d
                continue
            arguments = {"kernel_size": sizes, "stride": stride, "padding": pad}
            arguments |= {"ceil_mode": ceil, "count_include_pad": include}
            yield ndim, pad == 0, arguments | ({"divisor_override": override} if override else {})


def overhanging_calls():
    """The same of kernels larger than the padded input. (In 3-d PyTorch refuses them.)"""
    for ndim, extra, pad, include in itertools.product([1, 2], [1, 5], [0, 1], [True, False]):
        kernel = [SHAPES[ndim][1] + 2 * pad + extra, 3][:ndim]
        arguments = {"kernel_size": kernel, "stride": [extra + 1, 2][:ndim], "padding": pad}
        yield ndim, pad == 0, arguments | {"ceil_mode": True, "count_include_pad": include}


def adaptive_calls():
    """The same of adaptive pools: fewer outputs than elements, as many, more, and kept axes."""
    sizes = {
        1: [1, 2, 4, 5, 7, 12, 13, 20],
        2: [1, 3, 8, (None, 4), (4, 3), (8, 9), (5, 12), (17, None), (1, 5), (2, 20)],
        3: [1, 2, 5, (None, 2, 4), (3, 4, None), (4, 5, 6), (7, 3, 11)],
    }
    for ndim, outputs in sizes.items():
        for output_size, batched in itertools.product(outputs, [False, True]):
            yield ndim, batched, {"output_size": output_size}


def main():
    """Runs every call, value and gradient, and saves them next to this script."""
    torch.manual_seed(0)
    inputs = {n: torch.randint(-99, 100, (2, *shape)).float() for n, shape in SHAPES.items()}
    saved = {f"x{n}": x.numpy().astype(np.int8) for n, x in inputs.items()}
    listing = [*calls(), *overhanging_calls(), *adaptive_calls()]
    listed = []
    for i, (ndim, batched, arguments) in enumerate(listing):
        x = (inputs[ndim] if batched else inputs[ndim][0]).clone().requires_grad_()
        kind = "adaptive_avg_pool" if "output_size" in arguments else "avg_pool"
        pooled = getattr(functional, f"{kind}{ndim}d")(x, **arguments)
        pooled.sum().backward()
        listed.append([ndim, batched, arguments])
        saved[f"y{i}"], saved[f"g{i}"] = pooled.detach().numpy(), x.grad.numpy()[:1, :1]
    saved["calls"] = np.array(json.dumps({"torch": torch.__version__, "calls": listed}))
    path = Path(__file__).with_name("torch.npz")
    np.savez_compressed(path, **saved)
    print(f"{len(listed)} calls, {path.stat().st_size} bytes, torch {torch.__version__}")


if __name__ == "__main__":
    main()
