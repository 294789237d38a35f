"""Pools inside `shard_map`, where each device fetches the borders of its neighbours first."""

# --8<-- [start:code]
from collections.abc import Sequence

import jax
from jax import lax

import jaxpool


def with_neighbours(
    x: jax.Array,
    axis: int,
    name: str,
    low: int,
    high: int,
) -> jax.Array:
    """`x` with `low` elements of the previous device and `high` of the next.

    The first device has no previous one and the last no next: they get zeros.
    """
    last = lax.psum(1, name) - 1  # of the devices along the mesh axis `name`
    onward = [(i, i + 1) for i in range(last)]
    parts = [x]
    if low:
        border = lax.slice_in_dim(x, x.shape[axis] - low, None, axis=axis)
        parts.insert(0, lax.ppermute(border, name, onward))
    if high:
        border = lax.slice_in_dim(x, 0, high, axis=axis)
        parts.append(lax.ppermute(border, name, [(b, a) for a, b in onward]))
    return lax.concatenate(parts, axis)


def avg_pool_of_shards(
    x: jax.Array,
    names: Sequence[str | None],
    kernel: int,
    stride: int,
    padding: int,
) -> jax.Array:
    """Inside `shard_map`, `avg_pool2d` of images sharded over `names`.

    These are the mesh axes of the image's axes, None where it is not sharded.
    """
    pads = []
    for axis, name in enumerate(names, x.ndim - 2):
        if name is None:
            pads.append((padding, padding))
        else:  # the windows that start in this shard also read the borders
            after = kernel - stride - padding
            x = with_neighbours(x, axis, name, padding, after)
            pads.append((0, 0))
    return jaxpool.avg_pool2d(x, kernel, stride, pads)


# --8<-- [end:code]
