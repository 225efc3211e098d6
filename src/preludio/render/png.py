"""The piano roll as PNG, drawn with Pillow from the layout that the SVG has."""

from __future__ import annotations

import io
import os
import unicodedata
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from preludio.files import write_atomically
from preludio.performance import Performance
from preludio.render.mark import MADE_BY
from preludio.render.roll import Drawing, Line, Rect, Text, layout

SCALE = 2  # pixels to a unit of the layout: sharp on dense displays
MAX_PIXELS = 24_000_000  # a taller picture has one pixel to a unit
FONT = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def roll_png(performance: Performance, *, prompt_ms: int = 0, title: str | None = None, made_by: str = MADE_BY) -> bytes:
    """The piano roll as a PNG file, 3,200 pixels wide, or 1,600 if it has many rows. It bears `made_by`, the program's name; see `maker`.

    Raises:
        RequestError: over 200,000 notes, or a negative `prompt_ms`.
    """
    drawing = layout(performance, prompt_ms=prompt_ms, title=title)
    scale = SCALE if drawing.width * drawing.height * SCALE**2 <= MAX_PIXELS else 1
    file = io.BytesIO()
    software = PngInfo()
    software.add_text("Software", made_by)
    _painted(drawing, scale).save(file, "PNG", pnginfo=software)
    return file.getvalue()


def write_png(
    performance: Performance, path: str | os.PathLike[str], *, prompt_ms: int = 0, title: str | None = None, made_by: str = MADE_BY
) -> None:
    """Writes `roll_png` to a file.

    Raises:
        RequestError: as `roll_png`.
        OutputError: the file cannot be written.
    """
    write_atomically(path, roll_png(performance, prompt_ms=prompt_ms, title=title, made_by=made_by))


def _painted(drawing: Drawing, scale: int) -> Image.Image:
    image = Image.new("RGB", (drawing.width * scale, drawing.height * scale))
    pen = ImageDraw.Draw(image)
    for shape in drawing.shapes:
        if isinstance(shape, Rect):
            _rect(pen, shape, scale)
        elif isinstance(shape, Line):
            ends = [round(scale * value) for value in (shape.x1, shape.y1, shape.x2, shape.y2)]
            pen.line(ends, fill=shape.colour, width=max(1, round(scale * shape.width / 2)))
        else:
            _text(pen, shape, scale)
    return image


def _rect(pen: ImageDraw.ImageDraw, rect: Rect, scale: int) -> None:
    left, top = round(scale * rect.x), round(scale * rect.y)
    # Pillow's rectangles include their last row and column.
    right = max(left, round(scale * (rect.x + rect.width)) - 1)
    bottom = max(top, round(scale * (rect.y + rect.height)) - 1)
    if rect.radius and right - left > 2 and bottom - top > 2:
        pen.rounded_rectangle((left, top, right, bottom), radius=scale * rect.radius, fill=rect.fill)
    else:
        pen.rectangle((left, top, right, bottom), fill=rect.fill)


def _text(pen: ImageDraw.ImageDraw, text: Text, scale: int) -> None:
    pen.text(
        (scale * text.x, scale * text.y),
        unicodedata.normalize("NFC", text.text),
        fill=text.colour,
        font=_font(text.size * scale),
        anchor=ANCHORS[text.anchor],
        stroke_width=scale * text.size / 60 if text.bold else 0,  # the font has one weight
    )


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Latin, Greek and Cyrillic letters and music signs; any other letter is a box."""
    return ImageFont.truetype(FONT, size, layout_engine=ImageFont.Layout.BASIC)
