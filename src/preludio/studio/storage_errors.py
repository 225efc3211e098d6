"""What SQLite's faults mean to whoever keeps pieces, and what they can do about them."""

from __future__ import annotations

import sqlite3
from enum import StrEnum


class StorageErrorCode(StrEnum):
    """Also the API's codes."""

    DISK_FULL = "disk_full"
    LOCKED = "locked"
    DAMAGED = "damaged"
    CANNOT_SAVE = "cannot_save"


_BY_SQLITE_CODE = {
    sqlite3.SQLITE_FULL: StorageErrorCode.DISK_FULL,
    sqlite3.SQLITE_BUSY: StorageErrorCode.LOCKED,
    sqlite3.SQLITE_LOCKED: StorageErrorCode.LOCKED,
    sqlite3.SQLITE_CORRUPT: StorageErrorCode.DAMAGED,
    sqlite3.SQLITE_NOTADB: StorageErrorCode.DAMAGED,
}
REMEDIES = {
    StorageErrorCode.DISK_FULL: "the disk is full: free some space",
    StorageErrorCode.LOCKED: "another program holds the file: close that one, then try again",
    StorageErrorCode.DAMAGED: "the file is damaged or of another program, and stays as it is: "
    "move it away, or choose another folder with --data",
    StorageErrorCode.CANNOT_SAVE: "see whether the disk is full and the folder can be written, or choose another folder with --data",
}


def storage_error_code(error: sqlite3.Error) -> StorageErrorCode:
    """By the primary result code, the lowest byte (https://sqlite.org/rescode.html)."""
    return _BY_SQLITE_CODE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, StorageErrorCode.CANNOT_SAVE)
