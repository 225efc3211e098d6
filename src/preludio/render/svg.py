"""The piano roll as SVG: plain shapes, no script, no outside font; readable by screen readers and on any page background."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

from preludio.files import write_atomically
from preludio.performance import Performance
from preludio.render.mark import MADE_BY
from preludio.render.roll import Drawing, Line, Rect, Shape, Text, layout

FONT = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"


def roll_svg(performance: Performance, *, prompt_ms: int = 0, title: str | None = None, made_by: str = MADE_BY) -> str:
    """The piano roll as an SVG document; notes before `prompt_ms` are drawn as the prompt, the others as composed.

    Each note is one `rect` in a group of class "note". The document bears `made_by`, the program's name; see `maker`.

    Raises:
        RequestError: over 200,000 notes, or a negative `prompt_ms`.
    """
    return "\n".join(_document(layout(performance, prompt_ms=prompt_ms, title=title), made_by)) + "\n"


def write_svg(
    performance: Performance, path: str | os.PathLike[str], *, prompt_ms: int = 0, title: str | None = None, made_by: str = MADE_BY
) -> None:
    """Writes `roll_svg` to a file.

    Raises:
        RequestError: as `roll_svg`.
        OutputError: the file cannot be written.
    """
    write_atomically(path, roll_svg(performance, prompt_ms=prompt_ms, title=title, made_by=made_by).encode())


def _document(drawing: Drawing, made_by: str) -> Iterator[str]:
    size = f'width="{drawing.width}" height="{drawing.height}" viewBox="0 0 {drawing.width} {drawing.height}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title desc" font-family="{FONT}">'
    yield f"<metadata>{escape(made_by)}</metadata>"
    yield f'<title id="title">{escape(drawing.title)}</title>'
    yield f'<desc id="desc">{escape(drawing.description)}</desc>'
    for kind, alike in groupby(drawing.shapes, key=lambda shape: shape.kind if isinstance(shape, Rect) else None):
        shapes = list(alike)
        yield from map(_line_or_text, shapes) if kind is None else _rects(kind, shapes)
    yield "</svg>"


def _rects(kind: str, shapes: Iterable[Shape]) -> Iterator[str]:
    """In groups of one colour, which halves the file. Rectangles of one kind that differ in colour never overlap, but for the ground."""
    rects = [shape for shape in shapes if isinstance(shape, Rect)]
    if kind:
        rects.sort(key=lambda rect: rect.fill)
    for fill, same in groupby(rects, key=lambda rect: rect.fill):
        yield f"<g{f' class={quoteattr(kind)}' if kind else ''} fill={quoteattr(fill)}>" + "".join(map(_rect, same)) + "</g>"


def _rect(rect: Rect) -> str:
    radius = f' rx="{_number(rect.radius)}"' if rect.radius else ""
    place = f'x="{_number(rect.x)}" y="{_number(rect.y)}" width="{_number(rect.width)}" height="{_number(rect.height)}"'
    return f"<rect {place}{radius}/>"


def _line_or_text(shape: Shape) -> str:
    if isinstance(shape, Line):
        ends = f'x1="{_number(shape.x1)}" y1="{_number(shape.y1)}" x2="{_number(shape.x2)}" y2="{_number(shape.y2)}"'
        return f'<line {ends} stroke="{shape.colour}" stroke-width="{_number(shape.width)}"/>'
    assert isinstance(shape, Text)
    weight = ' font-weight="600"' if shape.bold else ""
    style = f'font-size="{shape.size}" fill="{shape.colour}" text-anchor="{shape.anchor}"{weight}'
    return f'<text x="{_number(shape.x)}" y="{_number(shape.y)}" {style}>{escape(shape.text)}</text>'


def _number(value: float) -> str:
    """At most one decimal, and no trailing zero: a tenth of a pixel is enough."""
    return f"{value:.1f}".removesuffix(".0")
