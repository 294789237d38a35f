"""Writes torch_blocks.npz: PyTorch's numbers for blocks that docs/migration/resnet50d.md ports.

pip install torch numpy && python tests/golden/make_torch_blocks.py
"""

from pathlib import Path

import numpy as np
import torch


class PoolBranch(torch.nn.Module):
    def __init__(self, channels, features):
        super().__init__()
        self.pool = torch.nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.conv = torch.nn.Conv2d(channels, features, 1, bias=False)
        self.bn = torch.nn.BatchNorm2d(features, eps=1e-3)

    def forward(self, x):
        return torch.relu(self.bn(self.conv(self.pool(x))))


class Shortcut(torch.nn.Sequential):
    def __init__(self, channels, features):
        super().__init__(
            torch.nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False),
            torch.nn.Conv2d(channels, features, 1, bias=False),
            torch.nn.BatchNorm2d(features),
        )


class PoolMixer(torch.nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm1 = torch.nn.GroupNorm(1, channels)
        self.pool = torch.nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.layer_scale_1 = torch.nn.Parameter(torch.full((channels,), 1e-5))

    def forward(self, x):
        y = self.norm1(x)
        return x + self.layer_scale_1[:, None, None] * (self.pool(y) - y)


BLOCKS = {PoolBranch: (5, 7), Shortcut: (5, 7), PoolMixer: (5,)}


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
    torch.manual_seed(0)
    saved = {"torch": np.array(torch.__version__)}
    for block, arguments in BLOCKS.items():
        name, module = block.__name__, block(*arguments)
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
