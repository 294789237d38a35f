"""The average over windows as one linear operation of JAX: the primitive `avg_pool`.

A pool is one equation of a jaxpr, and is lowered for each platform in its own form. Its tangent and
its transpose are the same operation with another `part`.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial, reduce
from math import prod
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir, xla
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec
from jax.typing import DTypeLike

from jaxpool._divide import by_parts, divide
from jaxpool._plan import plan
from jaxpool._portable import Plain, is_portable
from jaxpool._steps import Origin
from jaxpool._ways import barrier
from jaxpool._window import Divisor, Placed

try:
    from jax.sharding import use_abstract_mesh
except ImportError:  # JAX 0.6.2 has no public name for it
    from jax._src.mesh import use_abstract_mesh

Part: TypeAlias = Literal["value", "tangent", "transpose"]

avg_pool_p: Any = Primitive("avg_pool")
avg_pool_p.def_impl(partial(xla.apply_primitive, avg_pool_p))


def windowed_average(
    x: jax.Array,
    windows: Sequence[Placed],
    divisor: Divisor,
    dtype: DTypeLike,
    *,
    is_masked: bool = False,
    part: Part = "value",
) -> jax.Array:
    """The average of `x` over windows.

    Args:
      x: an array of any dtype.
      windows: each with its axis of `x`; other axes stay.
      divisor: the divisor of the sums; `UNDIVIDED` leaves them as they are.
      dtype: the dtype of the result; sums have the dtype of `accumulator`.
      is_masked: whether a mask has selected the elements of `x`.
      part: "tangent" for 0 instead of NaN where a window averages nothing.
    """
    params: dict[str, Any] = {
        "windows": tuple(windows),
        "divisor": divisor,
        "dtype": np.dtype(dtype),
        "is_masked": is_masked,
        "part": part,
    }
    if is_portable() and not hasattr(x, "batch_dim"):  # under vmap `_batch` leads back here
        return planned(x, rules="portable", **params)
    averaged: jax.Array = avg_pool_p.bind(x, **params, spec=None)
    return averaged


def accumulator(dtype: DTypeLike) -> DTypeLike:
    """The dtype of the sums of an input of `dtype`: a float of at least 32 bits."""
    if not jnp.issubdtype(dtype, jnp.inexact):
        return jnp.result_type(float)
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype  # type: ignore[no-untyped-call]


def _shape(shape: Sequence[int], windows: Sequence[Placed], part: Part) -> tuple[int, ...]:
    """The shape of the result for an input of `shape`."""
    sizes = {span.axis: span.size if part == "transpose" else span.outputs for span in windows}
    return tuple(sizes.get(axis, size) for axis, size in enumerate(shape))


def _type(x: Any, *, windows: Sequence[Placed], dtype: Any, part: Part, spec: Any, **_: Any) -> Any:
    """The type of the result. On an explicit mesh an axis stays sharded if the devices divide it. A
    gradient is sharded as its input was, along the axes of the windows by `spec`.
    """
    shape, sharding = _shape(x.shape, windows, part), x.sharding
    names = list(sharding.spec)
    for i, span in enumerate(windows):
        if spec is not None:
            names[span.axis] = spec[i]
        elif not _divides(sharding.mesh, names[span.axis], shape[span.axis]):
            names[span.axis] = None
    sharding = _sharding(sharding.mesh, names)
    return x.update(shape=shape, dtype=dtype, weak_type=False, sharding=sharding)


def _divides(mesh: Any, names: Any, size: int) -> bool:
    axes = names if isinstance(names, tuple) else () if names is None else (names,)
    devices: int = prod(mesh.shape[axis] for axis in axes)
    return devices == 1 or size % devices == 0


def _jvp(primals: Any, tangents: Any, *, part: Part, **params: Any) -> Any:
    (x,), (tangent,) = primals, tangents
    averaged = avg_pool_p.bind(x, part=part, **params)
    if type(tangent) is ad.Zero:
        return averaged, ad.Zero(jax.typeof(averaged).to_tangent_aval())
    # The value of a window that averages nothing is NaN, and its tangent is 0.
    part = "tangent" if part == "value" else part
    return averaged, avg_pool_p.bind(tangent, part=part, **params)


def _transpose(cotangent: Any, x: Any, *, part: Part, spec: Any, **params: Any) -> Any:
    if type(cotangent) is ad.Zero:
        return [ad.Zero(x.aval)]
    if part == "transpose":
        return [avg_pool_p.bind(cotangent, part="tangent", spec=None, **params)]
    spec = tuple(x.aval.sharding.spec[span.axis] for span in params["windows"])
    return [avg_pool_p.bind(cotangent, part="transpose", spec=spec, **params)]


def _batch(args: Any, axes: Any, *, windows: Sequence[Placed], **params: Any) -> Any:
    """The axis of the batch stays where it is; the axes of the windows move to make room."""
    (x,), (batch,) = args, axes
    if is_portable() and params["part"] != "transpose":
        del params["spec"]
        windows = [span._replace(axis=span.axis + 1) for span in windows]
        return windowed_average(jnp.moveaxis(x, batch, 0), windows, **params), 0
    windows = tuple(span._replace(axis=span.axis + (span.axis >= batch)) for span in windows)
    return avg_pool_p.bind(x, windows=windows, **params), batch


avg_pool_p.def_abstract_eval(_type)
with suppress(ImportError):
    from jax.experimental import jet

    jet.deflinear(avg_pool_p)  # type: ignore[no-untyped-call]
ad.primitive_jvps[avg_pool_p] = _jvp
ad.primitive_transposes[avg_pool_p] = _transpose
batching.primitive_batchers[avg_pool_p] = _batch


def planned(
    x: jax.Array,
    *,
    rules: str,
    windows: Sequence[Placed],
    divisor: Divisor,
    dtype: Any,
    is_masked: bool,
    part: Part,
) -> jax.Array:
    """The average by the rules of that name in `_plan.py`, or in the plain form."""
    wide, is_value = accumulator(x.dtype), part == "value"
    if rules in ("plain", "portable"):
        plain = Plain(divisor, is_value, for_converters=rules == "portable")
        average = partial(plain.average, windows=windows)
        total = by_parts(lax.convert_element_type(x, wide), average)
        return lax.convert_element_type(total, dtype)
    origin: Origin = "masked" if is_masked else "stored"
    if x.dtype == bool:
        # XLA would count the elements of a constant while it compiles, for seconds: make it none.
        origin, never = "counted", barrier(lax.full((), False), ())
        x = lax.bitwise_or(x, lax.broadcast(never, x.shape))
    elif x.dtype != wide:
        origin = "converted"
    total = lax.convert_element_type(x, wide)
    for step in plan(rules, windows, x.ndim, origin, part == "transpose"):
        total = step.way(total, step.windows)
    if divisor.override != 1:
        total = divide(total, windows, divisor, is_value=is_value)
    return lax.convert_element_type(total, dtype)


def transposed(linear: Callable[[jax.Array], jax.Array], shape: Sequence[int], x: Any) -> Any:
    """The transpose of `linear`, a function of arrays of `shape`, at `x`."""
    of = jax.ShapeDtypeStruct(shape, x.dtype)  # type: ignore[no-untyped-call]
    return jax.linear_transpose(linear, of)(x)[0]


# The rules of `_plan.py` for each platform that they know.
RULES = {"cpu": "cpu", "cuda": "gpu", "rocm": "gpu", "tpu": "tpu", None: "plain"}


def _lower(ctx: Any, x: Any, *, platform: str | None, spec: Any, **params: Any) -> Any:
    """Lowers the operation by the rules for `platform`.

    The lowered program does not depend on meshes. It is traced for an array without a sharding
    (inside `shard_map`, for an array that does not vary), and its result is then pinned to the
    shardings of an explicit mesh.
    """
    del spec
    (given,), (wanted,) = ctx.avals_in, ctx.avals_out
    rules = "portable" if is_portable() else RULES[platform]
    average: Callable[..., Any] = partial(planned, rules=rules, **params)
    shape, shardings, of = given.shape, [wanted.sharding], given.sharding
    if params["part"] == "transpose":
        if not all(isinstance(size, int) for size in shape):
            # A symbol may be written in several ways, and this is how the sum writes it.
            struct = jax.ShapeDtypeStruct(wanted.shape, wanted.dtype)  # type: ignore[no-untyped-call]
            shape = jax.eval_shape(average, struct).shape
        average = partial(transposed, average, wanted.shape)
        # XLA pads between elements wrongly if the operand is whole and the result is sharded: the
        # gradient is computed whole along such axes, and then cut.
        shardings, of = [given.sharding, wanted.sharding], wanted.sharding

    def pinned(x: jax.Array) -> jax.Array:
        result: jax.Array = reduce(partial(_pin, of=of), shardings, average(x))
        return result

    with use_abstract_mesh(_automatic(of.mesh)):
        plain = ctx.replace(avals_in=[jax.core.ShapedArray(shape, given.dtype)], jaxpr_eqn_ctx=None)
        return mlir.lower_fun(pinned, multiple_results=False)(plain, x)


def _automatic(mesh: AbstractMesh) -> AbstractMesh:
    """The mesh with automatic axes, on which the compiler chooses shardings."""
    explicit, auto = AxisType.Explicit, AxisType.Auto
    types = tuple(auto if kind == explicit else kind for kind in mesh.axis_types)
    return AbstractMesh(mesh.axis_sizes, mesh.axis_names, axis_types=types)


def _pin(x: jax.Array, sharding: Any, *, of: Any) -> jax.Array:
    """`x` with this sharding, if the mesh is explicit; `of` is the sharding of the pool's input.

    The automatic axes of the mesh stay free, except where an axis of the array loses its sharding.
    """
    kinds = sharding.mesh.axis_types
    if AxisType.Explicit not in kinds:
        return x
    free = PartitionSpec.UNCONSTRAINED if AxisType.Auto in kinds else None
    names = [
        free if name is None and before is None else name
        for name, before in zip(sharding.spec, of.spec, strict=True)
    ]
    auto = _sharding(_automatic(sharding.mesh), names)
    pinned: jax.Array = lax.with_sharding_constraint(x, auto)  # type: ignore[no-untyped-call]
    return pinned


def _sharding(mesh: Any, names: Sequence[Any]) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(*names))  # type: ignore[no-untyped-call]


for _platform in RULES:
    mlir.register_lowering(avg_pool_p, partial(_lower, platform=_platform), platform=_platform)
