"""The choice of a way to sum for each geometry: one function of plain ifs for each platform.

The figure beside a rule says how much faster it is than the rule that would apply otherwise. The
figures compare times in float32 on 2 cores of an AMD EPYC for the CPU (`python -m benchmarks.cpu`),
times on an H100 for the GPU (JAX 0.11.2, `python -m benchmarks.gpu`), and cycles or bytes of
programs compiled for a v5e for the TPU.

No rule looks at the size of the batch or at how many devices there are. So a program is the same
wherever it is traced, and `vmap`, a batch and a single image give the same bits. (`_steady.py`
looks at the size of an array, to give it the bits that it has in a larger one.)
"""

from collections.abc import Callable, Sequence
from math import prod

from jaxlib.version import __version__ as jaxlib_version

from jaxpool._far import is_far, near, take_near
from jaxpool._levels import levels, turned_levels, windows_of_windows
from jaxpool._steady import steady_bins, steady_whole, steady_window
from jaxpool._steps import Origin, Plan, Step, Sum
from jaxpool._ways import (
    Way,
    barrier,
    bins,
    bins_of_any_size,
    sliced_bins,
    slices,
    tiles,
    turned_bins,
    turned_sliced_bins,
    whole,
    window,
)
from jaxpool._window import AdaptiveBins, Placed, Span

# Whether XLA's compiler for CPUs honours `optimization_barrier`; before jaxlib 0.11 it does not.
HAS_BARRIER = tuple(map(int, jaxlib_version.split(".")[:2])) >= (0, 11)


def cpu(total: Sum) -> Plan:
    """Slices where they are few: XLA vectorises them and fuses them with a conversion or a mask.
    It does neither with reduce_window.
    """
    if total.is_gradient and total.are_tiles:
        several = [Step(tiles, total.several)]  # a broadcast, 1.5x to 7x
    elif not total.is_gradient and _is_one_pass(total):
        several = [Step(slices, total.several)]
    else:
        several = [Step(_along_an_axis(i, total), (s,)) for i, s in enumerate(total.several)]
    steps = [Step(whole, total.single), *several, *_bins(total)]
    if HAS_BARRIER and not total.is_gradient and total.origin != "counted":  # counts are exact
        steps = [Step(_steady(*step), step.windows) for step in steps]
    return _with_barriers([step for step in steps if step.windows], total)


def _steady(way: Way, windows: tuple[Placed, ...]) -> Way:
    """The way that gives an image alone the same bits as in a batch."""
    if way is window:
        are_tiles = all(isinstance(span, Span) and span.is_tiling for span in windows)
        return steady_window if are_tiles else window
    return steady_whole if way is whole else steady_bins if way is bins else way


def _is_one_pass(total: Sum) -> bool:
    """Whether the slices along all axes are added in one pass, with nothing stored in between."""
    spans = total.several
    taps = prod(span.kernel for span in spans)
    overlap = taps / prod(span.stride for span in spans)  # how many windows read an element
    is_short = all(span.is_known and span.kernel <= 2 for span in spans)
    if is_short and (HAS_BARRIER or total.origin != "counted"):  # a count must be stored
        # 2x2 of stride 2 with padding of [16, 64, 32, 32] 3x, with ceil_mode 2x; in bfloat16 1.9x,
        # 4x.
        return True
    # A conversion, a mask or an activation before the pool is repeated for each tap: 3x3 of stride
    # 1 behind a relu 1.4x, in bfloat16 0.4x to 0.6x; 4x4 tiles 0.5x.
    if taps > 9 or (overlap > 3 and total.origin != "stored"):
        return False
    if all(span.is_inside for span in spans):
        # 3x3 tiles 1.3x to 1.6x, 3x3 of stride 1 1.4x, of stride 2 1.2x to 3x, 2x4 tiles 1.8x to
        # 3.4x.
        return True
    # 3x3 of stride 2 with padding of [16, 112, 112, 64] 1.4x to 1.7x. Padding makes XLA test each
    # tap in its inner loop, but where the last axis is not pooled, and up to two ends are padded,
    # it moves the tests out. Each tap exchanges its border where an axis is sharded: overlap <= 3.
    if not all(span.is_known and span.axis < total.ndim - 1 for span in spans):
        return False
    return overlap <= 3 and sum((span.low > 0) + (span.end > 0) for span in spans) <= 2


def _along_an_axis(i: int, total: Sum) -> Way:
    """The way along axis i of the axes with several windows, which are summed in this order."""
    span, is_last = total.several[i], i == len(total.several) - 1
    origin = total.origin if i == 0 and not total.is_gradient else "stored"
    if not span.is_known:
        return window
    # 15 taps 2x, 127 taps 40x, 1001 taps of 1e6 elements 3x more than windows of windows.
    if span.kernel >= 15 * span.stride and not total.is_gradient:
        return levels
    if span.kernel >= 15 and total.is_gradient:  # 1001 taps of stride 10 22x, of 500 30x
        return turned_levels
    # 3x3 of stride 1 of [32, 128, 56, 56] 1.4x, of stride 2 1.1x; in bfloat16 1.9x, 1.4x. Where
    # both axes are sharded more than 4 taps along the first would exchange too much.
    few = 5 if is_last else 4 if i == 0 and HAS_BARRIER else 0
    if origin == "masked" and HAS_BARRIER:  # beside a mask XLA tests each tap in its inner loop
        few = 3 if i == 0 else 0
    if origin != "stored" and 1 < span.stride < span.kernel:
        few = max(few, 3)  # before jaxlib 0.11 3x3 of stride 2 in bfloat16 or masked 2x
    if span.is_inside and span.is_tiling and (HAS_BARRIER or origin == "stored"):
        few = 14  # 8x8 tiles 1.1x, 10x10 and 14x14 1.5x; in bfloat16 2.3x, 3x
    return slices if span.kernel <= few else window


def _with_barriers(steps: Plan, total: Sum) -> Plan:
    """The steps with barriers, where XLA would compute a step again for each element that the next
    step reads, or would count a mask again for each channel.
    """
    plan: Plan = []
    for step in steps:
        if plan and step.way in (slices, bins, steady_bins, turned_bins):
            plan.append(Step(barrier, ()))
        plan.append(step)
    return [*plan, Step(barrier, ())] if total.origin == "counted" else plan


def _bins(total: Sum) -> Plan:
    """Bins gathered along all axes at once, or axis by axis if they have more than 5 elements on
    average: [4, 64, 224, 224] to 48 3x, in bfloat16 5x; with bins of 3 elements 0.6x.
    """
    if any(s.is_known and s.size > 5 * s.outputs for s in total.bins):
        return [step for span in total.bins for step in gathered(total._replace(bins=(span,)))]
    return gathered(total)


def gpu(total: Sum) -> Plan:
    """One kernel where this moves less, one for each axis where it would load too much."""
    value, spans = not total.is_gradient, total.several
    # [256, 2048, 7, 7] in channels_first 1.4x to 1.9x. An even number of devices cannot share an
    # odd axis; one that they share XLA would gather.
    is_odd = all(s.is_known and s.is_all and shard_tile(s.size) == s.size for s in total.single)
    is_one_kernel = value and is_odd and prod(span.size for span in total.single) <= 64
    single = Step(window if is_one_kernel else whole, total.single)
    if total.are_tiles:
        # Value: 4x4 in channels_first 1.4x. Gradient: a broadcast, 2x2 up to 2x, 4x4 5x.
        several = [Step(window if value else tiles, spans)]
    elif _is_by_axis(total):
        # Windows of windows: 41 and 63 taps 2x, 127 taps 4x; 31 taps 1.0x.
        several = [by_length(span, 32) for span in spans]
    else:
        # XLA does not fuse two passes over an array that exceeds the L2 cache, 52 MB, or the first
        # pass with the operation before it. So a training step of Inception-v3 (float32, batch 64)
        # moves 55.6 GB instead of 57.4, and one of PoolFormer-S12 22.1 GB instead of 22.6.
        several = [Step(window, spans)]
    return [single, *several, *gathered(total)]


def _is_by_axis(total: Sum) -> bool:
    """Whether the loads of one kernel over all axes would take longer than its memory traffic."""
    taps = prod(span.kernel for span in total.several)
    if taps > 27:  # 7x7 1.5x, 11x11 1.6x to 3.3x, 31x31 9x; 5x5 0.9x to 1.3x
        return True
    if total.origin == "converted" and taps <= 9:
        # 16 bits: 3x3 of stride 1 up to 2.3x, of stride 2 1.2x, its gradient up to 2.5x. XLA fuses
        # the two passes. In float32 3x3 of stride 1 0.9x to 1.1x.
        return True
    # 3x3 of stride 2 in float32 1.7x: the transpose of a strided window dilates.
    return total.is_gradient and any(span.stride > 1 for span in total.several)


def tpu(total: Sum) -> Plan:
    """One reduce_window over all axes of up to 16 taps, or one for each axis if any has more."""
    masked = total.origin == "masked" and not total.is_gradient
    single = [Step(whole, total.single)]
    sizes = [shard_tile(s.size) if s.is_known and s.is_all else 1 for s in total.single]
    if not (total.is_gradient or masked) and all(1 < size <= 16 for size in sizes):
        # One reduce_window over tiles, and a sum of those. 56x56 3.1x, 14x14 2.4x; in bfloat16
        # 2.6x, 1.6x, and 7x7 1.5x.
        cut = [(s, size, s.size // size) for s, size in zip(total.single, sizes, strict=True)]
        first = tuple(Span(s.axis, s.size, size, size, outputs=n) for s, size, n in cut)
        rest = tuple(Span(s.axis, n, n, n) for s, _, n in cut if n > 1)
        single = [Step(window, first), Step(whole, rest)]
    uniform = tuple(span.uniform for span in total.bins if span.uniform)  # 13x13 to 6 2.2x
    uneven = tuple(span for span in total.bins if not span.uniform)
    spans = *total.several, *uniform
    if masked:  # 8x8 tiles of [8, 128, 128, 64] 1.7x, a fifth of the bytes: the mask is fused
        several = [by_length(span, 63) for span in spans]
    elif all(span.kernel <= 16 for span in spans):  # by axis: 2x2 0.6x, 3x3 of stride 2 0.8x
        several = [Step(window, spans)]
    else:  # the last axis first: 31x31 of stride 1 6.4x, the first axis first 4.0x
        several = [by_length(span, 63) for span in reversed(spans)]
    # Of at most 8 elements a block, 100 to 60 1.5x; libtpu 0.0.50.1 gathers so few in a loop.
    few = tuple(s for s in uneven if s.is_known and max(s.block.size, s.block.outputs) <= 8)
    sliced = Step(turned_sliced_bins if total.is_gradient else sliced_bins, few)
    others = tuple(span for span in uneven if span not in few)
    return [*single, *several, sliced, *gathered(total._replace(bins=others))]


def by_length(span: Span, strides: int) -> Step:
    """One reduce_window along an axis, or windows of windows if a kernel is `strides` strides long.

    For a TPU one reduce_window of 127 taps an axis compiles in minutes instead of seconds.
    """
    is_long = span.is_known and span.kernel >= strides * span.stride
    return Step(windows_of_windows if is_long else window, (span,))


def gathered(total: Sum) -> Plan:
    """The bins of all axes; axes of symbolic sizes have a step of their own."""
    known = tuple(span for span in total.bins if span.is_known)
    others = tuple(span for span in total.bins if not span.is_known)
    return [
        Step(turned_bins if total.is_gradient else bins, known),
        Step(bins_of_any_size, others),
    ]


def shard_tile(size: int) -> int:
    """The size of tiles that an axis can be cut into, even if it is sharded.

    It is the odd part of the size of the axis: equal shards over an even number of devices consist
    of such tiles. For a power of 2 it is 4: up to size / 4 equal shards consist of tiles of 4.
    """
    odd = size // (size & -size)
    return odd if odd > 1 or size < 16 else 4


RULES: dict[str, Callable[[Sum], Plan]] = {"cpu": cpu, "gpu": gpu, "tpu": tpu}


def plan(
    platform: str, windows: Sequence[Placed], ndim: int, origin: Origin, is_gradient: bool
) -> Plan:
    """The steps of a sum over `windows` of an array of `ndim` axes and of this origin."""
    spans = [span for span in windows if isinstance(span, Span)]
    far = tuple(span for span in spans if is_far(span))
    fixed = [near(s) if s in far else s for s in spans]
    fixed = [span for span in fixed if not span.is_identity]
    single = tuple(span for span in fixed if span.outputs == 1)
    cut = tuple(span for span in fixed if not isinstance(span.kernel, int) and span not in single)
    several = tuple(span for span in fixed if span not in (*single, *cut))
    uneven = tuple(span for span in windows if isinstance(span, AdaptiveBins))
    total = Sum(single, several, uneven, origin, ndim, is_gradient)
    # Bins of an equal, but symbolic size are cut by a reshape, the only way that takes them.
    steps = [*RULES[platform](total), Step(tiles, cut), Step(take_near, far)]
    return [step for step in steps if step.windows or step.way is barrier]
