"""What a performance is of: landmarks that stay the same at another speed, in another key, under other hands.

    notes -> chords -> runs of four chords, each one number -> one in four kept -> landmarks

*Chords.* Notes that begin together, even if a hand is late: a gap between two onsets parts chords where it is over 0.6 of the mean
gap around it. A measure relative to the music, so no speed changes it. Of a chord the highest and the lowest note count: inner voices
are what performers leave out and transcribers miss.

*Runs.* Four chords in a row, their outer voices counted from the first one's top: no transposition changes them. A run of one repeated
chord says nothing and is left out. One wrong note spoils at most four runs.

*One in four.* Those whose hash is divisible by four, which are the same ones wherever the music comes again: the sketch "modulo m" of
Broder 1997, *On the resemblance and containment of documents*. Containment of sketches estimates containment of pieces, so a part is
found in its whole.

A landmark keeps where it was, in chords and in milliseconds, because the same runs in the same order tell a work, and in the same
rhythm a performance (`matching`). Nothing else is kept: 12 bytes a landmark, about 8 KB a piece.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.performance import Performance

LANDMARK = np.dtype([("hash", "<u4"), ("chord", "<u4"), ("onset_ms", "<u4")])
"""One run of chords: what it is, its place among the piece's chords, its time."""

RUN = 4  # chords
KEEP_ONE_IN = 4
GAP_SHARE = (3, 5)  # of the mean gap around: whole numbers, so that a piece at half speed is parted at exactly the same places
GAPS_AROUND = 16  # on either side
WIDEST = 128  # no interval is wider

Fingerprint = npt.NDArray[np.void]
Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]


def fingerprint(performance: Performance) -> Fingerprint:
    """Landmarks in the order of their hashes, then of time. Few or none for a piece of a few notes.

    The same for every transposition and every whole-numbered stretch, on every machine and in every process; nearly the same where a
    stretch rounds times to the millisecond.
    """
    onset_ms, highest, lowest = chords(performance)
    hashes = run_hashes(highest, lowest)
    kept = np.flatnonzero((hashes % np.uint64(KEEP_ONE_IN) == 0) & (hashes != 0))
    landmarks = np.empty(len(kept), dtype=LANDMARK)
    landmarks["hash"] = hashes[kept] >> np.uint64(32)
    landmarks["chord"] = kept
    landmarks["onset_ms"] = onset_ms[kept]
    return landmarks[np.argsort(landmarks["hash"], kind="stable")]


def chords(performance: Performance) -> tuple[Integers, Integers, Integers]:
    """When each chord begins, its highest and its lowest pitch."""
    onset_ms, pitch = (performance.notes[name].astype(np.int64) for name in ("onset_ms", "pitch"))
    if not len(onset_ms):
        return onset_ms, pitch, pitch
    starts = np.concatenate([[0], np.flatnonzero(_parts(onset_ms)) + 1])
    return onset_ms[starts], np.maximum.reduceat(pitch, starts), np.minimum.reduceat(pitch, starts)


def _parts(onset_ms: Integers) -> npt.NDArray[np.bool_]:
    """For each gap between neighbours: does it part two chords?"""
    last = len(onset_ms) - 1
    here = np.arange(last)
    begin, end = np.maximum(here - GAPS_AROUND, 0), np.minimum(here + GAPS_AROUND + 1, last)
    share, whole = GAP_SHARE
    parted: npt.NDArray[np.bool_] = np.diff(onset_ms) * (end - begin) * whole > share * (onset_ms[end] - onset_ms[begin])
    return parted


def run_hashes(highest: Integers, lowest: Integers) -> Hashes:
    """64 bits for each run, 0 where one chord is repeated. Own arithmetic: Python's `hash` differs from process to process."""
    n_runs = max(len(highest) - RUN + 1, 0)
    hashes = np.zeros(n_runs, dtype=np.uint64)
    repeated = np.ones(n_runs, dtype=np.bool_)
    for place in range(RUN):
        for voice in (highest, lowest):
            interval = voice[place : place + n_runs] - highest[:n_runs]
            hashes = _mixed(hashes * np.uint64(2 * WIDEST + 1) + (interval + WIDEST).astype(np.uint64))
            repeated &= voice[place : place + n_runs] == voice[:n_runs]
    hashes[repeated] = 0
    return hashes


def _mixed(bits: Hashes) -> Hashes:
    """Every bit of a number spread over all: the finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    bits = (bits ^ bits >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ bits >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return bits ^ bits >> np.uint64(31)


def distinct(landmarks: Fingerprint) -> Any:
    """The hashes without repetitions, rising."""
    hashes = landmarks["hash"]
    return hashes[np.concatenate([[True], hashes[1:] != hashes[:-1]])] if len(hashes) else hashes
