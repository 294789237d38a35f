"""Shrinks a photo in three ways, and shows what counting the padding does at its border.

Every fourth pixel of a tiled roof gives stripes that are not there, and the maximum of each 4x4
block is too bright; the average is what a smaller photo should look like. Below, a wide blur has
a dark frame unless `count_include_pad=False`.

    python examples/downsample_photo.py [--picture downsample_photo.png]
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from flax import linen as nn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from sklearn.datasets import load_sample_image

from jaxpool import avg_pool2d


class Box(NamedTuple):
    """A part of a picture, in pixels from its top left corner."""

    left: int
    top: int
    width: int
    height: int


PAGODA = Box(48, 16, 320, 384)
ROOF = Box(104, 226, 120, 60)
CORNER = Box(0, 0, 80, 96)
FRAME = "#e5007d"
CREDIT = (
    "Photo: danielbuechele, flickr.com/photos/danielbuechele/6061409035, CC BY 2.0; "
    "cropped, shrunk and blurred here"
)


def show(axes: Axes, image: ArrayLike, part: Box, zoom: bool = False) -> None:
    """Shows an image of the pagoda with a frame around `part` of it, or only that part."""
    # The extent of the original enlarges the shrunk images, each pixel to a square.
    axes.imshow(np.asarray(image), extent=(0, PAGODA.width, PAGODA.height, 0))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=zoom, color=FRAME, linewidth=2)
    left, top, width, height = part
    if zoom:
        axes.set(xlim=(left, left + width), ylim=(top + height, top))
    else:
        style = {"fill": False, "color": FRAME, "linewidth": 2, "clip_on": False}
        axes.add_patch(Rectangle((left, top), width, height, **style))


def main(arguments: Sequence[str] | None = None) -> Path:
    """Draws and saves the picture, and returns its path."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path("downsample_photo.png"))
    picture = parser.parse_args(arguments).picture

    left, top, width, height = PAGODA
    photo = load_sample_image("china.jpg")[top : top + height, left : left + width]
    photo = photo.astype(np.float32) / 255
    blur = partial(avg_pool2d, kernel=31, stride=1, padding=15, data_format="channels_last")

    shrunk = {
        "Original": (photo, "the tiles as they are"),
        "Every 4th pixel": (photo[::4, ::4], "stripes that are not there"),
        "Maximum of 4x4": (nn.max_pool(photo, (4, 4), strides=(4, 4)), "too bright"),
        "Average of 4x4": (avg_pool2d(photo, 4, data_format="channels_last"), "no false stripes"),
    }
    blurred = {
        "count_include_pad=True: a dark frame": blur(photo, count_include_pad=True),
        "count_include_pad=False: no frame": blur(photo, count_include_pad=False),
    }

    layout = ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.06)
    figure = Figure(figsize=(12, 10.6), layout=layout)
    above, below = figure.subfigures(2, 1, height_ratios=[1.38, 1], hspace=0.03)
    heading = {"x": 0.006, "horizontalalignment": "left", "fontsize": 18, "fontweight": "bold"}

    above.suptitle("A photo shrunk to a quarter of its width", **heading)
    whole, roof = above.subplots(2, 4, height_ratios=[2.35, 1])
    for i, (title, (image, verdict)) in enumerate(shrunk.items()):
        show(whole[i], image, ROOF)
        show(roof[i], image, ROOF, zoom=True)
        whole[i].set_title(title, loc="left", fontsize=14)
        roof[i].set_xlabel(verdict, loc="left", fontsize=14)

    below.suptitle("The same photo blurred by a 31x31 window, padded by 15 pixels", **heading)
    pairs = below.subplots(1, 4).reshape(2, 2)
    for (left_axes, right_axes), (title, image) in zip(pairs, blurred.items(), strict=True):
        show(left_axes, image, CORNER)
        show(right_axes, image, CORNER, zoom=True)
        left_axes.set_title(title, loc="left", fontsize=14)

    below.supxlabel(CREDIT, x=0.006, horizontalalignment="left", fontsize=10, color="dimgray")
    figure.savefig(picture, dpi=110)
    print(f"saved {picture}")
    return picture


if __name__ == "__main__":
    main()
