"""Where pieces are kept: one SQLite file in the user's data folder.

A piece is a tree of versions and a head; undo moves the head to the version that it came from, redo back. A version is never changed but
by notes that are added at its end, each as it is shown, so that whatever ends the program, nothing that was shown is lost.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import sys
import threading
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from preludio.errors import OutputError
from preludio.performance import NOTE, Notes
from preludio.studio.music import Music, Parts, count_and_end_ms, no_notes
from preludio.studio.storage_errors import REMEDIES, StorageErrorCode, storage_error_code

KEEP_DELETED_DAYS = 30
EMPTY_HOURS = 24  # after which a piece without a note is of nobody who still composes
LOCKED_SECONDS = 10.0  # how long one studio waits for another that writes to the same file

INITIAL_SCHEMA = """
CREATE TABLE pieces (
  number INTEGER PRIMARY KEY AUTOINCREMENT, -- "Prelude No. 7"
  id TEXT NOT NULL UNIQUE,                  -- in links: not to be guessed
  title TEXT NOT NULL DEFAULT '',
  starred INTEGER NOT NULL DEFAULT 0,
  created_ms INTEGER NOT NULL,
  changed_ms INTEGER NOT NULL,
  deleted_ms INTEGER,
  head INTEGER,
  choosing TEXT NOT NULL DEFAULT '[]'       -- the takes of which one is to be kept
);
CREATE TABLE versions (
  id INTEGER PRIMARY KEY,
  piece INTEGER NOT NULL REFERENCES pieces (number) ON DELETE CASCADE,
  parent INTEGER,                           -- what undo goes back to
  next INTEGER,                             -- what redo goes on to
  kind TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  from_ms INTEGER NOT NULL,                 -- where it departs from its parent
  prompt_ms INTEGER NOT NULL,               -- up to where all is a person's
  wishes TEXT NOT NULL,
  finished INTEGER NOT NULL,
  n_notes INTEGER NOT NULL DEFAULT 0,
  end_ms INTEGER NOT NULL DEFAULT 0,
  pedals BLOB NOT NULL DEFAULT x''
);
CREATE INDEX versions_of ON versions (piece);
CREATE TABLE notes (
  version INTEGER NOT NULL REFERENCES versions (id) ON DELETE CASCADE,
  place INTEGER NOT NULL,                   -- of the first of these notes in the version
  notes BLOB NOT NULL,                      -- preludio.performance.NOTE
  parts BLOB NOT NULL,
  PRIMARY KEY (version, place)
) WITHOUT ROWID;
"""
# Whoever begins a piece may name a key, should they ask twice.
ADD_KEYS = """
ALTER TABLE pieces ADD COLUMN key TEXT;
CREATE UNIQUE INDEX pieces_by_key ON pieces (key);
"""
SCHEMAS = (INITIAL_SCHEMA, ADD_KEYS)  # what each version of the file adds to the one before; a file's version is how many of them it has

PIECE_FIELDS = """number, pieces.id AS id, title, starred, pieces.created_ms AS created_ms, changed_ms, head, choosing, next, parent, kind,
  coalesce(n_notes, 0) AS n_notes, coalesce(end_ms, 0) AS end_ms, coalesce(finished, 1) AS finished"""
VERSION_FIELDS = "id, parent, kind, created_ms, from_ms, prompt_ms, wishes AS options, finished, n_notes, end_ms"


class NotFound(LookupError):
    """A piece or a version that is not there, or no longer."""


class EditConflict(Exception):
    """The piece is not as the one who wants to change it has seen it."""


@dataclass(frozen=True)
class NewVersion:
    """What a piece becomes next."""

    kind: str  # compose, again, midi, theme, played or duet
    music: Music = field(default_factory=Music)
    from_ms: int = 0  # where it departs from the version before
    prompt_ms: int = 0  # up to where all is a person's
    options: dict[str, Any] | None = None  # how it is composed
    finished: bool = True


def data_folder() -> Path:
    """Where this user's programs keep their data: what the XDG specification, Apple's and Microsoft's guidelines say."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "preludio"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "preludio"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "preludio"


class Store:
    """All pieces. Safe to share between threads; several programs may open the same file."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it.

        Raises:
            OutputError: it cannot be opened, or is no such file.
        """
        self.path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=LOCKED_SECONDS, isolation_level=None, check_same_thread=False)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            remedy = REMEDIES[storage_error_code(error) if isinstance(error, sqlite3.Error) else StorageErrorCode.CANNOT_SAVE]
            raise OutputError(f"cannot keep pieces in {path} ({error}): {remedy}") from None

    def _prepare(self) -> None:
        connection = self._connection
        connection.row_factory = sqlite3.Row
        connection.create_function("folded", 1, folded, deterministic=True)
        (health,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if health != "ok":
            raise OutputError(f"cannot keep pieces in {self.path} ({health}): {REMEDIES[StorageErrorCode.DAMAGED]}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a killed program loses nothing
        connection.execute("PRAGMA foreign_keys = ON")
        with self.writing():
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found > len(SCHEMAS):
                raise OutputError(f"{self.path} was written by a newer Preludio: install that one, or choose another folder with --data")
            if found < len(SCHEMAS):
                for statement in "".join(SCHEMAS[found:]).split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {len(SCHEMAS)}")
            long_ago_ms = now_ms() - KEEP_DELETED_DAYS * 24 * 3600 * 1000
            connection.execute("DELETE FROM pieces WHERE deleted_ms < ?", (long_ago_ms,))
            silent = "NOT EXISTS (SELECT 1 FROM versions WHERE piece = number AND n_notes > 0)"  # killed before their first note
            connection.execute(f"DELETE FROM pieces WHERE created_ms < ? AND {silent}", (now_ms() - EMPTY_HOURS * 3_600_000,))

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or nothing. What is written within another one is a part of that."""
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def _row(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Row:
        rows = self._rows(query, values)
        if not rows:
            raise NotFound
        return rows[0]

    # Pieces

    def begin(self, new: NewVersion, title: str = "", key: str | None = None) -> str:
        """A new piece with its first version; its id. Whoever asks with a key that was given before is answered the piece of then."""
        with self.writing() as connection:
            known = connection.execute("SELECT id FROM pieces WHERE key = ?", (key,)).fetchone()
            if known is not None:
                return str(known["id"])
            piece = self.create(title)
            self.set_head(piece, self.add_version(piece, new))
            connection.execute("UPDATE pieces SET key = ? WHERE id = ?", (key, piece))
        return piece

    def create(self, title: str = "") -> str:
        """A new piece without music; its id."""
        piece = secrets.token_urlsafe(9)
        with self.writing() as connection:
            connection.execute(
                "INSERT INTO pieces (id, title, created_ms, changed_ms) VALUES (?, ?, ?, ?)", (piece, title, now_ms(), now_ms())
            )
        return piece

    def piece(self, piece: str) -> dict[str, Any]:
        """Raises `NotFound` if it is not there, or deleted."""
        query = f"SELECT {PIECE_FIELDS} FROM pieces LEFT JOIN versions ON versions.id = head WHERE pieces.id = ? AND deleted_ms IS NULL"
        return _described(self._row(query, (piece,)))

    def require_match(self, piece: str, if_match: str | None) -> None:
        """Raises `EditConflict` if the piece is no longer as it was seen (its `etag`); None expects nothing.

        Together with the change itself in one `writing`: otherwise another may be there first.
        """
        if if_match not in (None, self.piece(piece)["etag"]):
            raise EditConflict

    def pieces(self, search: str = "", starred: bool = False, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        """Those with music, the latest first; `search` looks in titles, whatever the case and the accents, and for a number."""
        query = f"""SELECT {PIECE_FIELDS} FROM pieces
          JOIN versions ON versions.id = coalesce(head, (SELECT min(id) FROM versions WHERE piece = number AND n_notes > 0))
          WHERE deleted_ms IS NULL AND n_notes > 0 AND starred >= ? AND (instr(folded(title), folded(?)) OR (title = '' AND number = ?))
          ORDER BY changed_ms DESC, number DESC LIMIT ? OFFSET ?"""
        digits = "".join(character for character in search if character in "0123456789")[:9]
        return [_described(row) for row in self._rows(query, (int(starred), search, int(digits or 0), limit, offset))]

    def change(self, piece: str, **changes: Any) -> None:
        """Sets title or starred."""
        assert changes.keys() <= {"title", "starred"}
        self._update(piece, **changes)

    def delete(self, piece: str) -> None:
        """Can be restored for `KEEP_DELETED_DAYS`."""
        self.piece(piece)
        self._update(piece, deleted_ms=now_ms())

    def restore(self, piece: str) -> None:
        self._update(piece, deleted_ms=None)

    def discard(self, piece: str) -> None:
        """For good: a piece that never had a note."""
        with self.writing() as connection:
            connection.execute("DELETE FROM pieces WHERE id = ?", (piece,))

    def _update(self, piece: str, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        with self.writing() as connection:
            if not connection.execute(f"UPDATE pieces SET {columns} WHERE id = ?", (*values.values(), piece)).rowcount:
                raise NotFound

    # Versions

    def add_version(self, piece: str, new: NewVersion) -> int:
        """A new version that comes from the head, which stays where it is; its id."""
        with self.writing() as connection:
            row = connection.execute("SELECT number, head FROM pieces WHERE id = ?", (piece,)).fetchone()
            if row is None:
                raise NotFound
            where = row["number"], row["head"]
            what = new.kind, now_ms(), new.from_ms, new.prompt_ms, json.dumps(new.options), new.finished, _pedals_of(new.music)
            columns = "piece, parent, kind, created_ms, from_ms, prompt_ms, wishes, finished, pedals"
            version = connection.execute(f"INSERT INTO versions ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", where + what).lastrowid
            assert version is not None
            self._append(connection, version, 0, new.music.notes, new.music.parts)
        return version

    def set_head(self, piece: str, version: int | None) -> None:
        """Goes to a version of this piece; its parent's redo leads here from now on. Nothing is left to choose."""
        with self.writing() as connection:
            if version is not None:
                query = "SELECT parent FROM versions JOIN pieces ON piece = number WHERE versions.id = ? AND pieces.id = ?"
                row = connection.execute(query, (version, piece)).fetchone()
                if row is None:
                    raise NotFound
                connection.execute("UPDATE versions SET next = ? WHERE id = ?", (version, row["parent"]))
            connection.execute("UPDATE pieces SET head = ?, choosing = '[]', changed_ms = ? WHERE id = ?", (version, now_ms(), piece))

    def redo_target(self, piece: str) -> int | None:
        """Where redo leads."""
        query = "SELECT next FROM pieces LEFT JOIN versions ON versions.id = head WHERE pieces.id = ? AND deleted_ms IS NULL"
        redo_target: int | None = self._row(query, (piece,))["next"]
        return redo_target

    def set_choosing(self, piece: str, versions: Sequence[int]) -> None:
        self._update(piece, choosing=json.dumps(list(versions)), changed_ms=now_ms())

    def drop_version(self, version: int) -> None:
        """For good: one that came to nothing."""
        with self.writing() as connection:
            connection.execute("UPDATE versions SET next = NULL WHERE next = ?", (version,))
            parent = "(SELECT parent FROM versions WHERE id = :version)"
            connection.execute(f"UPDATE versions SET parent = {parent} WHERE parent = :version", {"version": version})
            connection.execute("DELETE FROM versions WHERE id = ?", (version,))

    def finish(self, versions: Sequence[int]) -> None:
        with self.writing() as connection:
            connection.executemany("UPDATE versions SET finished = 1 WHERE id = ?", [(version,) for version in versions])

    def version(self, piece: str, version: int) -> dict[str, Any]:
        """Raises `NotFound` if it is not one of this piece."""
        fields = ", ".join(f"versions.{name.strip()}" for name in VERSION_FIELDS.split(","))
        query = (
            f"SELECT {fields} FROM versions JOIN pieces ON piece = number WHERE versions.id = ? AND pieces.id = ? AND deleted_ms IS NULL"
        )
        return _version_described(self._row(query, (version, piece)))

    def history(self, piece: str) -> list[dict[str, Any]]:
        """All versions of a piece, the oldest first."""
        query = f"SELECT {VERSION_FIELDS} FROM versions WHERE piece = (SELECT number FROM pieces WHERE id = ?) ORDER BY id"
        return [_version_described(row) for row in self._rows(query, (piece,))]

    # Notes

    def append(self, version: int, notes: Notes, parts: Parts, place: int | None = None) -> int:
        """Adds notes at the end; how many there are then. With `place`, those that are there already are passed over.

        So whoever does not know whether their notes arrived sends them again.
        """
        with self.writing() as connection:
            row = connection.execute("SELECT n_notes FROM versions WHERE id = ?", (version,)).fetchone()
            if row is None or (place or 0) > row["n_notes"]:
                raise NotFound
            known = 0 if place is None else row["n_notes"] - place
            return self._append(connection, version, row["n_notes"], notes[known:], parts[known:])

    @staticmethod
    def _append(connection: sqlite3.Connection, version: int, place: int, notes: Notes, parts: Parts) -> int:
        if len(notes):
            row = version, place, notes.astype(NOTE).tobytes(), parts.astype(np.uint8).tobytes()
            connection.execute("INSERT INTO notes (version, place, notes, parts) VALUES (?, ?, ?, ?)", row)
            n_notes, end_ms = count_and_end_ms(notes)
            query = "UPDATE versions SET n_notes = n_notes + ?, end_ms = max(end_ms, ?) WHERE id = ?"
            connection.execute(query, (n_notes, end_ms, version))
            query = "UPDATE pieces SET changed_ms = ? WHERE number = (SELECT piece FROM versions WHERE id = ?)"
            connection.execute(query, (now_ms(), version))
        return place + len(notes)

    def music(self, version: int | None) -> Music:
        """A version's music; None for none."""
        if version is None:
            return Music()
        pedals = np.frombuffer(self._row("SELECT pedals FROM versions WHERE id = ?", (version,))[0], dtype="<i4").reshape(-1, 2)
        rows = self._rows("SELECT notes, parts FROM notes WHERE version = ? ORDER BY place", (version,))
        notes = [np.frombuffer(row["notes"], dtype=NOTE) for row in rows]
        parts = [np.frombuffer(row["parts"], dtype=np.uint8) for row in rows]
        return Music(np.concatenate([no_notes(), *notes]), np.concatenate([np.empty(0, np.uint8), *parts]), pedals)


def _pedals_of(music: Music) -> bytes:
    return music.pedals.astype("<i4").tobytes()


def _described(row: sqlite3.Row) -> dict[str, Any]:
    choosing = json.loads(row["choosing"])
    names = ("id", "number", "title", "created_ms", "changed_ms", "head", "kind", "n_notes", "end_ms")
    fields = {name: row[name] for name in names} | {"starred": bool(row["starred"]), "finished": bool(row["finished"])}
    fields["etag"] = ".".join(str(version) for version in [row["head"] or 0, *choosing])
    return fields | {"choosing": choosing, "can_undo": row["parent"] is not None or bool(choosing), "can_redo": row["next"] is not None}


def _version_described(row: sqlite3.Row) -> dict[str, Any]:
    return dict(row) | {"options": json.loads(row["options"]), "finished": bool(row["finished"])}


def folded(text: str) -> str:
    """Without case and accents, for searching."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def now_ms() -> int:
    return time.time_ns() // 1_000_000
