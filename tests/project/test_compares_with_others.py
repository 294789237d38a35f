"""README's comparison says of each library what the library itself does."""

import inspect
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pages import README

import jaxpool

ROW = jnp.arange(5.0)  # which PyTorch averages into 3 bins as [0.5, 2, 3.5]
WIDE = jnp.ones((1, 4, 6, 8))
YES, NO = "✓", "-"


class Jaxpool:
    signature = inspect.signature(jaxpool.avg_pool2d)

    def pool(self, x, kernel, padding=0, **more):
        return jaxpool.avg_pool2d(x, kernel, 1, padding, **more)

    def bins(self, row):
        return jaxpool.adaptive_avg_pool1d(row, 3)


class PyTorch:
    def __init__(self):
        import torch

        self.torch, self.nn = torch, torch.nn
        self.signature = inspect.signature(torch.nn.AvgPool2d.__init__)

    def _call(self, layer, x):
        tensor = self.torch.tensor(np.asarray(x, np.float32))
        tensor = tensor.bfloat16() if x.dtype == jnp.bfloat16 else tensor
        return jnp.asarray(layer(tensor).float().numpy())

    def pool(self, x, kernel, padding=0, **more):
        return self._call(self.nn.AvgPool2d(kernel, 1, padding, **more), x)

    def bins(self, row):
        return self._call(self.nn.AdaptiveAvgPool1d(3), row)

    def layouts(self):
        """Both lie in memory as they are, under the same shape."""
        last = self.torch.ones(1, 3, 4, 4).to(memory_format=self.torch.channels_last)
        pooled = self.nn.AvgPool2d(2)(last)
        kept = pooled.is_contiguous(memory_format=self.torch.channels_last)
        return "both" if kept else "first"


class Flax:
    def __init__(self):
        from flax import linen

        self.avg_pool = linen.avg_pool
        self.signature = inspect.signature(linen.avg_pool)

    def pool(self, x, kernel, padding="VALID", **more):
        last = jnp.moveaxis(x, 1, -1)
        padding = [(padding, padding)] * 2 if isinstance(padding, int) else padding
        return jnp.moveaxis(self.avg_pool(last, (kernel, kernel), padding=padding, **more), -1, 1)

    def layouts(self):
        return "last" if self.avg_pool(WIDE, (2, 2)).shape == (1, 3, 5, 8) else "first"


class Keras:
    def __init__(self):
        os.environ.setdefault("KERAS_BACKEND", "jax")
        import keras

        self.layers = keras.layers
        self.signature = inspect.signature(keras.layers.AveragePooling2D.__init__)

    def pool(self, x, kernel, padding="VALID", **more):
        more |= {"data_format": "channels_first", "dtype": str(x.dtype)}
        return self.layers.AveragePooling2D(kernel, 1, str(padding).lower(), **more)(x)

    def bins(self, row):
        layer = self.layers.AdaptiveAveragePooling1D(3, data_format="channels_first")
        return layer(row)

    def masks(self):
        mask = jnp.array([[True, False]])
        pooled = self.layers.GlobalAveragePooling1D()(jnp.array([[[1.0], [3.0]]]), mask=mask)
        return "global, 1-d" if float(pooled[0, 0]) == 1 else NO


class Equinox:
    def __init__(self):
        import equinox

        self.nn = equinox.nn
        self.signature = inspect.signature(equinox.nn.AvgPool2d.__init__)

    def pool(self, x, kernel, padding=0, ceil_mode=False):
        return jax.vmap(self.nn.AvgPool2d(kernel, 1, padding, use_ceil=ceil_mode))(x)

    def bins(self, row):
        return self.nn.AdaptiveAvgPool1d(3)(row[0])

    def layouts(self):
        return "first" if self.pool(WIDE, 2).shape == (1, 4, 5, 7) else "last"

    def ceil_mode(self):
        image = jnp.ones((1, 3, 3))
        return (
            YES if (self.nn.AvgPool2d(2, 2, use_ceil=True)(image) == 1).all() else "other divisor"
        )


class Haiku:
    def __init__(self):
        import haiku

        self.avg_pool = haiku.avg_pool
        self.signature = inspect.signature(haiku.avg_pool)

    def pool(self, x, kernel, padding="VALID"):
        return self.avg_pool(x, (1, 1, kernel, kernel), 1, padding, channel_axis=1)


LIBRARIES = [Jaxpool, PyTorch, Flax, Keras, Equinox, Haiku]
COLUMNS = ["**jaxpool**", *(library.__name__ for library in LIBRARIES[1:])]


def takes(library, *names):
    return YES if {*names} & {*library.signature.parameters} else NO


def own(library, method, *names):
    """What the library's own check finds; else whether it takes such an argument."""
    return getattr(library, method)() if hasattr(library, method) else takes(library, *names)


def sums_in_float32(library):
    ones = jnp.ones((1, 1, 64, 64), jnp.bfloat16)
    return YES if float(library.pool(ones, 31)[0, 0, 0, 0]) == 1 else NO


def padding_that_does_not_count(library):
    if takes(library, "count_include_pad") == YES:
        corner = library.pool(WIDE, 3, 1, count_include_pad=False)[0, 0, 0, 0]
        return YES if float(corner) == 1 else NO
    try:
        corner = library.pool(WIDE, 3, "SAME")[0, 0, 0, 0]
    except Exception:
        return NO
    return "SAME only" if float(corner) == 1 else NO


def same_lower(library):
    try:
        return YES if library.pool(WIDE, 2, "SAME_LOWER").shape == WIDE.shape else NO
    except Exception:
        return NO


def bins(library):
    right = hasattr(library, "bins") and np.allclose(
        library.bins(ROW[None, None]).ravel(), [0.5, 2, 3.5]
    )
    return YES if right else NO


def layouts(library):
    if takes(library, "data_format", "channel_axis") == YES:
        return "both"
    return library.layouts()


ROWS = {
    "masks: average the valid elements only": lambda lib: own(lib, "masks", "where", "mask"),
    "windows of bfloat16 summed in float32, on a CPU": sums_in_float32,
    "`ceil_mode`": lambda lib: own(lib, "ceil_mode", "ceil_mode"),
    "`divisor_override`": lambda lib: takes(lib, "divisor_override"),
    "dilation": lambda lib: takes(lib, "dilation", "dilations", "window_dilation"),
    "padding that does not count": padding_that_does_not_count,
    '`"SAME_LOWER"` padding': same_lower,
    "uneven adaptive bins, as PyTorch's": bins,
    "layouts": layouts,
}


def table():
    """The rows of README's comparison, by what they compare."""
    head = f"| | {' | '.join(COLUMNS)} |\n"
    lines = README.split(head)[1].split("\n\n")[0].splitlines()[1:]
    cells = (re.sub(r"\*\*", "", line).strip("| ").split(" | ") for line in lines)
    return {name: row for name, *row in cells}


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.__name__)
def test_a_column(library):
    try:
        lib = library()
    except ImportError:
        pytest.skip(f"{library.__name__} is not installed")
    said = {name: row[LIBRARIES.index(library)] for name, row in table().items()}
    assert said == {name: found(lib) for name, found in ROWS.items()}
