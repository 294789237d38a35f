"""Average pooling as plain loops over float64, straight from the definitions.

It shares nothing with the library: where a size or a divisor has a formula there, here the
windows are walked and their taps counted.
"""

import itertools
import math
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Config:
    """One call: everything per axis, as the library's defaults have it."""

    spatial: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[tuple[int, int], ...]
    count_include_pad: bool = True
    ceil_mode: bool = False
    divisor_override: int | None = None
    dilation: tuple[int, ...] = field(default=())
    channels_last: bool = False

    @property
    def ndim(self):
        return len(self.spatial)

    @property
    def function(self):
        """The name of the function that is called."""
        return f"avg_pool{self.ndim}d"

    def arguments(self):
        """Its keyword arguments."""
        return {
            "kernel": self.kernel,
            "stride": self.stride,
            "padding": self.padding,
            "count_include_pad": self.count_include_pad,
            "ceil_mode": self.ceil_mode,
            "divisor_override": self.divisor_override,
            "dilation": self.dilation or 1,
            "data_format": "channels_last" if self.channels_last else "channels_first",
        }

    def shape(self, batch=(2,), channels=3):
        """The shape of an input."""
        if self.channels_last:
            return (*batch, *self.spatial, channels)
        return (*batch, channels, *self.spatial)


@dataclass(frozen=True)
class Adaptive:
    """One adaptive call."""

    spatial: tuple[int, ...]
    output_size: tuple[int | None, ...]
    channels_last: bool = False

    ndim = Config.ndim
    shape = Config.shape

    @property
    def function(self):
        """The name of the function that is called."""
        return f"adaptive_avg_pool{self.ndim}d"

    def arguments(self):
        """Its keyword arguments."""
        data_format = "channels_last" if self.channels_last else "channels_first"
        return {"output_size": self.output_size, "data_format": data_format}


def pads(n, k, s, d, padding):
    """(low, high) of one axis; "SAME" as TensorFlow defines it."""
    if padding == "VALID":
        return 0, 0
    if padding not in ("SAME", "SAME_LOWER"):
        return padding
    total = max((math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n, 0)
    less, more = total // 2, total - total // 2
    return (less, more) if padding == "SAME" else (more, less)


def axis_windows(n, k, s, d, padding, ceil_mode):
    """The positions of the taps of each window of one axis; negative and past n is padding."""
    low, high = pads(n, k, s, d, padding)
    steps = (n + low + high - d * (k - 1) - 1) / s
    last = math.ceil(steps) if ceil_mode else math.floor(steps)
    if ceil_mode and last * s >= n + low:  # PyTorch: the last window starts inside
        last -= 1
    return [[i * s - low + j * d for j in range(k)] for i in range(last + 1)]


def bins(n, outputs):
    """The elements of each bin of one axis: those that overlap with it on the line, if only so."""
    outputs = outputs or n
    return [
        [k for k in range(n) if k * outputs < (i + 1) * n and (k + 1) * outputs > i * n]
        for i in range(outputs)
    ]


def windows(config):
    """The shape of the output; per pixel of it the pixels that it reads, how many of the padding
    count, and the divisor.
    """
    if isinstance(config, Adaptive):
        axes = list(map(bins, config.spatial, config.output_size))
        reads = [list(itertools.product(*taps)) for taps in itertools.product(*axes)]
        return tuple(map(len, axes)), [(r, 0, len(r)) for r in reads]
    axes, limits = [], []
    for axis, n in enumerate(config.spatial):
        k, s = config.kernel[axis], config.stride[axis]
        d = config.dilation[axis] if config.dilation else 1
        p = config.padding if isinstance(config.padding, str) else config.padding[axis]
        axes.append(axis_windows(n, k, s, d, p, config.ceil_mode))
        low, high = pads(n, k, s, d, p)
        limits.append((-low, n + high) if config.count_include_pad else (0, n))
    rows = []
    for taps in itertools.product(*axes):
        reads, count = [], 0
        for place in itertools.product(*taps):
            count += all(lo <= t < hi for t, (lo, hi) in zip(place, limits, strict=True))
            if all(0 <= t < n for t, n in zip(place, config.spatial, strict=True)):
                reads.append(place)
        rows.append((reads, count - len(reads), config.divisor_override or count))
    return tuple(len(axis) for axis in axes), rows


def pool(x, config):
    """The averages of `x`, float64 (or complex128)."""
    x = _channels_first(np.asarray(x), config)
    x = x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)
    shape, rows = windows(config)
    out = np.empty((*x.shape[: x.ndim - config.ndim], len(rows)), x.dtype)
    for i, (reads, _, divisor) in enumerate(rows):
        total = sum((x[(..., *place)] for place in reads), np.zeros(out.shape[:-1], x.dtype))
        out[..., i] = total / divisor if divisor else np.nan
    return _back(out.reshape(*out.shape[:-1], *shape), config)


def transpose(cotangent, config):
    """What each pixel of the input gets of a cotangent of the output, float64."""
    _, rows = windows(config)
    ct = _channels_first(np.asarray(cotangent, np.float64), config)
    lead = ct.shape[: ct.ndim - config.ndim]
    ct = ct.reshape(*lead, len(rows))
    out = np.zeros((*lead, *config.spatial))
    for i, (reads, _, divisor) in enumerate(rows):
        for place in reads:
            out[(..., *place)] += ct[..., i] / divisor
    return _back(out, config)


def masked_pool(x, where, cotangent, config):
    """The averages of `x` where `where` is True, and what each of its pixels gets of `cotangent`.

    By NumPy's masked arrays, window after window.
    """
    x, where, cotangent = (
        _channels_first(a, config) for a in (x, np.broadcast_to(where, x.shape), cotangent)
    )
    masked = np.ma.array(x.astype(np.float64), mask=~where)
    shape, rows = windows(config)
    lead = x.shape[: x.ndim - config.ndim]
    cotangent = cotangent.reshape(*lead, len(rows))
    out, back = np.empty(cotangent.shape), np.zeros(x.shape)
    for i, (reads, padding, _) in enumerate(rows):
        window = np.ma.stack([masked[(..., *place)] for place in reads] or [np.ma.masked_all(lead)])
        count = window.count(0) + padding
        divisor = getattr(config, "divisor_override", None) or count
        with np.errstate(invalid="ignore", divide="ignore"):
            out[..., i] = window.sum(0).filled(0) / divisor
            share = np.where(divisor == 0, 0, cotangent[..., i] / divisor)
        for place in reads:
            back[(..., *place)] += share * where[(..., *place)]
    return _back(out.reshape(*lead, *shape), config), _back(back, config)


def _channels_first(x, config):
    return np.moveaxis(x, -1, -1 - config.ndim) if config.channels_last else x


def _back(x, config):
    return np.moveaxis(x, -1 - config.ndim, -1) if config.channels_last else x
