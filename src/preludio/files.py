"""Writing files whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from preludio.errors import OutputError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a path beside `path` to write to; on leaving it is renamed into place, on any exception it is removed.

    Missing parent folders are made, and removed again if nothing came of it. A symbolic link stays: what it points to is replaced.

    Raises:
        OutputError: the place cannot be written; the text names it, the fault and the remedy.
    """
    with _beside(path) as (beside, target):
        yield beside
        _sync(beside)
        beside.replace(target)


@contextmanager
def unfinished(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a new empty file beside `path`; on leaving it is removed, unless `place` has put it somewhere.

    Raises:
        OutputError: as `replacing`.
    """
    with _beside(path) as (beside, _):
        yield beside


def place(files: Mapping[Path, Path], may_replace: Callable[[Path], bool]) -> bool:
    """Renames each finished file to its place, all or none; False, and nothing done, if a place is taken.

    A place is taken by anything, a folder or a broken link too, unless `may_replace` says that it may be replaced. What is free is
    reserved by creating it, which only one of several programs can: none replaces the other's files.
    """
    reserved: list[Path] = []
    try:
        for target in files.values():
            if not (os.path.lexists(target) and may_replace(target)):
                os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
                reserved.append(target)
        for source, target in files.items():
            _sync(source)
            source.replace(target)
    except BaseException as error:
        _clear_empty(reserved)
        if isinstance(error, FileExistsError):
            return False
        raise
    return True


def _clear_empty(reserved: Iterable[Path]) -> None:
    for path in reserved:
        with suppress(OSError):
            if not path.stat().st_size:
                path.unlink()


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes `data` to `path`: afterwards the file is the old one or the new one, never a part.

    Raises:
        OutputError: as `replacing`.
    """
    with replacing(path) as beside:
        beside.write_bytes(data)


def require_writable(path: str | os.PathLike[str]) -> None:
    """Tries whether `path` could be written, and leaves everything as it is.

    Raises:
        OutputError: as `replacing`.
    """
    with _beside(path):
        pass


@contextmanager
def _beside(path: str | os.PathLike[str]) -> Iterator[tuple[Path, Path]]:
    """A new empty file beside the target, and the target; if it was not renamed it is gone at the end, with the folders made for it."""
    try:
        target = _target(path)
        beside = target.with_name(f".{target.stem[:16]}.{secrets.token_hex(6)}{target.suffix[:16]}")  # short: names have 255 bytes
        new_folders = [folder for folder in target.parents if not folder.exists()]
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            beside.touch(mode=0o666, exist_ok=False)  # less the umask
            with suppress(FileNotFoundError):
                target.lstat()  # a name that is too long for the file system fails here
            yield beside, target
        except OutputError as error:  # of a writer that knows only the file beside
            raise OutputError(str(error).replace(str(beside), os.fspath(path))) from error
        finally:
            _clear(beside, new_folders)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another place or free some space") from error


def _target(path: str | os.PathLike[str]) -> Path:
    """Where the file is to lie, links followed; refuses what a rename would destroy."""
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder; name a file")
        if target.exists() and not target.is_file():
            raise OutputError(f"cannot write {path}: it is a device or a pipe; name a file")
    except ValueError as error:  # a null character
        raise OutputError(f"cannot write {str(path)!r}: {error}; choose another name") from None
    return target


def _sync(file: Path) -> None:
    """Has the disk take the bytes, so that a full one is noticed now and a power cut leaves the old file or the new."""
    handle = os.open(file, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _clear(file: Path, folders: Iterable[Path]) -> None:
    """Removes the file if it is there, and the folders, innermost first, that are empty."""
    with suppress(OSError):
        file.unlink()
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()
