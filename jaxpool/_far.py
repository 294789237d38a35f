"""Windows that reach far beyond the input: their sums, taken from the sums over near windows.

So no way to sum gets a window that is much longer than its axis.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxpool._window import Span


def is_far(span: Span) -> bool:
    """Whether there are several windows, and beside the input they reach over more than twice its
    size.
    """
    return span.is_known and span.outputs > 1 and span.low + span.end > 2 * span.size


def near(span: Span) -> Span:
    """The windows to sum in place of far ones. They have no more taps than the input can hold, and
    there is one for each place from which a tap can reach the input.
    """
    kernel = min(span.kernel, -(-span.size // span.dilation))
    pad = (kernel - 1) * span.dilation
    outputs = span.size + pad
    return Span(span.axis, span.size, kernel, 1, span.dilation, pad, pad, outputs, pad)


def take_near(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """The sums over far windows from those over near ones; zero for windows that read nothing."""
    for span in spans:
        place = (slice(None),) * span.axis + (_nearest(span),)
        x = x.at[place].get(mode="fill", fill_value=0)
    return x


def _nearest(span: Span) -> Any:
    """For each far window, the near one that reads the same elements; one past the last if a far
    window reads none.
    """
    start, among = np.arange(span.outputs) * span.stride - span.low, near(span)
    taps = np.clip(-((start - span.size) // span.dilation), 0, span.kernel)
    # Near windows lack only taps before the start of the input.
    place = among.low + start + np.maximum(0, taps - among.kernel) * span.dilation
    return np.where((place >= 0) & (place < among.outputs), place, among.outputs)
