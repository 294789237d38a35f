"""The sum over windows, one axis at a time: the only file that knows how it is lowered.

Every lowering adds and does nothing else, so it is linear, and a NaN stays in its windows. They
differ in speed. The figures behind a choice are ratios of times in float32 on 2 CPU cores, to be
repeated by `python -m benchmarks`.
"""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from math import gcd, prod
from numbers import Integral
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from jaxpool._window import Bins, Window

Axes: TypeAlias = tuple[tuple[int, Window], ...]
Origin: TypeAlias = Literal["stored", "masked", "converted"]  # XLA may repeat the latter two


def windowed_sum(
    x: jax.Array,
    dtype: DTypeLike,
    windows: Sequence[Window | Bins],
    first_axis: int,
    where: jax.Array | None = None,
) -> jax.Array:
    """Sums `x` in `dtype` over windows along consecutive axes, the first of them `first_axis`.

    Where `where`, of as many axes, is False, `x` is not added.
    """
    origin: Origin = "converted" if x.dtype != dtype else "stored" if where is None else "masked"
    fixed, ragged = [], []
    for axis, window in enumerate(windows, first_axis):
        if isinstance(window, Window):
            fixed.append((axis, window))
        elif tiles := window.tiles(x.shape[axis]):
            fixed.append((axis, tiles))
        else:
            ragged.append((axis, window.outputs))
    single = tuple((a, w) for a, w in fixed if w.output_size(x.shape[a]) == 1)
    several = tuple((a, w) for a, w in fixed if (a, w) not in single and w.kernel * w.stride > 1)

    def summed(x: jax.Array) -> jax.Array:
        x = _sum(_single_window(x, single), several, origin)
        for axis, outputs in ragged:
            x = _bins(x, axis, outputs) if outputs > 1 else jnp.sum(x, axis, keepdims=True)
        return x

    x = lax.convert_element_type(x, dtype)
    if where is not None:  # not before: not every dtype that is converted has a zero
        x = jnp.where(where, x, np.zeros((), dtype))
    return _in_auto_mode(summed, x)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _sum(x: jax.Array, axes: Axes, origin: Origin) -> jax.Array:
    """The sum, in the way that is fastest forward."""
    if _has_few_taps(x, axes, origin):
        for axis, window in axes:
            x = _tap_sum(x, axis, window)
        return x
    if _outgrows_the_cache(x, axes, origin):
        return _reduce_window(x, axes)
    return _by_axis(x, axes, origin)


@_sum.defjvp
def _sum_jvp(
    axes: Axes, origin: Origin, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The tangent is the same sum, in the way whose transpose is fastest."""
    tiles = all(_is_tiling(window, tangents[0].shape[axis]) for axis, window in axes)
    return _sum(*primals, axes, origin), (_tile_sum if tiles else _by_axis)(*tangents, axes)


def _in_auto_mode(f: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """`f(x)`, its steps laid out by the compiler even where `x` is sharded over an explicit mesh.

    JAX has no rule there for what the steps do to a sharded axis. The result is sharded as `x`
    is, but for axes that have become too short to divide. Older JAX has no such meshes.
    """
    sharding = jax.typeof(x).sharding if hasattr(jax.sharding, "auto_axes") else None
    if sharding is None or not any(sharding.spec):
        return f(x)
    unsharded = jax.ShapeDtypeStruct(x.shape, x.dtype)  # type: ignore[no-untyped-call]
    kept = []
    for size, names in zip(jax.eval_shape(f, unsharded).shape, sharding.spec, strict=True):
        axes = (names,) if isinstance(names, str) else names or ()
        devices = prod(sharding.mesh.shape[axis] for axis in axes)
        kept.append(names if size % devices == 0 else None)
    spec = jax.sharding.PartitionSpec(*kept)  # type: ignore[no-untyped-call]
    result = jax.sharding.NamedSharding(sharding.mesh, spec)
    summed: jax.Array = jax.sharding.auto_axes(f, out_sharding=result)(x)
    return summed


def _has_few_taps(x: jax.Array, axes: Axes, origin: Origin) -> bool:
    """Whether the windows have few taps and need no padding, so that sums of slices serve best.

    XLA makes one loop of them: 3x as fast as reduce_window for 2x2 tiles of [32, 64, 224, 224], 7x
    for 3x3 tiles, 1.7x for 10x10 tiles, 5x for 3x3 windows of stride 1. It does not if that takes
    too many copies of a conversion, nor is it as good where padding puts branches into the loop.
    """
    if not all(_stays_inside(window, x.shape[axis]) for axis, window in axes):
        return False
    if origin != "converted" and all(_is_tiling(window, x.shape[axis]) for axis, window in axes):
        return all(window.kernel <= 14 for _, window in axes)
    return prod(window.kernel for _, window in axes) <= 12


def _outgrows_the_cache(x: jax.Array, axes: Axes, origin: Origin) -> bool:
    """Whether what is summed along one axis alone would go to memory and back, for few reads.

    One reduce_window over all axes reads each tap of each window, but writes nothing in between:
    1.8x as fast for 3x3 windows of stride 2 of [32, 64, 112, 112], 0.3x for [8, 64, 56, 56], and
    0.5x where windows are larger (7x7 of stride 7), down to 0.05x (20x20 of stride 20).
    """
    overlaps = any(window.stride < window.kernel for _, window in axes)
    if origin != "stored" and overlaps:  # reduce_window would have `x` itself written to memory
        return False
    if not all(isinstance(size, Integral) for size in x.shape):
        return False
    taps, steps = prod(w.kernel for _, w in axes), prod(w.stride for _, w in axes)
    return taps <= 12 and taps <= 3 * steps and x.size > 1 << 23


def _is_tiling(window: Window, size: int) -> bool:
    """Whether the windows lie side by side on the axis, of a known size."""
    side_by_side = window.kernel == window.stride and window.dilation == 1
    return side_by_side and isinstance(size, Integral)


def _stays_inside(window: Window, size: int) -> bool:
    """Whether it is known that no window reads padding."""
    return isinstance(size, Integral) and window.reach(size) == (0, 0)


def _by_axis(x: jax.Array, axes: Axes, origin: Origin = "stored") -> jax.Array:
    """The sum along one axis after the other."""
    for axis, window in axes:
        # XLA's reduce_window is not vectorised along the innermost axis: 1.6x for
        # [16, 128, 28, 28] k=5. More taps would exchange too much where the axis is sharded.
        as_taps = window.kernel <= 5 and axis == axes[-1][0]
        # Where windows overlap it is not fused with a conversion or a mask, so that all of `x` is
        # written to memory: 2x for 3x3 of stride 2 of [32, 64, 112, 112] in bfloat16 or masked.
        first = origin != "stored" and axis == axes[0][0]
        as_taps |= first and 1 < window.stride < window.kernel <= 3
        if not isinstance(x.shape[axis], Integral):
            x = _reduce_window(x, ((axis, window),))
        elif window.kernel >= 15 * window.stride:
            x = _long_window(x, axis, window)
        elif as_taps:
            x = _tap_sum(x, axis, window)
        else:
            x = _reduce_window(x, ((axis, window),))
    return x


def _long_window(x: jax.Array, axis: int, window: Window) -> jax.Array:
    """Sums along one axis over windows of windows: 127 taps as 14 times 9, and one more.

    The cost grows with the root of the kernel: 2x as fast for 15 taps, 40x for 127. Where the
    axis is sharded, every step exchanges anew: 9 collective-permutes for 31 taps instead of 2.
    """
    kernel, stride, dilation, size = window.kernel, window.stride, window.dilation, x.shape[axis]
    outputs = window.output_size(size)
    low, _ = window.reach(size)
    short = min(range(2, kernel), key=lambda k: k + kernel // k + 2 * (kernel % k))
    outer = Window(kernel // short, stride, short * dilation, (0, 0), ceil_mode=False)
    # As many short windows as the outer ones reach, and no more padding than that takes.
    reached = (outputs - 1) * stride + outer.extent + (short - 1) * dilation
    high = max(0, reached - low - size)
    inner = Window(short, 1, dilation, (low, high), ceil_mode=False)
    summed = _reduce_window(_reduce_window(x, ((axis, inner),)), ((axis, outer),))
    if summed.shape[axis] > outputs:
        summed = lax.slice_in_dim(summed, 0, outputs, axis=axis)
    rest = [_tap(x, axis, window, j) for j in range(short * outer.kernel, kernel)]
    return reduce(lax.add, rest, summed)


def _tap_sum(x: jax.Array, axis: int, window: Window) -> jax.Array:
    """Sums along one axis as one slice for each tap."""
    return reduce(lax.add, [_tap(x, axis, window, j) for j in range(window.kernel)])


def _tap(x: jax.Array, axis: int, window: Window, j: int) -> jax.Array:
    """What tap `j` of each window along the axis reads: a strided slice, zero in the padding."""
    size, outputs = x.shape[axis], window.output_size(x.shape[axis])
    start = j * window.dilation - window.reach(size)[0]
    first = max(0, -(start // window.stride))
    last = min(outputs, (size - 1 - start) // window.stride + 1)  # one past it
    if first >= last:
        return jnp.zeros((*x.shape[:axis], outputs, *x.shape[axis + 1 :]), x.dtype)
    start, end = (start + i * window.stride for i in (first, last - 1))
    read = lax.slice_in_dim(x, start, end + 1, window.stride, axis)
    padding = [(0, 0, 0)] * x.ndim
    padding[axis] = (first, outputs - last, 0)
    return lax.pad(read, np.zeros((), x.dtype), padding) if any(padding[axis]) else read


def _tile_sum(x: jax.Array, axes: Axes) -> jax.Array:
    """Sums over tiles by a reshape, the transpose of which is a broadcast: 1.5x to 7x as fast."""
    shape, padding = list(x.shape), [(0, 0, 0)] * x.ndim
    for axis, window in axes:
        shape[axis] = window.output_size(x.shape[axis]) * window.kernel
        low, _ = window.reach(x.shape[axis])
        padding[axis] = (low, shape[axis] - low - x.shape[axis], 0)  # negative: cut off
    x = lax.pad(x, np.zeros((), x.dtype), padding)
    for axis, window in reversed(axes):
        shape[axis : axis + 1] = [shape[axis] // window.kernel, window.kernel]
    return jnp.sum(x.reshape(shape), [axis + 1 + i for i, (axis, _) in enumerate(axes)])


def _single_window(x: jax.Array, axes: Axes) -> jax.Array:
    """Sums `x` over the only window of each of the given axes: a plain sum of its taps.

    It is 4x as fast as reduce_window for the global pool of [32, 512, 7, 7]. XLA also gets one
    such reduce_window wrong (seen up to JAX 0.12): it copies the pixel between two dilated taps.
    """
    if not axes:
        return x
    for axis, window in axes:
        taps = window.taps_inside(x.shape[axis])
        if len(taps) < x.shape[axis]:
            x = lax.slice_in_dim(x, taps.start, taps.stop, taps.step, axis)
    return jnp.sum(x, [axis for axis, _ in axes], keepdims=True)


def _bins(x: jax.Array, axis: int, outputs: int) -> jax.Array:
    """Sums over the bins of an axis, block by block: 48 of 128 elements are 16 times 3 of 8.

    Where the axis is sharded and the shards hold whole blocks, nothing needs to be exchanged. On
    one device it is one block, for in channels_first the blocks' indices take twice the time.
    """
    before, size, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    blocks = gcd(size, outputs) if jax.device_count() > 1 else 1
    x = x.reshape(*before, blocks, size // blocks, *after)
    return _bin_sum(x, axis + 1, outputs // blocks).reshape(*before, outputs, *after)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _bin_sum(x: jax.Array, axis: int, outputs: int) -> jax.Array:
    """Sums over the bins of an axis: their elements are gathered and added, first to last.

    All bins are of the length of the shortest, or one more. Up to 16 elements are added in one
    pass, which writes nothing else: 2x to 10x as fast as the sum of one long gather.
    """
    size, index, bins = x.shape[axis], np.arange(outputs), Bins(outputs)
    start, counts = bins.start(size, index), bins.counts(size, index, True, np)
    shortest = counts.min()

    def read(index: np.ndarray) -> jax.Array:
        place = (slice(None),) * axis + (index,)
        return x.at[place].get(mode="promise_in_bounds", indices_are_sorted=True)

    if shortest <= 16:
        total = reduce(lax.add, [read(start + j) for j in range(shortest)])
    else:
        total = jnp.sum(read(start[:, None] + np.arange(shortest)), axis + 1)
    if counts.max() == shortest:
        return total
    others = tuple(a for a in range(x.ndim) if a != axis)
    longer = np.expand_dims(counts > shortest, others)
    return total + jnp.where(longer, read(start + counts - 1), np.zeros((), x.dtype))


@_bin_sum.defjvp
def _bin_sum_jvp(
    axis: int, outputs: int, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """The tangent is written as the transpose of the transpose, which is a sum over bins again.

    For bin i has element k if and only if, of `size` bins over the outputs, bin k has element i.
    So a gradient gathers as the value does, where a transposed gather would scatter: 5x to 60x
    as fast. In exchange forward mode scatters.
    """
    (tangent,) = tangents
    size = tangent.shape[axis]
    pooled = _bin_sum(*primals, axis, outputs)  # which has the type of a cotangent, too
    (summed,) = jax.linear_transpose(lambda ct: _bin_sum(ct, axis, size), pooled)(tangent)
    return pooled, summed


def _reduce_window(x: jax.Array, axes: Axes) -> jax.Array:
    """Sums `x` over the windows of the given axes at once."""
    zero = np.zeros((), x.dtype)
    dimensions, strides, dilations = [1] * x.ndim, [1] * x.ndim, [1] * x.ndim
    padding = [(0, 0)] * x.ndim
    for axis, window in axes:
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
