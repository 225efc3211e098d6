"""The piano roll's layout: a performance -> rectangles, lines and words, which svg.py and png.py draw alike.

Up to 40 s stand in one row; longer pieces wrap into rows like a score. Across: time. Up: pitch, a line at each C. Colour: velocity.
A note is as long as its key is down; what the pedal adds follows it in a pale tint, and the pedal itself is a strip below the row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from preludio.errors import RequestError
from preludio.performance import Performance, next_onset_ms, sustain
from preludio.render import colours

WIDTH = 1600
LEFT, RIGHT, TOP, BOTTOM = 58, 30, 92, 18
AXIS_HEIGHT = 22  # below a row: the times
PEDAL_HEIGHT = 6
ROW_GAP = 26
ONE_ROW_MS = 40_000  # a piece up to so long is one row
SHORTEST_ROW_MS = 4_000
ROW_MS = tuple(1000 * seconds for seconds in (30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400, 172_800))
MAX_ROWS = 24  # more would be a wallpaper
TICKS_MS = (500, 1000, 2000, 5000, 10_000, 15_000, 30_000, *(1000 * s for s in (60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400)))
TICK_SPACING = 64  # px at least
MAX_NOTES = 200_000
MAX_TITLE = 90  # characters


class Rect(NamedTuple):
    """`kind` says what it stands for: "note" (one for each note), "tie" (a note going on in the next row), "ring", "pedal", ""."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    kind: str = ""
    radius: float = 0


class Line(NamedTuple):
    x1: float
    y1: float
    x2: float
    y2: float
    colour: str
    width: float = 1


class Text(NamedTuple):
    """`y` is the baseline; `anchor` is "start", "middle" or "end"."""

    x: float
    y: float
    text: str
    size: int
    colour: str
    anchor: str = "start"
    bold: bool = False


Shape = Rect | Line | Text


@dataclass
class Drawing:
    """What to draw, from back to front, in pixels."""

    title: str
    description: str
    width: int
    height: int
    shapes: list[Shape] = field(default_factory=list)


@dataclass(frozen=True)
class Frame:
    """Where times and pitches lie."""

    row_ms: int
    n_rows: int
    end_ms: int  # the last row's panel ends here
    lowest: int  # a C
    highest: int  # a C
    key_height: float
    pedal_space: int

    @property
    def row_height(self) -> float:
        return (self.highest - self.lowest + 1) * self.key_height

    @property
    def pitch_of_rows(self) -> float:
        """From one row's top to the next's."""
        return self.row_height + self.pedal_space + AXIS_HEIGHT + ROW_GAP

    @property
    def height(self) -> int:
        return round(TOP + self.n_rows * self.pitch_of_rows - ROW_GAP + BOTTOM)

    def top(self, row: int) -> float:
        return TOP + row * self.pitch_of_rows

    def x(self, ms: float, row: int) -> float:
        return LEFT + (ms - row * self.row_ms) * (WIDTH - LEFT - RIGHT) / self.row_ms

    def y(self, pitch: int, row: int) -> float:
        """The upper edge of a key's lane."""
        return self.top(row) + (self.highest - pitch) * self.key_height

    def row_end_ms(self, row: int) -> int:
        return min((row + 1) * self.row_ms, self.end_ms)

    def pieces(self, start_ms: int, end_ms: int) -> Iterator[tuple[int, float, float]]:
        """A stretch of time as (row, x, width), one for each row that it touches."""
        for row in range(start_ms // self.row_ms, max(start_ms, end_ms - 1) // self.row_ms + 1):
            x = self.x(max(start_ms, row * self.row_ms), row)
            yield row, x, self.x(min(end_ms, (row + 1) * self.row_ms), row) - x


def layout(performance: Performance, *, prompt_ms: int = 0, title: str | None = None) -> Drawing:
    """The drawing of a performance whose notes before `prompt_ms` were given and whose others were composed.

    Raises:
        RequestError: over 200,000 notes, or a negative `prompt_ms`.
    """
    if prompt_ms < 0:
        raise RequestError(f"a prompt cannot end at {prompt_ms} ms: choose 0 (no prompt) or more")
    if len(performance) > MAX_NOTES:
        raise RequestError(f"the performance has {len(performance):,} notes; a picture holds at most {MAX_NOTES:,}: crop it first")
    frame = _frame(performance)
    name = _title(title)
    drawing = Drawing(name, _description(performance, prompt_ms), WIDTH, frame.height)
    drawing.shapes.append(Rect(0, 0, WIDTH, frame.height, colours.PAPER))
    drawing.shapes += _heading(performance, name, prompt_ms)
    for row in range(frame.n_rows):
        drawing.shapes += _panel(frame, row, prompt_ms)
    drawing.shapes += _pedals(performance, frame)
    drawing.shapes += _rings(performance, frame, prompt_ms)
    drawing.shapes += _notes(performance, frame, prompt_ms)
    if not len(performance):
        drawing.shapes.append(Text(WIDTH / 2, frame.top(0) + frame.row_height / 2, "no notes", 18, colours.QUIET_INK, "middle"))
    if 0 < prompt_ms < performance.duration_ms:
        drawing.shapes += _divider(frame, prompt_ms)
    return drawing


def _frame(performance: Performance) -> Frame:
    duration_ms = max(performance.duration_ms, SHORTEST_ROW_MS)
    if duration_ms <= ONE_ROW_MS:
        tick_ms = tick_spacing_ms(duration_ms)
        row_ms = -(-duration_ms // tick_ms) * tick_ms
    else:
        row_ms = next(row for row in ROW_MS if duration_ms <= MAX_ROWS * row)
    n_rows = -(-duration_ms // row_ms)
    tick_ms = tick_spacing_ms(row_ms)
    pitch = performance.notes["pitch"]
    lowest, highest = (int(pitch.min()) // 12 * 12, -(-int(pitch.max()) // 12) * 12) if len(pitch) else (48, 72)
    if highest - lowest < 24:  # a melody in one octave would look like a wall of bricks
        lowest, highest = max(0, lowest - 12), highest + 12
    key_height = min(11, max(6, 560 // (highest - lowest))) if n_rows == 1 else 5 if n_rows <= 5 else 4 if n_rows <= 10 else 3
    end_ms = -(-duration_ms // tick_ms) * tick_ms
    return Frame(row_ms, n_rows, end_ms, lowest, highest, key_height, PEDAL_HEIGHT + 12 if len(performance.pedals) else 0)


def tick_spacing_ms(row_ms: int) -> int:
    """The smallest usual spacing that leaves room for the labels."""
    fitting = (tick for tick in TICKS_MS if tick * (WIDTH - LEFT - RIGHT) / row_ms >= TICK_SPACING)
    return next(fitting, TICKS_MS[-1])


def clock(ms: int) -> str:
    """61000 -> "1:01"; with hours from one hour on, with tenths where the second is not whole."""
    seconds = ms // 1000
    tenths = f".{ms % 1000 // 100}" if ms % 1000 else ""
    if seconds >= 3600:
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{tenths}"
    return f"{seconds // 60}:{seconds % 60:02d}{tenths}"


def _title(title: str | None) -> str:
    words = " ".join("".join(letter if letter.isprintable() else " " for letter in title or "Piano roll").split())
    return words if len(words) <= MAX_TITLE else words[: MAX_TITLE - 1].rstrip() + "…"


def _description(performance: Performance, prompt_ms: int) -> str:
    n = len(performance)
    parts = [f"{n:,} note{'' if n == 1 else 's'}", clock(performance.duration_ms // 1000 * 1000)]
    if prompt_ms:
        given = int((performance.notes["onset_ms"] < prompt_ms).sum())
        parts.append(f"prompt to {clock(prompt_ms // 1000 * 1000)} ({given:,} notes), then composed")
    return " · ".join(parts)


def _heading(performance: Performance, title: str, prompt_ms: int) -> Iterator[Shape]:
    yield Text(LEFT, 42, title, 24, colours.INK, bold=True)
    yield Text(LEFT, 66, _description(performance, prompt_ms), 14, colours.QUIET_INK)
    ramps = [("prompt", colours.PROMPT), ("composed", colours.COMPOSED)] if prompt_ms else [("", colours.COMPOSED)]
    swatch = 9
    x = WIDTH - RIGHT - 34 - swatch * colours.N_STEPS
    for place, (name, ramp) in enumerate(ramps):
        y = 34 + 22 * place
        yield Text(x - 8, y + 10, "soft", 13, colours.QUIET_INK, "end")
        yield Text(WIDTH - RIGHT, y + 10, "loud", 13, colours.QUIET_INK, "end")
        yield Text(x - 44, y + 10, name, 13, colours.INK, "end")
        for step, colour in enumerate(ramp):
            yield Rect(x + step * swatch, y, swatch, 12, colour)


def _panel(frame: Frame, row: int, prompt_ms: int) -> Iterator[Shape]:
    """A row's ground, its octaves and its times."""
    start_ms, end_ms = row * frame.row_ms, frame.row_end_ms(row)
    top, bottom = frame.top(row), frame.top(row) + frame.row_height
    right = frame.x(end_ms, row)
    yield Rect(LEFT, top, right - LEFT, frame.row_height, colours.PANEL)
    if prompt_ms > start_ms:
        yield Rect(LEFT, top, frame.x(min(prompt_ms, end_ms), row) - LEFT, frame.row_height, colours.PROMPT_PANEL)
    for ms in range(start_ms, end_ms + 1, tick_spacing_ms(frame.row_ms)):
        x = frame.x(ms, row)
        yield Line(x, top, x, bottom, colours.GRID)
        yield Text(x, bottom + frame.pedal_space + 16, clock(ms), 12, colours.QUIET_INK, "middle")
    for pitch in range(frame.lowest, frame.highest + 1, 12):
        y = frame.y(pitch, row) + frame.key_height
        yield Line(LEFT, y, right, y, colours.MIDDLE_C if pitch == 60 else colours.OCTAVE)
        yield Text(LEFT - 8, y + 1, f"C{pitch // 12 - 1}", 12, colours.INK if pitch == 60 else colours.QUIET_INK, "end")
    if frame.pedal_space:
        yield Text(LEFT - 8, bottom + frame.pedal_space - 2, "pedal", 11, colours.QUIET_INK, "end")


def _pedals(performance: Performance, frame: Frame) -> Iterator[Shape]:
    for down_ms, up_ms in performance.pedals.tolist():
        for row, x, width in frame.pieces(down_ms, up_ms):
            # A gap of half a pixel at least: pedals that follow at once stay apart.
            yield Rect(x, frame.top(row) + frame.row_height + 9, max(0.8, width - 1), PEDAL_HEIGHT, colours.PEDAL, "pedal", 2)


def _rings(performance: Performance, frame: Frame, prompt_ms: int) -> Iterator[Shape]:
    """What sounds on after the key is up, until the damper falls or the key is struck again."""
    resolved = sustain(performance).notes  # the same notes in the same order but for strikes of one key at one instant
    until_ms = np.minimum(resolved["offset_ms"], next_onset_ms(resolved))
    rings = until_ms > performance.notes["offset_ms"]
    for (onset_ms, _, pitch, velocity), end_ms in zip(resolved[rings].tolist(), until_ms[rings].tolist(), strict=True):
        ramp = colours.PROMPT_RING if onset_ms < prompt_ms else colours.COMPOSED_RING
        for row, x, width in frame.pieces(onset_ms, end_ms):
            yield Rect(x, frame.y(pitch, row) + frame.key_height / 4, width, frame.key_height / 2, ramp[colours.step_of(velocity)], "ring")


def _notes(performance: Performance, frame: Frame, prompt_ms: int) -> Iterator[Shape]:
    """One rectangle of kind "note" for each note."""
    height = frame.key_height - (1 if frame.key_height > 4 else 0.5)
    for onset_ms, offset_ms, pitch, velocity in performance.notes.tolist():
        ramp = colours.PROMPT if onset_ms < prompt_ms else colours.COMPOSED
        for place, (row, x, width) in enumerate(frame.pieces(onset_ms, offset_ms)):
            kind = "tie" if place else "note"
            visible = max(2.0, width - 0.5)  # a repeated key leaves a gap
            yield Rect(x, frame.y(pitch, row), visible, height, ramp[colours.step_of(velocity)], kind, min(2, height / 2, visible / 2))


def _divider(frame: Frame, prompt_ms: int) -> Iterator[Shape]:
    row = prompt_ms // frame.row_ms
    x, top = frame.x(prompt_ms, row), frame.top(row)
    yield Line(x, top - 16, x, top + frame.row_height, colours.DIVIDER, 2)
    yield Text(x - 8, top - 6, "prompt", 13, colours.DIVIDER, "end", bold=True)
    yield Text(x + 8, top - 6, "composed", 13, colours.DIVIDER, "start", bold=True)
