"""Average pooling as plain loops over float64, straight from the definitions.

It shares nothing with the library: where a size or a divisor has a formula there, here the
windows are walked and their taps counted.
"""

import itertools
import math
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cache

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

    def shape(self, batch=(2,), channels=3, spatial=None):
        """The shape of an input, or of an array of other spatial sizes."""
        spatial = self.spatial if spatial is None else spatial
        return (*batch, *spatial, channels) if self.channels_last else (*batch, channels, *spatial)


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
    room = n + low + high - d * (k - 1) - 1
    last = -(-room // s) if ceil_mode else room // s
    if ceil_mode and last * s >= n + low:  # PyTorch: the last window starts inside
        last -= 1
    return [range(i * s - low, i * s - low + k * d, d) for i in range(last + 1)]


def bins(n, outputs):
    """The elements of each bin of one axis: those that overlap with it on the line, if only so."""
    outputs = outputs or n
    return [
        [k for k in range(n) if k * outputs < (i + 1) * n and (k + 1) * outputs > i * n]
        for i in range(outputs)
    ]


@cache
def windows(config):
    """The shape of the output; per pixel of it the pixels that it reads, as positions in the
    flattened image, how many of the padding count, and the divisor.
    """
    steps = [math.prod(config.spatial[axis + 1 :]) for axis in range(config.ndim)]
    if isinstance(config, Adaptive):
        axes = list(map(bins, config.spatial, config.output_size))
        limits = [(0, n) for n in config.spatial]
    else:
        axes, limits = [], []
        for axis, n in enumerate(config.spatial):
            k, s = config.kernel[axis], config.stride[axis]
            d = config.dilation[axis] if config.dilation else 1
            p = config.padding if isinstance(config.padding, str) else config.padding[axis]
            axes.append(axis_windows(n, k, s, d, p, config.ceil_mode))
            low, high = pads(n, k, s, d, p)
            limits.append((-low, n + high) if config.count_include_pad else (0, n))
    rows = []
    for window in itertools.product(*axes):
        reads, count = np.zeros(1, int), 1
        for taps, n, step, (first, end) in zip(window, config.spatial, steps, limits, strict=True):
            inside = [pixel * step for pixel in range(n) if pixel in taps]
            reads = np.add.outer(reads, np.array(inside, int)).ravel()
            count *= bisect_left(taps, end) - bisect_left(taps, first)
        override = getattr(config, "divisor_override", None)
        rows.append((reads, count - len(reads), override or count))
    return tuple(len(axis) for axis in axes), rows


def pool(x, config):
    """The averages of `x`, float64 (or complex128)."""
    x = _flat(np.asarray(x), config)
    x = x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)
    shape, rows = windows(config)
    out = np.empty((*x.shape[:-1], len(rows)), x.dtype)
    for i, (reads, _, divisor) in enumerate(rows):
        out[..., i] = x[..., reads].sum(-1) / divisor if divisor else np.nan
    return _unflat(out, shape, config)


def transpose(cotangent, config):
    """What each pixel of the input gets of a cotangent of the output, float64."""
    _, rows = windows(config)
    ct = _flat(np.asarray(cotangent, np.float64), config)
    out = np.zeros((*ct.shape[:-1], math.prod(config.spatial)))
    for i, (reads, _, divisor) in enumerate(rows):
        if divisor:
            out[..., reads] += ct[..., i, None] / divisor
    return _unflat(out, config.spatial, config)


def masked_pool(x, where, cotangent, config):
    """The averages of `x` where `where` is True, and what each of its pixels gets of `cotangent`.

    A window of nothing gives NaN, and passes no gradient on.
    """
    where = _flat(np.broadcast_to(where, x.shape), config)
    x, cotangent = (_flat(a, config).astype(np.float64) for a in (x, cotangent))
    shape, rows = windows(config)
    override = getattr(config, "divisor_override", None)
    out, back = np.empty(cotangent.shape), np.zeros(x.shape)
    for i, (reads, padding, _) in enumerate(rows):
        there = where[..., reads]
        divisor = override or there.sum(-1) + padding
        with np.errstate(invalid="ignore", divide="ignore"):  # inf - inf, and 0 / 0
            out[..., i] = x[..., reads].sum(-1, where=there) / divisor
            share = np.where(divisor == 0, 0, cotangent[..., i] / divisor)
        back[..., reads] += share[..., None] * there
    return _unflat(out, shape, config), _unflat(back, config.spatial, config)


def sums(x, cotangent, config):
    """The sums over windows of `x`, undivided, and what each of its pixels gets of `cotangent`."""
    x, cotangent = (_flat(a, config).astype(np.float64) for a in (x, cotangent))
    shape, rows = windows(config)
    out, back = np.empty(cotangent.shape), np.zeros(x.shape)
    for i, (reads, *_) in enumerate(rows):
        out[..., i] = x[..., reads].sum(-1)
        back[..., reads] += cotangent[..., i, None]
    return _unflat(out, shape, config), _unflat(back, config.spatial, config)


def _flat(x, config):
    """With the pixels as its last axis."""
    if config.channels_last:
        x = np.moveaxis(x, -1, -1 - config.ndim)
    return x.reshape(*x.shape[: x.ndim - config.ndim], math.prod(x.shape[x.ndim - config.ndim :]))


def _unflat(x, spatial, config):
    """As the library lays it out, the last axis being `spatial`."""
    x = x.reshape(*x.shape[:-1], *spatial)
    return np.moveaxis(x, -1 - config.ndim, -1) if config.channels_last else x
