"""Training data at rest: one flat file of uint16 ids per split, and `manifest.json`, which says what lies where and where it came from.

A shard is only as good as its manifest: both are checked when opened, and ids of another vocabulary are refused. A piece's ids are
stored as the codec writes them, without START and END.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from preludio.errors import PreludioError
from preludio.files import replacing, write_atomically
from preludio.tokens import VOCABULARY_HASH, Ids

MANIFEST = "manifest.json"
FORMAT = 1
SPLITS = ("train", "validation", "test")

_REMEDY = "prepare the data again with preludio prepare"


class ShardError(PreludioError):
    """Training data that is missing, damaged, or made for another vocabulary."""


@dataclass(frozen=True)
class PieceInfo:
    """One piece in a split: ids[start : start + n_tokens]."""

    source: str
    name: str
    composer: str
    title: str
    n_notes: int
    start: int
    n_tokens: int


class Split:
    """The pieces of one split, memory-mapped: nothing is read before it is used.

    Attributes:
        ids: uint16 (n_tokens,), read-only.
        pieces: where each piece lies.
        starts, lengths: the same as int64 arrays.
    """

    def __init__(self, ids: Ids, pieces: list[PieceInfo]) -> None:
        self.ids = ids
        self.pieces = pieces
        self.starts = np.array([piece.start for piece in pieces], dtype=np.int64)
        self.lengths = np.array([piece.n_tokens for piece in pieces], dtype=np.int64)

    def __len__(self) -> int:
        """The number of pieces."""
        return len(self.pieces)

    def piece(self, number: int) -> Ids:
        """The ids of one piece: a view."""
        return self.ids[self.starts[number] : self.starts[number] + self.lengths[number]]


@dataclass(frozen=True)
class Shards:
    """Prepared training data: its splits, and the manifest."""

    splits: Mapping[str, Split]
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Shards:
        """Opens what `write_shards` wrote, and checks that sizes and places agree.

        Raises:
            ShardError: it is missing, damaged, or made for another vocabulary.
        """
        folder = Path(directory)
        manifest = _read_manifest(folder)
        try:
            return cls({name: _open_split(folder, split) for name, split in manifest["splits"].items()}, manifest)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ShardError(f"{folder / MANIFEST} is damaged ({type(error).__name__}: {error}); {_REMEDY}") from None


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise ShardError(f"{folder}: no training data there ({MANIFEST}: {error.strerror}); {_REMEDY}") from None
    except (ValueError, RecursionError):
        raise ShardError(f"{path} is not valid JSON; {_REMEDY}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ShardError(f"{path} is not of format {FORMAT}; {_REMEDY}")
    if manifest.get("vocabulary_hash") != VOCABULARY_HASH:
        raise ShardError(f"{path} was made for another vocabulary; {_REMEDY}")
    return manifest


def _open_split(folder: Path, split: Mapping[str, Any]) -> Split:
    path = folder / Path(str(split["file"])).name
    pieces = [PieceInfo(**piece) for piece in split["pieces"]]
    n_tokens = int(split["n_tokens"])
    ends = [piece.start + piece.n_tokens for piece in pieces]
    if [piece.start for piece in pieces] != [0, *ends[:-1]][: len(pieces)] or (ends or [0])[-1] != n_tokens:
        raise ShardError(f"{folder / MANIFEST}: the pieces of {path.name} do not follow one another; {_REMEDY}")
    if not path.is_file() or path.stat().st_size != 2 * n_tokens:
        raise ShardError(f"{path} is missing or has another size than its manifest says; {_REMEDY}")
    ids = np.memmap(path, dtype="<u2", mode="r") if n_tokens else np.empty(0, dtype=np.uint16)
    return Split(ids, pieces)


@dataclass(frozen=True)
class Encoded:
    """A piece on its way into a shard."""

    split: str
    source: str
    name: str
    composer: str
    title: str
    n_notes: int
    ids: Ids


class _SplitFile:
    """One split while it is written."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self._name, self._file = name, file
        self._hash = hashlib.sha256()
        self._pieces: list[PieceInfo] = []
        self._n_tokens = 0

    def append(self, piece: Encoded) -> None:
        data = piece.ids.astype("<u2").tobytes()
        self._file.write(data)
        self._hash.update(data)
        info = PieceInfo(piece.source, piece.name, piece.composer, piece.title, piece.n_notes, self._n_tokens, len(piece.ids))
        self._pieces.append(info)
        self._n_tokens += len(piece.ids)

    def described(self) -> dict[str, Any]:
        return {
            "file": f"{self._name}.bin",
            "n_tokens": self._n_tokens,
            "n_notes": sum(piece.n_notes for piece in self._pieces),
            "sha256": self._hash.hexdigest(),
            "pieces": [asdict(piece) for piece in self._pieces],
        }


def write_shards(directory: str | os.PathLike[str], pieces: Iterable[Encoded], options: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the pieces in their order, each to its split's file, and the manifest last; returns the manifest.

    Equal pieces and options give equal bytes: nothing of the time, the machine or the number of processes goes in.

    Raises:
        OutputError: the directory cannot be written.
    """
    folder = Path(directory)
    with ExitStack() as stack:
        opened = {name: stack.enter_context(stack.enter_context(replacing(folder / f"{name}.bin")).open("wb")) for name in SPLITS}
        splits = {name: _SplitFile(name, file) for name, file in opened.items()}
        for piece in pieces:
            splits[piece.split].append(piece)
        (folder / MANIFEST).unlink(missing_ok=True)  # until the new one stands, there is no training data here
    manifest: dict[str, Any] = {"format": FORMAT, "vocabulary_hash": VOCABULARY_HASH, "options": dict(options)}
    manifest["splits"] = {name: split.described() for name, split in splits.items()}
    content = json.dumps(manifest, sort_keys=True, ensure_ascii=False).encode()
    manifest["content_hash"] = hashlib.sha256(content).hexdigest()
    write_atomically(folder / MANIFEST, (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())
    return manifest
