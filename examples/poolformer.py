"""Trains a small PoolFormer with Flax NNX to read handwritten digits.

It shows `jaxpool.nnx.AvgPool2d` and `jaxpool.nnx.AdaptiveAvgPool2d`. A PoolFormer is a transformer
that mixes pixels by a 3x3 average instead of attention (Yu et al., "MetaFormer Is Actually What You
Need for Vision", 2022). The digits are the 1797 images of 8x8 pixels that come with scikit-learn.
450 of them are held out, and are never trained on. Flax 0.11 or later is needed.

    python examples/poolformer.py [--epochs 30] [--seed 0]
"""

import argparse

import numpy as np
import optax
from flax import nnx
from jax import Array
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from jaxpool.nnx import AdaptiveAvgPool2d, AvgPool2d

BATCH_SIZE = 64
HELD_OUT = 450
WIDTHS = (32, 64, 128)


def norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Gives each image, over pixels and channels, mean 0 and variance 1, then scales channels."""
    return nnx.LayerNorm(width, reduction_axes=(-3, -2, -1), rngs=rngs)


class PoolMixer(nnx.Module):
    """Shows each pixel the mean around it, where a transformer has attention."""

    def __init__(self) -> None:
        # If the padding counted, the mean would be darker at the border.
        self.pool = AvgPool2d(
            3, stride=1, padding=1, count_include_pad=False, data_format="channels_last"
        )

    def __call__(self, x: Array) -> Array:
        """The mean of each 3x3 neighbourhood minus the pixel, which the residual adds again."""
        return self.pool(x) - x


class Block(nnx.Module):
    """Mixes pixels, then channels. Each part reads normalised values and adds to its input."""

    def __init__(self, width: int, rngs: nnx.Rngs) -> None:
        self.mix_pixels = nnx.Sequential(norm(width, rngs), PoolMixer())
        self.mix_channels = nnx.Sequential(
            norm(width, rngs),
            nnx.Linear(width, 4 * width, rngs=rngs),
            nnx.gelu,
            nnx.Linear(4 * width, width, rngs=rngs),
        )

    def __call__(self, x: Array) -> Array:
        """Maps (batch, height, width, channels) to the same shape."""
        x = x + self.mix_pixels(x)
        return x + self.mix_channels(x)


class PoolFormer(nnx.Module):
    """A convolution and a block at 8x8, 4x4 and 2x2 pixels, a global average, and a linear head."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        layers = []
        for before, width in zip((1, *WIDTHS), WIDTHS, strict=False):
            # The first convolution keeps the size, the others halve it.
            stride = 1 if before == 1 else 2
            layers.append(nnx.Conv(before, width, (3, 3), strides=stride, rngs=rngs))
            layers.append(Block(width, rngs))
        self.body = nnx.Sequential(*layers, norm(WIDTHS[-1], rngs))
        self.pool = AdaptiveAvgPool2d(1, data_format="channels_last")
        self.head = nnx.Linear(WIDTHS[-1], 10, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Maps images (batch, height, width, 1) to logits (batch, 10)."""
        x = self.pool(self.body(x))
        return self.head(x.reshape(len(x), -1))


# --8<-- [start:step]
def mean_loss(model: PoolFormer, images: Array, labels: Array) -> Array:
    """The mean cross-entropy of the logits."""
    logits = model(images)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return loss.mean()


@nnx.jit
def train_step(
    model: PoolFormer,
    optimizer: nnx.Optimizer,
    images: Array,
    labels: Array,
) -> Array:
    """Updates model and optimizer in place; returns the loss before that."""
    loss, gradients = nnx.value_and_grad(mean_loss)(model, images, labels)
    optimizer.update(model, gradients)
    return loss


@nnx.jit
def predict(model: PoolFormer, images: Array) -> Array:
    """The digit that the network reads in each image."""
    return model(images).argmax(axis=-1)


# --8<-- [end:step]


def batches(size: int, rng: np.random.Generator) -> np.ndarray:
    """The indices of one epoch's shuffled batches, without the last, incomplete one."""
    return rng.permutation(size)[: size - size % BATCH_SIZE].reshape(-1, BATCH_SIZE)


def main() -> None:
    """Trains, and prints the held-out accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights, the order")
    options = parser.parse_args()

    digits = load_digits()
    images = digits.images[..., None].astype(np.float32) / 16
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, digits.target, test_size=HELD_OUT, stratify=digits.target, random_state=options.seed
    )

    model = PoolFormer(nnx.Rngs(options.seed))
    rate = optax.cosine_decay_schedule(5e-3, options.epochs * (len(train_images) // BATCH_SIZE))
    optimizer = nnx.Optimizer(model, optax.adamw(rate, weight_decay=0.5), wrt=nnx.Param)
    rng = np.random.default_rng(options.seed)
    progress = tqdm(range(options.epochs), unit="epoch")
    for _ in progress:
        losses = []
        for batch in batches(len(train_images), rng):
            losses.append(train_step(model, optimizer, train_images[batch], train_labels[batch]))
        accuracy = float(np.mean(np.asarray(predict(model, test_images)) == test_labels))
        progress.set_postfix(loss=f"{np.mean(losses):.4f}", accuracy=f"{accuracy:.1%}")

    print(f"held-out accuracy: {accuracy:.1%} ({HELD_OUT} images)")


if __name__ == "__main__":
    main()
