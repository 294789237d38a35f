"""Draws windows from what jaxpool computes, as SVG: which elements they read, what they divide by.

A page says what to draw in a fenced block, of a kind that mkdocs.yml names; `DRAWINGS` has the
function for each. docs/stylesheets/site.css has the colours, so one drawing serves light and dark.
"""

import ast
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxpool

CELL = 24  # pixels: the widest drawing fits a phone, so all have one scale
GAP = 4
PLACES = "input", "padding", "past"  # of a cell: on the input, in the padding, beyond it


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
    shapes = [_text("name", left - GAP, 0, "input")]
    for c in range(columns):
        place = windows.place(c)
        text = {"input": f"x{c - windows.low}", "padding": "0", "past": ""}[place]
        shapes.append(_cell(place, left + c * CELL, 0, text))
    for i, divisor in enumerate(windows.divisors):
        y = (i + 1) * (CELL + GAP) + GAP
        shapes.append(_text("name", left - GAP, y, f"output {i}"))
        for c in np.flatnonzero(windows.taps[i]):
            kind = " ".join([windows.place(c), *sorted(windows.role(i, c))])
            shapes.append(_cell(kind, left + c * CELL, y))
        text = "nothing: NaN" if divisor is None else f"÷ {divisor}"
        shapes.append(_text("divisor", left + columns * CELL + GAP, y, text))
    outputs = len(windows.divisors)
    padded = f", with {windows.low} and {windows.high} of padding"
    words = [f"An axis of {size} elements{padded if windows.low + windows.high else ''}."]
    words += [_said(windows, output) for output in range(outputs)]
    width, height = left + columns * CELL + right, (outputs + 1) * (CELL + GAP)
    return _svg(shapes, width, height, " ".join(words))


def _said(windows: Windows, output: int) -> str:
    """What a window does, in words, for those who don't see the picture."""
    columns = np.flatnonzero(windows.taps[output])
    cells = [str(c - windows.low) for c in columns if windows.place(c) == "input"]
    read = [f"element{'s' * (len(cells) > 1)} {', '.join(cells)}"] if cells else []
    for place, words in (("padding", "of padding"), ("past", "past the end")):
        count = sum(windows.place(c) == place for c in columns)
        read += [f"{count} {words}"] if count else []
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
    down, across = (Windows.of(n, **arguments) for n in x.shape)
    rows, columns = down.taps.shape[1], across.taps.shape[1]
    width = max(columns, result.shape[1]) * CELL
    panels = []
    for i, j in at:
        shapes = []
        for r, c in np.ndindex(rows, columns):
            place = max(down.place(r), across.place(c), key=PLACES.index)
            kind = " ".join([place, *sorted(down.role(i, r) & across.role(j, c))])
            text = "0" if place == "padding" else ""
            if place == "input":
                text = f"{x[r - down.low, c - across.low]:g}"
            shapes.append(_cell(kind, c * CELL, r * CELL, text))
        begin = (columns - result.shape[1]) / 2 * CELL
        for r, c in np.ndindex(*result.shape):
            kind = "result" if (r, c) == (i, j) else "later" if (r, c) > (i, j) else "output"
            place = begin + c * CELL, (rows + 1 + r) * CELL
            shapes.append(_cell(kind, *place, f"{result[r, c]:.3g}"))
        total = down.divisors[i] * across.divisors[j]
        shapes.append(_text("word", columns * CELL / 2, rows * CELL, f"÷ {total}"))
        described = (
            f"An image of {x.shape[0]} by {x.shape[1]} elements."
            f" Output ({i}, {j}) is {result[i, j]:.3g}, a sum divided by {total}."
        )
        panels.append(_svg(shapes, width, (rows + 1 + result.shape[0]) * CELL, described))
    return f'<div class="steps">{"".join(panels)}</div>'


def draw_divisors(size: Sequence[int], **arguments: Any) -> str:
    """The result's cells, each with what its sum is divided by."""
    ones = jnp.ones((1, *size))
    sums = jaxpool.avg_pool2d(ones, **arguments, divisor_override=1)[0]
    averages = jaxpool.avg_pool2d(ones, **arguments)[0]
    divisors = np.asarray(sums / averages).round().astype(int)
    shapes = []
    for (r, c), divisor in np.ndenumerate(divisors):
        kind = f"level{round(4 * divisor / divisors.max())}"
        shapes.append(_cell(kind, c * CELL, r * CELL, str(divisor)))
    rows = "; ".join(" ".join(map(str, row)) for row in divisors)
    height, width = (CELL * n for n in divisors.shape)
    return _svg(shapes, width, height, f"Divisors, row by row: {rows}.")


HATCH = (  # of padding that counts
    '<pattern id="counted" width="6" height="6" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><path d="M0 0V6"/></pattern>'
)


def _svg(shapes: Sequence[str], width: float, height: float, described: str) -> str:
    """The picture of shapes, with a description for those who don't see it."""
    return (
        f'<svg class="windows" role="img" viewBox="-1 -1 {width + 2:g} {height + 2:g}"'
        f' style="width: {width + 2:g}px" aria-label="{escape(described)}">'
        f"{HATCH}{''.join(shapes)}</svg>"
    )


def _cell(kind: str, x: float, y: float, text: str = "") -> str:
    """A square with a text in it; `kind` is its class in the style sheet."""
    square = f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{CELL}" height="{CELL}"/>'
    return square + (_text(kind, x + CELL / 2, y, text) if text else "")


def _text(kind: str, x: float, y: float, text: str) -> str:
    """A text in a row of cells, before, around or after `x`, as the style sheet has it."""
    return f'<text class="{kind}" x="{x:g}" y="{y + CELL / 2:g}">{escape(text)}</text>'


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
