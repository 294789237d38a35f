"""Which way to sum for which geometry on which platform.

The tables are read top down, and a platform takes the first row that fits and names a way for it.
The evidence beside a row is the ratio to the way that the platform would take otherwise: on the
cpu of times in float32 on 2 cores (`python -m benchmarks`), on the gpu of times on an H100 (JAX
0.11.2, `python -m benchmarks.gpu`), on the tpu of cycles or bytes of programs compiled for a v5e.

No row looks at the size of the batch or at how many devices there are. So `vmap`, a batch and a
single image give the same bits, and a program is the same wherever it is traced.
"""

from collections.abc import Callable, Sequence
from math import inf, prod
from typing import Literal, NamedTuple, TypeAlias

from jaxlib.version import __version__ as jaxlib_version

from jaxpool._window import Ragged, Span

Platform: TypeAlias = Literal["cpu", "gpu", "tpu"]
Purpose: TypeAlias = Literal["value", "tangent"]
# XLA may repeat all but the first. A mask is counted.
Origin: TypeAlias = Literal["stored", "masked", "converted", "counted"]
PLATFORMS: tuple[Platform, ...] = ("cpu", "gpu", "tpu")
# Whether XLA keeps the result of a step on the CPU: before jaxlib 0.11 it fused all the same.
STORES = tuple(map(int, jaxlib_version.split(".")[:2])) >= (0, 11)


class Step(NamedTuple):
    """A way of `_ways.py`, and the axes that it sums along."""

    way: str
    spans: tuple[Span | Ragged, ...]


Plan: TypeAlias = tuple[Step, ...]
STORED = Step("stored", ())


class Box(NamedTuple):
    """Axes that windows of a fixed size are summed along, and what is summed."""

    spans: tuple[Span, ...]
    origin: Origin
    ndim: int  # of the array
    is_first: bool = True  # of the axes that are summed along, in this order
    is_last: bool = True

    def all(self, holds: Callable[[Span], bool]) -> bool:
        """Whether it holds along every axis."""
        return all(map(holds, self.spans))

    @property
    def taps(self) -> int:
        """How many elements a window has."""
        return prod(span.kernel for span in self.spans)

    @property
    def overlap(self) -> float:
        """How many windows read an element."""
        return self.taps / prod(span.stride for span in self.spans)


class Row(NamedTuple):
    """Boxes, and the way that serves them on each platform; None leaves it to a later row."""

    fits: Callable[[Box], bool]
    cpu: str | None = None
    gpu: str | None = None
    tpu: str | None = None


def two_taps(box: Box) -> bool:
    """Up to 2 taps along each axis of a known size, if a count of them can be stored."""
    short = box.all(lambda span: span.is_known and span.kernel <= 2)
    return short and (STORES or box.origin != "counted")


def few_taps_inside(box: Box) -> bool:
    """Up to 16 taps, and none in the padding, which would put branches into the loop; up to 12 if
    XLA has a conversion to repeat for each of them.
    """
    limit = 12 if box.origin in ("converted", "counted") else 16
    return box.taps <= limit and box.all(lambda span: span.is_inside)


def few_taps_little_padded(box: Box) -> bool:
    """Up to 9 taps along other axes than that of adjacent elements, padded at up to two ends: then
    XLA moves the branches out of the loop over adjacent elements, if it has nothing to convert. At
    most 3 windows read an element, because where an axis is sharded each tap exchanges its border.
    """
    apart = box.all(lambda span: span.is_known and span.axis < box.ndim - 1)
    if not apart or box.taps > 9 or box.overlap > 3 or box.origin != "stored":
        return False
    return sum((span.low > 0) + (span.end > 0) for span in box.spans) <= 2


def masked(box: Box) -> bool:
    """What lies under a mask is left out."""
    return box.origin == "masked"


def little_overlap(box: Box) -> bool:
    """An element is read by up to 36 windows: tiles, and 6x6 windows of stride 1."""
    return box.overlap <= 36


def large(box: Box) -> bool:
    """More than 16 taps along some axis."""
    return not box.all(lambda span: span.kernel <= 16)


def medium(box: Box) -> bool:
    """Up to 13 taps along an axis."""
    return box.all(lambda span: span.kernel <= 13)


def tiling(box: Box) -> bool:
    """Windows side by side."""
    return box.all(lambda span: span.is_tiling)


def few_odd_taps(box: Box) -> bool:
    """All of axes of odd sizes, up to 64 elements, as a 7x7 image. If an even number of devices
    shared such an axis, XLA would gather it for a reduce_window.
    """
    return box.all(lambda span: span.is_all and span.tile == span.size) and box.taps <= 64


def few_odd_taps_stored(box: Box) -> bool:
    """The same of float32."""
    return box.origin == "stored" and few_odd_taps(box)


def small_tiles(box: Box) -> bool:
    """All of axes that can be cut into tiles of up to 16 elements."""
    return box.all(lambda span: span.is_all and 1 < span.tile <= 16)


def unknown_size(box: Box) -> bool:
    """The symbolic sizes of jax.export, for which no slice can be cut."""
    return not box.all(lambda span: span.is_known)


def long(box: Box) -> bool:
    """At least 15 strides."""
    return box.all(lambda span: span.kernel >= 15 * span.stride)


def longer(box: Box) -> bool:
    """At least 32 strides."""
    return box.all(lambda span: span.kernel >= 32 * span.stride)


def very_long(box: Box) -> bool:
    """At least 63 strides."""
    return box.all(lambda span: span.kernel >= 63 * span.stride)


def short(box: Box) -> bool:
    """Up to 5 taps along the last axis, or 4 along the first, if their sums can be stored: more
    would exchange too much where both are sharded. Up to 3 under a mask, beside which XLA leaves
    branches in the loop.
    """
    if box.origin == "masked" and STORES:
        return box.is_first and box.taps <= 3
    return box.taps <= (5 if box.is_last else 4 if box.is_first and STORES else 0)


def strided_from_elsewhere(box: Box) -> bool:
    """Up to 3 taps of stride 2 along the first axis of what is not stored."""
    (span,) = box.spans
    return box.is_first and box.origin != "stored" and 1 < span.stride < span.kernel <= 3


def short_tiles(box: Box) -> bool:
    """Tiles of up to 14 elements along an axis, none of them padded, if their sums can be stored or
    are of what is.
    """
    tiles = box.all(lambda span: span.is_inside and span.is_tiling and span.kernel <= 14)
    return tiles and (STORES or box.origin == "stored")


def anything(box: Box) -> bool:
    """All other windows."""
    del box
    return True


# Along all axes at once, or by `AXIS` along one after the other: the first or the last axis first.
BY_AXIS, LAST_FIRST = "by axis", "by axis, last first"
# One reduce_window over tiles, and a plain sum of those.
TILES_FIRST = "tiles first"

# Along axes with one window; its tangent is `whole`, whose transpose broadcasts.
ONE = (
    # gpu: 1.4x to 1.9x for [256, 2048, 7, 7] in channels_last; one kernel instead of two.
    Row(few_odd_taps, gpu="window"),
    Row(masked, tpu="whole"),
    # tpu: 1.1x for 7x7.
    Row(few_odd_taps_stored, tpu="whole"),
    # tpu: 3.1x for 56x56, 2.4x for 14x14, in bfloat16 2.6x, 1.6x and for 7x7 1.5x.
    Row(small_tiles, tpu=TILES_FIRST),
    Row(anything, cpu="whole", gpu="whole", tpu="whole"),
)

SEVERAL = (
    # tpu: one reduce_window for 64x64 tiles of [1, 3, 4096, 4096] does not fit in VMEM, an error
    # (libtpu 0.0.52). 6.4x for 31x31 of stride 1; the first axis first, 4.0x.
    Row(large, tpu=LAST_FIRST),
    # tpu: 1.8x (2x2), 1.2x (3x3 of stride 2).
    Row(little_overlap, tpu="window"),
    # tpu: 1.1x (11x11), and one pass fewer over what does not fit in VMEM.
    Row(medium, tpu="window"),
    # gpu: 1.0x to 2.4x for 3x3 of stride 1, 1.2x (5x5), 1.5x (7x7), 9x (31x31). tpu: 1.2x (15x15).
    Row(anything, cpu=BY_AXIS, gpu=BY_AXIS, tpu=LAST_FIRST),
)

VALUE = (
    # cpu: 3x for 2x2 of stride 2 with padding of [16, 64, 32, 32], 2x with ceil_mode; in bfloat16
    # 1.9x, 4x.
    Row(two_taps, cpu="taps"),
    # cpu: 3x for 2x2 tiles of [32, 64, 224, 224], 7x for 3x3 tiles, 5x for 3x3 of stride 1.
    Row(few_taps_inside, cpu="taps"),
    # cpu: 1.7x for 3x3 of stride 2 with padding of [32, 112, 112, 64].
    Row(few_taps_little_padded, cpu="taps"),
    # gpu: as fast as by axis, and 1.4x for 4x4 tiles in channels_first. For 32x32 tiles a reshape
    # and a sum are 2x as fast, but XLA gathers an axis if the devices do not divide its tiles.
    Row(tiling, gpu="window"),
    # tpu: 1.7x for 8x8 tiles of [8, 128, 128, 64], a fifth of the bytes: the mask is fused.
    Row(masked, tpu=BY_AXIS),
    *SEVERAL,
)

# Of the tangent, and so of the gradient, which is its transpose.
TANGENT = (
    # A broadcast. cpu: 1.5x to 7x. gpu: 1x to 2x for 2x2, 5x for 4x4. tpu: 0.4x (2x2).
    Row(tiling, cpu="tiles", gpu="tiles"),
    *SEVERAL,
)

AXIS = (
    Row(unknown_size, cpu="window", gpu="window", tpu="window"),
    # cpu: 2x for 15 taps, 40x for 127.
    Row(long, cpu="nested"),
    # gpu: 2x for 41 and 63 taps, 4x for 127; for 31, 1.0x forward.
    Row(longer, gpu="nested"),
    # tpu: 127x127 is compiled in seconds, where one reduce_window an axis takes minutes.
    Row(very_long, tpu="nested"),
    # cpu: XLA neither vectorises reduce_window nor fuses it with a conversion or a mask. It does so
    # with padded slices, if the padding is along one axis. 1.4x for 3x3 of stride 1 of
    # [32, 128, 56, 56], 1.1x for stride 2; in bfloat16 1.9x, 1.4x.
    Row(short, cpu="taps"),
    # cpu, before jaxlib 0.11: 2x for 3x3 of stride 2 of [32, 64, 112, 112] in bfloat16 or masked.
    Row(strided_from_elsewhere, cpu="taps"),
    # cpu: 1.1x for 8x8 tiles, 1.5x for 10x10 and 14x14, in bfloat16 2.3x, 3x; 16 elements are not.
    Row(short_tiles, cpu="taps"),
    Row(anything, cpu="window", gpu="window", tpu="window"),
)

# Whether adaptive bins that are windows of a fixed size are summed as such, or gathered.
# tpu: 2.2x for [32, 13, 13, 256] to 6. cpu: 0.6x backward. gpu: the same.
UNIFORM_BINS_ARE_WINDOWS = {"cpu": False, "gpu": False, "tpu": True}
# Blocks of up to so many elements, and bins, are sliced, not gathered.
# tpu: 1.5x for [8, 100, 100, 64] to 60, forward in float32; with libtpu 0.0.50.1 a gather of a few
# elements is a loop.
SLICED_BLOCK = {"cpu": 0, "gpu": 0, "tpu": 8}
# Bins of more elements, on average, are summed along one axis after the other, and the sums stored.
# cpu: 3x for [4, 64, 224, 224] to 48, in bfloat16 5x; with bins of 3 elements 0.6x.
FUSED_BIN = {"cpu": 5.0, "gpu": inf, "tpu": inf}


def plans(
    spans: Sequence[Span | Ragged], ndim: int, origin: Origin, purpose: Purpose
) -> tuple[Plan, Plan, Plan]:
    """The plans of the cpu, the gpu and the tpu for a sum over `spans` of an array of `ndim` axes
    that has that origin.
    """
    cpu, gpu, tpu = (_plan(spans, ndim, origin, purpose, platform) for platform in PLATFORMS)
    return cpu, gpu, tpu


def _plan(
    spans: Sequence[Span | Ragged], ndim: int, origin: Origin, purpose: Purpose, platform: Platform
) -> Plan:
    """First the axes of a single window, then those of fixed windows, then the bins.

    Far windows are picked from near ones, so that no way meets a window that is much longer than
    its axis.
    """
    if UNIFORM_BINS_ARE_WINDOWS[platform]:
        spans = [(s.uniform or s) if isinstance(s, Ragged) else s for s in spans]
    far = tuple(span for span in spans if isinstance(span, Span) and span.is_far)
    near = [s.near if s in far else s for s in spans if isinstance(s, Span)]
    fixed = [span for span in near if not span.is_identity]
    single = tuple(span for span in fixed if span.outputs == 1)
    several = tuple(span for span in fixed if span not in single)
    ragged = [span for span in spans if isinstance(span, Ragged)]
    limit = SLICED_BLOCK[platform]
    sliced = tuple(s for s in ragged if max(s.block.size, s.block.outputs) <= limit)
    gathered = tuple(span for span in ragged if span not in sliced)
    one = Box(single, origin, ndim)
    more = Box(several, origin if purpose == "value" else "stored", ndim)
    summed = *_one(one, purpose, platform), *_several(more, purpose, platform)
    are_long = any(span.size > FUSED_BIN[platform] * span.outputs for span in gathered)
    bins = [(span,) for span in gathered] if are_long else [gathered]
    steps = [*summed, Step("picked", far), Step("sliced_bins", sliced)]
    steps += [Step("bins", spans) for spans in bins]
    steps = [step for step in steps if step.spans]
    return tuple(_with_stores(steps, origin) if platform == "cpu" else steps)


def _with_stores(steps: Sequence[Step], origin: Origin) -> list[Step]:
    """The steps, and what is stored between them: XLA would compute a step anew for each element
    that the next one reads, and count a mask for each channel.
    """
    plan: list[Step] = []
    for step in steps:
        if plan and step.way in ("taps", "bins"):
            plan.append(STORED)
        plan.append(step)
    return [*plan, STORED] if origin == "counted" else plan


def _one(box: Box, purpose: Purpose, platform: Platform) -> list[Step]:
    """The steps over all axes of a box with one window."""
    way = _way(ONE, box, platform) if purpose == "value" and box.spans else "whole"
    if way != TILES_FIRST:
        return [Step(way, box.spans)]
    tiles, over_tiles = zip(*(span.tiled for span in box.spans), strict=True)
    rest = tuple(span for span in over_tiles if not span.is_identity)
    return [Step("window", tiles), Step("whole", rest)]


def _several(box: Box, purpose: Purpose, platform: Platform) -> list[Step]:
    """The steps over all axes of the box."""
    way = _way(VALUE if purpose == "value" else TANGENT, box, platform)
    if way not in (BY_AXIS, LAST_FIRST):
        return [Step(way, box.spans)]
    spans = box.spans if way == BY_AXIS else box.spans[::-1]
    last = len(spans) - 1
    axes = [
        Box((span,), "stored" if i else box.origin, box.ndim, i == 0, i == last)
        for i, span in enumerate(spans)
    ]
    return [Step(_way(AXIS, axis, platform), axis.spans) for axis in axes]


def _way(rows: Sequence[Row], box: Box, platform: Platform) -> str:
    """The way of the first row that fits and names one."""
    ways: list[str | None] = [getattr(row, platform) for row in rows if row.fits(box)]
    return next(way for way in ways if way is not None)
