"""Any folder or zip with MIDI files in it, however deep."""

from __future__ import annotations

from pathlib import PurePosixPath

from preludio.corpus.archive import Place
from preludio.corpus.entry import Entry
from preludio.errors import PreludioError
from preludio.midi import MAX_BYTES, read_midi
from preludio.performance import Performance

MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi")
ARCHIVE_SUFFIXES = (".zip", ".rar", ".7z", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


class FolderSource:
    """MIDI files of which only the names are known; without splits."""

    kind = "folder"

    def __init__(self, place: Place) -> None:
        self.place = place

    def entries(self) -> list[Entry]:
        """One for each `.mid`, `.midi`, `.kar` or `.rmi`, in capitals or not, sorted by name; and one for each archive in it.

        Archives are not opened, but a report shall name them: there may be music in them.
        """
        names = [name for name in self.place.names() if name.lower().endswith(MIDI_SUFFIXES + ARCHIVE_SUFFIXES)]
        return [Entry(self.kind, name, title=PurePosixPath(name).stem) for name in names]

    def read(self, entry: Entry) -> Performance:
        """As `Source`; warns as `read_midi`."""
        if entry.name.lower().endswith(ARCHIVE_SUFFIXES):
            raise PreludioError(f"{self.place.path}: {entry.name}: archive inside: it is not opened; unpack it, or name it as a source")
        return read_performance(self.place, entry.name)


def midi_names(place: Place) -> list[str]:
    """The names that MIDI files have, whatever lies behind them."""
    return [name for name in place.names() if name.lower().endswith(MIDI_SUFFIXES)]


def read_performance(place: Place, name: str) -> Performance:
    """A MIDI file of a place; what `read_midi` says of it names the place and the file."""
    return read_midi(place.read(name, MAX_BYTES), f"{place.path}: {name}")
