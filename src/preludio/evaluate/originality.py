"""What a performance shares with known music, in any key and any rhythm: runs of strikes with the same intervals in the same order.

A run is a row of neighbouring strikes; two runs are the same if their intervals, semitones from strike to strike, are. So neither key,
tempo, rhythm, lengths nor velocities count. Strikes are ordered on the vocabulary's grid of 10 ms, those of one step from below: the order
of the ids. A run of fewer than 5 different keys is a trill, a tremolo or a repeated key, and is passed over where a piece's longest run is
looked for. Real performances share runs with one another, too: scales, arpeggios. A figure says something only beside theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.tokens import NOTE_OFF, Ids

if TYPE_CHECKING:
    from preludio.performance import Performance

Pitches = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]
ProgressCallback = Callable[[float], None]

SHORTEST = 8  # strikes: about a second of music; shorter runs are everybody's
MIN_KEYS = 5  # of a run that may be a piece's longest
CHUNK = 1 << 20  # strikes of known music that are searched at once, about 100 MB


class SharedRun(NamedTuple):
    """The longest run of a piece that is known: `length` strikes from strike number `start` on, also in the known piece `known`.

    length 0 and known -1: there is none.
    """

    length: int
    start: int
    known: int


class KnownRuns:
    """Finds, for each strike of some pieces, the longest known run that begins there.

    Known music passes by in chunks, so memory holds one of them; a chunk costs a pass over its hashes for runs of SHORTEST strikes, and
    ever less for longer ones, since only what matched so far is looked at.
    """

    def __init__(self, pieces: Sequence[Pitches]) -> None:
        """`pieces`: the pitches of each in order, as of `onset_pitches`; they are asked about together."""
        self._pieces, self._lengths = pieces, [len(piece) for piece in pieces]
        self._intervals = _row(pieces)
        n = len(self._intervals)
        self.longest = np.zeros(n, dtype=np.int32)  # strikes, at each strike of all pieces
        self._known = np.full(n, -1, dtype=np.int32)

    def search(self, known: Iterable[Pitches], progress: ProgressCallback | None = None) -> None:
        """Takes known pieces into account; `progress` hears how many of them."""
        chunk: list[Pitches] = []
        done = 0
        for piece in known:
            chunk.append(piece)
            if sum(map(len, chunk)) >= CHUNK:
                self._search(chunk, done)
                done += len(chunk)
                chunk = []
                if progress is not None:
                    progress(done)
        if chunk:
            self._search(chunk, done)

    def _search(self, chunk: Sequence[Pitches], n_before: int) -> None:
        names = np.repeat(np.arange(len(chunk), dtype=np.int32) + n_before, [len(piece) for piece in chunk])
        ours, known = _Runs.shortest(self._intervals), _Runs.shortest(_row(chunk))
        while True:
            known = known.among(ours)
            ours = ours.among(known)
            if not len(ours.places):
                return
            better = ours.at(self.longest[ours.places] < ours.length)
            self.longest[better.places] = ours.length
            self._known[better.places] = names[known.places[known.first_equal(better)]]
            ours, known = ours.longer(), known.longer()

    def by_piece(self) -> list[npt.NDArray[np.int32]]:
        """For each piece, at each of its strikes, the longest known run that begins there; 0 for none of SHORTEST strikes."""
        return np.split(self.longest, np.cumsum(self._lengths)[:-1])

    def runs(self) -> list[SharedRun]:
        """The longest known run of each piece that has at least FEWEST_KEYS keys."""
        firsts = np.cumsum([0, *self._lengths])
        return [self._run(piece, longest, int(first)) for piece, longest, first in zip(self._pieces, self.by_piece(), firsts, strict=False)]

    def _run(self, pitches: Pitches, longest: npt.NDArray[np.int32], first: int) -> SharedRun:
        for start in np.argsort(-longest, kind="stable").tolist():
            length = int(longest[start])
            if not length:
                break
            if len(np.unique(pitches[start : start + length])) >= MIN_KEYS:
                return SharedRun(length, start, int(self._known[first + start]))
        return SharedRun(0, 0, -1)

    def shares(self, length: int) -> list[float]:
        """For each piece, the share of its runs of so many strikes, at least SHORTEST, that are known; 0 where it has none."""
        return [float((row[: len(row) - length + 1] >= length).mean()) if len(row) >= length else 0.0 for row in self.by_piece()]


def onset_pitches(performance: Performance) -> Pitches:
    """Pitches in the order of their onsets, chords from below. The performance must be on the vocabulary's grid."""
    return performance.notes["pitch"].copy()


def onset_pitches_of_ids(ids: Ids) -> Pitches:
    """The same of a piece's ids."""
    return ids[ids < NOTE_OFF].astype(np.uint8)


def _row(pieces: Sequence[Pitches]) -> npt.NDArray[np.uint8]:
    """At each strike of all pieces, the interval to the next plus 128, from 1 to 255; 0 at a piece's last strike."""
    intervals = [np.concatenate([np.diff(piece.astype(np.int16)) + 128, [0]]) if len(piece) else piece for piece in pieces]
    return np.concatenate([np.empty(0, np.uint8), *intervals]).astype(np.uint8)


class _Runs(NamedTuple):
    """Runs of one length within a row of intervals: where each begins, and a number that stands for its intervals.

    Different runs have the same number by chance once in 2^64 pairs.
    """

    row: npt.NDArray[np.uint8]
    length: int  # strikes
    places: Integers
    hashes: Hashes

    @classmethod
    def shortest(cls, row: npt.NDArray[np.uint8]) -> _Runs:
        """All of SHORTEST strikes within a piece."""
        runs = cls(row, 1, np.arange(len(row)), np.zeros(len(row), dtype=np.uint64))
        for _ in range(SHORTEST - 1):
            runs = runs.longer()
        return runs

    def longer(self) -> _Runs:
        """Each by one strike, where the piece goes on."""
        interval = self.row[self.places + self.length - 1]
        goes_on = np.flatnonzero(interval)
        hashes = (self.hashes[goes_on] ^ interval[goes_on]) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
        return _Runs(self.row, self.length + 1, self.places[goes_on], hashes)

    def at(self, chosen: npt.NDArray[Any]) -> _Runs:
        return self._replace(places=self.places[chosen], hashes=self.hashes[chosen])

    def among(self, others: _Runs) -> _Runs:
        """Those that the others have, too."""
        return self.at(np.isin(self.hashes, others.hashes))

    def first_equal(self, others: _Runs) -> Integers:
        """For each of the others, which all occur here, the number of one of these runs that equals it."""
        order = np.argsort(self.hashes, kind="stable")
        return np.asarray(order[np.searchsorted(self.hashes[order], others.hashes)])
