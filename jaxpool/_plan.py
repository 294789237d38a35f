"""Which way to sum for which geometry on which platform.

The tables `VALUE`, `TANGENT` and `AXIS` are read top down: the first row that fits says it. The
figures beside a row are ratios of times (cpu: float32 on 2 CPU cores, to be repeated by
`python -m benchmarks`).

No row looks at the size of the batch or at how many devices there are, so that `vmap`, a batch and
a single image give the same bits, and a program is the same wherever it is exported.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Literal, NamedTuple, TypeAlias

from jaxpool._window import Ragged, Span

Platform: TypeAlias = Literal["cpu", "gpu", "tpu"]
Origin: TypeAlias = Literal["stored", "masked", "converted"]  # XLA may repeat the latter two
PLATFORMS: tuple[Platform, ...] = ("cpu", "gpu", "tpu")


class Step(NamedTuple):
    """A way of `_ways.py`, and the axes that it sums along."""

    way: str
    spans: tuple[Span | Ragged, ...]


Plan: TypeAlias = tuple[Step, ...]


class Box(NamedTuple):
    """Neighbouring axes that windows of a fixed size are summed along, and what is summed."""

    spans: tuple[Span, ...]
    origin: Origin
    is_first: bool = True  # of the axes that are summed along, in this order
    is_last: bool = True

    @property
    def taps(self) -> int:
        """How many elements a window has."""
        return prod(span.kernel for span in self.spans)

    def all(self, holds: Callable[[Span], bool]) -> bool:
        """Whether it holds along every axis."""
        return all(map(holds, self.spans))


class Row(NamedTuple):
    """Geometry, and the way that serves it on each platform; BY_AXIS asks `AXIS` for each axis."""

    fits: Callable[[Box], bool]
    cpu: str
    gpu: str
    tpu: str


BY_AXIS = "by axis"


def few_taps_inside(box: Box) -> bool:
    """Few taps, and none in the padding, which would put branches into the loop that XLA makes."""
    return box.all(lambda span: span.is_inside) and box.taps <= 12


def small_tiles_inside(box: Box) -> bool:
    """Tiles of up to 14 elements along an axis, stored: XLA copies a conversion for each tap."""
    inside = box.all(lambda span: span.is_inside and span.is_tiling and span.kernel <= 14)
    return inside and box.origin != "converted"


def small_windows(box: Box) -> bool:
    """Windows of up to 6 elements along an axis."""
    return box.all(lambda span: span.kernel <= 6)


def tiling(box: Box) -> bool:
    """Windows side by side."""
    return box.all(lambda span: span.is_tiling)


def unknown_size(box: Box) -> bool:
    """The symbolic sizes of jax.export, for which no slice can be cut."""
    return not box.all(lambda span: span.is_known)


def long_windows(box: Box) -> bool:
    """Windows of at least 15 strides."""
    return box.all(lambda span: span.kernel >= 15 * span.stride)


def short_along_the_last(box: Box) -> bool:
    """Up to 5 taps along the last axis."""
    return box.is_last and box.taps <= 5


def strided_from_elsewhere(box: Box) -> bool:
    """Up to 3 taps that overlap by less than 2, along the first axis of what is not stored."""
    (span,) = box.spans
    return box.is_first and box.origin != "stored" and 1 < span.stride < span.kernel <= 3


def anything(box: Box) -> bool:
    """Every other window."""
    del box
    return True


# For the value, along all axes at once.
VALUE = (
    # cpu: 3x for 2x2 tiles of [32, 64, 224, 224], 7x for 3x3 tiles, 5x for 3x3 of stride 1.
    Row(few_taps_inside, cpu="taps", gpu="window", tpu="window"),
    # cpu: 1.7x for 10x10 tiles.
    Row(small_tiles_inside, cpu="taps", gpu="window", tpu="window"),
    Row(small_windows, cpu=BY_AXIS, gpu="window", tpu="window"),
    Row(anything, cpu=BY_AXIS, gpu=BY_AXIS, tpu=BY_AXIS),
)

# For the tangent, and so for the gradient, which is its transpose.
TANGENT = (
    # A broadcast instead of a sum of padded arrays. cpu: 1.5x to 7x.
    Row(tiling, cpu="tiles", gpu="tiles", tpu="window"),
    Row(small_windows, cpu=BY_AXIS, gpu="window", tpu="window"),
    Row(anything, cpu=BY_AXIS, gpu=BY_AXIS, tpu=BY_AXIS),
)

# One axis after the other.
AXIS = (
    Row(unknown_size, cpu="window", gpu="window", tpu="window"),
    # cpu: 2x for 15 taps, 40x for 127.
    Row(long_windows, cpu="nested", gpu="nested", tpu="nested"),
    # cpu: XLA does not vectorise reduce_window along it; 1.6x for [16, 128, 28, 28] k=5.
    Row(short_along_the_last, cpu="taps", gpu="window", tpu="window"),
    # cpu: XLA does not fuse reduce_window with a conversion or a mask, so that all of it is written
    # to memory; 2x for 3x3 of stride 2 of [32, 64, 112, 112] in bfloat16 or masked.
    Row(strided_from_elsewhere, cpu="taps", gpu="window", tpu="window"),
    Row(anything, cpu="window", gpu="window", tpu="window"),
)


def plans(
    spans: Sequence[Span | Ragged], origin: Origin, of: Literal["value", "tangent"]
) -> tuple[Plan, ...]:
    """The plan of each of `PLATFORMS` for a sum over these spans of what comes from `origin`."""
    fixed = [s for s in spans if isinstance(s, Span) and not s.is_identity]
    single = tuple(span for span in fixed if span.outputs == 1)
    box = Box(tuple(span for span in fixed if span not in single), origin)
    ragged = tuple(span for span in spans if isinstance(span, Ragged))
    found = []
    for platform in PLATFORMS:
        steps = [Step("whole", single), *_steps(box, of, platform), Step("bins", ragged)]
        found.append(tuple(step for step in steps if step.spans))
    return tuple(found)


def _steps(box: Box, of: Literal["value", "tangent"], platform: Platform) -> list[Step]:
    """How the windows of several outputs are summed."""
    way = _way(VALUE if of == "value" else TANGENT, box, platform)
    if way != BY_AXIS:
        return [Step(way, box.spans)]
    last = len(box.spans) - 1
    # What a tangent comes from is not known.
    origin = box.origin if of == "value" else "stored"
    return [
        Step(_way(AXIS, Box((span,), origin, i == 0, i == last), platform), (span,))
        for i, span in enumerate(box.spans)
    ]


def _way(rows: Sequence[Row], box: Box, platform: Platform) -> str:
    """The way of the first row that fits."""
    way: str = next(getattr(row, platform) for row in rows if row.fits(box))
    return way
