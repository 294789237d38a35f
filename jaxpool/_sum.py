"""The windowed sum, as one linear operation: of what dtype, under which mask, by which plan."""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike

from jaxpool._plan import Origin, Plan, plans
from jaxpool._ways import carry_out, differing
from jaxpool._window import Ragged, Span


def windowed_sum(
    x: jax.Array,
    dtype: DTypeLike,
    spans: Sequence[Span | Ragged],
    where: jax.Array | None = None,
) -> jax.Array:
    """Sums `x` in `dtype` over the windows of `spans`.

    Where `where`, of as many axes, is False, `x` is not added.
    """
    origin: Origin = "stored" if where is None else "masked"
    if x.dtype != dtype:
        origin = "counted" if x.dtype == bool else "converted"
    x = lax.convert_element_type(x, dtype)
    if where is not None:  # not before: not every dtype that is converted has a zero
        x = jnp.where(where, x, np.zeros((), dtype))
    value, tangent = (plans(spans, x.ndim, origin, of) for of in ("value", "tangent"))
    summed: Callable[[jax.Array], jax.Array] = partial(_by_platform, value)
    if value != tangent:
        summed = differing(summed, partial(_by_platform, tangent))
    return _in_auto_mode(summed, x)


def _by_platform(plans: tuple[Plan, ...], x: jax.Array) -> jax.Array:
    """The sum by the plan of the platform that the program is compiled for."""
    ways = {plan: partial(carry_out, plan) for plan in plans}  # one for platforms that agree
    cpu, gpu, tpu = (ways[plan] for plan in plans)
    others = {"cuda": gpu, "rocm": gpu, "tpu": tpu}
    others = {name: way for name, way in others.items() if way is not cpu}
    if not others:
        return cpu(x)
    summed: jax.Array = lax.platform_dependent(x, default=cpu, **others)
    return summed


def _in_auto_mode(f: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """`f(x)`, its steps laid out by the compiler even where `x` is sharded over an explicit mesh.

    JAX has no rule there for what the steps do to a sharded axis. The result is sharded as `x`
    is, except for axes that have become too short to divide. Older JAX has no such meshes.
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
