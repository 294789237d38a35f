"""The plain form of a pool, which converters recognise as average pooling, and the context in which
pools are traced in this form.

Converters look for one reduce_window over two axes of an array of four, and a division of its sums.
The divisor is the size of the kernel, if the zeros were written around the array first. Or it is
the same reduce_window of ones, for the padding of TensorFlow's "SAME", which does not count.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax

from jaxpool._divide import Counts, count_taps, divide
from jaxpool._ways import bins_of_any_size, in_blocks, padded_window, plain_sum, tiles, window
from jaxpool._window import AdaptiveBins, Divisor, Placed, Span, Window


class _Flag:
    """For older JAX: a context that its caches do not know."""

    def __init__(self) -> None:
        self._variable = ContextVar("jaxpool.portable", default=False)

    @property
    def value(self) -> bool:
        return self._variable.get()

    @contextmanager
    def __call__(self, value: bool) -> Iterator[None]:
        token = self._variable.set(value)
        try:
            yield
        finally:
            self._variable.reset(token)


# With JAX's own context JAX traces functions again inside.
_user_context: Any = getattr(jax, "make_user_context", lambda _: _Flag())
_inside = _user_context(False)


@contextmanager
def portable() -> Iterator[None]:
    """A context in which pools are traced in the plain form, which converters recognise.

    Converters to LiteRT (TensorFlow Lite), Core ML, IREE, TensorFlow and others recognise average
    pooling as one `lax.reduce_window` and a division. Without this context a pool is lowered to the
    operations that are fastest on the platform that runs it. The values agree up to rounding.

    The context acts where a function is traced, so wrap the conversion in it. A function that was
    jitted and called before is traced again inside. JAX 0.6.2 does not trace it again: there, jit
    the function inside, and drop it afterwards. Contexts may be nested, and each thread has its
    own.

    Examples:
      >>> pool = jax.jit(lambda x: avg_pool2d(x, 2))
      >>> with portable():
      ...     text = pool.lower(jnp.ones((1, 3, 8, 8))).as_text()
      >>> "stablehlo.reduce_window" in text
      True
    """
    with _inside(True):
        yield


def is_portable() -> bool:
    """Whether pools are traced in the plain form, for any platform."""
    return bool(_inside.value)


class Plain(NamedTuple):
    """The average over windows in the plain form.

    Args:
      divisor: of the sums.
      is_value: whether a window in which no tap counts gives NaN; otherwise it gives 0.
      for_converters: whether the form is for converters, not for a compiler. They recognise
        depthwise convolutions better than dilated windows, and divisions by sums of ones.
    """

    divisor: Divisor
    is_value: bool
    for_converters: bool

    def average(self, x: jax.Array, windows: Sequence[Placed]) -> jax.Array:
        """Averages over the axes of fixed windows, two at a time as in an image, then over others.

        For converters the channels come last, except for windows that converters turn themselves.
        """
        if self.for_converters and _are_better_last(x.ndim, windows):
            channels = windows[0].axis - 1
            last = *range(channels), *range(channels + 1, x.ndim), channels
            turned = [span._replace(axis=span.axis - 1) for span in windows]
            average = self._average(lax.transpose(x, last), turned)
            return lax.transpose(average, np.argsort(last))
        return self._average(x, windows)

    def _average(self, x: jax.Array, windows: Sequence[Placed]) -> jax.Array:
        """`average`, with the channels where they are."""
        fixed = [s for s in windows if isinstance(s, Span) and isinstance(s.kernel, int)]
        others = [span for span in windows if span not in fixed]
        taps, override = prod(span.kernel for span in fixed), self.divisor.override
        while fixed:
            are_neighbours = len(fixed) > 1 and fixed[-2].axis == fixed[-1].axis - 1
            pair = fixed[-2:] if are_neighbours else fixed[-1:]
            fixed = fixed[: -len(pair)]
            if not all(span.is_identity for span in pair):
                x = self._over_pair(x, pair)
        for span in others:
            if isinstance(span, Span):
                x = tiles(x, [span])
            elif not span.is_known:
                x = bins_of_any_size(x, [span])
            else:  # blocks add axes, but make fewer slices if there are many bins
                x = _sums(x, span) if span.outputs <= 12 else in_blocks(_sums, x, [span])
        if override is None:
            return divide(x, others, self.divisor, is_value=self.is_value) if others else x
        if not self.for_converters:
            return x if override == 1 else lax.div(x, lax.full_like(x, override))
        return x if override == taps else lax.mul(x, lax.full_like(x, taps / override))

    def _over_pair(self, x: jax.Array, spans: Sequence[Span]) -> jax.Array:
        """Averages over one or two neighbouring axes, as an image in an array of four axes."""
        first, last = spans[0].axis, spans[-1].axis + 1
        shape = x.shape
        sizes = shape[first:last] if len(spans) == 2 else (1, shape[first])
        if last < x.ndim:
            view, axes, channels = (prod(shape[:first]), *sizes, prod(shape[last:])), (1, 2), 3
        else:
            view, axes, channels = (prod(shape[: first - 1]), shape[first - 1], *sizes), (2, 3), 1
        placed = [s._replace(axis=a) for s, a in zip(spans, axes[-len(spans) :], strict=True)]
        if self.for_converters:  # LiteRT's converter loses a transpose that a pool follows at once
            x = lax.reshape(x, (1, *shape))
        image = self._pool(lax.reshape(x, view), placed, channels)
        outputs = (image.shape[span.axis] for span in placed)
        return lax.reshape(image, (*shape[:first], *outputs, *shape[last:]))

    def _pool(self, image: jax.Array, spans: Sequence[Span], channels: int) -> jax.Array:
        """Averages over axes of a batch of images; `channels` is the axis of the channels."""
        if channels == 1 and all(span.is_all and span.outputs == 1 for span in spans):
            axes = [span.axis for span in spans]
            total = lax.expand_dims(plain_sum(image, axes), axes)
        elif self.for_converters and _is_convolution(image, spans, channels):
            total = _convolved(image, spans, channels)
        elif self.for_converters and _is_same(spans, self.divisor):
            sizes = [1 if axis in (0, channels) else n for axis, n in enumerate(image.shape)]
            total, count = (window(y, spans) for y in (image, lax.full(sizes, 1, image.dtype)))
            return lax.div(total, lax.broadcast_in_dim(count, total.shape, range(4)))
        else:
            total = padded_window(image, spans)
        if self.divisor.override is not None and not self.for_converters:
            return total
        average = lax.div(total, lax.full_like(total, prod(span.kernel for span in spans)))
        return average if self.divisor.override is not None else self._by_counts(average, spans)

    def _by_counts(self, x: jax.Array, spans: Sequence[Span]) -> jax.Array:
        """The average over the taps that count, from the average over all taps."""
        counts = count_taps(spans, x.shape, self.divisor, at_least=1)
        kernels = {span.axis: span.kernel for span in spans}
        rest = prod(kernel for axis, kernel in kernels.items() if axis not in counts.axes)
        vectors = tuple(kernels[a] / count for a, count in zip(*counts[1:], strict=True))
        factor = Counts(rest / counts.number, counts.axes, vectors)
        if factor != Counts(1, (), ()):
            x = lax.mul(x, _over(x, factor.over(x.shape, x.dtype)))
        if self.is_value:
            number, _, vectors = count_taps(spans, x.shape, self.divisor)
            for count in (np.full([1] * x.ndim, number), *vectors):
                if isinstance(count, jax.Array) or not count.all():
                    with np.errstate(invalid="ignore"):
                        x = lax.add(x, _over(x, 0 / count))  # NaN where nothing counts
        return x


def _are_better_last(ndim: int, windows: Sequence[Placed]) -> bool:
    """Whether channels that come first should come last. LiteRT and IREE pad the last axis slowly,
    and LiteRT's converter itself turns only windows over two axes.
    """
    first, spans = windows[0].axis, [span for span in windows if isinstance(span, Span)]
    if first == 0 or [span.axis for span in windows] != [*range(first, ndim)]:
        return False
    if len(windows) == 2:
        return any(not span.low == span.end == 0 for span in spans)
    return not all(span.is_all and span.outputs == 1 for span in spans)


def _is_same(spans: Sequence[Span], divisor: Divisor) -> bool:
    """Whether the windows and their counts are the same as with TensorFlow's "SAME".

    LiteRT's converter reads such a division as "SAME" along all axes.
    """
    if divisor.override is not None or not all(span.is_known for span in spans):
        return False
    for span in spans:
        same = Window(span.kernel, span.stride, padding="SAME").on(span.axis, span.size)
        index = np.arange(span.outputs)
        counts, inside = (span.counts(index, pad, np) for pad in (divisor.count_include_pad, False))
        if (span.low, span.end, span.outputs) != (same.low, same.end, same.outputs):
            return False
        if (counts != inside).any():
            return False
    return any(span.low or span.end for span in spans)


def _is_convolution(image: jax.Array, spans: Sequence[Span], channels: int) -> bool:
    """Whether converters recognise a depthwise convolution better. They have no dilated
    reduce_window, and LiteRT's converter recognises no average in a batch of symbolic size.
    """
    if not (isinstance(image.shape[channels], int) and all(span.is_known for span in spans)):
        return False
    return not isinstance(image.shape[0], int) or any(span.dilation > 1 for span in spans)


def _convolved(image: jax.Array, spans: Sequence[Span], channels: int) -> jax.Array:
    """The sums by a depthwise convolution with ones."""
    by_axis = {span.axis: span for span in spans}
    axes = [axis for axis in (1, 2, 3) if axis != channels]
    placed = [by_axis.get(axis, Span(axis, image.shape[axis], 1)) for axis in axes]
    count = image.shape[channels]
    layout = ("NHWC", "HWIO", "NHWC") if channels == 3 else ("NCHW", "HWIO", "NCHW")
    convolved: jax.Array = lax.conv_general_dilated(
        image,
        lax.full((*(span.kernel for span in placed), 1, count), 1, image.dtype),
        window_strides=[span.stride for span in placed],
        padding=[(span.low, span.end) for span in placed],
        rhs_dilation=[span.dilation for span in placed],
        dimension_numbers=layout,
        feature_group_count=count,
        precision=lax.Precision.HIGHEST,
    )
    return convolved


def _sums(x: jax.Array, bins: AdaptiveBins) -> jax.Array:
    """The sums of the bins of an axis, sliced one by one."""

    def one(i: int) -> jax.Array:
        start = bins.start(i)
        sliced = lax.slice_in_dim(x, start, start + bins.counts(i), axis=bins.axis)
        return lax.expand_dims(plain_sum(sliced, [bins.axis]), [bins.axis])

    return lax.concatenate([one(i) for i in range(bins.outputs)], bins.axis)


def _over(x: jax.Array, array: Any) -> jax.Array:
    """`array` broadcast to the shape of `x`, in its dtype."""
    return lax.broadcast_in_dim(lax.convert_element_type(array, x.dtype), x.shape, range(x.ndim))
