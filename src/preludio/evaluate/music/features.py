"""What a piece of music is like in numbers: figures (one number a piece) and histograms (one vector a piece).

All are computed from strikes and sounding time: notes with the pedal resolved, on the grid of the vocabulary. A piece without notes has 0
everywhere rather than nothing: leaving silent pieces out would flatter the model that made them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from preludio.performance import Performance

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

CHORD_MS = 40  # a strike that comes less than this after the one before belongs to its chord
MANY_KEYS = 20
LONG_NOTE_MS = 4_000
LONGEST_PERIOD = 64  # strikes: loops with a longer period are not looked for
WIDEST_STEP = 24  # semitones: larger intervals count as this
TIME_EDGES_MS = 10.0 * 2.0 ** np.arange(0.5, 11)  # 14, 28, ... 10,240 ms: the borders of 12 bins of gaps and of lengths
VELOCITY_BINS = 16


@dataclass(frozen=True)
class Events:
    """A performance's notes as columns, sorted by onset, then pitch. Times in ms."""

    onset: Integers
    offset: Integers
    pitch: Integers
    velocity: Integers
    duration: int  # of the performance

    @classmethod
    def of(cls, performance: Performance) -> Events:
        notes = performance.notes
        onset, offset, pitch, velocity = (notes[name].astype(np.int64) for name in ("onset_ms", "offset_ms", "pitch", "velocity"))
        return cls(onset, offset, pitch, velocity, performance.duration_ms)

    def __len__(self) -> int:
        return len(self.pitch)

    @cached_property
    def length(self) -> Integers:
        """Of each note."""
        return self.offset - self.onset

    @cached_property
    def chord(self) -> Integers:
        """For each note the number of its chord."""
        return np.cumsum(np.diff(self.onset, prepend=self.onset[:1]) >= CHORD_MS)

    @cached_property
    def chord_onset(self) -> Integers:
        """Of each chord: its first strike."""
        return self.onset[np.flatnonzero(np.diff(self.chord, prepend=-1))]

    @cached_property
    def gap(self) -> Integers:
        """From each chord to the next."""
        return np.diff(self.chord_onset)

    @cached_property
    def step(self) -> Integers:
        """Semitones from each strike to the next."""
        return np.diff(self.pitch)

    @cached_property
    def sounding(self) -> tuple[Integers, Integers]:
        """(times, keys): how many keys sound from each onset or offset on, in the order of time."""
        times = np.concatenate([self.offset, self.onset])
        order = np.argsort(times, kind="stable")  # offsets first where they fall together
        return times[order], np.cumsum(np.repeat([-1, 1], len(self))[order])


# --- figures ----------------------------------------------------------------------------------------------------------------------


def notes_a_second(events: Events) -> float:
    return 1000 * len(events) / events.duration if events.duration else 0.0


def keys_sounding(events: Events) -> float:
    """Mean over the piece's time."""
    return float(events.length.sum() / events.duration) if events.duration else 0.0


def most_keys_at_once(events: Events) -> float:
    return float(events.sounding[1].max(initial=0))


def time_with_many_keys(events: Events) -> float:
    """Milliseconds in which more than MANY_KEYS keys sound."""
    times, keys = events.sounding
    return float(np.diff(times)[keys[:-1] > MANY_KEYS].sum())


def overlaps(events: Events) -> float:
    """How many later chords are struck while a note sounds, mean: near 0 for a dry line, high where the pedal is held."""
    if not len(events):
        return 0.0
    begun = np.searchsorted(events.chord_onset, events.offset, side="left")  # chords that began before the note's end
    return float(np.maximum(begun - 1 - events.chord, 0).mean())


def pitch_class_entropy(events: Events) -> float:
    """Bits, of strikes: at most log2 12 = 3.585."""
    shares = pitch_classes(events)
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def transition_entropy(events: Events) -> float:
    """Bits, of which pitch class follows which among strikes: how far the next is from given once the last is known; at most log2 12."""
    pairs = pitch_class_transitions(events)
    pairs = pairs[pairs > 0]
    entropy_of_pairs = -(pairs * np.log2(pairs)).sum()
    before = np.bincount(events.pitch[:-1] % 12, minlength=12) / max(1, len(events) - 1)
    before = before[before > 0]
    return float(max(0.0, entropy_of_pairs + (before * np.log2(before)).sum()))


def densest_second(events: Events) -> float:
    """The most strikes within 1,000 ms."""
    ends = np.searchsorted(events.onset, events.onset + 1000, side="left")
    return float((ends - np.arange(len(events))).max(initial=0))


def longest_wait(events: Events) -> float:
    """Seconds from one strike to the next, or from the last strike to the end of the sound."""
    if not len(events):
        return 0.0
    return float(max(events.gap.max(initial=0), events.duration - events.onset[-1]) / 1000)


def longest_loop(pitches: Integers) -> int:
    """The most strikes in a row that repeat those some period before, at most LONGEST_PERIOD strikes; 0 if none does."""
    longest = 0
    for period in range(1, min(LONGEST_PERIOD, len(pitches) - 1) + 1):
        breaks = np.flatnonzero(np.concatenate([[True], pitches[period:] != pitches[:-period], [True]]))
        longest = max(longest, int(np.diff(breaks).max()) - 1)
    return longest


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else 0.0


def _spread(values: Integers) -> float:
    """Standard deviation of the logarithm to base 2, in octaves; of values over 0."""
    return float(np.log2(values).std()) if len(values) else 0.0


def _median(values: Integers) -> float:
    return float(np.median(values)) if len(values) else 0.0


@dataclass(frozen=True)
class Figure:
    """One number of a piece."""

    name: str
    unit: str
    of: Callable[[Events], float]


FIGURES = (
    Figure("distinct keys", "", lambda events: float(len(np.unique(events.pitch)))),
    Figure("pitch range", "semitones", lambda events: float(np.ptp(events.pitch)) if len(events) else 0.0),
    Figure("mean pitch", "", lambda events: _mean(events.pitch)),
    Figure("step between strikes", "semitones", lambda events: _mean(np.abs(events.step))),
    Figure("pitch-class entropy", "bits", pitch_class_entropy),
    Figure("transition entropy", "bits", transition_entropy),
    Figure("gap between chords", "s", lambda events: _mean(events.gap) / 1000),
    Figure("gap, spread", "octaves", lambda events: _spread(events.gap)),
    Figure("note length, median", "s", lambda events: _median(events.length) / 1000),
    Figure("note length, spread", "octaves", lambda events: _spread(events.length[events.length > 0])),
    Figure("velocity, mean", "", lambda events: _mean(events.velocity)),
    Figure("velocity, deviation", "", lambda events: float(events.velocity.std()) if len(events) else 0.0),
    Figure("velocity step", "", lambda events: _mean(np.abs(np.diff(events.velocity)))),
    Figure("notes a second", "", notes_a_second),
    Figure("keys sounding", "", keys_sounding),
    Figure("most keys at once", "", most_keys_at_once),
    Figure("overlaps", "chords", overlaps),
    Figure("chord size", "keys", lambda events: len(events) / len(events.chord_onset) if len(events) else 0.0),
)
"""Compared by overlap."""

TAILS = (
    Figure("length", "s", lambda events: events.duration / 1000),
    Figure("over 20 keys at once", "share", lambda events: float(most_keys_at_once(events) > MANY_KEYS)),
    Figure("over 20 keys for a second", "share", lambda events: float(time_with_many_keys(events) > 1000)),
    Figure("longest key held", "s", lambda events: float(events.length.max(initial=0)) / 1000),
    Figure("notes over 4 s", "share", lambda events: _mean(events.length > LONG_NOTE_MS)),
    Figure("longest wait", "s", longest_wait),
    Figure("longest loop", "strikes", lambda events: float(longest_loop(events.pitch))),
    Figure("densest second", "notes", densest_second),
    Figure("key struck again at once", "share", lambda events: _mean(events.step == 0)),
)
"""What goes wrong seldom, and is heard at once."""


# --- histograms -------------------------------------------------------------------------------------------------------------------


def pitch_classes(events: Events) -> Floats:
    """Shares of strikes: (12,)."""
    return _shares(events.pitch % 12, 12)


def pitch_class_transitions(events: Events) -> Floats:
    """Shares of pairs of neighbouring strikes, (from, to) as 12 from + to: (144,)."""
    classes = events.pitch % 12
    return _shares(12 * classes[:-1] + classes[1:], 144)


def intervals(events: Events) -> Floats:
    """Shares of steps from strike to strike, from -24 to 24 semitones, what is wider at the ends: (49,)."""
    return _shares(np.clip(events.step, -WIDEST_STEP, WIDEST_STEP) + WIDEST_STEP, 2 * WIDEST_STEP + 1)


def gaps(events: Events) -> Floats:
    """Shares of gaps between chords in octaves of time, under 14 ms to over 10 s: (12,)."""
    return _shares(np.digitize(events.gap, TIME_EDGES_MS), len(TIME_EDGES_MS) + 1)


def lengths(events: Events) -> Floats:
    """Shares of note lengths in the same bins."""
    return _shares(np.digitize(events.length, TIME_EDGES_MS), len(TIME_EDGES_MS) + 1)


def velocities(events: Events) -> Floats:
    """Shares of strikes by velocity, 8 velocities a bin: (16,)."""
    return _shares(events.velocity * VELOCITY_BINS // 128, VELOCITY_BINS)


def chord_sizes(events: Events) -> Floats:
    """Shares of chords of 1, 2 ... 8 and more keys: (8,)."""
    return _shares(np.minimum(np.bincount(events.chord), 8) - 1 if len(events) else events.pitch, 8)


def _shares(places: npt.NDArray[np.integer], n: int) -> Floats:
    counts = np.bincount(places, minlength=n).astype(np.float64)
    return counts / max(1.0, float(counts.sum()))


HISTOGRAMS: dict[str, Callable[[Events], Floats]] = {
    "pitch classes": pitch_classes,
    "pitch-class transitions": pitch_class_transitions,
    "intervals": intervals,
    "gaps": gaps,
    "note lengths": lengths,
    "velocities": velocities,
    "chord sizes": chord_sizes,
}
