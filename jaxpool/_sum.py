"""The sum over windows, one axis at a time: the only file that knows `lax.reduce_window`."""

from collections.abc import Sequence
from math import prod
from numbers import Integral

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxpool._window import Window


def windowed_sum(x: jax.Array, windows: Sequence[Window], first_axis: int) -> jax.Array:
    """Sums `x` over windows along consecutive axes, the first of them `first_axis`."""
    axes = dict(enumerate(windows, first_axis))
    single = {a: w for a, w in axes.items() if w.output_size(x.shape[a]) == 1}
    x = _single_window(x, single)
    moving = {a: w for a, w in axes.items() if a not in single and w.kernel * w.stride > 1}
    # One reduction over all axes reads a tap once per window, so prod(k) times an output; one
    # per axis sum(k) times, but writes the results between. [32, 64, 224, 224] in float32 on
    # 2 CPU cores, one over all against one per axis: k=2 0.9x to 1.4x, k=3 s=1 1.5x, k=5 8x.
    if prod(window.kernel for window in moving.values()) <= 4:
        return _reduce_window(x, moving)
    for axis, window in moving.items():
        x = _reduce_window(x, {axis: window})
    return x


def _single_window(x: jax.Array, windows: dict[int, Window]) -> jax.Array:
    """Sums `x` over the only window of each of the given axes: a plain sum of its taps.

    It is 4x as fast as reduce_window for the global pool of [32, 512, 7, 7]. XLA also gets one
    such reduce_window wrong (seen up to JAX 0.12): it copies the pixel between two dilated taps.
    """
    if not windows:
        return x
    for axis, window in windows.items():
        taps = window.taps_inside(x.shape[axis])
        if len(taps) < x.shape[axis]:
            x = lax.slice_in_dim(x, taps.start, taps.stop, taps.step, axis)
    return jnp.sum(x, tuple(windows), keepdims=True)


def _reduce_window(x: jax.Array, windows: dict[int, Window]) -> jax.Array:
    """Sums `x` over the windows of the given axes at once."""
    if not windows:
        return x
    zero = np.zeros((), x.dtype)
    dimensions, strides, dilations = [1] * x.ndim, [1] * x.ndim, [1] * x.ndim
    padding = [(0, 0)] * x.ndim
    for axis, window in windows.items():
        dimensions[axis], strides[axis] = window.kernel, window.stride
        dilations[axis], padding[axis] = window.dilation, window.reach(x.shape[axis])
    if not all(isinstance(pad, Integral) for pair in padding for pad in pair):
        # Under jax.export the padding for "SAME" may depend on the size, which only lax.pad takes.
        x = lax.pad(x, zero, [(low, high, 0) for low, high in padding])
        padding = [(0, 0)] * x.ndim
    pooled: jax.Array = lax.reduce_window(
        x, zero, lax.add, dimensions, strides, padding, window_dilation=dilations
    )
    return pooled
