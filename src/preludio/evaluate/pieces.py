"""The performances of one split, as ids, one after another: memory holds one of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from preludio.corpus.entry import Entry, Source
from preludio.corpus.shards import MANIFEST, Shards, Split
from preludio.corpus.sources import open_source
from preludio.errors import PreludioError, PreludioWarning
from preludio.tokens import Ids, encode

ALL = "all"  # in place of a split's name: everything, for music that has no splits


class TokenisedPiece(NamedTuple):
    """A performance as the codec writes it, without START and END."""

    name: str
    ids: Ids


@dataclass(frozen=True)
class TokenisedPieces:
    """Performances that are read when they are asked for; one that cannot be read is named in a warning and left out.

    Attributes:
        where: what they are, in words.
        n_all: how many there are; `numbers` are those to be read, in this order.
        read: number -> piece; raises PreludioError.
    """

    where: str
    n_all: int
    numbers: Sequence[int]
    read: Callable[[int], TokenisedPiece]

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[TokenisedPiece]:
        """
        Raises:
            PreludioError: not one can be read.
        """
        faults: list[str] = []
        read = 0
        for number in self.numbers:
            try:
                piece = self.read(number)
            except PreludioError as error:
                faults.append(str(error))
                continue
            read += 1
            yield piece
        if not read:
            raise PreludioError(f"{self.where}: none of {len(self):,} performances can be read; the first: {faults[0]}")
        for fault in faults:
            warnings.warn(f"left out: {fault}", PreludioWarning, stacklevel=2)

    def drawn(self, n: int | None, seed: int) -> TokenisedPieces:
        """n of them, without repetition, in the order of a seeded draw: the first ones of a larger draw are those of a smaller one."""
        if n is None or n >= len(self):
            return self
        order = np.random.default_rng(seed).permutation(len(self))[:n]
        return TokenisedPieces(self.where, self.n_all, [self.numbers[place] for place in order], self.read)


def open_pieces(data: str | os.PathLike[str], split: str) -> TokenisedPieces:
    """One split of prepared shards or of any source that `preludio.corpus` knows; "all" for everything, whatever its split.

    Raises:
        PreludioError: nothing is there, or nothing of this split.
    """
    if (Path(data) / MANIFEST).is_file():
        return _of_shards(data, split)
    source = open_source(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PreludioWarning)  # of other splits' files; those of this one are named when they are read
        entries = source.entries()
    chosen = [entry for entry in entries if split in (ALL, entry.split)]
    if not chosen:
        raise PreludioError(f"{data}: nothing of a split {split!r}; {_remedy(entry.split for entry in entries)}")
    return TokenisedPieces(f"{data}, {split}", len(chosen), range(len(chosen)), lambda number: _read(source, chosen[number]))


def pieces_of(split: Split, where: str = "shards") -> TokenisedPieces:
    """The pieces of a shard's split."""
    return TokenisedPieces(
        where, len(split), range(len(split)), lambda number: TokenisedPiece(split.pieces[number].name, split.piece(number))
    )


def _of_shards(data: str | os.PathLike[str], split: str) -> TokenisedPieces:
    splits = Shards.open(data).splits
    chosen = [pieces_of(one) for name, one in splits.items() if split in (ALL, name)]
    parts = [(pieces, number) for pieces in chosen for number in pieces.numbers]
    if not parts:
        filled = (name for name, one in splits.items() if len(one))
        raise PreludioError(f"{data}: nothing of a split {split!r}; {_remedy(filled)}")

    def read(number: int) -> TokenisedPiece:
        pieces, place = parts[number]
        return pieces.read(place)

    return TokenisedPieces(f"{data}, {split}", len(parts), range(len(parts)), read)


def _remedy(splits: Iterator[str | None]) -> str:
    names = sorted({name for name in splits if name})
    return f"choose {', '.join([*names, ALL])}" if names else f"its music has no splits: choose {ALL}"


def _read(source: Source, entry: Entry) -> TokenisedPiece:
    performance = source.read(entry)
    if not len(performance):
        raise PreludioError(f"{entry.name}: it has no piano notes")
    return TokenisedPiece(entry.name, encode(performance))
