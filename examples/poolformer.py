"""Trains a small PoolFormer, which mixes pixels by average pooling alone, to read digits.

It shows `jaxpool.nnx.AvgPool2d` and `jaxpool.nnx.AdaptiveAvgPool2d` in a network of Flax NNX: a
transformer with a 3x3 average in place of attention (Yu et al., "MetaFormer Is Actually What You
Need for Vision", 2022). The digits are the 1797 images of 8x8 pixels that come with scikit-learn.
A quarter of them is held out: never trained on, and not used to choose a network, which is the
last one.

    python examples/poolformer.py [--epochs 30] [--seed 0]
"""

import argparse
from collections.abc import Iterator, Sequence

import jax
import numpy as np
import optax
from flax import nnx
from flax.training.train_state import TrainState
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from jaxpool.nnx import AdaptiveAvgPool2d, AvgPool2d

BATCH_SIZE = 64
HELD_OUT = 450
WIDTHS = (32, 64, 128)


def norm(width: int, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Gives a whole image, pixels and channels, mean 0 and variance 1, then scales channels."""
    return nnx.LayerNorm(width, reduction_axes=(-3, -2, -1), rngs=rngs)


class PoolMixer(nnx.Module):
    """What stands where a transformer has attention: each pixel sees the mean around it."""

    def __init__(self) -> None:
        # The padding must not count, or the mean would be darker at the border.
        self.pool = AvgPool2d(
            3, stride=1, padding=1, count_include_pad=False, data_format="channels_last"
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """The mean of each 3x3 neighbourhood, less the pixel, which the residual adds again."""
        return self.pool(x) - x


class Block(nnx.Module):
    """Mixes pixels, then channels; each part sees normalised values and adds to what was there."""

    def __init__(self, width: int, rngs: nnx.Rngs) -> None:
        self.mix_pixels = nnx.Sequential(norm(width, rngs), PoolMixer())
        self.mix_channels = nnx.Sequential(
            norm(width, rngs),
            nnx.Linear(width, 4 * width, rngs=rngs),
            nnx.gelu,
            nnx.Linear(4 * width, width, rngs=rngs),
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (batch, height, width, channels) to the same shape."""
        x = x + self.mix_pixels(x)
        return x + self.mix_channels(x)


class PoolFormer(nnx.Module):
    """A convolution and a block at 8x8, 4x4 and 2x2 pixels, the global average, and a head."""

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

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images (batch, height, width, 1) to logits (batch, 10)."""
        x = self.pool(self.body(x))
        return self.head(x.reshape(len(x), -1))


def new_state(seed: int, steps: int) -> TrainState:
    """An untrained network and its optimizer, the learning rate falling to 0 over `steps`."""
    # Split into what is learned and the rest, a network is a pure function of the former.
    rest, params = nnx.split(PoolFormer(nnx.Rngs(seed)))
    return TrainState.create(
        apply_fn=lambda params, images: nnx.merge(rest, params)(images),
        params=params,
        tx=optax.adamw(optax.cosine_decay_schedule(5e-3, steps), weight_decay=0.5),
    )


@jax.jit
def train_step(
    state: TrainState, images: jax.Array, labels: jax.Array
) -> tuple[TrainState, jax.Array]:
    """One step of gradient descent: the new state, and the loss before it."""

    def mean_loss(params: optax.Params) -> jax.Array:
        logits = state.apply_fn(params, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    loss, gradients = jax.value_and_grad(mean_loss)(state.params)
    return state.apply_gradients(grads=gradients), loss


@jax.jit
def predict(state: TrainState, images: jax.Array) -> jax.Array:
    """The digit that the network sees in each image."""
    return state.apply_fn(state.params, images).argmax(axis=-1)


def batches(size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The indices of one epoch's shuffled batches; the few that do not fill one are left out."""
    order = rng.permutation(size)
    for start in range(0, size - BATCH_SIZE + 1, BATCH_SIZE):
        yield order[start : start + BATCH_SIZE]


def main(arguments: Sequence[str] | None = None) -> float:
    """Trains, and returns the held-out accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights, the order")
    options = parser.parse_args(arguments)

    digits = load_digits()
    images = digits.images[..., None].astype(np.float32) / 16
    train_images, test_images, train_labels, test_labels = train_test_split(
        images,
        digits.target,
        test_size=HELD_OUT,
        stratify=digits.target,
        random_state=options.seed,
    )

    state = new_state(options.seed, options.epochs * (len(train_images) // BATCH_SIZE))
    rng = np.random.default_rng(options.seed)
    progress = tqdm(range(options.epochs), unit="epoch")
    for _ in progress:
        losses = []
        for batch in batches(len(train_images), rng):
            state, loss = train_step(state, train_images[batch], train_labels[batch])
            losses.append(loss)
        accuracy = float(np.mean(np.asarray(predict(state, test_images)) == test_labels))
        progress.set_postfix(loss=f"{np.mean(losses):.4f}", accuracy=f"{accuracy:.1%}")

    print(f"held-out accuracy: {accuracy:.1%} ({HELD_OUT} images)")
    return accuracy


if __name__ == "__main__":
    main()
