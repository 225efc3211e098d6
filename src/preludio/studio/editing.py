"""Single notes of a piece deleted or moved by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preludio.studio.house import Refused
from preludio.studio.music import Music, Parts, pack
from preludio.studio.store import Changed
from preludio.studio.wishes import NoteEdit

Row = tuple[int, int, int, int]


def edited(music: Music, changes: Sequence[NoteEdit]) -> Music:
    """Return the music with those notes deleted or moved; who made a note does not change with its place.

    Raises:
        Changed: one of the notes is not there.
        Refused: no note would be left.
    """
    rows: list[Row | None] = [(int(row[0]), int(row[1]), int(row[2]), int(row[3])) for row in music.notes.tolist()]
    places: dict[Row, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row, []).append(place)  # type: ignore[arg-type]
    for change in changes:
        if not places.get(change.note):
            raise Changed
        rows[places[change.note].pop()] = change.to
    left = [place for place, row in enumerate(rows) if row is not None]
    if not left:
        raise Refused(422, "last_note", "a piece has at least one note: delete the piece instead")
    parts: Parts = music.parts[np.array(left)]
    return Music(pack([row for row in rows if row is not None]), parts, music.pedals)
