"""What SQLite's faults mean to whoever keeps pieces, and what they can do about them."""

from __future__ import annotations

import sqlite3
from enum import StrEnum


class Ailment(StrEnum):
    """Also the API's codes."""

    DISK_FULL = "disk_full"
    LOCKED = "locked"
    DAMAGED = "damaged"
    CANNOT_KEEP = "cannot_keep"


_OF_CODE = {
    sqlite3.SQLITE_FULL: Ailment.DISK_FULL,
    sqlite3.SQLITE_BUSY: Ailment.LOCKED,
    sqlite3.SQLITE_LOCKED: Ailment.LOCKED,
    sqlite3.SQLITE_CORRUPT: Ailment.DAMAGED,
    sqlite3.SQLITE_NOTADB: Ailment.DAMAGED,
}
REMEDIES = {
    Ailment.DISK_FULL: "the disk is full: free some space",
    Ailment.LOCKED: "another program holds the file: close that one, then try again",
    Ailment.DAMAGED: "the file is damaged or of another program, and stays as it is: move it away, or choose another folder with --data",
    Ailment.CANNOT_KEEP: "see whether the disk is full and the folder can be written, or choose another folder with --data",
}


def ailment_of(error: sqlite3.Error) -> Ailment:
    """By the primary result code, the lowest byte (https://sqlite.org/rescode.html)."""
    return _OF_CODE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, Ailment.CANNOT_KEEP)
