"""Token files of earlier systems (`notes_train.npz`): arrays of ids of the 388 events, read without unpickling anything.

The Keras example writes one array for each piece (`np.savez(file, *pieces)`). Others padded the pieces to one table or put them end to end.
A list of unequal arrays, which NumPy stores as a pickle, is refused.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import tokenize
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.corpus.archive import Zip
from preludio.corpus.entry import Entry
from preludio.errors import PreludioError
from preludio.files import replacing
from preludio.performance import Performance
from preludio.tokens import PAD, VOCAB_SIZE, Ids, decode

MAX_ARRAY_BYTES = 2**29  # MAESTRO's 23 million ids as int64 are 184 MB
MAX_PIECES = 1_000_000  # in one array

_SPLIT_WORDS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_REMEDY = "write it again as one array of whole numbers for each piece: np.savez(file, *pieces)"

Array = npt.NDArray[Any]


class NpzSource:
    """Pieces as ids. The split is the file's or its folder's name: `notes_train.npz`, `val/notes.npz`; None if neither says one."""

    kind = "npz"

    def __init__(self, place: Zip) -> None:
        self.place = place
        self._last: tuple[str, list[Ids]] | None = None  # the array read last

    def __getstate__(self) -> dict[str, Any]:
        return {"place": self.place, "_last": None}

    def entries(self) -> list[Entry]:
        """One for each piece: an array's name, with the piece's number if there are several in it. An array that cannot be read is one."""
        split = _split(self.place.path)
        return [Entry(self.kind, name, split) for member in sorted(self.place.names(), key=_numbers_in) for name in self._names(member)]

    def read(self, entry: Entry) -> Performance:
        """As `Source`: ids as they are, repaired where they are not canonical."""
        whole = f"{entry.name}.npy" in self.place.names()
        key, _, number = (entry.name, "", "") if whole else entry.name.rpartition("#")
        pieces = self._pieces(f"{key}.npy")
        if number and not (number.isdecimal() and 0 < int(number) <= len(pieces)):
            raise PreludioError("no such piece; the file has changed: begin anew", f"{self.place.path}: {entry.name}")
        return decode(pieces[int(number or 1) - 1] if pieces else [])

    def _names(self, member: str) -> list[str]:
        key = member.removesuffix(".npy")
        try:
            n = len(self._pieces(member))
        except PreludioError:  # said when it is read
            n = 1
        return [key] if n < 2 else [f"{key}#{i}" for i in range(1, n + 1)]

    def _pieces(self, member: str) -> list[Ids]:
        if self._last is None or self._last[0] != member:
            try:
                self._last = member, _pieces(self.place.read(member, MAX_ARRAY_BYTES))
            except ValueError as error:
                raise PreludioError(f"{error}; {_REMEDY}", f"{self.place.path}: {member}") from None
        return self._last[1]


def find_npz(place: object) -> NpzSource | None:
    """A token file: a zip in which everything is an array."""
    names = place.names() if isinstance(place, Zip) else []
    return NpzSource(place) if isinstance(place, Zip) and names and all(name.endswith(".npy") for name in names) else None


def write_npz(path: str | os.PathLike[str], pieces: Iterable[Ids]) -> int:
    """Writes pieces of ids as the Keras example does, one array each (`arr_0`, `arr_1` ...), and returns how many.

    The same pieces give the same bytes. The file appears whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    n = 0
    with replacing(path) as beside, zipfile.ZipFile(beside, "w") as archive:
        for n, piece in enumerate(pieces, 1):
            member = zipfile.ZipInfo(f"arr_{n - 1}.npy")  # dated 1980, always
            member.create_system = 3  # else it tells on which system it was made
            stream = io.BytesIO()
            np.lib.format.write_array(stream, np.asarray(piece, dtype=np.uint16), version=(1, 0))
            archive.writestr(member, stream.getvalue())
    return n


def _split(path: Path) -> str | None:
    for name in (path.stem, path.parent.name):
        words = [word for word in re.split(r"[^a-z]+", name.lower()) if word in _SPLIT_WORDS]
        if words:
            return _SPLIT_WORDS[words[-1]]
    return None


def _numbers_in(name: str) -> list[tuple[int, str]]:
    """A key that sorts arr_10 after arr_9."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]{1,15})", name)]


def _pieces(data: bytes) -> list[Ids]:
    """What a `.npy` file holds. All that is wrong with it is a ValueError of one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in damaged text
            pieces = (piece for row in _rows(data) for piece in _split_at_specials(_checked(row)))
            result = list(itertools.islice(pieces, MAX_PIECES + 1))
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError, MemoryError, SyntaxError, tokenize.TokenError) as error:
        raise ValueError((str(error) or type(error).__name__).splitlines()[0]) from None
    if len(result) > MAX_PIECES:
        raise ValueError(f"more than {MAX_PIECES:,} pieces")
    return result


def _rows(data: bytes) -> Iterator[Array]:
    """The arrays in a `.npy` file: one, or the rows of a table."""
    array = _array(data)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"holds {array.dtype}, not whole numbers")
    if array.ndim not in (1, 2):
        raise ValueError(f"has the shape {array.shape}, not that of a list or a table")
    if array.ndim == 2 and len(array) > MAX_PIECES:
        raise ValueError(f"more than {MAX_PIECES:,} pieces")
    if array.size:
        yield from np.atleast_2d(array)


def _array(data: bytes) -> Array:
    try:
        array: Array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except ValueError as error:
        if str(error).startswith("Object arrays"):
            raise ValueError("holds Python objects, stored as a pickle, which is never opened") from None
        raise
    return array


def _checked(row: Array) -> Ids:
    if row.size and not 0 <= int(row.min()) <= int(row.max()) < VOCAB_SIZE:
        odd = int(row.min()) if row.min() < 0 else int(row.max())
        raise ValueError(f"holds the id {odd}, and the vocabulary ends at {VOCAB_SIZE - 1}")
    return row.astype(np.uint16)


def _split_at_specials(row: Ids) -> Iterator[Ids]:
    """The pieces between PAD, START and END."""
    is_event = np.concatenate([[False], row < PAD, [False]])
    borders = np.flatnonzero(is_event[1:] != is_event[:-1])
    for begin, end in zip(borders[::2], borders[1::2], strict=True):
        yield row[begin:end]
