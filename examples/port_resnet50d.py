"""Ports timm's resnet50d to Flax, with its weights, and compares its logits with PyTorch's logits.

The shortcuts of this network average 2x2 pixels with `ceil_mode=True, count_include_pad=False`, so
it accepts images of odd sizes and small images. docs/migration/resnet50d.md explains the port step
by step. The script needs PyTorch and timm; the network and `convert` do not:

    pip install torch timm
    python examples/port_resnet50d.py [--pretrained] [--sizes 224x224 225x193 32x32]
"""

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

import jaxpool

SIZES = ("224x224", "225x193", "32x32")  # height and width in pixels
SHAPE = "{:>9}  {:>16}  {:>14}"


# --8<-- [start:helpers]
def conv(features: int, kernel: int, name: str, stride: int = 1) -> nn.Conv:
    """A convolution with PyTorch's padding, from which "SAME" differs."""
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=(stride, stride),
        padding=kernel // 2,
        use_bias=False,
        name=name,
    )


def norm(name: str, train: bool) -> nn.BatchNorm:
    """Batch norm with PyTorch's momentum and epsilon."""
    return nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, name=name)


# --8<-- [end:helpers]
# --8<-- [start:shortcut]
class Shortcut(nn.Module):
    """The shortcut of a ResNet-D: the stride is the pool's."""

    features: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Brings the block's input to the shape of the convolutions' output."""
        if self.stride > 1:
            x = jaxpool.AvgPool2d(
                2,
                self.stride,
                ceil_mode=True,
                count_include_pad=False,
                data_format="channels_last",
            )(x)
        return norm("2", train)(conv(self.features, 1, "1")(x))


# --8<-- [end:shortcut]
# --8<-- [start:blocks]
class Stem(nn.Module):
    """Three convolutions, with PyTorch's numbers for names."""

    width: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Halves the image; the last convolution doubles the width."""
        x = nn.relu(norm("1", train)(conv(self.width, 3, "0", stride=2)(x)))
        x = nn.relu(norm("4", train)(conv(self.width, 3, "3")(x)))
        return conv(2 * self.width, 3, "6")(x)


class Bottleneck(nn.Module):
    """A residual block of three convolutions: 1x1, 3x3 and 1x1."""

    features: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Adds the convolutions' output to the input, or to its shortcut."""
        width, stride = self.features, self.stride
        y = nn.relu(norm("bn1", train)(conv(width, 1, "conv1")(x)))
        y = nn.relu(norm("bn2", train)(conv(width, 3, "conv2", stride)(y)))
        y = norm("bn3", train)(conv(4 * width, 1, "conv3")(y))
        if x.shape != y.shape:
            x = Shortcut(4 * width, stride, name="downsample")(x, train)
        return nn.relu(x + y)


class Stage(nn.Module):
    """The blocks at one size of the image."""

    depth: int
    features: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """The first block has the stride."""
        for i in range(self.depth):
            stride = self.stride if i == 0 else 1
            x = Bottleneck(self.features, stride, name=str(i))(x, train)
        return x


# --8<-- [end:blocks]
# --8<-- [start:network]
class ResNetD(nn.Module):
    """The network, by default a resnet50d. Modules have their names in timm."""

    depths: Sequence[int] = (3, 4, 6, 3)
    channels: Sequence[int] = (64, 128, 256, 512)
    stem_width: int = 32
    classes: int = 1000

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Maps images (batch, height, width, 3) to logits (batch, classes)."""
        x = Stem(self.stem_width, name="conv1")(x, train)
        x = nn.relu(norm("bn1", train)(x))
        x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
        for i, depth in enumerate(self.depths):
            stride = 1 if i == 0 else 2
            stage = Stage(depth, self.channels[i], stride, name=f"layer{i + 1}")
            x = stage(x, train)
        x = jaxpool.AdaptiveAvgPool2d(1, data_format="channels_last")(x)
        return nn.Dense(self.classes, name="fc")(x.reshape(len(x), -1))


# --8<-- [end:network]
# --8<-- [start:convert]
def convert(state: Mapping[str, ArrayLike]) -> dict[str, Any]:
    """Flax's variables from a PyTorch state dict."""
    renamed = {
        "weight": ("params", "scale"),  # of a batch norm
        "running_mean": ("batch_stats", "mean"),
        "running_var": ("batch_stats", "var"),
    }
    variables: dict[str, Any] = {}
    for path, tensor in state.items():
        *modules, name = path.split(".")
        if name == "num_batches_tracked":  # Flax does not count them
            continue
        value = np.asarray(tensor).copy()  # PyTorch trains in place
        if value.ndim > 1:  # (out, in, height, width) or (out, in)
            collection, name = "params", "kernel"
            value = value.transpose(*range(2, value.ndim), 1, 0)
        else:
            collection, name = renamed.get(name, ("params", name))
        at = variables.setdefault(collection, {})
        for module in modules:
            at = at.setdefault(module, {})
        at[name] = value
    return variables


# --8<-- [end:convert]


def random_state(shapes: Mapping[str, Sequence[int]], seed: int) -> dict[str, np.ndarray]:
    """Weights and statistics, none a 0 or 1 that would hide a mistake."""
    rng = np.random.RandomState(seed)  # the same in every version of NumPy
    state = {}
    for path, shape in shapes.items():
        name = path.split(".")[-1]
        if name == "num_batches_tracked":
            continue
        if len(shape) > 1:
            value = rng.standard_normal(shape) / prod(shape[1:]) ** 0.5
        elif name in ("weight", "running_var"):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = 0.1 * rng.standard_normal(shape)
        state[path] = value.astype(np.float32)
    return state


def main() -> None:
    """Prints the largest difference of the logits for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pretrained", action="store_true", help="load timm's trained weights")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="HxW")
    parser.add_argument("--seed", type=int, default=0, help="of the images and the random weights")
    options = parser.parse_args()

    try:
        import timm
        import torch
    except ModuleNotFoundError as error:
        parser.exit(1, f"{error.name} is not installed: pip install torch timm\n")

    theirs = timm.create_model("resnet50d", pretrained=options.pretrained).eval()
    if not options.pretrained:
        shapes = {path: tensor.shape for path, tensor in theirs.state_dict().items()}
        state = random_state(shapes, options.seed)
        theirs.load_state_dict(jax.tree.map(torch.tensor, state), strict=False)
    variables = convert(theirs.state_dict())
    ours = jax.jit(partial(ResNetD().apply, variables))

    rng = np.random.RandomState(options.seed)
    print(SHAPE.format("image", "largest |logit|", "max difference"))
    for size in options.sizes:
        height, width = map(int, size.split("x"))
        images = rng.standard_normal((2, 3, height, width)).astype(np.float32)
        with torch.inference_mode():
            expected = theirs(torch.tensor(images)).numpy()
        # GPUs and TPUs would multiply float32 numbers in fewer bits by default.
        with jax.default_matmul_precision("highest"):
            logits = ours(jnp.moveaxis(images, 1, -1))
        largest, apart = np.abs(expected).max(), np.abs(logits - expected).max()
        print(SHAPE.format(size, f"{largest:.2f}", f"{apart:.1e}"))


if __name__ == "__main__":
    main()
