"""Draws two recipes: a box filter at the border of its input, and local moments of a photo.

Prints the first number of each filter.

    python docs/figures/recipes.py [--folder docs/images]
"""

import argparse
import io
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from errors import COLOURS, CREDIT, PHOTO, STYLE
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_sample_image

from jaxpool import avg_pool1d, avg_pool2d

SIZE = 7  # elements of the box filter
WINDOW = 15  # pixels, of the local moments
QUALITY = 8  # of the compressed photo, of 100


def draw_borders(path: Path) -> None:
    """A short row of numbers with an outlier at its start, and its box filter in four ways."""
    n = 20
    row = 2 + np.arange(n) / 9
    row[0] = 5
    half = SIZE // 2

    def padded(mode: str) -> np.ndarray:
        return np.asarray(avg_pool1d(np.pad(row, half, mode)[None], SIZE, 1))[0]

    own = np.asarray(avg_pool1d(row[None], SIZE, 1, half, count_include_pad=False))[0]
    ways = {
        "zeros": (padded("constant"), {"linestyle": "--", "color": COLOURS["Flax"]}),
        '"symmetric"': (padded("symmetric"), {"linestyle": ":", "color": COLOURS["lax"]}),
        '"edge"': (padded("edge"), {"linestyle": "-.", "color": COLOURS["PyTorch"]}),
        "count_include_pad=False": (own, {"color": COLOURS["jaxpool"]}),
    }
    for name, (filtered, _) in ways.items():
        print(f"{name:24}  starts at {filtered[0]:.1f}")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(row, "o", color="0.6", markersize=4, label="the row")
        for name, (filtered, style) in ways.items():
            axes.plot(filtered, label=name, **style)
        axes.set(xlabel="element", ylim=(0, 5.3), xticks=range(0, n, 5))
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside upper left", ncols=2, frameon=False)
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


def mean(x: jax.Array) -> jax.Array:
    """The mean of each window that fits in the image."""
    return avg_pool2d(x, WINDOW, 1)


def ssim_map(x: jax.Array, y: jax.Array) -> jax.Array:
    """The structural similarity of grey images of 0 to 255, window by window."""
    x, y = x / 255, y / 255
    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = mean(x**2) - mean_x**2, mean(y**2) - mean_y**2
    light = (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)
    covariance = mean(x * y) - mean_x * mean_y
    return light * (2 * covariance + 0.03**2) / (var_x + var_y + 0.03**2)


def draw_moments(path: Path) -> None:
    """A photo, its local mean and standard deviation, and where a JPEG loses detail."""
    photo = load_sample_image("china.jpg")[20:340, 40:440].mean(-1).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=QUALITY)
    jpeg = jnp.asarray(np.asarray(Image.open(file)), jnp.float32)[None]
    grey = jnp.asarray(photo, jnp.float32)[None]
    centred = grey - grey.mean()
    deviation = jnp.sqrt(jnp.maximum(mean(centred**2) - mean(centred) ** 2, 0))
    panels = {
        "A photo": (grey, 255),
        f"Mean over {WINDOW}x{WINDOW}": (mean(grey), 255),
        "Standard deviation": (deviation, 80),
        f"SSIM, JPEG quality {QUALITY}": (ssim_map(grey, jpeg), 1),
    }
    with mpl.rc_context(PHOTO):
        figure = Figure(figsize=(5.4, 5.1), layout="constrained")
        for axes, (title, (image, brightest)) in zip(
            figure.subplots(2, 2).flat, panels.items(), strict=True
        ):
            axes.imshow(np.asarray(image)[0], "gray", vmin=0, vmax=brightest)
            axes.set_title(title, loc="left")
            axes.set(xticks=[], yticks=[])
        figure.supxlabel(CREDIT, x=0.01, horizontalalignment="left", fontsize=9)
        figure.savefig(path, dpi=200)


def main() -> None:
    """Prints numbers, draws and saves the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    folder = parser.parse_args().folder
    draws = ((draw_borders, "recipes_borders.svg"), (draw_moments, "recipes_local.webp"))
    for draw, name in draws:
        draw(folder / name)
        print(f"saved {folder / name}")


if __name__ == "__main__":
    main()
