"""Draws windows from what jaxpool computes, as SVG: which elements they read, what they divide by.

A page says what to draw in a fenced block, of a kind that mkdocs.yml names; `DRAWINGS` has the
function for each. docs/stylesheets/site.css has the colours, so one drawing serves light and dark.
"""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxpool

CELL = 24  # pixels: the widest drawing fits a phone, so all have one scale
GAP = 4
PLACES = "input", "padding", "past"  # of a cell: on the input, in the padding, beyond it


class Shape(NamedTuple):
    """A rectangle with a word in it, or a word alone; `kind` is its class in the style sheet."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    text: str = ""


class Windows(NamedTuple):
    """What the windows of one axis do; rows are outputs, columns are cells, padding among them."""

    size: int
    low: int
    high: int
    taps: np.ndarray  # booleans: what each output reads
    divisors: list[int | None]  # None where nothing counts

    @classmethod
    def of(cls, size: int, **arguments: Any) -> "Windows":
        """Asks jaxpool, by what it gives for axes of `size` that hold a single 1."""
        if "output_size" in arguments:
            weights = _weights(jaxpool.adaptive_avg_pool1d, size, **arguments)
            return cls(size, 0, 0, weights != 0, _divisors(weights))
        of_divisor = "count_include_pad", "divisor_override"
        shape = {name: value for name, value in arguments.items() if name not in of_divisor}
        (outputs,) = jaxpool.pool_output_shape((size,), **shape)
        ((low, high),) = jaxpool.pool_strips((size,), outputs + 1, **shape)[0].padding
        # Over an input as long as the padded one and what overhangs it, all that is read shows.
        kernel, dilation = shape["kernel"], shape.get("dilation", 1)
        stride = shape.get("stride", kernel)
        end_of_last = (outputs - 1) * stride + (kernel - 1) * dilation + 1
        longest = max(low + size + high, end_of_last)
        window = {"kernel": kernel, "stride": stride, "dilation": dilation}
        taps = _weights(jaxpool.avg_pool1d, longest, **window, divisor_override=1)[:outputs] != 0
        divisors = _divisors(_weights(jaxpool.avg_pool1d, size, **arguments))
        return cls(size, low, high, taps, divisors)

    def place(self, column: int) -> str:
        """Where a column lies, one of `PLACES`."""
        if self.low <= column < self.low + self.size:
            return "input"
        return "padding" if column < self.low + self.size + self.high else "past"

    def role(self, output: int, column: int) -> set[str]:
        """What a column is to an output: a tap, if it is read, and counted, if it is divided by."""
        read = [self.place(c) for c in np.flatnonzero(self.taps[output])]
        padding_counts = self.divisors[output] == read.count("input") + read.count("padding")
        counted = {"input": True, "padding": padding_counts, "past": False}[self.place(column)]
        role = {"tap": self.taps[output, column], "counted": counted}
        return {name for name, holds in role.items() if holds}


def _weights(pool: Callable[..., jax.Array], size: int, **arguments: Any) -> np.ndarray:
    """By what each output of a pool along one axis multiplies each cell: what a 1 there makes."""
    return np.asarray(pool(jnp.eye(size), **arguments)).T


def _divisors(weights: np.ndarray) -> list[int | None]:
    """What the outputs divide by. That of padding alone, if it counts, does not show."""
    return [None if np.isnan(row).all() else round(1 / row[row != 0].item(0)) for row in weights]


def draw_axis(size: int, **arguments: Any) -> str:
    """A row for the cells of an axis, and one for each window: what it reads and divides by."""
    windows = Windows.of(size, **arguments)
    columns = windows.taps.shape[1]
    left = 56  # pixels, for a name
    right = 76 if None in windows.divisors else 28  # for what it divides by
    shapes = [Shape("name", 0, 0, left - GAP, CELL, "input")]
    shapes += [
        Shape(
            windows.place(c),
            left + c * CELL,
            0,
            CELL,
            CELL,
            {"input": f"x{c - windows.low}", "padding": "0", "past": ""}[windows.place(c)],
        )
        for c in range(columns)
    ]
    words = []
    for i, (row, divisor) in enumerate(zip(windows.taps, windows.divisors, strict=True)):
        y = (i + 1) * (CELL + GAP) + GAP
        shapes.append(Shape("name", 0, y, left - GAP, CELL, f"output {i}"))
        for c in np.flatnonzero(row):
            kind = " ".join([windows.place(c), *sorted(windows.role(i, c))])
            shapes.append(Shape(kind, left + c * CELL, y, CELL, CELL))
        word = "nothing: NaN" if divisor is None else f"÷ {divisor}"
        shapes.append(Shape("divisor", left + columns * CELL + GAP, y, right - GAP, CELL, word))
        words.append(_said(windows, i))
    height = (len(words) + 1) * (CELL + GAP)
    padded = (
        f", with {windows.low} and {windows.high} of padding" if windows.low + windows.high else ""
    )
    described = f"An axis of {size} elements{padded}. " + " ".join(words)
    return _svg(shapes, left + columns * CELL + right, height, described)


def _said(windows: Windows, output: int) -> str:
    """What a window does, in words, for those who don't see the picture."""
    columns = np.flatnonzero(windows.taps[output])
    cells = [str(c - windows.low) for c in columns if windows.place(c) == "input"]
    padding = sum(windows.place(c) == "padding" for c in columns)
    past = sum(windows.place(c) == "past" for c in columns)
    read = [f"element{'s' * (len(cells) > 1)} {', '.join(cells)}"] if cells else []
    read += [f"{padding} of padding"] if padding else []
    read += [f"{past} past the end"] if past else []
    divisor = windows.divisors[output]
    divides = "counts nothing" if divisor is None else f"divides by {divisor}"
    return f"Output {output} reads {' and '.join(read)}, and {divides}."


def draw_steps(
    image: Sequence[Sequence[float]], at: Sequence[tuple[int, int]], **arguments: Any
) -> str:
    """For each output in `at` the image with its window, above the result with the output."""
    x = jnp.asarray(image, jnp.float32)
    pool = jaxpool.adaptive_avg_pool2d if "output_size" in arguments else jaxpool.avg_pool2d
    result = np.asarray(pool(x[None], **arguments)[0])
    axes = _axes(x.shape, arguments)
    rows, columns = (axis.taps.shape[1] for axis in axes)
    below = (rows + 1) * CELL
    width = max(columns, result.shape[1]) * CELL
    panels = []
    for i, j in at:
        shapes = []
        for r, c in np.ndindex(rows, columns):
            vertical, horizontal = axes[0].role(i, r), axes[1].role(j, c)
            place = max(axes[0].place(r), axes[1].place(c), key=PLACES.index)
            text = "0" if place == "padding" else ""
            if place == "input":
                text = f"{x[r - axes[0].low, c - axes[1].low]:g}"
            kind = " ".join([place, *sorted(vertical & horizontal)])
            shapes.append(Shape(kind, c * CELL, r * CELL, CELL, CELL, text))
        begin = (columns - result.shape[1]) / 2 * CELL
        for r, c in np.ndindex(*result.shape):
            kind = "result" if (r, c) == (i, j) else "later" if (r, c) > (i, j) else "output"
            text = f"{result[r, c]:.3g}"
            shapes.append(Shape(kind, begin + c * CELL, below + r * CELL, CELL, CELL, text))
        total = axes[0].divisors[i] * axes[1].divisors[j]
        shapes.append(Shape("word", 0, rows * CELL, columns * CELL, CELL, f"÷ {total}"))
        described = (
            f"An image of {x.shape[0]} by {x.shape[1]} elements."
            f" Output ({i}, {j}) is {result[i, j]:.3g}, a sum divided by {total}."
        )
        panels.append(_svg(shapes, width, below + result.shape[0] * CELL, described))
    return f'<div class="steps">{"".join(panels)}</div>'


def draw_divisors(size: Sequence[int], **arguments: Any) -> str:
    """The result's cells, each with what its sum is divided by."""
    axes = _axes(size, arguments)
    divisors = np.outer(*(axis.divisors for axis in axes))
    _check(divisors, size, arguments)
    most = divisors.max()
    shapes = []
    for (r, c), divisor in np.ndenumerate(divisors):
        kind = f"level{round(4 * divisor / most)}"
        shapes.append(Shape(kind, c * CELL, r * CELL, CELL, CELL, str(divisor)))
    rows = "; ".join(" ".join(map(str, row)) for row in divisors)
    height, width = (CELL * n for n in divisors.shape)
    return _svg(shapes, width, height, f"Divisors, row by row: {rows}.")


def _axes(sizes: Sequence[int], arguments: dict[str, Any]) -> list[Windows]:
    """The windows of each axis; a tuple has an entry for each."""
    return [
        Windows.of(n, **{k: v[a] if isinstance(v, tuple) else v for k, v in arguments.items()})
        for a, n in enumerate(sizes)
    ]


def _check(divisors: np.ndarray, size: Sequence[int], arguments: dict[str, Any]) -> None:
    """Raises unless the pool in two dimensions divides by the product of both axes' divisors."""
    ones = jnp.ones((1, *size))
    averages = jaxpool.avg_pool2d(ones, **arguments)[0]
    sums = jaxpool.avg_pool2d(ones, **arguments, divisor_override=1)[0]
    np.testing.assert_allclose(averages * divisors, sums, rtol=1e-6)


HATCH = (  # of padding that counts
    '<pattern id="counted" width="6" height="6" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><path d="M0 0V6"/></pattern>'
)


def _svg(shapes: Sequence[Shape], width: float, height: float, described: str) -> str:
    """The picture of shapes, with a description for those who don't see it."""
    return (
        f'<svg class="windows" role="img" viewBox="-1 -1 {width + 2:g} {height + 2:g}"'
        f' style="width: {width + 2:g}px" aria-label="{escape(described)}">'
        f"{HATCH}{''.join(_elements(shapes))}</svg>"
    )


def _elements(shapes: Sequence[Shape]) -> Iterator[str]:
    for kind, x, y, width, height, text in shapes:
        if kind not in ("name", "divisor", "word"):
            yield (
                f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"/>'
            )
        if text:
            anchor = {"name": x + width, "divisor": x}.get(kind, x + width / 2)
            middle = y + height / 2
            yield f'<text class="{kind}" x="{anchor:g}" y="{middle:g}">{escape(text)}</text>'


DRAWINGS = {"axis": draw_axis, "steps": draw_steps, "divisors": draw_divisors}


def figures(source: str, kind: str, *_: Any, **__: Any) -> str:
    """The drawings of a fenced block of `kind`, as pymdownx.superfences asks for them.

    Each line is a call, perhaps with a caption, like `size=7, kernel=3  # what is to be seen`.
    """
    try:
        drawn = "".join(_figure(kind, line) for line in source.strip().splitlines())
    except Exception as error:
        from pymdownx.superfences import SuperFencesException

        # Of any other exception it makes a block of code, and the build passes.
        raise SuperFencesException(f"no drawing of {kind}: {source}") from error
    return f'<div class="figures">{drawn}</div>'


def _figure(kind: str, line: str) -> str:
    call, _, caption = line.partition("  # ")
    parsed = ast.parse(f"call({call})", mode="eval").body
    arguments = {k.arg: ast.literal_eval(k.value) for k in parsed.keywords}
    caption = re.sub("`(.*?)`", r"<code>\1</code>", escape(caption, quote=False))
    drawing = DRAWINGS[kind](**arguments)
    return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"
