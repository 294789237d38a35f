"""Averages a photo that clouds hide by a third in three ways, and measures their errors.

Pixels under clouds hold no data. If they are 0, clouds turn black and have dark rims. If they are
NaN, every window that touches a cloud is lost. With `where=~clouds`, each window is the mean of its
clear pixels, and NaN only if it has none.

The photo is an ordinary one, and the clouds are smoothed noise. So the truth is known, and the
errors are measured against it.

    python examples/masked_satellite.py [--picture masked_satellite.png]
"""

import argparse
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.datasets import load_sample_image

from jaxpool import avg_pool2d

KERNEL = 8
HEIGHT, LEFT, WIDTH = 424, 32, 520  # the part of the photo that is used, in pixels
CLOUD_COVER = 0.35
CREDIT = (
    "Photo: danielbuechele, CC BY 2.0; cropped, shrunk, under made-up clouds\n"
    "flickr.com/photos/danielbuechele/6061409035"
)
# Legible on white and on black pages, and on a phone.
STYLE = {"figure.facecolor": "none", "text.color": "0.5", "axes.labelcolor": "0.5", "font.size": 11}


def make_clouds(height: int, width: int, seed: int) -> np.ndarray:
    """Booleans of shape (height, width, 1), True in a cloud."""
    blur = partial(avg_pool2d, stride=1, padding="SAME", data_format="channels_last")
    rng = np.random.default_rng(seed)
    density = np.zeros((height, width, 1), np.float32)
    for size in (81, 27, 9):
        noise = rng.standard_normal(density.shape, np.float32)
        for _ in range(3):  # one box would leave squares; three in a row are nearly round
            noise = np.asarray(blur(noise, size, count_include_pad=False))
        density += np.sqrt(size) * noise / noise.std()
    return density > np.quantile(density, 1 - CLOUD_COVER)


def show(axes: Axes, image: ArrayLike, title: str, verdict: str) -> None:
    """Shows colours of 0 to 255, and NaN as hatching."""
    image = np.asarray(image)
    no_data = np.isnan(image).any(axis=-1, keepdims=True)
    rgba = np.concatenate([np.where(no_data, 0, image / 255), ~no_data], axis=-1)
    axes.imshow(rgba, interpolation="nearest")
    axes.patch.set(facecolor="0.8", edgecolor="0.45", hatch="////", linewidth=0)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel(verdict, loc="left")


def main() -> None:
    """Prints the errors, draws and saves the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path("masked_satellite.png"))
    picture = parser.parse_args().picture

    photo = load_sample_image("china.jpg")[:HEIGHT, LEFT : LEFT + WIDTH].astype(np.float32)
    clouds = make_clouds(HEIGHT, WIDTH, seed=9)
    seen = np.where(clouds, np.nan, photo)
    shrink = partial(avg_pool2d, kernel=KERNEL, data_format="channels_last")

    truth = shrink(photo)
    ways = {
        "Filled with 0": shrink(np.where(clouds, 0, photo)),
        "Filled with NaN": shrink(seen),
        "where=~clouds": shrink(seen, where=~clouds),
    }

    cloudiness = np.asarray(shrink(clouds))[..., 0]
    partly = (cloudiness > 0) & (cloudiness < 1)
    print(
        f"{cloudiness.size} windows of {KERNEL}x{KERNEL} pixels: {np.mean(cloudiness == 0):.1%} "
        f"clear, {np.mean(partly):.1%} partly cloudy, {np.mean(cloudiness == 1):.1%} all cloud"
    )

    mpl.rcParams.update(STYLE)
    figure = Figure(figsize=(5.4, 6.1), layout="constrained")
    first, *others = figure.subplots(2, 2).flat
    figure.suptitle(f"A photo under clouds, averaged over {KERNEL}x{KERNEL} pixels")
    show(first, seen, "What can be seen", f"{np.mean(clouds):.0%} is under clouds: no data")
    for axes, (way, image) in zip(others, ways.items(), strict=True):
        errors = np.abs(np.asarray(image - truth)).mean(axis=-1)
        error, lost = np.mean(errors[partly]), np.mean(np.isnan(errors))
        print(f"{way:15}  partly cloudy: mean error {error:4.1f}; all windows: {lost:.1%} lost")
        rims = "no rims left" if np.isnan(error) else f"rims off by {error:.1f}"
        show(axes, image, way, f"{rims}, {lost:.1%} lost")
    figure.supxlabel(CREDIT, x=0.01, horizontalalignment="left", fontsize=9)
    figure.savefig(picture, dpi=200)
    print(f"saved {picture}")


if __name__ == "__main__":
    main()
