"""A piece as the studio keeps and shows it: notes, who made each of them, the pedal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.compose.prompt import prepare
from preludio.errors import RequestError
from preludio.performance import NOTE, STEP_MS, Notes, Pedals, Performance, pack_notes, sounding_until_ms

GIVEN, COMPOSED = 0, 1  # who made a note: a person, or the model

Parts = npt.NDArray[np.uint8]
Row = list[int]
"""[onset_ms, offset_ms, pitch, velocity, until_ms, part]: `until_ms` is when it falls silent, the pedal resolved."""


def no_notes() -> Notes:
    return np.empty(0, dtype=NOTE)


@dataclass(frozen=True)
class Music:
    """Notes in any order; `parts` says of each who made it."""

    notes: Notes = field(default_factory=no_notes)
    parts: Parts = field(default_factory=lambda: np.empty(0, dtype=np.uint8))
    pedals: Pedals = field(default_factory=lambda: np.empty((0, 2), dtype=np.int32))

    @classmethod
    def given(cls, performance: Performance) -> Music:
        """All of it by a person."""
        return cls(performance.notes, np.full(len(performance), GIVEN, dtype=np.uint8), performance.pedals)

    @property
    def performance(self) -> Performance:
        return Performance(self.notes, self.pedals)

    def rows(self) -> list[Row]:
        """For the page, by onset."""
        performance = self.performance
        notes = self.notes
        order = np.lexsort((notes["velocity"], notes["offset_ms"], notes["pitch"], notes["onset_ms"]))  # as Performance sorts
        columns = [performance.notes[name].tolist() for name in NOTE.names or ()]
        columns += [sounding_until_ms(performance).tolist(), self.parts[order].tolist()]
        return [list(row) for row in zip(*columns, strict=True)]


def pack(rows: list[tuple[int, int, int, int]]) -> Notes:
    """(onset_ms, offset_ms, pitch, velocity) rows as one array."""
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return pack_notes(*columns)


class Strikes:
    """Who made the note that a key began at a time."""

    def __init__(self, music: Music) -> None:
        keys = zip(music.notes["onset_ms"].tolist(), music.notes["pitch"].tolist(), strict=True)
        self._parts = dict(zip(keys, music.parts.tolist(), strict=True))

    def part(self, onset_ms: int, pitch: int) -> int:
        part: int = self._parts.get((onset_ms, pitch), COMPOSED)
        return part


@dataclass(frozen=True)
class Beginning:
    """What a continuation goes on from."""

    prompt: Performance | None
    from_ms: int  # where the invention begins
    kept: Music  # what stays of the music before

    @classmethod
    def of(cls, music: Music, from_ms: int, window: int) -> Beginning:
        """The music up to `from_ms`, as the composer will keep it; from nothing if no note begins before.

        The composer begins at the last event before `from_ms`, which may be a little earlier.
        """
        performance = music.performance
        try:
            prompt = prepare(performance, from_ms / 1000, window)
        except RequestError:
            if (performance.notes["onset_ms"] < from_ms - STEP_MS).any():
                raise  # it is not for want of notes
            return cls(None, 0, Music())
        strikes = Strikes(music)
        notes = prompt.kept.notes
        parts = [strikes.part(int(onset), int(pitch)) for onset, pitch in zip(notes["onset_ms"], notes["pitch"], strict=True)]
        kept = Music(notes, np.array(parts, dtype=np.uint8), prompt.kept.pedals)
        return cls(performance, prompt.cut_step * STEP_MS, kept)


def wire(note: tuple[int, int, int, int], part: int) -> Row:
    """One note that no pedal holds, as a row for the page."""
    onset_ms, offset_ms, pitch, velocity = (int(value) for value in note)
    return [onset_ms, offset_ms, pitch, velocity, offset_ms, part]


def summary(notes: Any) -> tuple[int, int]:
    """(number of notes, when the last of them ends)."""
    return len(notes), int(notes["offset_ms"].max(initial=0))
