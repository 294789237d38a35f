"""The plugin for jax2onnx: after `import jaxpool.jax2onnx` it converts pools to operators of ONNX.

Windows of a fixed size become AveragePool, or GlobalAveragePool if one window is the whole image.
Uneven bins and gradients become products with matrices.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any

import jax
import numpy as np
import onnx_ir as ir
from jax import lax
from jax.extend.core import Primitive
from jax2onnx.converter.lowering_dispatch import lower_jaxpr_with_plugins
from jax2onnx.plugins.plugin_system import PLUGIN_REGISTRY, PrimitiveLeafPlugin, register_primitive

from jaxpool._primitive import Part, accumulator, avg_pool_p, planned, transposed
from jaxpool._window import Divisor, Placed, Span, Window

UNSUPPORTED = (
    "jaxpool: ONNX has no pool on an axis of symbolic size with ceil_mode=True and padding that "
    'counts, with padding="SAME" and a dilation or a stride beyond the kernel, or with padding as '
    "long as the kernel: convert with known sizes"
)
operator_p: Any = Primitive("jaxpool.jax2onnx")
operator_p.def_abstract_eval(lambda x, *, shape, **_: x.update(shape=shape, weak_type=False))


def _operator(x: jax.Array, shape: Sequence[Any], of: Callable[..., Any]) -> jax.Array:
    """The result, of `shape`, of the operator that `of(add, x)` adds to the graph."""
    result: jax.Array = operator_p.bind(x, shape=tuple(shape), of=of)
    return result


@register_primitive(jaxpr_primitive=operator_p.name)
class Operator(PrimitiveLeafPlugin):  # type: ignore[misc]
    """One operator of ONNX."""

    def lower(self, ctx: Any, eqn: Any) -> None:
        """Adds the operator to the graph."""
        x = ctx.get_value_for_var(eqn.invars[0])

        def value(given: Any) -> Any:
            if isinstance(given, ir.Value):
                return given
            array = np.asarray(given)
            array = array if array.dtype == np.int64 else array.astype(x.dtype.numpy())
            return ctx.builder.add_initializer_from_array(ctx.fresh_name("constant"), array)

        def add(name: str, *inputs: Any, **attributes: Any) -> Any:
            outputs = [ctx.fresh_name("pool")]
            return getattr(ctx.builder, name)(*map(value, inputs), _outputs=outputs, **attributes)

        result = eqn.params["of"](add, x)
        result.dtype = x.dtype
        result.shape = ir.Shape([n if isinstance(n, int) else str(n) for n in eqn.params["shape"]])
        ctx.bind_value_for_var(eqn.outvars[0], result)


@register_primitive(jaxpr_primitive=avg_pool_p.name)
class AvgPool(PrimitiveLeafPlugin):  # type: ignore[misc]
    """A pool, as the operators of the function of JAX that stands for it."""

    def lower(self, ctx: Any, eqn: Any) -> None:
        """Adds the operators to the graph."""
        (given,), (result,) = eqn.invars, eqn.outvars
        params = {name: value for name, value in eqn.params.items() if name != "spec"}
        average = partial(_form(ctx, **params), **params)
        if params["part"] == "transpose" and average.func is not _multiplied:
            average = partial(transposed, average, result.aval.shape)
        x = jax.ShapeDtypeStruct(given.aval.shape, given.aval.dtype)  # type: ignore[no-untyped-call]
        closed = jax.make_jaxpr(average)(x)
        jaxpr, source = closed.jaxpr, "jaxpool.jax2onnx"
        for variable, constant in zip(jaxpr.constvars, closed.consts, strict=True):
            ctx.bind_const_for_var(variable, np.asarray(constant))
        ctx.bind_value_for_var(jaxpr.invars[0], ctx.get_value_for_var(given))
        lower_jaxpr_with_plugins(ctx=ctx, jaxpr=jaxpr, registry=PLUGIN_REGISTRY, source=source)
        ctx.bind_value_for_var(result, ctx.get_value_for_var(jaxpr.outvars[0]))


def _form(
    ctx: Any, *, windows: Sequence[Any], divisor: Divisor, dtype: Any, part: Part, **_: Any
) -> Callable[..., Any]:
    """The function that is traced for a pool."""
    if np.issubdtype(dtype, np.complexfloating):
        raise NotImplementedError("jaxpool: ONNX has no pools of complex numbers")
    spans = [span for span in windows if isinstance(span, Span)]
    has_sizes = all(isinstance(span.kernel, int) for span in spans)
    has_operator = len(spans) == len(windows) and (has_sizes or _is_mean(windows, divisor))
    if any(span.dilation > 1 for span in spans) and ctx.builder.opset < 19:
        has_operator = False
    # ONNX Runtime has no pools of float64.
    if has_operator and part != "transpose" and not ctx.builder.enable_double_precision:
        return _pooled
    if all(span.is_known for span in windows):
        return _multiplied
    return partial(planned, rules="plain")


def _is_mean(windows: Sequence[Span], divisor: Divisor) -> bool:
    """Whether the only window is the whole image."""
    return divisor.override is None and all(s.is_all and s.outputs == 1 for s in windows)


def _pooled(
    x: jax.Array, *, windows: Sequence[Span], divisor: Divisor, dtype: Any, part: Part, **_: Any
) -> jax.Array:
    """GlobalAveragePool or AveragePool, and a factor where they divide by another number.

    The padding is as long as the windows reach. So AveragePool has as many outputs without its
    `ceil_mode`, for which ONNX does not specify the divisor.
    """
    empty = np.nan if part == "value" else 0
    name, attributes, factor, pads = _average_pool(windows, divisor, empty)

    def pool(x: jax.Array) -> jax.Array:
        if pads:
            shape = *x.shape[:2], *(span.low + span.size + span.end for span in windows)
            x = _operator(x, shape, lambda add, x: add("Pad", x, np.asarray(pads)))
        shape = *x.shape[:2], *(span.outputs for span in windows)
        x = _operator(x, shape, lambda add, x: add(name, x, **attributes))
        return _times(x, factor)

    if x.dtype != np.float16 or np.any(factor != 1):
        x = lax.convert_element_type(x, accumulator(x.dtype))
    axes = [span.axis for span in windows]
    order = [axis for axis in range(x.ndim) if axis not in axes] + axes
    x = lax.transpose(x, order)
    others, sizes = x.shape[: -len(axes)], x.shape[-len(axes) :]
    if len(others) == 1:
        first = np.asarray([0])
        x = _operator(x, (1, *x.shape), lambda add, x: add("Unsqueeze", x, first))
        x = pool(x)
        x = _operator(x, x.shape[1:], lambda add, x: add("Squeeze", x, first))
    else:
        x = pool(lax.reshape(x, (prod(others[:-1]), others[-1], *sizes)))
        x = lax.reshape(x, (*others, *x.shape[2:]))
    x = lax.transpose(x, np.argsort(order))
    return lax.convert_element_type(x, dtype)


def _average_pool(
    windows: Sequence[Span], divisor: Divisor, empty: float
) -> tuple[str, dict[str, Any], Any, list[int]]:
    """The operator, its attributes, the factor, and the pads that are written before."""
    if _is_mean(windows, divisor):
        return "GlobalAveragePool", {}, 1, []
    factor: Any
    attributes: dict[str, Any] = {
        "kernel_shape": [span.kernel for span in windows],
        "strides": [span.stride for span in windows],
    }
    if any(span.dilation > 1 for span in windows):
        attributes["dilations"] = [span.dilation for span in windows]
    lows, ends = [span.low for span in windows], [span.end for span in windows]
    written: list[int] = []
    if not all(isinstance(zeros, int) for zeros in lows + ends):
        attributes["auto_pad"] = _auto_pad(windows)
    elif any(max(span.low, span.end) >= span.kernel for span in windows):
        written = [0, 0, *lows, 0, 0, *ends]  # ONNX Runtime pads less than the kernel
    elif any(lows + ends):
        attributes["pads"] = lows + ends
    factor, wanted, override = 1, divisor.count_include_pad, divisor.override
    counts_input = not written and all(_counts_alike(s, wanted, False) for s in windows)
    if override is not None or not counts_input:
        attributes["count_include_pad"] = 1
    if override is not None:
        factor = prod(span.kernel for span in windows) / override
    elif not counts_input and not all(_counts_alike(s, wanted, True) for s in windows):
        factor = _factor(windows, wanted, empty)
    return "AveragePool", attributes, factor, written


def _counts_alike(span: Span, wanted: bool, counts_all: bool) -> bool:
    """Whether each window has taps that count, and `count_include_pad=wanted` counts as ONNX does:
    all taps, or the taps in the input.
    """
    if span.is_known:
        index = np.arange(span.outputs)
        counts = span.counts(index, wanted, np)
        theirs = span.kernel if counts_all else span.counts(index, False, np)
        return bool(counts.all() and (counts == theirs).all())
    if counts_all:
        return wanted and span.end == span.high
    return not wanted or (span.low == 0 and span.high == 0)


def _factor(windows: Sequence[Span], wanted: bool, empty: float) -> np.ndarray:
    """The average over the taps that count, divided by the average over all taps."""
    factor = np.ones(())
    for span in windows:
        if not span.is_known:
            raise NotImplementedError(UNSUPPORTED)
        counts = span.counts(np.arange(span.outputs), wanted, np)
        vector = np.where(counts, span.kernel / np.maximum(counts, 1), empty)
        factor = np.multiply.outer(factor, vector)
    return factor


def _auto_pad(windows: Sequence[Span]) -> str:
    """The name in ONNX of padding that depends on a symbolic size."""
    for name, theirs in (("SAME", "SAME_UPPER"), ("SAME_LOWER", "SAME_LOWER")):
        same = [Window(s.kernel, s.stride, s.dilation, name).on(s.axis, s.size) for s in windows]
        # ONNX Runtime ignores the dilation, and crops the input for longer strides.
        if same == [*windows] and all(s.stride <= s.kernel and s.dilation == 1 for s in windows):
            return theirs
    raise NotImplementedError(UNSUPPORTED)


def _multiplied(
    x: jax.Array, *, windows: Sequence[Placed], divisor: Divisor, dtype: Any, part: Part, **_: Any
) -> jax.Array:
    """Along each axis the product with a matrix."""
    x = lax.convert_element_type(x, accumulator(x.dtype))
    for span in windows:
        if isinstance(span, Span) and span.is_identity:
            continue
        matrix = _matrix(span, divisor, np.nan if part == "value" else 0)
        x = _product(matrix.T if part == "transpose" else matrix, x, span.axis)
    return lax.convert_element_type(_times(x, 1 / (divisor.override or 1)), dtype)


def _matrix(span: Placed, divisor: Divisor, empty: float) -> np.ndarray:
    """The weight of each element (a column) in each output (a row)."""
    index = np.arange(span.outputs)[:, None]
    if isinstance(span, Span):
        start, taps, dilation = index * span.stride - span.low, span.kernel, span.dilation
    else:
        start, taps, dilation = span.start(index), span.counts(index), 1
    tap, rest = np.divmod(np.arange(span.size) - start, dilation)
    is_read = (rest == 0) & (tap >= 0) & (tap < taps)
    counts = 1 if divisor.override else span.counts(index, divisor.count_include_pad, np)
    return np.where(counts, is_read / np.maximum(counts, 1), empty)


def _product(matrix: np.ndarray, x: jax.Array, axis: int) -> jax.Array:
    """The product of a matrix with `x` along `axis`."""
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    shape = *before, len(matrix), *after
    if not after:
        return _operator(x, shape, lambda add, x: add("MatMul", x, matrix.T))
    x = lax.reshape(x, (*before, x.shape[axis], prod(after)))
    flat = *before, len(matrix), prod(after)
    x = _operator(x, flat, lambda add, x: add("MatMul", matrix, x))
    return lax.reshape(x, shape)


def _times(x: jax.Array, factor: Any) -> jax.Array:
    if np.all(factor == 1):
        return x
    return _operator(x, x.shape, lambda add, x: add("Mul", x, factor))
