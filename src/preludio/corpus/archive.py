"""A folder or a zip as one thing: its names, and the bytes behind a name.

A zip is read member by member and never unpacked to be read, so no name in it can lead outside. Only `unpack` writes, and refuses the
whole archive before it does if anything in it is odd.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import unicodedata
import warnings
import weakref
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from preludio.errors import PreludioError, PreludioWarning

MAX_MEMBERS = 200_000
MAX_DIRECTORY = 32 * 2**20  # bytes of a zip's table of contents, which is read whole
MAX_UNPACKED = 64 * 2**30  # bytes of all members; what is read at once is limited by each reader
MAX_RATIO = 250  # of all members' bytes to the zip's own, beyond `RATIO_FREE`; MIDI is packed 2 to 5 times smaller
RATIO_FREE = 64 * 2**20

_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError, IndexError, OverflowError)
_UTF8_NAME = 0x800  # flag bits of a member (PKWARE APPNOTE 4.4.4)
_ENCRYPTED = 0x1


class Place(Protocol):
    """Where a source's files are. Picklable."""

    path: Path

    def names(self) -> list[str]:
        """Every file's name, with forward slashes: printable, unique, in a fixed order."""

    def read(self, name: str, most: int) -> bytes:
        """The bytes of one file, at most `most`.

        Raises:
            PreludioError: it is missing, larger or cannot be read; one line.
        """


def open_place(path: str | os.PathLike[str]) -> Place:
    """A folder or a zip.

    Raises:
        PreludioError: there is nothing there, or something else.
    """
    try:
        place = Path(path)
        if place.is_dir():
            return Folder(place)
        if place.is_file():
            return Zip(place)
        exists = place.exists()
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise PreludioError(f"{os.fspath(path)!r}: {error}; check the path") from None
    raise PreludioError(f"{place}: neither a folder nor a zip; name one" if exists else f"{place}: no such file or folder; check the path")


class Folder:
    """A folder with all that lies in it, however deep. Links are followed, and no folder is entered twice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stored: dict[str, str] | None = None  # name -> the name on the disk, filled when first needed

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_stored": None}

    def names(self) -> list[str]:
        """As `Place`. Warns of folders that cannot be read."""
        return list(self._names())

    def _names(self) -> dict[str, str]:
        if self._stored is None:
            stored = list(_walk(self.path))
            self._stored = dict(sorted(zip(unique_names(stored), stored, strict=True)))
        return self._stored

    def read(self, name: str, most: int) -> bytes:
        """As `Place`."""
        where = f"{self.path}: {name}"
        if escapes(name):
            raise PreludioError("leads out of the folder; correct the name", where)
        try:
            path = self.path / name
            if not os.path.lexists(path):  # rare: missing, or its name on the disk is not printable
                path = self.path / self._names().get(name, name)
            return _file_bytes(path, most, where)
        except FileNotFoundError:
            raise PreludioError("missing; put the file there, or go on without it", where) from None
        except (OSError, ValueError) as error:
            raise PreludioError(f"cannot be read ({_reason(error)}); check it and its permissions", where) from None


def _file_bytes(path: Path, most: int, where: str) -> bytes:
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait for its writer, for ever if there is none
        raise PreludioError("not a file; remove it", where)
    with path.open("rb") as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise PreludioError(_too_large(most), where)
    return data


def _walk(root: Path) -> Iterator[str]:
    """The files under `root`, relative to it, as the disk has them."""
    seen: set[tuple[int, int]] = set()
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            status = (root / folder).stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(root / folder) as found:
                entries = sorted(found, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            warnings.warn(f"{root / printable(folder)}: left out, cannot be read ({_reason(error)})", PreludioWarning, stacklevel=2)
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if _is_folder(entry):
                pending.append(name)
            elif not _is_shadow(name):
                yield name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_shadow(name: str) -> bool:
    """What macOS puts beside files: named like them, but none of them."""
    return name.rpartition("/")[2].startswith("._") or name.startswith("__MACOSX/")


class Zip:
    """A zip file, opened when first needed and once in each process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, zipfile.ZipFile, dict[str, zipfile.ZipInfo]] | None = None
        self._members()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_opened": None}

    def names(self) -> list[str]:
        """As `Place`."""
        return list(self._members()[1])

    def read(self, name: str, most: int) -> bytes:
        """As `Place`."""
        archive, members = self._members()
        where = f"{self.path}: {name}"
        if name not in members:
            raise PreludioError("missing; get the whole zip, or go on without it", where)
        fault = _fault(members[name], most)
        if fault:
            raise PreludioError(fault, where)
        try:
            with archive.open(members[name]) as stream:
                return stream.read(most + 1)
        except _ZIP_FAULTS as error:
            raise PreludioError(f"damaged ({_reason(error)}); get the zip again", where) from None

    def _members(self) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
        if self._opened is None or self._opened[0] != os.getpid():  # a forked process would share the place in the file
            archive = self._open()
            infos = [info for info in archive.infolist() if info.filename and not info.is_dir()]
            infos = [info for info in infos if not _is_shadow(info.filename)]
            self._opened = os.getpid(), archive, dict(sorted(zip(unique_names(map(_decoded, infos)), infos, strict=True)))
        return self._opened[1:]

    def _open(self) -> zipfile.ZipFile:
        try:
            stream = _Stream(io.FileIO(self.path))
            weakref.finalize(self, stream.close)
            archive = zipfile.ZipFile(stream)
        except _ZIP_FAULTS as error:
            raise PreludioError(f"{self.path}: neither a folder nor a readable zip ({_reason(error)}); choose one") from None
        infos = archive.infolist()
        unpacked = sum(info.file_size for info in infos)
        if len(infos) > MAX_MEMBERS:
            raise PreludioError(f"{self.path}: more than {MAX_MEMBERS:,} members; unpack it and name the folder")
        if unpacked > min(MAX_UNPACKED, RATIO_FREE + MAX_RATIO * self.path.stat().st_size):
            raise PreludioError(f"{self.path}: claims to hold {unpacked:,} bytes, as a zip bomb does; unpack it and name the folder")
        return archive


class _Stream(io.BufferedReader):
    """A zip's bytes. `zipfile` reads the table of contents in one piece of a length that the file claims: here it ends."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise zipfile.BadZipFile("its table of contents is too large")
        return super().read(size)


def _decoded(info: zipfile.ZipInfo) -> str:
    """The name of a member. Without the flag it is read as IBM's code page, though most programs write UTF-8."""
    name = info.filename.replace("\\", "/")
    if info.flag_bits & _UTF8_NAME:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _fault(info: zipfile.ZipInfo, most: int) -> str:
    """Why a member is not to be read, or ""."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if escapes(_decoded(info)):
        return "its name leads out of the zip; pack it again"
    if kind not in (0, stat.S_IFREG):
        return f"a {'link' if kind == stat.S_IFLNK else 'special file'}, not a file; pack the file itself"
    if info.flag_bits & _ENCRYPTED:
        return "encrypted; unpack the zip with its password and name the folder"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others unpack without a limit
        return "packed by an unusual method; unpack the zip and name the folder"
    return _too_large(most) if info.file_size > most else ""


def unpack(archive: Path, into: Path, most: int) -> None:
    """Writes every member of a zip under the folder `into`, `most` bytes in all, or nothing if any of it is odd.

    Raises:
        PreludioError: a member is encrypted, a link, damaged or there twice, a name leads outside, or there is too much.
        OSError: the disk does not take it.
    """
    place = Zip(archive)
    members = place._members()[1]
    twice = [name for name, n in Counter(_decoded(info).casefold() for info in members.values()).items() if n > 1]
    faults = [f"{name}: {fault}" for name, info in members.items() if (fault := _fault(info, most))]
    faults += [f"{name}: its name is odd; pack it again" for name, info in members.items() if name != _decoded(info)]
    faults += [f"{printable(twice[0])}: there twice; pack it again"] if twice else []
    if sum(info.file_size for info in members.values()) > most:
        faults.append(_too_large(most))
    if faults:
        raise PreludioError(f"{archive}: {faults[0]}")
    for name in members:
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as stream:
            stream.write(place.read(name, most))


def unique_names(stored: Iterable[str]) -> list[str]:
    """A printable name for each stored one, none twice: those that are printable keep theirs, others get a number if need be."""
    names = list(stored)
    shown = [printable(name) for name in names]
    result, taken, count = [""] * len(names), set[str](), Counter(set(shown))
    for i in sorted(range(len(names)), key=lambda i: (shown[i] != names[i], shown[i], names[i], i)):
        name, suffix = shown[i], Path(shown[i]).suffix
        while name in taken:
            count[shown[i]] += 1
            name = f"{shown[i].removesuffix(suffix)} ({count[shown[i]]}){suffix}"
        taken.add(name)
        result[i] = name
    return result


def printable(name: str) -> str:
    """Composed Unicode without control characters or bytes in no known encoding, which become escapes such as \\x1b."""
    composed = unicodedata.normalize("NFC", name)
    if composed.isprintable():
        return composed
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in composed)


def escapes(name: str) -> bool:
    """Whether a relative name leads elsewhere: absolute, with a drive, or upwards."""
    parts = name.replace("\\", "/").split("/")
    return not parts[0] or ".." in parts or "\0" in name or re.match("[A-Za-z]:(?! )", name) is not None


def _too_large(most: int) -> str:
    return f"larger than {most / 1e6:,.0f} MB; split it or leave it out"


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
