"""One performance that a source offers, before it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from preludio.performance import Performance


@dataclass(frozen=True)
class Entry:
    """What is known of a performance from its source's tables and file names alone."""

    source: str  # "maestro", "giantmidi", "folder" or "npz"
    name: str  # its path inside the source, with forward slashes; unique there and stable
    split: str | None = None  # the source's official split: "train", "validation" or "test"; None where it has none
    composer: str = ""  # "" where unknown
    title: str = ""  # the work's, as the source spells it; for a plain folder the file's stem
    year: int | None = None  # of the performance


class Source(Protocol):
    """A place that holds performances. Picklable, so that several processes can read from it."""

    kind: str

    def entries(self) -> list[Entry]:
        """Everything the source names, in a fixed order, whether it can be read or not.

        Raises:
            PreludioError: the source itself is missing or is not what it says.
        """

    def read(self, entry: Entry) -> Performance:
        """One performance.

        Raises:
            PreludioError: it is missing, damaged or hostile; one line.
        """
