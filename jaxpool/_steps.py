"""The facts by which a platform chooses the ways to sum, and its answer: a plan, step by step."""

from typing import Literal, NamedTuple, TypeAlias

from jaxpool._ways import Way
from jaxpool._window import AdaptiveBins, Placed, Span

# The array that is summed: an argument of the program, an array under a mask, an array that was
# converted to a wider dtype, or a mask whose elements are counted.
Origin: TypeAlias = Literal["stored", "masked", "converted", "counted"]


class Step(NamedTuple):
    """A way to sum, and the windows that it sums over."""

    way: Way
    windows: tuple[Placed, ...]


Plan: TypeAlias = list[Step]


class Sum(NamedTuple):
    """All facts by which a platform chooses.

    Args:
      single: the axes of one window.
      several: the axes of several windows of a fixed size.
      bins: the axes of adaptive bins.
      origin: of the array.
      ndim: of the array.
      is_gradient: whether the transpose of the sum will run, and not the sum.
    """

    single: tuple[Span, ...]
    several: tuple[Span, ...]
    bins: tuple[AdaptiveBins, ...]
    origin: Origin
    ndim: int
    is_gradient: bool

    @property
    def are_tiles(self) -> bool:
        """Whether the several windows lie side by side along every axis."""
        return all(span.is_tiling for span in self.several)
