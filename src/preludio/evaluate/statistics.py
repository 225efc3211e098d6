"""A performance in numbers: what likelihood does not hear, such as a loop, a long wait or a key that is never let go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from preludio.errors import RequestError

if TYPE_CHECKING:
    from preludio.performance import Performance

LONG_NOTE_MS = 10_000
LONGEST_PERIOD = 64  # strikes: loops that come round later are not looked for

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """Of one performance with notes. Its notes are taken as they are: resolve the pedal first where it is not yet in them."""

    seconds: float
    notes_per_second: float
    polyphony: float  # keys that sound at once, mean over the performance's time
    lowest_pitch: int
    highest_pitch: int
    distinct_pitches: int
    velocity_mean: float
    velocity_deviation: float
    duration_ms: float  # of a note, median
    long_notes: float  # share of notes that last over 10 s
    longest_wait_seconds: float  # from one strike to the next
    longest_loop: int  # strikes in a row whose pitches are those of some fixed number of strikes before, at most 64

    @classmethod
    def of(cls, performance: Performance) -> Statistics:
        """
        Raises:
            RequestError: it has no notes, so there is nothing to say.
        """
        notes = performance.notes
        if not len(notes):
            raise RequestError("a performance without notes has no statistics: choose one with some")
        onset_ms, duration_ms = notes["onset_ms"].astype(np.int64), notes["offset_ms"].astype(np.int64) - notes["onset_ms"]
        pitches = strikes(performance)
        return cls(
            seconds=performance.duration_ms / 1000,
            notes_per_second=1000 * len(notes) / performance.duration_ms,
            polyphony=float(duration_ms.sum() / performance.duration_ms),
            lowest_pitch=int(pitches.min()),
            highest_pitch=int(pitches.max()),
            distinct_pitches=len(np.unique(pitches)),
            velocity_mean=float(notes["velocity"].mean()),
            velocity_deviation=float(notes["velocity"].std()),
            duration_ms=float(np.median(duration_ms)),
            long_notes=float((duration_ms > LONG_NOTE_MS).mean()),
            longest_wait_seconds=float(np.diff(onset_ms).max(initial=0) / 1000),
            longest_loop=longest_loop(pitches),
        )


def strikes(performance: Performance) -> Integers:
    """Pitches in the order of their onsets, chords from below."""
    return performance.notes["pitch"].astype(np.int64)


def longest_loop(pitches: Integers) -> int:
    """The most strikes in a row that repeat those some period before; 0 if none does."""
    longest = 0
    for period in range(1, min(LONGEST_PERIOD, len(pitches) - 1) + 1):
        breaks = np.flatnonzero(np.concatenate([[True], pitches[period:] != pitches[:-period], [True]]))
        longest = max(longest, int(np.diff(breaks).max()) - 1)
    return longest


def histogram(performances: Iterable[Performance], field: Literal["pitch", "velocity"]) -> Floats:
    """The share of all notes that have each pitch or velocity: (128,)."""
    counts: Floats = np.zeros(128)
    for performance in performances:
        counts += np.bincount(performance.notes[field], minlength=128)
    return counts / max(1.0, float(counts.sum()))


def distance(one: Floats, other: Floats) -> float:
    """Total variation between two histograms: the share of the notes that would have to change; 0 alike, 1 nothing in common."""
    return float(np.abs(one - other).sum() / 2)
