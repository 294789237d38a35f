"""README's comparison says of each library what the library itself does."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pages import table

YES, NO = "✓", "-"
LIBRARIES = {  # of each, how to import it, whose arguments count, a pool by stride 1, and 3 bins
    "jaxpool": (
        "import jaxpool",
        "jaxpool.avg_pool2d",
        "jaxpool.avg_pool2d(x, kernel, 1, **padding)",
        "jaxpool.adaptive_avg_pool1d(x, 3)",
    ),
    "PyTorch": (
        "import torch; from torch import nn",
        "nn.AvgPool2d.__init__",
        "nn.AvgPool2d(kernel, 1, **padding)(tensor(x)).float()",
        "nn.AdaptiveAvgPool1d(3)(tensor(x))",
    ),
    "Flax": (
        "from flax import linen",
        "linen.avg_pool",
        "linen.avg_pool(jnp.moveaxis(x, 1, -1), (kernel, kernel), **padding)",
        "",
    ),
    "Keras": (
        "import keras.layers as kl; first = {'data_format': 'channels_first'}",
        "kl.AveragePooling2D.__init__",
        "kl.AveragePooling2D(kernel, 1, dtype=x.dtype.name, **first, **padding)(x)",
        "kl.AdaptiveAveragePooling1D(3, **first)(x)",
    ),
    "Equinox": (
        "from equinox import nn",
        "nn.AvgPool2d.__init__",
        "jax.vmap(nn.AvgPool2d(kernel, 1, **padding))(x)",
        "jax.vmap(nn.AdaptiveAvgPool1d(3))(x)",
    ),
    "Haiku": (
        "import haiku as hk; valid = {'padding': 'VALID'}",
        "hk.avg_pool",
        "hk.avg_pool(x, (1, 1, kernel, kernel), 1, channel_axis=1, **valid | padding)",
        "",
    ),
}
OWN = {  # cells that differ from what arguments promise, and what shows that they are so
    ("PyTorch", "layouts", "both"): "nn.AvgPool2d(2)(torch.ones(1, 3, 4, 4).to("
    "memory_format=torch.channels_last)).is_contiguous(memory_format=torch.channels_last)",
    ("Flax", "layouts", "last"): "linen.avg_pool(ones, (2, 2)).shape == (1, 3, 5, 8)",
    ("Keras", "masks: average the valid elements only", "global, 1-d"): (
        "kl.GlobalAveragePooling1D()(jnp.array([[[1.0], [3]]]), mask=jnp.array([[1, 0]])) == 1"
    ),
    ("Equinox", "layouts", "first"): "nn.AvgPool2d(2)(ones[0]).shape == (4, 5, 7)",
    ("Equinox", "`ceil_mode`", "other divisor"): (
        "nn.AvgPool2d(2, 2, use_ceil=True)(jnp.ones((1, 3, 3)))[0, 2, 2] < 1"
    ),
}
ONES = jnp.ones((1, 4, 6, 8))


def tensor(x):
    import torch

    return torch.tensor(np.asarray(x, np.float32)).to(getattr(torch, x.dtype.name))


def cells(library):
    """What the cells of a library's column should be."""
    imports, call, pool, bins = LIBRARIES[library]
    names = {"jax": jax, "jnp": jnp, "tensor": tensor, "ones": ONES}
    exec(imports, names)
    has = inspect.signature(eval(call, names)).parameters.keys()

    def gives(expected, expression, x, kernel=None, **padding):
        try:
            found = eval(expression, names | {"x": x, "kernel": kernel, "padding": padding})
        except Exception:  # it has none, or refuses the arguments
            return NO
        return YES if np.allclose(found.ravel()[: len(expected)], expected) else NO

    def takes(*arguments):
        return YES if {*arguments} & has else NO

    same = "SAME only" if gives([1], pool, ONES, 3, padding="SAME") == YES else NO
    found = {
        "masks: average the valid elements only": takes("where"),
        "windows of bfloat16 summed in float32, on a CPU": gives(
            [1], pool, jnp.ones((1, 1, 64, 64), jnp.bfloat16), 31
        ),
        "`ceil_mode`": takes("ceil_mode"),
        "`divisor_override`": takes("divisor_override"),
        "dilation": takes("dilation", "dilations", "window_dilation"),
        "padding that does not count": YES if takes("count_include_pad") == YES else same,
        '`"SAME_LOWER"` padding': gives([0.25], pool, ONES, 2, padding="SAME_LOWER"),
        "uneven adaptive bins, as PyTorch's": gives(
            [0.5, 2, 3.5], bins, jnp.arange(5.0)[None, None]
        ),
        "layouts": takes("data_format", "channel_axis").replace(YES, "both"),
    }
    own = {row: cell for (name, row, cell), shows in OWN.items() if name == library}
    assert all(eval(shows, names) for (name, *_), shows in OWN.items() if name == library)
    return found | own


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_column(library, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    try:
        expected = cells(library)
    except ImportError:
        pytest.skip(f"{library} is not installed")
    column = 1 + [*LIBRARIES].index(library)
    rows = table("README.md", rf"\| \*\*{'.*'.join(LIBRARIES)}")
    assert {row[0]: row[column].strip("*") for row in rows} == expected
