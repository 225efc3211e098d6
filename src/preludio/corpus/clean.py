"""What is worth learning from: rules that mend or refuse a performance, each with its threshold and what was measured.

`clean` lets a performance through the rules one after another. The defaults refuse no file of MAESTRO (1,099) nor of the GiantMIDI sample
(56); the figures beside each threshold are theirs (docs/corpus.md has the table). To switch a rule off, leave it out:

    clean(performance, [rule for rule in RULES if rule.name != "too sparse"])

Cleaning is for training data. What a model is measured on stays as it was played.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from preludio.performance import Performance, pack_notes, sounding_until_ms

LOWEST_KEY, HIGHEST_KEY = 21, 108  # of a piano

Times = npt.NDArray[np.int64]


class CleaningResult(NamedTuple):
    """What is left, None if it was refused; and what each rule did, in words for the report, none if nothing."""

    performance: Performance | None
    reasons: tuple[str, ...]


class CleaningRule(Protocol):
    """Frozen, comparable, picklable; its fields are its thresholds."""

    @property
    def name(self) -> str: ...

    def __call__(self, performance: Performance) -> tuple[Performance | None, str]:
        """The performance, mended or as it was, or None; and why ("" if as it was)."""


def clean(performance: Performance, rules: Sequence[CleaningRule] | None = None) -> CleaningResult:
    """Through the rules in their order, `RULES` unless given; the first that refuses ends it."""
    reasons: list[str] = []
    for rule in RULES if rules is None else rules:
        mended, reason = rule(performance)
        reasons += [f"{rule.name}: {reason}"] if reason else []
        if mended is None:
            return CleaningResult(None, tuple(reasons))
        performance = mended
    return CleaningResult(performance, tuple(reasons))


# --- mending ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TrimSilence:
    """Silence before the music and within it shortened, and pedalling long after it.

    Silence is where nothing sounds, the pedal included. MAESTRO waits 1.1 s at most before it begins, and 42 s between movements; a
    movement cut from a GiantMIDI transcription may begin after 28 minutes of nothing. Each limit is 2 ms at least, for a pedal to go
    down between two sounds.
    """

    before_ms: int = 1_000
    within_ms: int = 5_000
    after_ms: int = 1_000
    name: str = "silence"

    def __call__(self, performance: Performance) -> tuple[Performance | None, str]:
        if not len(performance):
            return performance, ""
        notes, pedals = performance.notes, performance.pedals
        silent_ms = sounding_until_ms(performance)
        begin, length = _too_long_silences(notes["onset_ms"], silent_ms, self.before_ms, self.within_ms)
        end_ms = np.int64(silent_ms.max()) + self.after_ms
        if not len(begin) and performance.duration_ms <= end_ms:
            return performance, ""
        onset_ms, offset_ms = (_without(notes[column], begin, length) for column in ("onset_ms", "offset_ms"))
        kept_pedals = _without(np.minimum(pedals, end_ms), begin, length)
        trimmed = Performance(pack_notes(onset_ms, offset_ms, notes["pitch"], notes["velocity"]), kept_pedals)
        return trimmed, f"{(performance.duration_ms - trimmed.duration_ms) / 1000:.1f} s trimmed"


def _too_long_silences(onset_ms: Any, silent_ms: Any, before_ms: int, within_ms: int) -> tuple[Times, Times]:
    """What is to be cut out of notes that sound from `onset_ms` to `silent_ms`: where each piece begins, and its length.

    A piece is cut soon after the sound before, so that a pedal that goes down for the next note stays as far before it as it was; and
    a millisecond after, so that it does not catch the sound before.
    """
    end = np.maximum.accumulate(silent_ms).astype(np.int64)
    begin = np.concatenate([[0], end[:-1] + 1])
    length = onset_ms - np.concatenate([[before_ms], end[:-1] + within_ms])
    cut = length > 0
    return begin[cut], length[cut]


def _without(ms: npt.NDArray[Any], begin: Times, length: Times) -> Times:
    """Times with the pieces cut out; a time within a piece becomes its beginning."""
    if not len(begin):
        return ms.astype(np.int64)
    piece = np.searchsorted(begin, ms, side="right") - 1
    before = np.concatenate([[0], np.cumsum(length)])
    inside = np.minimum(ms - begin[piece], length[piece])
    return np.where(piece < 0, ms, ms - before[piece] - inside)


# --- refusing ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TooShort:
    """MAESTRO's shortest: 44 s, 129 notes."""

    seconds: float = 10.0
    notes: int = 64
    name: str = "too short"

    def __call__(self, performance: Performance) -> tuple[Performance | None, str]:
        seconds = _playing_seconds(performance)
        if seconds < self.seconds or len(performance) < self.notes:
            return None, f"{seconds:.1f} s, {len(performance)} notes; at least {self.seconds:g} s and {self.notes} notes are wanted"
        return performance, ""


@dataclass(frozen=True)
class TooSparse:
    """Broken files: a note now and then. MAESTRO's sparsest has 2.9 notes a second, the sample's (Debussy, *Des pas sur la neige*) 1.5."""

    notes_per_second: float = 0.5
    name: str = "too sparse"

    def __call__(self, performance: Performance) -> tuple[Performance | None, str]:
        seconds = _playing_seconds(performance)
        if len(performance) < self.notes_per_second * seconds:
            return None, f"{len(performance) / seconds:.2f} notes a second; at least {self.notes_per_second:g} are wanted"
        return performance, ""


@dataclass(frozen=True)
class ConstantVelocity:
    """Typed in from a score, not played: all notes alike, or a few dynamic marks. The least lively of MAESTRO has 45 velocities, and its
    most frequent one makes 7 % of the notes."""

    distinct: int = 12
    most_frequent: float = 0.5  # share of the notes
    name: str = "constant velocity"

    def __call__(self, performance: Performance) -> tuple[Performance | None, str]:
        count = np.bincount(performance.notes["velocity"], minlength=1)
        distinct, share = int(np.count_nonzero(count)), float(count.max()) / max(len(performance), 1)
        if distinct < self.distinct or share > self.most_frequent:
            return None, f"{distinct} velocities, {share:.0%} of the notes have the same; not a performance"
        return performance, ""


@dataclass(frozen=True)
class NotSoloPiano:
    """What no piano has, or no two hands can do: keys beyond the 88, and more notes than fingers for seconds on end.

    MAESTRO and the sample keep to the 88 keys; their densest ten seconds hold 456 notes. How many keys are held at once is not judged:
    GiantMIDI's transcriptions hold up to 61, because the pedal is written into their notes. Nor is the instrument: a `Performance` has
    none, the reader leaves out programs (and the drums of channel 10, with a warning). A string quartet played by a careful hand
    passes; sources of solo piano are the remedy.
    """

    beyond_keys: float = 0.01  # share of the notes
    notes_in_ten_seconds: int = 1_000
    name: str = "not solo piano"

    def __call__(self, performance: Performance) -> tuple[Performance | None, str]:
        if not len(performance):
            return performance, ""
        pitch, onset_ms = performance.notes["pitch"], performance.notes["onset_ms"]
        beyond = float(np.mean((pitch < LOWEST_KEY) | (pitch > HIGHEST_KEY)))
        densest = int(np.max(np.searchsorted(onset_ms, onset_ms + np.int64(10_000)) - np.arange(len(onset_ms))))
        if beyond > self.beyond_keys:
            return None, f"{beyond:.0%} of the notes lie beyond a piano's 88 keys"
        if densest > self.notes_in_ten_seconds:
            return None, f"{densest:,} notes within ten seconds are more than two hands play"
        return performance, ""


def _playing_seconds(performance: Performance) -> float:
    """From the first key down to the last key up."""
    notes = performance.notes
    return float(notes["offset_ms"].max() - notes["onset_ms"][0]) / 1000 if len(notes) else 0.0


RULES: tuple[CleaningRule, ...] = (TrimSilence(), TooShort(), TooSparse(), ConstantVelocity(), NotSoloPiano())
"""Trimming first: how long a piece is counts without its silences."""
