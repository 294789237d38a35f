"""Shrinks a photo of which clouds hide a third, and shows what they do to the average.

Pixels under clouds hold no data. If they are 0 and averaged as if 0 were data, each cloud gets a
dark rim and the whole of it turns black; if they are NaN, every window that touches a cloud is
lost. With `where=` a window is the mean of its clear pixels, whatever the others hold, and NaN
only if it has none. The error that is left comes from what nobody saw.

The satellite image is a stand-in: an ordinary photo, under clouds made of smoothed noise. So the
truth is known, and the three ways can be measured against it.

    python examples/masked_satellite.py [--picture masked_satellite.png]
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from sklearn.datasets import load_sample_image

from jaxpool import avg_pool2d

KERNEL = 8
HEIGHT, LEFT, WIDTH = 424, 32, 520  # the part of the photo that is used, in pixels
CLOUD_COVER = 0.35
PART = (208, 96, 208, 112)  # left, top, width and height of what is shown enlarged
FRAME = "#e5007d"
ERRORS = ScalarMappable(Normalize(0, 100), "magma_r")  # in grey levels of 0 to 255
CREDIT = (
    "Photo: danielbuechele, flickr.com/photos/danielbuechele/6061409035, CC BY 2.0; "
    "cropped, shrunk and put under made-up clouds here"
)


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


def show(axes: Axes, image: ArrayLike, title: str = "", verdict: str = "") -> None:
    """Shows colours of 0 to 255, or errors if there is one channel; NaN as hatching."""
    image = np.asarray(image)
    no_data = np.isnan(image).any(axis=-1, keepdims=True)
    colours = ERRORS.to_rgba(image[..., 0])[..., :3] if image.shape[-1] == 1 else image / 255
    rgba = np.concatenate([np.where(no_data, 0, colours), ~no_data], axis=-1)
    # The extent of the photo enlarges the shrunk images, each pixel to a square.
    axes.imshow(rgba, extent=(0, WIDTH, HEIGHT, 0), interpolation="nearest")
    axes.patch.set(facecolor="0.8", edgecolor="0.45", hatch="////", linewidth=0)
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, loc="left", fontsize=14)
    axes.set_xlabel(verdict, loc="left", fontsize=14)


def show_twice(whole: Axes, zoom: Axes, image: ArrayLike, title: str, verdict: str) -> None:
    """Shows an image with a frame around a part of it, and that part enlarged."""
    show(whole, image, title)
    show(zoom, image, verdict=verdict)
    left, top, width, height = PART
    frame = Rectangle((left, top), width, height, fill=False, color=FRAME, linewidth=2)
    whole.add_patch(frame)
    zoom.set(xlim=(left, left + width), ylim=(top + height, top))
    zoom.spines[:].set(color=FRAME, linewidth=2)


def main(arguments: Sequence[str] | None = None) -> Path:
    """Prints the errors, draws and saves the picture, and returns its path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path("masked_satellite.png"))
    picture: Path = parser.parse_args(arguments).picture

    photo = load_sample_image("china.jpg")[:HEIGHT, LEFT : LEFT + WIDTH].astype(np.float32)
    clouds = make_clouds(HEIGHT, WIDTH, seed=9)
    seen = np.where(clouds, np.nan, photo)
    shrink = partial(avg_pool2d, kernel=KERNEL, data_format="channels_last")

    truth = shrink(photo)
    ways = {
        "Filled with 0": (shrink(np.where(clouds, 0, photo)), "dark rims, black clouds"),
        "Filled with NaN": (shrink(seen), "all that clouds touch is lost"),
        "where=~clouds": (shrink(seen, where=~clouds), "only all-cloud windows are lost"),
    }

    cloudiness = np.asarray(shrink(clouds))[..., 0]
    partly = (cloudiness > 0) & (cloudiness < 1)
    print(
        f"{cloudiness.size} windows of {KERNEL}x{KERNEL} pixels: {np.mean(cloudiness == 0):.1%} "
        f"clear, {np.mean(partly):.1%} partly cloudy, {np.mean(cloudiness == 1):.1%} all cloud"
    )

    layout = ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.06, hspace=0.04, compress=True)
    figure = Figure(figsize=(13.6, 10.1), layout=layout)
    axes = figure.subplots(3, 4, height_ratios=[HEIGHT / WIDTH, PART[3] / PART[2], HEIGHT / WIDTH])
    heading = {"x": 0.006, "horizontalalignment": "left"}
    title = f"A photo under clouds, averaged over {KERNEL}x{KERNEL} pixels"
    figure.suptitle(title, **heading, fontsize=18, fontweight="bold")
    hidden = f"{np.mean(clouds):.0%} is under clouds: no data"
    show_twice(axes[0, 0], axes[1, 0], seen, "What can be seen", hidden)
    show(axes[2, 0], truth, "The truth", "averaged without clouds")
    for (whole, zoom, below), (way, (image, verdict)) in zip(axes.T[1:], ways.items(), strict=True):
        errors = np.abs(np.asarray(image - truth)).mean(axis=-1, keepdims=True)
        error, lost = np.mean(errors[partly]), np.mean(np.isnan(errors))
        print(f"{way:15}  partly cloudy: mean error {error:4.1f}; all windows: {lost:.1%} lost")
        show_twice(whole, zoom, image, way, verdict)
        rims = "no rims left" if np.isnan(error) else f"rims off by {error:.1f}"
        show(below, errors, "Its error", f"{rims}, {lost:.1%} lost")
    bar = figure.colorbar(ERRORS, ax=axes[2], location="bottom", aspect=80, extend="max")
    bar.set_label("error in grey levels (0 to 255), the mean of red, green and blue", fontsize=12)
    figure.supxlabel(CREDIT, **heading, fontsize=10, color="dimgray")
    figure.savefig(picture, dpi=110)
    print(f"saved {picture}")
    return picture


if __name__ == "__main__":
    main()
