"""Draws two uses of `where=`: images of different sizes in a batch, and a sensor that fails.

Prints how far off the averages are, with the mask and without it. Photo and readings stand in for
data with holes: so the truth is known.

    python docs/figures/masks.py [--folder docs/images]
"""

import argparse
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from errors import COLOURS, CREDIT, PHOTO, STYLE
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.datasets import load_sample_image

from jaxpool import adaptive_avg_pool2d, avg_pool1d, avg_pool2d

KERNEL = 20  # pixels
# Top, left, height and width of the parts of the photo that are the images of the batch.
PARTS = ((50, 150, 190, 230), (210, 330, 110, 230), (100, 50, 190, 125))
DAY, DAYS = 24, 7  # hours
DEAD = slice(80, 110)  # the hours of a long failure
DROPPED = 0.15  # of the other readings


def draw_batch(path: Path) -> None:
    """A batch of images of different sizes, padded, and averaged with and without a mask."""
    photo = load_sample_image("china.jpg").astype(np.float32)
    images = [photo[top : top + h, left : left + w] for top, left, h, w in PARTS]
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    batch = np.full((len(images), height, width, 3), np.nan, np.float32)
    for padded, image in zip(batch, images, strict=True):
        padded[: image.shape[0], : image.shape[1]] = image
    there, with_0 = ~np.isnan(batch[..., :1]), np.nan_to_num(batch)

    pool = partial(avg_pool2d, kernel=KERNEL, data_format="channels_last")
    rows = {
        "A batch, padded to one size": batch,
        f"{KERNEL}x{KERNEL} averages, padding as 0": pool(with_0),
        f"{KERNEL}x{KERNEL} averages, where=there": pool(batch, where=there),
    }
    truth = np.array([image.mean() for image in images])
    for way, x, where in (("padding as 0", with_0, None), ("where=there", batch, there)):
        means = adaptive_avg_pool2d(x, 1, data_format="channels_last", where=where)
        errors = np.abs(np.asarray(means).mean((1, 2, 3)) - truth)
        errors = ", ".join(f"{error:.1f}" for error in errors)
        print(f"global averages, {way:14}  off by {errors} grey levels")

    with mpl.rc_context(PHOTO):
        figure = Figure(figsize=(5.4, 5.6), layout="constrained")
        grid = figure.subplots(len(rows), len(images))
        for axes, (title, shown) in zip(grid, rows.items(), strict=True):
            axes[0].set_title(title, loc="left")
            for panel, image in zip(axes, np.asarray(shown), strict=True):
                show(panel, image)
        figure.supxlabel(CREDIT, x=0.01, horizontalalignment="left", fontsize=9)
        figure.savefig(path, dpi=200)


def show(axes: Axes, image: ArrayLike) -> None:
    """Shows colours of 0 to 255, and NaN as hatching."""
    image = np.asarray(image)
    no_data = np.isnan(image).any(axis=-1, keepdims=True)
    rgba = np.concatenate([np.where(no_data, 0, image / 255), ~no_data], axis=-1)
    axes.imshow(rgba, interpolation="nearest")
    axes.patch.set(facecolor="0.8", edgecolor="0.45", hatch="////", linewidth=0)
    axes.set(xticks=[], yticks=[])


def draw_sensor(path: Path) -> None:
    """A week of readings with gaps, and the averages over a day with and without a mask."""
    rng = np.random.default_rng(4)
    hours = np.arange(DAY * DAYS)
    turns = 2 * np.pi * hours / hours.size
    weather = 18 + 3 * np.sin(turns) + 2 * np.sin(3 * turns)
    complete = (weather + rng.normal(0, 1, hours.size)).astype(np.float32)
    measured = rng.random(hours.size) >= DROPPED
    measured[DEAD] = False
    readings = np.where(measured, complete, np.nan)

    def smooth(x: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
        """Averages over a day, an hour more so that there is a middle."""
        return np.asarray(avg_pool1d(x[None], DAY + 1, 1, "SAME", False, where=where))[0]

    truth = smooth(complete)
    ways = {
        "missing as 0": smooth(np.nan_to_num(readings)),
        "missing as NaN": smooth(readings),
        "where=measured": smooth(readings, measured),
    }
    for way, average in ways.items():
        error, lost = np.abs(average - truth), np.mean(np.isnan(average))
        print(f"daily averages, {way:14}  off by {np.nanmean(error):.1f} degrees, {lost:.0%} lost")

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.9), layout="constrained")
        axes = figure.subplots()
        days = hours / DAY
        axes.plot(days, readings, ".", color="0.5", markersize=3.5, label="readings, some missing")
        axes.plot(days, truth, color="0.5", linewidth=4.5, alpha=0.5, label="average of them all")
        axes.plot(days, ways["missing as 0"], "--", color=COLOURS["Flax"], label="missing as 0")
        axes.plot(days, ways["where=measured"], color=COLOURS["jaxpool"], label="where=measured")
        axes.set(xlabel="day", ylabel="°C", ylim=(0, None), xlim=(0, DAYS))
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside upper left", ncols=2, frameon=False)
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


def main() -> None:
    """Prints the errors, draws and saves the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    folder = parser.parse_args().folder
    for draw, name in ((draw_batch, "masks_batch.webp"), (draw_sensor, "masks_sensor.svg")):
        draw(folder / name)
        print(f"saved {folder / name}")


if __name__ == "__main__":
    main()
