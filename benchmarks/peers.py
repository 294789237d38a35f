"""Who is compared: how the users of each library would ask it for a pool, and programs of these.

A function of `IN_JAX` takes a pool and a layout and returns a function of arrays in that layout,
and of the mask if there is one; None if the library cannot express the pool with the same numbers,
or has no kernel for the layout. One of `OTHERS` returns a call without arguments for a case.
Arrays of 16 bits are given to each library as they are. Packages are imported on use.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxpool
from benchmarks.measure import cores
from benchmarks.pools import FIRST, LAST, Case, Pool, in_layout

Function: TypeAlias = Callable[..., Any]
JAXPOOL, YARDSTICK, TORCH = "jaxpool", "reduce_window", "torch"


def jaxpool_(pool: Pool, layout: str) -> Function:
    """`jaxpool.avg_pool2d`, or 1d or 3d, or `jaxpool.adaptive_avg_pool2d`."""
    name = f"avg_pool{pool.ndim}d"
    if pool.bins:
        adaptive = getattr(jaxpool, f"adaptive_{name}")
        return partial(adaptive, output_size=pool.bins, data_format=layout)
    window = {"kernel": pool.kernel, "stride": pool.stride, "padding": pool.padding}
    more = {"count_include_pad": pool.counts, "ceil_mode": pool.ceil, "dilation": pool.dilation}
    return partial(getattr(jaxpool, name), **window, **more, data_format=layout)


def reduce_window(pool: Pool, layout: str) -> Function | None:
    """`lax.reduce_window` in float32, as one writes it who knows the errors of 16-bit sums."""
    if pool.bins or pool.dilation > 1:
        return None
    window, strides = (in_layout((1, 1, *n), layout) for n in (pool.window, pool.strides))
    padding = in_layout(((0, 0), (0, 0), *pool.pads), layout)

    def total(x: jax.Array) -> jax.Array:
        wide = x.astype(jnp.float32)
        return lax.reduce_window(wide, np.float32(0), lax.add, window, strides, padding)

    def function(x: jax.Array, where: jax.Array | None = None) -> jax.Array:
        if where is not None:
            return (total(jnp.where(where, x, 0)) / total(where)).astype(x.dtype)
        if pool.counts:
            return (total(x) / pool.kernel**pool.ndim).astype(x.dtype)
        one_image = in_layout((1, 1, *pool.sizes), layout)
        return (total(x) / total(jnp.ones(one_image, jnp.float32))).astype(x.dtype)

    return function


def flax(pool: Pool, layout: str) -> Function | None:
    """`flax.linen.avg_pool`; of bins, those of one size."""
    if pool.bins and not any(n % bins for n, bins in zip(pool.sizes, pool.bins, strict=True)):
        kernel = pool.sizes[0] // pool.bins[0]
        pool = Pool(f"{pool.split()[0]} k{kernel} s{kernel}")
    if layout == FIRST or not pool.is_plain:
        return None
    from flax import linen

    window = {"window_shape": pool.window, "strides": pool.strides, "padding": tuple(pool.pads)}
    # jax2onnx takes only keywords
    return lambda x: linen.avg_pool(x, **window, count_include_pad=pool.counts)


def equinox(pool: Pool, layout: str) -> Function | None:
    """`equinox.nn.AvgPool2d`, mapped over the batch; its adaptive pool has other bins."""
    if layout == LAST or not (pool.is_plain and pool.counts):
        return None
    import equinox

    layer = getattr(equinox.nn, f"AvgPool{pool.ndim}d")
    return jax.vmap(layer(pool.kernel, pool.stride, pool.padding))


def keras(pool: Pool, layout: str) -> Function | None:
    """`keras.ops.average_pool`, whose "same" never counts the padding."""
    if not pool.is_plain:
        return None
    same = pool.pads == lax.padtype_to_pads(pool.sizes, pool.window, pool.strides, "SAME")
    padding = "same" if same and not pool.counts else "valid"
    if padding == "valid" and any(map(any, pool.pads)):
        return None
    os.environ["KERAS_BACKEND"] = "jax"
    from keras import ops

    return lambda x: ops.average_pool(x, pool.kernel, pool.stride, padding, layout)


IN_JAX: dict[str, Callable[[Pool, str], Function | None]] = {
    JAXPOOL: jaxpool_,
    "flax": flax,
    YARDSTICK: reduce_window,
    "equinox": equinox,
    "keras": keras,
}


def torch(case: Case, device: str = "cpu") -> Function | None:
    """PyTorch's pool, or its gradient on a graph that is kept."""
    pool, dtype, layout, direction = case
    if pool.block or pool.masked or pool.ndim != 2:
        return None
    # PyTorch's threads spin for milliseconds before they sleep: at the expense of whose turn is
    # next and, whenever anything else runs on the cores, of PyTorch itself, which was then up to
    # 8x slower. Spinning for less costs it nothing on idle cores; not at all costs it up to 3x.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    import torch

    torch.set_num_threads(cores())
    if pool.bins:
        function = partial(torch.nn.functional.adaptive_avg_pool2d, output_size=pool.bins)
    else:
        window = {"kernel_size": pool.kernel, "stride": pool.stride, "padding": pool.padding}
        more = {"ceil_mode": pool.ceil, "count_include_pad": pool.counts}
        function = partial(torch.nn.functional.avg_pool2d, **window, **more)
    x, ct = (
        torch.from_numpy(drawn(in_layout(shape, layout))).to(device, getattr(torch, dtype))
        for shape in (pool.shape, pool.output)
    )
    if layout == LAST:  # in PyTorch a matter of strides, not of shape
        x, ct = x.movedim(-1, 1), ct.movedim(-1, 1)
    if direction == "forward":
        return torch.no_grad()(partial(function, x))
    y = function(x.requires_grad_())
    return partial(torch.autograd.grad, y, x, ct, retain_graph=True)


def scipy(case: Case) -> Function | None:
    """`scipy.ndimage.uniform_filter`."""
    if not _is_box_filter(case):
        return None
    from scipy import ndimage

    x = drawn(in_layout(case.pool.shape, LAST))
    return partial(ndimage.uniform_filter, x, case.pool.kernel, mode="constant", axes=(1, 2))


def opencv(case: Case) -> Function | None:
    """`cv2.blur`, image by image."""
    if not _is_box_filter(case):
        return None
    import cv2

    cv2.setNumThreads(cores())
    x, size = drawn(in_layout(case.pool.shape, LAST)), (case.pool.kernel, case.pool.kernel)
    return lambda: [cv2.blur(image, size, borderType=cv2.BORDER_CONSTANT) for image in x]


OTHERS = {TORCH: torch, "scipy": scipy, "opencv": opencv}
PACKAGES = ("jaxpool", "jax", *IN_JAX, *OTHERS, "opencv-python-headless")


def _is_box_filter(case: Case) -> bool:
    """Whether it only averages images, to the same size, with zeros around them that count."""
    pool, *others = case
    averages = pool.is_plain and pool.counts and pool.ndim == 2 and not pool.block
    return averages and pool.output == pool.shape and others == ["float32", LAST, "forward"]


def drawn(shape: tuple[int, ...]) -> np.ndarray:
    """Numbers from 0 to 1, the same each time, in float32."""
    return np.random.default_rng(0).random(shape, np.float32)


def drawn_like(shapes: Any) -> Any:
    """Arrays of these shapes on the device: numbers from 0 to 1, masks half of true."""
    return jax.tree.map(
        lambda a: jnp.asarray(drawn(a.shape) > 0.5 if a.dtype == bool else drawn(a.shape), a.dtype),
        shapes,
    )


def prepare(peer: str, case: Case) -> Any:
    """The program of a library, or the call of another one, if it has it and is installed."""
    try:
        if peer in OTHERS:
            return OTHERS[peer](case)
        pooled = IN_JAX[peer](case.pool, case.layout)
    except ImportError:
        return None
    return program_of(pooled, case) if pooled else None


def program_of(pooled: Function, case: Case) -> tuple[Function, tuple[Any, ...]]:
    """What is compiled of a function that pools, and the shapes of its arguments."""
    pool, dtype, layout, direction = case
    size, channels = 3 if pool.block == "conv+pool" else 1, pool.shape[1]
    mask = jax.ShapeDtypeStruct(in_layout((pool.shape[0], 1, *pool.sizes), layout), bool)
    weights = jax.ShapeDtypeStruct((size, size, channels, channels), dtype)
    x = jax.ShapeDtypeStruct(in_layout(pool.shape, layout), dtype)
    given = x, [mask] * pool.masked, [weights] * ("conv" in pool.block)
    axes, spatial = ("NHWC", (1, 2)) if layout == LAST else ("NCHW", (2, 3))

    def convolved(x: jax.Array, kernel: jax.Array) -> jax.Array:
        numbers = axes, "HWIO", axes
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)

    def value(x: jax.Array, masks: list[jax.Array], kernels: list[jax.Array]) -> jax.Array:
        if pool.block == "conv+pool":
            x = convolved(x, *kernels)
        elif pool.block == "relu+pool":
            x = jax.nn.relu(x)
        y = pooled(x, where=masks[0]) if masks else pooled(x)
        if pool.block == "pool+conv":
            return convolved(y, *kernels)
        return y.mean(spatial) if pool.block == "pool+mean" else y

    # Not those of the kernels as well: they take XLA most of a minute to compile.
    def gradient(cotangent: jax.Array, x: jax.Array, *others: list[jax.Array]) -> jax.Array:
        return jax.vjp(lambda x: value(x, *others), x)[1](cotangent)[0]

    if direction == "forward":
        return value, given
    return gradient, (jax.eval_shape(value, *given), *given)
