"""Trains a small convolutional network with Flax Linen to read handwritten digits.

It shows `jaxpool.AvgPool2d` between Flax's convolutions, and as the global average before the
linear layer. The digits are the 1797 images of 8x8 pixels that come with scikit-learn. 450 of them
are held out, and are never trained on. A picture shows the learning curve and the misread digits.

    python examples/train_digits.py [--epochs 20] [--seed 0] [--picture train_digits.png]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np
import optax
from flax import linen as nn
from flax.training.train_state import TrainState
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

from jaxpool import AvgPool2d

BATCH_SIZE = 64
HELD_OUT = 450
# Legible on white and on black pages, and on a phone.
COLOURED = "text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"
STYLE = {"figure.facecolor": "none", "axes.facecolor": "none", **dict.fromkeys(COLOURED, "0.5")}


class DigitNet(nn.Module):
    """Two convolutions, a 2x2 pool, two convolutions, a global average and a linear layer."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps images (batch, height, width, 1) to logits (batch, 10)."""

        def conv(x: jax.Array, features: int) -> jax.Array:
            return nn.relu(nn.GroupNorm(8)(nn.Conv(features, (3, 3))(x)))

        x = conv(conv(x, 32), 32)
        x = AvgPool2d(2, data_format="channels_last")(x)
        x = conv(conv(x, 64), 64)
        x = AvgPool2d(x.shape[1:3], data_format="channels_last")(x)
        return nn.Dense(10)(x.reshape(len(x), -1))


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
    """The digit that the network reads in each image."""
    return state.apply_fn(state.params, images).argmax(axis=-1)


def batches(size: int, rng: np.random.Generator) -> np.ndarray:
    """The indices of one epoch's shuffled batches, without the last, incomplete one."""
    return rng.permutation(size)[: size - size % BATCH_SIZE].reshape(-1, BATCH_SIZE)


def draw(
    losses: Sequence[float],
    accuracies: Sequence[float],
    images: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
    picture: Path,
) -> None:
    """Saves the learning curve and a grid of predictions, the wrong ones first."""
    rows, cols = 4, 5
    mpl.rcParams.update(STYLE)
    figure = Figure(figsize=(5.4, 8), layout="constrained")
    curves, digits = figure.subfigures(2, 1, height_ratios=[1, 1.2], hspace=0.05)

    epochs = range(1, len(losses) + 1)
    top, bottom = curves.subplots(2, 1, sharex=True)
    top.semilogy(epochs, losses, ".-", color="tab:blue")
    top.set_title("Training loss", loc="left")
    bottom.plot(epochs, [100 * accuracy for accuracy in accuracies], ".-", color="tab:green")
    bottom.set_title("Held-out accuracy (%)", loc="left")
    bottom.set_xlabel("epoch")
    bottom.xaxis.get_major_locator().set_params(integer=True)
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)

    wrong = predictions != labels
    shown = np.argsort(~wrong, stable=True)[: rows * cols]
    digits.suptitle(f"Held-out digits: {wrong.sum()} of {len(labels)} misread")
    for axes, i in zip(digits.subplots(rows, cols).flat, shown, strict=True):
        colour = "tab:red" if wrong[i] else "0.5"
        read = f" read as {predictions[i]}" if wrong[i] else ""
        axes.imshow(images[i, ..., 0], cmap="gray")
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"{labels[i]}{read}", color=colour, fontsize=10)
        axes.spines[:].set(color=colour, linewidth=2)

    figure.savefig(picture, dpi=160)


def main() -> None:
    """Trains, saves the picture and prints the held-out accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights, the order")
    parser.add_argument("--picture", type=Path, default=Path("train_digits.png"))
    options = parser.parse_args()

    digits = load_digits()
    images = digits.images[..., None].astype(np.float32) / 16
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, digits.target, test_size=HELD_OUT, stratify=digits.target, random_state=options.seed
    )

    model = DigitNet()
    steps = options.epochs * (len(train_images) // BATCH_SIZE)
    state = TrainState.create(
        apply_fn=model.apply,
        params=model.init(jax.random.key(options.seed), images[:1]),
        tx=optax.adam(optax.cosine_decay_schedule(3e-3, steps)),
    )
    rng = np.random.default_rng(options.seed)
    losses, accuracies = [], []
    progress = tqdm(range(options.epochs), unit="epoch")
    for _ in progress:
        epoch_losses = []
        for batch in batches(len(train_images), rng):
            state, loss = train_step(state, train_images[batch], train_labels[batch])
            epoch_losses.append(loss)
        losses.append(float(np.mean(epoch_losses)))
        predictions = np.asarray(predict(state, test_images))
        accuracies.append(float(np.mean(predictions == test_labels)))
        progress.set_postfix(loss=f"{losses[-1]:.4f}", accuracy=f"{accuracies[-1]:.1%}")

    draw(losses, accuracies, test_images, test_labels, predictions, options.picture)
    print(f"saved {options.picture}")
    print(f"held-out accuracy: {accuracies[-1]:.1%} ({HELD_OUT} images)")


if __name__ == "__main__":
    main()
