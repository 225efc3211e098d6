"""Random windows of the training split, transposed and stretched as they are drawn: one copy of the corpus, not 35.

What a step reads depends on the seed and the step alone. That is the whole data position: a run that was killed, or that is spread over
more processes, reads the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from preludio.corpus.shards import Split
from preludio.errors import TrainError
from preludio.tokens import END, N_KEYS, N_SHIFTS, PAD, START, TIME_SHIFT, is_shift, pitches, shift_steps

Batch = npt.NDArray[np.int64]
TOKEN_MARGIN = 1.15  # of raw tokens to a window's length: shrinking time takes shifts away


class Windows:
    """Draws batches from one split; a piece reads START, its ids, END."""

    def __init__(self, split: Split, seed: int, semitones: int = 0, stretches: tuple[float, ...] = (1.0,)) -> None:
        """
        Raises:
            TrainError: the split is empty.
        """
        if not len(split) or not len(split.ids):
            raise TrainError("the split has no pieces: there is nothing to learn from; prepare more data")
        self.split, self.seed, self.semitones, self.stretches = split, seed, semitones, stretches
        self._chance = split.lengths / split.lengths.sum()

    def batch(self, step: int, n: int, length: int) -> Batch:
        """n windows of `length + 1` ids: inputs and, one further, targets. (n, length + 1), filled up with PAD after a piece's END,
        or, where time shrinks, after rests so long that the drawn ids became too few.

        A piece is as likely as it is long. Windows may begin a fourth of their length before the piece, which stands for its START, and
        end as much behind it: a plain uniform place would meet the END only in a piece's very last window.
        """
        rng = np.random.default_rng((self.seed, step))
        rows = np.full((n, length + 1), PAD, dtype=np.int64)
        for row, number in zip(rows, rng.choice(len(self.split), size=n, p=self._chance), strict=True):
            window = self._window(rng, int(number), length)
            row[: len(window)] = window
        return rows

    def _window(self, rng: np.random.Generator, number: int, length: int) -> Batch:
        ids = self.split.piece(number)
        wanted = int(TOKEN_MARGIN * (length + 1))
        last = len(ids) - length + length // 4 if len(ids) > length else 0
        start = int(rng.integers(-length // 4, last + 1))
        raw = ids[max(0, start) : max(0, start) + wanted].astype(np.int64)
        whole = [[START]] * (start <= 0) + [raw] + [[END]] * (max(0, start) + wanted >= len(ids))
        drawn = transposed(np.concatenate(whole), int(rng.integers(-self.semitones, self.semitones + 1)))
        return stretched(drawn, float(rng.choice(self.stretches)))[: length + 1]


def transposed(ids: npt.NDArray[np.int64], semitones: int) -> npt.NDArray[np.int64]:
    """The ids moved by `semitones`; as they are if a key would leave MIDI's 128."""
    keys = ids < TIME_SHIFT
    pitch = pitches(ids[keys]) + semitones
    if not len(pitch) or pitch.min() < 0 or pitch.max() >= N_KEYS:
        return ids
    moved = ids.copy()
    moved[keys] += semitones
    return moved


def stretched(ids: npt.NDArray[np.int64], factor: float) -> npt.NDArray[np.int64]:
    """The ids with their time multiplied: each event's absolute time is rounded, then differenced, so nothing drifts.

    What was one step apart or more stays so: two events never fall into one step, whose order they might break. An event that must wait
    for this is late no longer than the crowd before it is dense. A shift that no event follows is dropped.
    """
    if factor == 1:
        return ids
    steps = np.cumsum(shift_steps(ids))
    events = np.flatnonzero(~is_shift(ids))
    if not len(events):
        return ids
    moments = np.cumsum(np.diff(steps[events], prepend=0) > 0)  # how many different ones there were until each event
    ahead = np.maximum.accumulate(np.rint(steps[events] * factor).astype(np.int64) - moments)
    return _with_time_shifts(ids[events], np.diff(moments + np.maximum(ahead, 0), prepend=0))


def _with_time_shifts(events: npt.NDArray[np.int64], gaps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Each event after its gap, written as full seconds and the rest, as the codec does."""
    n_shifts = (gaps + N_SHIFTS - 1) // N_SHIFTS
    ends = np.cumsum(n_shifts + 1)
    ids = np.full(ends[-1], TIME_SHIFT + N_SHIFTS - 1, dtype=np.int64)
    ids[ends - 1] = events
    later = gaps > 0
    ids[ends[later] - 2] = TIME_SHIFT - 1 + gaps[later] - N_SHIFTS * (n_shifts[later] - 1)
    return ids
