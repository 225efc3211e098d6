"""MAESTRO (Hawthorne et al. 2019), versions 1 to 3, official folder or zip: the splits that its table names. Never a random split."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from preludio.corpus.archive import Place, open_place, printable
from preludio.corpus.entry import Entry
from preludio.corpus.folder import MIDI_SUFFIXES, midi_names, read_performance
from preludio.errors import PreludioError, PreludioWarning
from preludio.performance import Performance
from preludio.tokens import Ids, encode

SPLITS = ("train", "validation", "test")
MAX_TABLE_BYTES = 2**26  # version 3's json, the largest, has 0.4 MB

_TABLE = re.compile(r"(?:.*/)?maestro-v\d+(?:\.\d+)*\.(csv|json)")

Row = dict[str, Any]


class MaestroSource:
    """The performances that the table names, in its order, then the MIDI files that it does not name."""

    kind = "maestro"

    def __init__(self, place: Place, table: str) -> None:
        """`table` is the name of the csv or json; the files' names are relative to its folder."""
        self.place = place
        self.table = table

    @property
    def _root(self) -> str:
        return self.table.rpartition("/")[0] + "/" if "/" in self.table else ""

    def entries(self) -> list[Entry]:
        """As `Source`. A file that the table names is an entry even if it is missing, and so is one that it does not name (with no split).

        Warns:
            PreludioWarning: how many are missing, in each split, and how many are not named.
        """
        entries = [_entry(row, f"{self.place.path}: {self.table}") for row in self._rows()]
        twice = [name for name, n in Counter(entry.name for entry in entries).items() if n > 1]
        if twice or not entries:
            fault = f"names {twice[0]} twice" if twice else "names no performance"
            raise PreludioError(f"{self.place.path}: {self.table} {fault}; get the official one")
        here = dict.fromkeys(name.removeprefix(self._root) for name in midi_names(self.place))
        named = {entry.name for entry in entries}
        unnamed = [Entry(self.kind, name, title=PurePosixPath(name).stem) for name in here if name not in named]
        self._warn(entries, here, len(unnamed))
        return entries + unnamed

    def read(self, entry: Entry) -> Performance:
        """As `Source`. A file that the table does not name is refused: nobody knows its split."""
        if entry.split is None:
            where = f"{self.place.path}: {self._root}{entry.name}"
            raise PreludioError(f"its split is unknown, {self.table} does not name it; put it into a folder of its own to use it", where)
        return read_performance(self.place, self._root + entry.name)

    def _rows(self) -> list[Row]:
        where = f"{self.place.path}: {self.table}"
        try:
            text = self.place.read(self.table, MAX_TABLE_BYTES).decode("utf-8-sig")
            rows = _json_rows(json.loads(text)) if self.table.endswith(".json") else list(csv.DictReader(io.StringIO(text, newline="")))
        except (ValueError, csv.Error, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
            raise PreludioError(f"{where}: damaged ({error}); get the official one") from None
        return rows

    def _warn(self, entries: list[Entry], here: dict[str, None], n_unnamed: int) -> None:
        missing = Counter(entry.split for entry in entries if entry.name not in here)
        of = Counter(entry.split for entry in entries)
        said = [f"{missing[split]:,} of {of[split]:,} {split} files are missing" for split in SPLITS if missing[split]]
        if n_unnamed:
            said.append(f"{n_unnamed:,} MIDI files are not named by {self.table} and left out")
        if said:
            warnings.warn(f"{self.place.path}: {'; '.join(said)}", PreludioWarning, stacklevel=3)


def find_maestro(place: Place) -> MaestroSource | None:
    """MAESTRO if this is its folder or zip, or if nothing else lies in it.

    Raises:
        PreludioError: it is there beside other music: as a plain folder it would lose its splits.
    """
    tables = sorted(name for name in place.names() if _TABLE.fullmatch(name))  # csv before json
    if not tables:
        return None
    roots = {table.rpartition("/")[0] for table in tables}
    root = tables[0].rpartition("/")[0]
    outside = [name for name in midi_names(place) if not name.startswith(root + "/")] if root else []
    if outside or len(roots) > 1:
        raise PreludioError(f"{place.path}: holds MAESTRO ({printable(tables[0])}) beside other music; name each folder by itself")
    return MaestroSource(place, tables[0])


def _json_rows(table: Any) -> list[Row]:
    """Versions 1 and 2 list the rows; version 3 lists the columns, each {"0": ..., "1": ...}."""
    if isinstance(table, list) and all(isinstance(row, dict) for row in table):
        return table
    if isinstance(table, dict) and table and all(isinstance(column, dict) for column in table.values()):
        keys = dict.fromkeys(key for column in table.values() for key in column)
        return [{name: column.get(key) for name, column in table.items()} for key in keys]
    raise ValueError("neither rows nor columns")


def _entry(row: Row, where: str) -> Entry:
    name, split = row.get("midi_filename"), row.get("split")
    if not isinstance(name, str) or not name.lower().endswith(MIDI_SUFFIXES):
        raise PreludioError(f"{where}: a row without a MIDI file's name; get the official one")
    if split not in SPLITS:
        raise PreludioError(f"{where}: {printable(name)} has the split {split!r}, not one of {', '.join(SPLITS)}; get the official one")
    composer, title, year = (str(row.get(key) or "") for key in ("canonical_composer", "canonical_title", "year"))
    in_digits = year.isascii() and year.isdigit() and len(year) == 4
    return Entry("maestro", printable(name), split, composer, title, int(year) if in_digits else None)


def midi_files(maestro: Path, split: str) -> list[str]:
    """The names of an official split's files ("train", "validation" or "test") that are here, in the table's order.

    Warns:
        PreludioWarning: the table names files that are missing; says how many.

    Raises:
        PreludioError: there is no MAESTRO, or no such split.
    """
    return [entry.name for entry in _split(_opened(maestro), split)]


def encoded_split(maestro: Path, split: str) -> Iterator[Ids]:
    """The ids of each performance of a split, without START and END; raises and warns as `midi_files` and `read_midi`."""
    source = _opened(maestro)
    return (encode(source.read(entry)) for entry in _split(source, split))


def _opened(path: Path) -> MaestroSource:
    source = find_maestro(open_place(path))
    if source is None:
        raise PreludioError(f"{path}: no MAESTRO there (no maestro-v3.0.0.csv or its like); name its folder or zip")
    return source


def _split(source: MaestroSource, split: str) -> list[Entry]:
    if split not in SPLITS:
        raise PreludioError(f"{source.place.path}: no split {split!r}; choose {', '.join(SPLITS)}")
    here: Callable[[str], bool] = {name.removeprefix(source._root) for name in midi_names(source.place)}.__contains__
    return [entry for entry in source.entries() if entry.split == split and here(entry.name)]
