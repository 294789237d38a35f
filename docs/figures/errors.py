"""Measures how far off averages are by rounding, library by library, and draws it.

Each library averages the same numbers, drawn between 0 and 1 and rounded to the dtype, over
windows of k x k: global pools, where the image is the window, and stride-1 windows over an image
that is a little larger. An error is the distance from NumPy's float64 mean of the same numbers as a
fraction of it; a figure is the mean error of many windows. A library that is not installed is left
out.

    python docs/figures/errors.py [--picture docs/images/errors.svg]
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pandas as pd
from jax import lax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import jaxpool

KERNELS = (2, 3, 7, 14, 28, 56, 112, 224)
DTYPES = ("bfloat16", "float16", "float32")
DRAWN = DTYPES[:2]
PIXELS = 4_000_000  # as many images as have so many in all, if that is neither few nor very many
SLIDES = 2  # how many pixels an image is larger than the windows that slide over it
STYLE = {
    "svg.fonttype": "none",  # text stays text, in the reader's font
    "svg.hashsalt": "jaxpool",  # the same names in the file each time
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # which every matplotlib has; then any without serifs
    "font.size": 11,
}
# One colour for each library, told apart by people who do not tell red from green. A dark page
# inverts them and turns their hues back.
COLOURS = {"jaxpool": "#00695c", "Flax": "#c2410c", "lax": "#6d4c9f", "PyTorch": "#1d5fa8"}
# A photo is not inverted for dark pages: its words are on white there, too.
PHOTO = {"figure.facecolor": "white", "text.color": "0.2", "font.size": 11}
CREDIT = "Photo: danielbuechele, CC BY 2.0; cropped\nflickr.com/photos/danielbuechele/6061409035"


def jaxpool_(x: jax.Array, kernel: int) -> jax.Array:
    """`jaxpool.avg_pool2d`."""
    return jaxpool.avg_pool2d(x, kernel, 1, data_format="channels_last")


def flax(x: jax.Array, kernel: int) -> jax.Array:
    """`flax.linen.avg_pool`, of stride 1 by default."""
    from flax import linen

    return linen.avg_pool(x, (kernel, kernel))


def reduce_window(x: jax.Array, kernel: int) -> jax.Array:
    """`lax.reduce_window` as one writes it by hand."""
    window = 1, kernel, kernel, 1
    return lax.reduce_window(x, 0.0, lax.add, window, (1,) * 4, "VALID") / kernel**2


def torch(x: jax.Array, kernel: int) -> np.ndarray:
    """`torch.nn.functional.avg_pool2d`; its result in float32, which NumPy has as well."""
    import torch

    # Every number of 16 bits is one of float32: nothing is rounded on the way there and back.
    given = torch.tensor(np.asarray(x, np.float32)).to(getattr(torch, x.dtype.name))
    pooled = torch.nn.functional.avg_pool2d(given.movedim(-1, 1), kernel, 1)
    return pooled.movedim(1, -1).float().numpy()


class Library(NamedTuple):
    """Who averages, and under which name."""

    name: str
    pool: Callable[[Any, int], Any]


LIBRARIES = (
    Library("flax.linen.avg_pool", flax),
    Library("lax.reduce_window", reduce_window),
    Library("PyTorch", torch),
    Library("jaxpool", jaxpool_),
)
# What is drawn of whom, of windows that slide or do not. Two and two libraries give the same
# numbers, so a small marker lies in a large one.
HOLLOW = {"markerfacecolor": "none", "markersize": 11, "linestyle": "none"}
LAX = {"color": COLOURS["lax"], "markersize": 5}
SERIES = (
    ("flax.linen.avg_pool", "no", {"color": COLOURS["Flax"], "marker": "s", **HOLLOW}),
    ("lax.reduce_window", "no", {"marker": "D", "linestyle": ":", **LAX}),
    ("lax.reduce_window", "yes", {"linestyle": "--", **LAX}),
    ("PyTorch", "no", {"color": COLOURS["PyTorch"], "marker": "^", **HOLLOW, "markersize": 13}),
    ("jaxpool", "no", {"color": COLOURS["jaxpool"], "marker": "o", "markersize": 5}),
)


def measure(library: Library, dtype: str, kernel: int, sliding: bool = False) -> float:
    """The mean relative error over many windows of `kernel` x `kernel`."""
    images, size = max(8, min(2000, PIXELS // kernel**2)), kernel
    if sliding:
        images, size = max(4, images // (SLIDES + 1) ** 2), kernel + SLIDES
    rng = np.random.default_rng(kernel)
    x = jnp.asarray(rng.random((images, size, size, 1), np.float32), dtype)
    numbers = np.asarray(x).astype(np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(numbers, (kernel, kernel), (1, 2))
    exact = windows.mean((-2, -1))
    pooled = np.asarray(library.pool(x, kernel)).astype(np.float64)
    return float(np.mean(np.abs(pooled - exact) / exact))


def measure_all(kernels: Sequence[int]) -> pd.DataFrame:
    """A row for each error of each library that is installed."""
    rows = []
    for library in LIBRARIES:
        try:
            for sliding, dtype, k in product(("no", "yes"), DTYPES, kernels):
                error = measure(library, dtype, k, sliding == "yes")
                rows.append((library.name, dtype, k, sliding, error))
        except ImportError:
            print(f"{library.name} is not installed")
    errors = pd.DataFrame(rows, columns=["peer", "dtype", "kernel", "sliding", "error"])
    return errors.sort_values("sliding", kind="stable")


def panel(axes: Axes, dtype: str, errors: pd.DataFrame) -> None:
    """Draws the errors in one dtype over the size of the window."""
    axes.set_title(dtype, loc="left", fontsize=13, fontweight="bold")
    for peer, sliding, style in SERIES:
        found = errors.query("peer == @peer and sliding == @sliding and dtype == @dtype")
        if found.empty:  # it is not installed
            continue
        label = peer if sliding == "no" else "the two above, stride-1 windows"
        axes.plot(found["kernel"], found["error"], **style, label=label)
    axes.set(xscale="log", yscale="log", ylim=(1e-4, 2), ylabel="mean relative error")
    kernels = errors["kernel"].unique()
    axes.set_xticks(kernels, kernels)
    axes.set_xticks([], minor=True)
    axes.set_yticks([1, 0.1, 0.01, 0.001, 0.0001], ["100%", "10%", "1%", "0.1%", "0.01%"])
    axes.set_yticks([], minor=True)
    axes.grid(axis="y", color="0.7", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)


def draw(errors: pd.DataFrame, path: Path) -> None:
    """Draws and saves what was measured: a panel for each dtype of 16 bits."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 6.3), layout="constrained")
        panels = figure.subplots(len(DRAWN), 1, sharex=True)
        for axes, dtype in zip(panels, DRAWN, strict=True):
            panel(axes, dtype, errors)
        panels[-1].set_xlabel("k, of windows of k x k")
        lines, labels = panels[0].get_legend_handles_labels()
        options = {"frameon": False, "fontsize": 11, "handlelength": 2.6}
        figure.legend(lines, labels, loc="outside upper left", **options)
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


def save(errors: pd.DataFrame, path: Path) -> None:
    """Writes the errors as a table of benchmarks/results."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from benchmarks.tables import Table, versions

    Table("a CPU with AVX-512", versions(("jax", "flax", "torch")), errors).save(path)


def main() -> None:
    """Measures, prints the errors, and draws the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path("docs/images/errors.svg"))
    parser.add_argument("--kernels", type=int, nargs="+", default=KERNELS, metavar="K")
    parser.add_argument("--save", type=Path, help="such as benchmarks/results/errors.csv")
    options = parser.parse_args()
    errors = measure_all(options.kernels)
    print("Mean relative error, of global pools and of windows that slide by 1")
    rows = errors.pivot(index=["sliding", "dtype", "kernel"], columns="peer", values="error")
    print(rows.to_string(float_format="{:.1e}".format))
    draw(errors, options.picture)
    if options.save:
        save(errors, options.save)
    print(f"saved {options.picture}")


if __name__ == "__main__":
    main()
