"""A tour of average pooling: five classic uses, then a gradient and a mapped batch.

Every pixel of most inputs holds the number of its column, 0, 1, 2, ..., so that the averages can
be checked by eye.

    python examples/quickstart.py
"""

import jax
import jax.numpy as jnp
import numpy as np

import jaxpool


def main() -> None:
    """Runs the tour and prints what each stop does."""
    # PyTorch's layout, (batch, channels, height, width), is the default.
    x = columns(32, 64, 224, 224)
    y = jaxpool.avg_pool2d(x, 2)
    report("Halve the image", x, y, row_starts=y[0, 0, 0, :3])

    # Windows overlap when the stride is less than the kernel. The padding keeps the size.
    x = columns(32, 128, 56, 56)
    y = jaxpool.avg_pool2d(x, 3, stride=1, padding=1)
    report("Smooth, size kept", x, y, corner=y[0, 0, 0, 0], interior=y[0, 0, 1, 1:4])

    # A kernel as large as the image averages all of it.
    x = columns(32, 512, 7, 7)
    y = jaxpool.avg_pool2d(x, 7)
    report("Global average", x, y, value=y[0, 0, 0, 0])

    # The head of MobileNet, as a Flax Linen layer. It has no parameters, so it needs no init.
    x = columns(16, 1280, 7, 7)
    y = jaxpool.AvgPool2d(7)(x).reshape(16, 1280)
    report("MobileNet's head", x, y, value=y[0, 0])

    # Padding counts in the divisor by default; without it, only real pixels do.
    x = jnp.ones((16, 64, 32, 32))
    y = jaxpool.AvgPool2d(2, stride=2, padding=1)(x)
    report("Padding counted", x, y, corner=y[0, 0, 0, 0], interior=y[0, 0, 8, 8])
    y = jaxpool.AvgPool2d(2, stride=2, padding=1, count_include_pad=False)(x)
    report("Padding not counted", x, y, corner=y[0, 0, 0, 0], interior=y[0, 0, 8, 8])

    # Every pixel of a 2x2 window has a quarter of the say in its average.
    x = columns(1, 1, 4, 4)
    gradient = jax.grad(lambda x: jaxpool.avg_pool2d(x, 2).sum())(x)
    report("Gradient of a 2x2 pool", x, gradient, row=gradient[0, 0, 0])

    # Leading batch axes need no vmap, but a batch that is the last axis does.
    x = columns(100, 3, 32, 32).transpose(1, 2, 3, 0)
    y = jax.vmap(lambda image: jaxpool.avg_pool2d(image, 2), in_axes=-1, out_axes=-1)(x)
    report("Batch as the last axis", x, y, row_starts=y[0, 0, :3, 0])


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
