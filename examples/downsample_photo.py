"""Shrinks a photo in three ways and blurs it in two, and saves a picture of the results.

Every fourth pixel of a tiled roof gives false stripes. The maximum of each 4x4 block is too bright.
The average of each block looks like a smaller photo. A wide blur has a dark frame, unless
`count_include_pad=False`.

    python examples/downsample_photo.py [--picture downsample_photo.png]
"""

import argparse
from functools import partial
from pathlib import Path

import matplotlib as mpl
import numpy as np
from flax import linen as nn
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image

from jaxpool import avg_pool2d

LEFT, TOP, WIDTH, HEIGHT = 48, 16, 320, 256  # the part of the photo that is used, in pixels
CREDIT = (
    "Photo: danielbuechele, CC BY 2.0; cropped, shrunk and blurred here\n"
    "flickr.com/photos/danielbuechele/6061409035"
)
# Legible on white and on black pages, and on a phone.
STYLE = {"figure.facecolor": "none", "text.color": "0.5", "axes.labelcolor": "0.5", "font.size": 11}


def main() -> None:
    """Draws and saves the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path("downsample_photo.png"))
    picture = parser.parse_args().picture

    photo = load_sample_image("china.jpg")[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH]
    photo = photo.astype(np.float32) / 255
    blur = partial(avg_pool2d, kernel=31, stride=1, padding=15, data_format="channels_last")

    panels = {
        "Original": (photo, "the tiles as they are"),
        "Every 4th pixel": (photo[::4, ::4], "stripes that are not there"),
        "Maximum of 4x4": (nn.max_pool(photo, (4, 4), strides=(4, 4)), "too bright"),
        "Average of 4x4": (avg_pool2d(photo, 4, data_format="channels_last"), "no false stripes"),
        "Blur, padding counts": (blur(photo, count_include_pad=True), "a dark frame"),
        "Blur, it does not count": (blur(photo, count_include_pad=False), "no frame"),
    }

    mpl.rcParams.update(STYLE)
    figure = Figure(figsize=(5.4, 8.3), layout="constrained")
    grid = figure.subplots(3, 2).flat
    for axes, (title, (image, verdict)) in zip(grid, panels.items(), strict=True):
        axes.imshow(np.asarray(image), interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, loc="left", fontweight="bold")
        axes.set_xlabel(verdict, loc="left")
    figure.supxlabel(CREDIT, x=0.01, horizontalalignment="left", fontsize=9)
    figure.savefig(picture, dpi=200)
    print(f"saved {picture}")


if __name__ == "__main__":
    main()
