"""Which performances are of one work, and which are one performance: fingerprints held against each other.

1. *Candidates.* An inverted index, hash -> pieces. Hashes of very many pieces (scales, repeated figures) name no candidate.
2. *In order.* Landmarks that two pieces share count where several lie on one diagonal (place here minus place there), as in Wang 2003,
   *An industrial-strength audio search algorithm*. A chromatic scale shares one landmark many times, a work many landmarks in order.
3. *In time.* One performance, however renamed, transposed, stretched or cut, keeps its rhythm to the millisecond; two performances of
   one work drift apart by a tenth of a second within a few bars.

What is shared is counted against the smaller of the two pieces, so that a part matches its whole. But a few landmarks are much of a
short piece by chance, and many are little of two long medleys with one song in common: the number and the share are multiplied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.corpus.fingerprint import Fingerprint, Integers, distinct

SAME_WORK = 0.6  # evidence: docs/corpus.md shows the two histograms
SAME_PERFORMANCE = 0.75  # steadiness
MIN_LANDMARKS = 5  # landmarks in order, below which nothing is said

COMMON = 200  # pieces: a hash of more names no candidate
REPEATS = 8  # times in one piece: a hash with more says where nothing is
BLOCK = 128  # chords that one vote spans
DIAGONAL = 16  # chords by which two performances may differ in a block (a chord read as two, an ornament)
VOTES = 3  # distinct landmarks that make a diagonal
APART = 12  # landmarks between two times that are compared: a few bars
MIN_PLACES = 8  # fewer count as so many, the missing ones as unsteady
SPEEDS = (0.25, 4.0)  # beyond, no speed but chance
STEADY_MS = 25.0  # by which one performance may differ from itself: two grids of 10 ms, jitter


class Similarity(NamedTuple):
    """How much of the smaller piece lies in the other."""

    in_order: int  # distinct landmarks that lie on a diagonal
    containment: float  # their share of the smaller piece's
    steadiness: float  # share of time spans that agree to `STEADY_MS` at one constant speed; 0 where too few
    speed: float  # the second piece's duration for one second of the first; 0 where unknown

    @property
    def evidence(self) -> float:
        """Of one work: the number of landmarks in order times their share."""
        return self.in_order * self.containment

    @property
    def same_work(self) -> bool:
        return self.in_order >= MIN_LANDMARKS and self.evidence >= SAME_WORK

    @property
    def same_performance(self) -> bool:
        return self.same_work and self.steadiness >= SAME_PERFORMANCE


NO_SIMILARITY = Similarity(0, 0.0, 0.0, 0.0)


def compare(one: Fingerprint, other: Fingerprint) -> Similarity:
    """Two pieces; symmetric but for `speed`."""
    here, there = _hits(one, other)
    if len(here) < VOTES:
        return NO_SIMILARITY
    voted = _on_diagonals(one, other, here, there)
    here, there = here[voted], there[voted]
    in_order = len(np.unique(one["hash"][here]))
    if in_order < VOTES:
        return NO_SIMILARITY
    smaller = min(len(distinct(one)), len(distinct(other)))
    return Similarity(in_order, in_order / smaller, *_rhythm(one[here], other[there]))


def _hits(one: Fingerprint, other: Fingerprint) -> tuple[Integers, Integers]:
    """Places in both of every shared landmark: all combinations where it comes again."""
    first, last = (np.searchsorted(other["hash"], one["hash"], side=side) for side in ("left", "right"))
    times_here = np.searchsorted(one["hash"], one["hash"], "right") - np.searchsorted(one["hash"], one["hash"], "left")
    times_there = last - first
    times = np.where((times_there <= REPEATS) & (times_here <= REPEATS), times_there, 0)
    return np.repeat(np.arange(len(one)), times), _ranges(first, times)


def _ranges(first: Integers, times: Integers) -> Integers:
    """`first[i], first[i] + 1, …`, `times[i]` of them, for each i."""
    begin = np.cumsum(times) - times
    return np.repeat(first - begin, times) + np.arange(int(times.sum()))


def _on_diagonals(one: Fingerprint, other: Fingerprint, here: Integers, there: Integers) -> npt.NDArray[np.bool_]:
    """Which hits lie in a cell (block of chords, diagonal) with at least `VOTES` distinct landmarks. Cells overlap by half."""
    chord = one["chord"][here].astype(np.int64)
    _, landmark = np.unique(one["hash"][here], return_inverse=True)
    voted = np.zeros(len(here), dtype=np.bool_)
    for diagonal in _diagonals(one[here], other[there]):
        for block_shift in (0, BLOCK // 2):
            cell = (chord + block_shift) // BLOCK << 40 | diagonal
            voted |= _distinct_in_cell(cell, landmark) >= VOTES
    return voted


def _diagonals(one: Fingerprint, other: Fingerprint) -> tuple[Integers, Integers]:
    """For each hit the two diagonals, `2 * DIAGONAL` wide, that it lies on."""
    difference = other["chord"].astype(np.int64) - one["chord"] + 2**32  # not negative
    return difference // (2 * DIAGONAL), (difference + DIAGONAL) // (2 * DIAGONAL)


def _distinct_in_cell(cell: Integers, landmark: Integers) -> Integers:
    """For each hit, how many distinct landmarks its cell holds."""
    _, cell = np.unique(cell, return_inverse=True)
    pairs = np.unique(cell * (int(landmark.max()) + 1) + landmark)
    count: Integers = np.bincount(pairs // (int(landmark.max()) + 1))[cell]
    return count


def _rhythm(one: Fingerprint, other: Fingerprint) -> tuple[float, float]:
    """(steadiness, speed) of hits. A place is steady if time from it or to it, along a diagonal, passes at the common speed."""
    begin, end = (np.concatenate(ends) for ends in zip(*(_spans(one["chord"], row) for row in _diagonals(one, other)), strict=True))
    onset_ms, other_onset_ms = (part["onset_ms"].astype(np.float64) for part in (one, other))
    span, other_span = onset_ms[end] - onset_ms[begin], other_onset_ms[end] - other_onset_ms[begin]
    speed = _common_speed(other_span / np.maximum(span, 1.0))
    if not speed:
        return 0.0, 0.0
    agree = np.abs(other_span - speed * span) <= STEADY_MS * max(speed, 1.0)
    steady = np.concatenate([begin[agree], end[agree]])
    return _fewer_places(one[steady], other[steady]) / max(_fewer_places(one, other), MIN_PLACES), speed


def _fewer_places(one: Fingerprint, other: Fingerprint) -> int:
    """How many places the hits touch, in the piece where they touch fewer: what comes twice there has only one partner here."""
    return min(len(np.unique(one["chord"])), len(np.unique(other["chord"])))


def _spans(chord: npt.NDArray[np.uint32], diagonal: Integers) -> tuple[Integers, Integers]:
    """Pairs of hits on one diagonal, `APART` hits from each other."""
    order = np.lexsort((chord, diagonal))
    apart = min(APART, len(order) // 2)
    begin, end = order[:-apart], order[apart:]
    along = diagonal[begin] == diagonal[end]
    return begin[along], end[along]


def _common_speed(speeds: npt.NDArray[np.float64]) -> float:
    """The one that most share, within 1 %; 0.0 where there is none."""
    speeds = np.sort(speeds[(speeds >= SPEEDS[0]) & (speeds <= SPEEDS[1])])
    if not len(speeds):
        return 0.0
    count = np.searchsorted(speeds, speeds * 1.01, side="right") - np.arange(len(speeds))
    first = int(np.argmax(count))
    return float(np.median(speeds[first : first + count[first]]))


class Index:
    """Fingerprints by their hashes: finds what is like a piece without looking at all of them."""

    def __init__(self, fingerprints: Sequence[Fingerprint]) -> None:
        self.fingerprints = fingerprints
        hashes = [distinct(landmarks) for landmarks in fingerprints]
        self._sizes = np.array([len(row) for row in hashes], dtype=np.int64)
        all_hashes = np.concatenate(hashes) if hashes else np.empty(0, dtype=np.uint32)
        order = np.argsort(all_hashes, kind="stable")
        self._hashes = all_hashes[order]
        self._pieces = np.repeat(np.arange(len(hashes), dtype=np.int32), self._sizes)[order]

    def candidates(self, landmarks: Fingerprint, evidence: float = SAME_WORK) -> list[int]:
        """Pieces with enough hashes in common to be looked at, in rising order."""
        hashes = distinct(landmarks)
        first, last = (np.searchsorted(self._hashes, hashes, side=side) for side in ("left", "right"))
        times = np.where(last - first <= COMMON, last - first, 0)
        pieces, shared = np.unique(self._pieces[_ranges(first, times)], return_counts=True)
        most = shared * shared / np.minimum(self._sizes[pieces], len(hashes))  # evidence, were all of them in order
        likely: list[int] = pieces[(shared >= MIN_LANDMARKS) & (most >= evidence)].tolist()
        return likely

    def matches(self, landmarks: Fingerprint) -> Iterator[tuple[int, Similarity]]:
        """Pieces of the same work, with how like they are (the piece itself among them if it is in the index)."""
        for piece in self.candidates(landmarks):
            similarity = compare(landmarks, self.fingerprints[piece])
            if similarity.same_work:
                yield piece, similarity


def pairs(fingerprints: Sequence[Fingerprint]) -> Iterator[tuple[int, int, Similarity]]:
    """Every two pieces of one work, the lower place first."""
    index = Index(fingerprints)
    for one, landmarks in enumerate(fingerprints):
        for other in index.candidates(landmarks):
            if other > one and (similarity := compare(landmarks, fingerprints[other])).same_work:
                yield one, other, similarity


def duplicates(fingerprints: Sequence[Fingerprint], ranks: Sequence[int] | None = None) -> list[tuple[int, Similarity] | None]:
    """For each piece the better one that it is a copy of, with how like they are; None for what is to be kept.

    Better is the lower rank (the more trusted source), then the one with more landmarks (a whole before its parts), then the earlier.
    A copy of a copy is a copy of the one that is kept, unless the first is too unlike it: then both are kept.
    """
    copies: list[list[tuple[int, Similarity]]] = [[] for _ in fingerprints]
    for one, other, similarity in pairs(fingerprints):
        if similarity.same_performance:
            copies[one].append((other, similarity))
            copies[other].append((one, similarity))
    of: list[tuple[int, Similarity] | None] = [None] * len(fingerprints)
    best_first = sorted(range(len(fingerprints)), key=lambda piece: (ranks[piece] if ranks else 0, -len(fingerprints[piece]), piece))
    kept: set[int] = set()
    for piece in best_first:
        better = [copy for copy in copies[piece] if copy[0] in kept]
        if better:
            of[piece] = max(better, key=lambda copy: copy[1].evidence)
        else:
            kept.add(piece)
    return of
