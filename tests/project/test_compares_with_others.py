"""The README's comparison says of each library what the library itself says."""

import inspect
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from pages import README

import jaxpool

COLUMNS = ["jaxpool", "Flax", "Equinox", "Keras", "Haiku", "PyTorch"]
ROW = jnp.arange(5.0)  # which PyTorch averages into 3 bins as [0.5, 2, 3.5]
ONES = jnp.ones((1, 64, 64, 1), jnp.bfloat16)
IMAGE = jnp.ones((1, 4, 4, 1))
WIDE = jnp.ones((1, 4, 6, 8))


class Jaxpool:
    signature = inspect.signature(jaxpool.avg_pool2d)

    @staticmethod
    def pool(x, kernel, padding="VALID"):
        return jaxpool.avg_pool2d(x, kernel, 1, padding, data_format="channels_last")

    @staticmethod
    def same_excluding(x):
        return jaxpool.avg_pool2d(x, 3, 1, "SAME", False, data_format="channels_last")

    @staticmethod
    def bins(row):
        return jaxpool.adaptive_avg_pool1d(row[None], 3)


class Flax:
    def __init__(self):
        from flax import linen

        self.linen = linen
        self.signature = inspect.signature(linen.avg_pool)

    def layouts(self):
        return "last" if self.linen.avg_pool(WIDE, (2, 2)).shape == (1, 3, 5, 8) else "first"

    def pool(self, x, kernel, padding="VALID"):
        return self.linen.avg_pool(x, (kernel, kernel), padding=padding)

    def same_excluding(self, x):
        return self.linen.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False)


class Equinox:
    def __init__(self):
        import equinox

        self.nn = equinox.nn
        self.signature = inspect.signature(equinox.nn.AvgPool2d.__init__)

    def layouts(self):
        return "first" if jax.vmap(self.nn.AvgPool2d(2))(WIDE).shape == (1, 4, 5, 7) else "last"

    def pool(self, x, kernel, padding=0):
        padding = 0 if padding == "VALID" else padding
        first = jnp.moveaxis(x, -1, 1)
        return jnp.moveaxis(jax.vmap(self.nn.AvgPool2d(kernel, 1, padding))(first), 1, -1)

    def same_excluding(self, x):
        return self.pool(x, 3, 1)

    def bins(self, row):
        return self.nn.AdaptiveAvgPool1d(3)(row[None])


class Keras:
    def __init__(self):
        os.environ.setdefault("KERAS_BACKEND", "jax")
        import keras

        self.layers = keras.layers
        self.signature = inspect.signature(keras.layers.AveragePooling2D.__init__)

    def pool(self, x, kernel, padding="VALID"):
        name = padding.lower()
        return self.layers.AveragePooling2D(kernel, 1, name, dtype=str(x.dtype))(x)

    def same_excluding(self, x):
        return self.pool(x, 3, "SAME")

    def bins(self, row):
        return self.layers.AdaptiveAveragePooling1D(3)(row[None, :, None])


class Haiku:
    def __init__(self):
        import haiku

        self.haiku = haiku
        self.signature = inspect.signature(haiku.avg_pool)

    def pool(self, x, kernel, padding="VALID"):
        return self.haiku.avg_pool(x, kernel, 1, padding)

    def same_excluding(self, x):
        return self.pool(x, 3, "SAME")


class Torch:
    def __init__(self):
        import torch

        self.torch = torch
        self.signature = inspect.signature(torch.nn.AvgPool2d.__init__)

    def layouts(self):
        """Both lie in memory as they are, under the same shape."""
        last = self.torch.ones(1, 3, 4, 4).to(memory_format=self.torch.channels_last)
        pooled = self.torch.nn.AvgPool2d(2)(last)
        kept = pooled.is_contiguous(memory_format=self.torch.channels_last)
        return "both" if kept else "first"

    def _call(self, f, x):
        tensor = self.torch.tensor(np.asarray(x, np.float32))
        if x.dtype == jnp.bfloat16:
            tensor = tensor.bfloat16()
        return jnp.asarray(f(tensor).float().numpy())

    def pool(self, x, kernel, padding=0):
        padding = 0 if padding == "VALID" else padding
        first = jnp.moveaxis(x, -1, 1)
        return jnp.moveaxis(self._call(self.torch.nn.AvgPool2d(kernel, 1, padding), first), 1, -1)

    def same_excluding(self, x):
        pool = self.torch.nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        return jnp.moveaxis(self._call(pool, jnp.moveaxis(x, -1, 1)), 1, -1)

    def bins(self, row):
        return self._call(self.torch.nn.AdaptiveAvgPool1d(3), row[None])


LIBRARIES = dict(zip(COLUMNS, (Jaxpool, Flax, Equinox, Keras, Haiku, Torch), strict=True))


def takes(library, *names):
    return "yes" if {*names} & {*library.signature.parameters} else "no"


def succeeds(f, *arguments):
    try:
        f(*arguments)
    except Exception:
        return "no"
    return "yes"


def padding_that_does_not_count(library):
    """All by numbers as well, or SAME alone."""
    if float(library.same_excluding(IMAGE)[0, 0, 0, 0]) != 1:
        return "no"
    return "yes" if takes(library, "count_include_pad") == "yes" else "SAME only"


def adaptive_bins(library):
    right = hasattr(library, "bins") and np.allclose(library.bins(ROW).ravel(), [0.5, 2, 3.5])
    return "yes" if right else "no"


def symbolic(library):
    x = jax.ShapeDtypeStruct(export.symbolic_shape("b, h, w, 3"), jnp.float32)
    return succeeds(export.export(jax.jit(lambda x: library.pool(x, 2))), x)


ROWS = {
    "masks: average the valid elements only": lambda lib: takes(lib, "where", "mask"),
    "bfloat16 accumulated in float32": lambda lib: (
        "yes" if float(lib.pool(ONES, 31)[0, 0, 0, 0]) == 1 else "no"
    ),
    "`ceil_mode`": lambda lib: takes(lib, "ceil_mode", "use_ceil"),
    "`divisor_override`": lambda lib: takes(lib, "divisor_override"),
    "dilation": lambda lib: takes(lib, "dilation", "dilations", "window_dilation"),
    "padding that does not count": padding_that_does_not_count,
    '`"SAME_LOWER"` padding': lambda lib: succeeds(lib.pool, IMAGE, 2, "SAME_LOWER"),
    "uneven adaptive bins, as PyTorch's": adaptive_bins,
    "layouts": lambda lib: (
        "both" if takes(lib, "data_format", "channel_axis") == "yes" else lib.layouts()
    ),
    "`jax.export` with symbolic sizes": symbolic,
}


@pytest.mark.slow
@pytest.mark.parametrize("column", COLUMNS)
def test_a_column(column):
    try:
        library = LIBRARIES[column]()
    except ImportError:
        pytest.skip(f"{column} is not installed")
    table = [line.strip("| ").split(" | ") for line in re.findall(r"^\| .*", README, re.M)]
    cells = {name: row for name, *row in table if name in ROWS}
    assert cells.keys() == ROWS.keys()
    found = {name: f(library) for name, f in ROWS.items()}
    assert {name: row[COLUMNS.index(column)] for name, row in cells.items()} == found


def test_the_table_has_the_columns():
    assert f"| | {' | '.join(COLUMNS)} |" in README
