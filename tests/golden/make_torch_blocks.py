"""Writes torch_blocks.npz: what PyTorch gives for its blocks in docs/migration/pytorch.md.

pip install torch numpy && python tests/golden/make_torch_blocks.py
"""

import re
from pathlib import Path

import numpy as np
import torch

PAGE = Path(__file__).parents[2] / "docs" / "migration" / "pytorch.md"
BLOCKS = {"PoolBranch": (5, 7), "Shortcut": (5, 7), "PoolMixer": (5,)}


def randomize(module):
    """No weight and no statistic is left a 0 or 1 that would hide a mistake."""
    for path, value in module.state_dict().items():
        if value.is_floating_point():
            value.normal_()
        if path.endswith("running_var"):
            value.abs_().add_(0.5)


def arrays(module):
    """A copy of what `module` holds, by its name in the state dict."""
    return {path: value.numpy().copy() for path, value in module.state_dict().items()}


def main():
    """Runs every block, value and gradient, then a step of training, and saves all of it."""
    python = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (definitions,) = [block for block in python if "(torch.nn.Module)" in block]
    names = {}
    exec(definitions, names)
    torch.manual_seed(0)
    saved = {"torch": np.array(torch.__version__)}
    for name, arguments in BLOCKS.items():
        module = names[f"Torch{name}"](*arguments)
        randomize(module)
        # Odd sizes, for windows that overhang; small numbers, for a wrong epsilon to show.
        x = (0.1 * torch.randn(2, 5, 7, 5)).requires_grad_()
        before = arrays(module)
        y = module.eval()(x)
        cotangent = torch.randn(y.shape)
        (gradient,) = torch.autograd.grad(y, x, cotangent)
        trained = module.train()(x)
        results = {"x": x, "y": y, "cotangent": cotangent, "gradient": gradient, "trained": trained}
        saved |= {f"{name}/{key}": value.detach().numpy() for key, value in results.items()}
        saved |= {f"{name}/before/{path}": value for path, value in before.items()}
        saved |= {f"{name}/after/{path}": value for path, value in arrays(module).items()}
    path = Path(__file__).with_name("torch_blocks.npz")
    np.savez_compressed(path, **saved)
    print(f"{len(BLOCKS)} blocks, {path.stat().st_size} bytes, torch {torch.__version__}")


if __name__ == "__main__":
    main()
