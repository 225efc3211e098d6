"""The piano roll as PNG, drawn with Pillow from the layout that the SVG has."""

from __future__ import annotations

import io
import os
import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from preludio.files import write_atomically
from preludio.performance import Performance
from preludio.render.mark import MADE_BY
from preludio.render.roll import Drawing, Line, Rect, Text, layout

SCALE = 2  # pixels to a unit of the layout: sharp on dense displays
MAX_PIXELS = 24_000_000  # a taller picture has one pixel to a unit
SUBSTITUTES = {0x2013: "-", 0x2014: "-", 0x2018: "'", 0x2019: "'"} | str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "♯": "#", "♭": "b", "¿": "", "¡": ""}
)
TALL = "i"  # its dot reaches higher than the other small letters
STROKES = {  # combining marks as lines, in units of the letters' size, from the middle of the letter and its top
    "\u0301": [[(-0.04, 0.02), (0.08, 0.13)]],  # acute
    "\u0300": [[(0.04, 0.02), (-0.08, 0.13)]],  # grave
    "\u0302": [[(-0.1, 0.03), (0.0, 0.12), (0.1, 0.03)]],  # circumflex
    "\u030c": [[(-0.1, 0.12), (0.0, 0.03), (0.1, 0.12)]],  # caron
    "\u0303": [[(-0.14, 0.04), (-0.06, 0.1), (0.05, 0.05), (0.13, 0.11)]],  # tilde
    "\u0308": [[(-0.14, 0.07), (-0.06, 0.07)], [(0.06, 0.07), (0.14, 0.07)]],  # diaeresis
}
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
    letters, marks = _plain(text.text)
    font = _font(text.size * scale)
    pen.text(
        (scale * text.x, scale * text.y),
        letters,
        fill=text.colour,
        font=font,
        anchor=ANCHORS[text.anchor],
        stroke_width=scale * text.size / 60 if text.bold else 0,  # the built-in font has one weight
    )
    em = text.size * scale
    for place, mark in marks:  # only titles have marks, and titles begin at x
        middle = scale * text.x + (font.getlength(letters[:place]) + font.getlength(letters[: place + 1])) / 2
        top = scale * text.y - (0.84 if letters[place].isupper() else 0.7 if letters[place] in TALL else 0.62) * em
        for stroke in STROKES[mark]:
            points = [(middle + x * em, top - y * em) for x, y in stroke]
            pen.line(points, fill=text.colour, width=max(1, round(em / (11 if text.bold else 14))), joint="curve")


def _plain(words: str) -> tuple[str, list[tuple[int, str]]]:
    """What the built-in font can write, which is little more than ASCII: (letters, the marks to set over which of them)."""
    letters: list[str] = []
    marks = []
    for letter in unicodedata.normalize("NFD", words.translate(SUBSTITUTES)):
        if letters and letter in STROKES:
            marks.append((len(letters) - 1, letter))
        elif not unicodedata.combining(letter):
            letters.append(letter if letter.isascii() or letter in "·…“”" else "?")
    return "".join(letters), marks


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=size)
