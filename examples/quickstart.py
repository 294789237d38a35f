"""A tour of average pooling: windows, borders, layouts, masks, given sizes, layers, a gradient.

Every pixel of most inputs holds the number of its column, 0, 1, 2, ..., so that the averages can
be checked by eye.

    python examples/quickstart.py
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import jaxpool


def main() -> None:
    """Runs the tour and prints the result of each call."""
    # PyTorch's layout, (batch, channels, height, width), is the default.
    x = columns(32, 64, 224, 224)
    y = jaxpool.avg_pool2d(x, 2)
    report("Halve the image", x, y, row_starts=y[0, 0, 0, :3])

    # Flax's layout, (batch, height, width, channels), needs `data_format`.
    x = columns(8, 32, 3, 32).swapaxes(2, 3)
    y = jaxpool.avg_pool2d(x, 2, data_format="channels_last")
    report("Channels last", x, y, row_starts=y[0, 0, :3, 0])

    # Windows overlap if the stride is less than the kernel. Padding keeps the size. It counts in
    # the divisor, unless `count_include_pad=False`.
    x = jnp.ones((16, 64, 32, 32))
    y = jaxpool.avg_pool2d(x, 3, stride=1, padding=1)
    report("Blur, padding counts", x, y, corner=y[0, 0, 0, 0], interior=y[0, 0, 8, 8])
    y = jaxpool.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    report("Blur, it does not", x, y, corner=y[0, 0, 0, 0], interior=y[0, 0, 8, 8])

    # With `ceil_mode` a last window may overhang the image, so that no column is left out.
    x = columns(1, 3, 7, 7)
    y = jaxpool.avg_pool2d(x, 2, ceil_mode=True)
    report("Odd size, ceil_mode", x, y, row=y[0, 0, 0])

    # Only the pixels where the mask is True add and count. A window without any gives NaN.
    x = columns(1, 3, 4, 8)
    y = jaxpool.avg_pool2d(x, 2, where=x < 5)
    report("Masked", x, y, row=y[0, 0, 0])

    # An adaptive pool is given the size of its output. Size 1 is the global average.
    x = columns(1, 3, 20, 30)
    y = jaxpool.adaptive_avg_pool2d(x, (7, 3))
    report("To 7x3 pixels", x, y, row=y[0, 0, 0])
    y = jaxpool.adaptive_avg_pool2d(x, 1)
    report("Global average", x, y, value=y[0, 0, 0, 0])

    # A layer of Flax Linen has no parameters, so it needs no `init`.
    x = columns(16, 1280, 7, 7)
    y = jaxpool.AvgPool2d(7)(x).reshape(16, 1280)
    report("Linen, MobileNet's head", x, y, value=y[0, 0])

    # Layers of Flax NNX are in `jaxpool.nnx`.
    x = columns(8, 32, 3, 32).swapaxes(2, 3)
    conv = nnx.Conv(3, 16, (3, 3), rngs=nnx.Rngs(0))
    model = nnx.Sequential(conv, nnx.relu, jaxpool.nnx.AvgPool2d(2, data_format="channels_last"))
    report("NNX, in a Sequential", x, model(x))

    # Each pixel of a 2x2 window adds a quarter of itself to the average.
    x = columns(1, 1, 4, 4)
    gradient = jax.grad(lambda x: jaxpool.avg_pool2d(x, 2).sum())(x)
    report("Gradient of a 2x2 pool", x, gradient, row=gradient[0, 0, 0])


def columns(*shape: int) -> jax.Array:
    """Images in which every pixel holds the number of its column."""
    return jnp.broadcast_to(jnp.arange(shape[-1], dtype=jnp.float32), shape)


def report(title: str, x: jax.Array, y: jax.Array, **values: jax.Array) -> None:
    """Prints a title with both shapes, and the named values below."""
    print(f"{title:24}{x.shape!s:19}-> {y.shape}")
    for name, value in values.items():
        numbers = "  ".join(f"{number:.2f}" for number in np.ravel(value))
        print(f"{'':24}{name.replace('_', ' '):19}=  {numbers}")
    print()


if __name__ == "__main__":
    main()
