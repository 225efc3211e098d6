"""A path -> what it holds."""

from __future__ import annotations

import os

from preludio.corpus.archive import Folder, open_place
from preludio.corpus.entry import Source
from preludio.corpus.folder import FolderSource, midi_names
from preludio.corpus.giantmidi import find_giantmidi
from preludio.corpus.maestro import find_maestro
from preludio.corpus.npz import find_npz
from preludio.errors import PreludioError


def open_source(path: str | os.PathLike[str], *, curated: bool = False) -> Source:
    """MAESTRO, GiantMIDI-Piano, a token file, or any folder or zip with MIDI files.

    Args:
        path: a folder, a zip or an `.npz`.
        curated: of GiantMIDI-Piano, keep the authors' curated subset.

    Raises:
        PreludioError: there is nothing there, or nothing of these.
    """
    place = open_place(path)
    source = find_npz(place) or find_maestro(place) or find_giantmidi(place, curated)
    if source is not None:
        return source
    if not midi_names(place):
        tokens = next((name for name in place.names() if name.endswith(".npz")), "") if isinstance(place, Folder) else ""
        remedy = f"name the token file itself: {place.path}/{tokens}" if tokens else "name a folder or zip of .mid, .midi, .kar, .rmi files"
        raise PreludioError(f"{place.path}: no MIDI file in it; {remedy}")
    return FolderSource(place)
