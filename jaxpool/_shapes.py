"""The shape of a pool's output, and a pool cut into strips."""

from itertools import pairwise
from typing import Any, NamedTuple, cast

from jaxpool._parse import (
    ErrorContext,
    Int,
    Ints,
    Padding,
    SomeInts,
    is_int,
    is_sequence,
    is_symbol,
    parse_ints,
    parse_windows,
    place_windows,
)
from jaxpool._window import Span


def pool_output_shape(
    spatial_shape: SomeInts,
    kernel: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    *,
    ceil_mode: bool = False,
    dilation: Ints = 1,
) -> tuple[int, ...]:
    """The spatial shape of the result of `avg_pool1d`, `avg_pool2d` or `avg_pool3d`.

    Args:
      spatial_shape: the sizes of the input's spatial axes, one or more, without batch and
        channels; ints, or the symbolic dimensions of `jax.export`.
      kernel: as in `avg_pool2d`.
      stride: as in `avg_pool2d`.
      padding: as in `avg_pool2d`.
      ceil_mode: as in `avg_pool2d`.
      dilation: as in `avg_pool2d`.

    Returns:
      The number of outputs along each axis.

    Raises:
      TypeError, ValueError: as in `avg_pool2d`, and if `spatial_shape` is no sequence of sizes of
        at least 1.

    Examples:
      >>> pool_output_shape((224, 224), 3, 2, 1)
      (112, 112)
      >>> pool_output_shape((112, 112), 3, 2, ceil_mode=True)
      (56, 56)
    """
    context = ErrorContext("pool_output_shape")
    arguments = kernel, stride, padding, ceil_mode, dilation
    return tuple(span.outputs for span in _placed(context, spatial_shape, *arguments))


class Strip(NamedTuple):
    """Neighbouring rows of the output of a pool, and the rows of the input that they need.

    Attributes:
      output: the rows of the output, along the first spatial axis.
      input: the rows of the input, along the first spatial axis.
      padding: one (low, high) pair per spatial axis, to pool these rows with.
    """

    output: slice
    input: slice
    padding: tuple[tuple[int, int], ...]


def pool_strips(
    spatial_shape: SomeInts,
    rows: Int,
    kernel: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    *,
    ceil_mode: bool = False,
    dilation: Ints = 1,
) -> tuple[Strip, ...]:
    """Cuts a pool along its first spatial axis, for images that do not fit in memory.

    Pool the rows `strip.input` with `padding=strip.padding`, and with the other arguments as they
    are here. The result is the rows `strip.output` of the whole output. In strips of at least two
    rows it has the same bits, with the exceptions in docs/numerics.md. The strips of the input
    overlap where windows do.

    Args:
      spatial_shape: the sizes of the input's spatial axes, without batch and channels.
      rows: the number of rows of the output in a strip, at least 1. The last strip may have
        fewer rows. It has one more if a single row would remain.
      kernel: as in `avg_pool2d`.
      stride: as in `avg_pool2d`.
      padding: as in `avg_pool2d`.
      ceil_mode: as in `avg_pool2d`.
      dilation: as in `avg_pool2d`.

    Returns:
      The strips, first to last. Each is a named tuple: `output` and `input` are slices of the first
      spatial axis, `padding` is one (low, high) pair per spatial axis.

    Raises:
      TypeError, ValueError: as in `avg_pool2d`, and if `rows` is not an int of at least 1.

    Examples:
      >>> image = jnp.arange(40.0).reshape(1, 8, 5)
      >>> strips = pool_strips((8, 5), 3, 3, 2, "SAME", ceil_mode=True)
      >>> parts = [
      ...     avg_pool2d(image[:, strip.input], 3, 2, strip.padding, ceil_mode=True)
      ...     for strip in strips
      ... ]
      >>> whole = avg_pool2d(image, 3, 2, "SAME")
      >>> jnp.array_equal(jnp.concatenate(parts, axis=1), whole)
      Array(True, dtype=bool)
    """
    context = ErrorContext("pool_strips")
    (rows,) = parse_ints(context, "rows", rows, 1)
    arguments = kernel, stride, padding, ceil_mode, dilation
    span, *others = _placed(context, spatial_shape, *arguments)
    if not all(map(is_int, spatial_shape)):
        context.fail(TypeError, "spatial_shape", "hold ints", spatial_shape)
    # A last window alone would be summed as a whole axis, with other bits.
    starts = [*range(0, max(1, span.outputs - 1), rows), span.outputs]
    strips = []
    for first, past in pairwise(starts):
        begin = first * span.stride - span.low
        end = (past - 1) * span.stride - span.low + span.extent
        if past == span.outputs:
            end = span.size + span.high
        pads = max(0, -begin), max(0, end - span.size)
        inside = slice(max(0, begin), min(span.size, end))
        padding = pads, *((other.low, other.high) for other in others)
        strips.append(Strip(slice(first, past), inside, padding))
    return tuple(strips)


def _placed(context: ErrorContext, spatial_shape: SomeInts, *arguments: Any) -> tuple[Span, ...]:
    """The checked windows on axes of `spatial_shape`, in which they fit."""
    if not is_sequence(spatial_shape):
        context.fail(TypeError, "spatial_shape", "be a sequence of sizes", spatial_shape)
    if not all(is_int(size) or is_symbol(size) for size in spatial_shape):
        context.fail(TypeError, "spatial_shape", "hold ints", spatial_shape)
    if not len(spatial_shape):
        context.fail(ValueError, "spatial_shape", "have at least one size", spatial_shape)
    windows = parse_windows(context, len(spatial_shape), *arguments)
    sizes: list[Any] = [int(size) if is_int(size) else size for size in spatial_shape]
    spans = place_windows(context, windows, sizes, 0, "spatial_shape", spatial_shape)
    return cast(tuple[Span, ...], spans)
