"""What the musical state at each position says about the next event: the indices of the model's output and input relations.

At each position an array of small integers says which extra row of the last product is added to which logit:

    logit[COLUMNS[c]] += x . R[index[c]]            x: the last hidden state after its norm; R: N_ROWS rows that begin at zero

    family          added to        rows      index
    key state       strikes         21        never met, down for one of 10 ages, up for one of 10
    key state       releases        21        the same
    interval        strikes         4 x 74    this key minus the last, second, third, fourth last key struck, -36 ... +36, or none
    interval        releases        4 x 74    this key minus the last two keys struck and the last two released
    loudness        velocities      4 x 64    this bin minus each of the last four bins written, or none
    rhythm          time shifts     3 x 50    8 log2 of (time from the last chord to where this shift lands / each of the last three
                                              gaps between chords), -24 ... +24, or unknown
    tonality        strikes         3 x 12    no index but weights: shares of the pitch classes heard lately (three half-lives), by
                                              their interval to this key: logit[pitch] += sum over i of x . R[i] share[(pitch + i) % 12]

At the input, three rows for the intervals from the last key struck to the three before are added to the embedding.

Everything follows from the ids of the same segment alone. Related work: Johnson 2017, "Generating Polyphonic Music Using Tied Parallel
Networks", where each key sees its neighbours and the pitch classes relative to itself.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.tokens.vocabulary import N_KEYS as N_KEYS
from preludio.tokens.vocabulary import (
    N_SHIFTS,
    NOTE_OFF,
    NOTE_ON,
    PAD,
    TIME_SHIFT,
    VELOCITY,
    is_note_off,
    is_note_on,
    is_velocity,
    shift_steps,
)

AGES = np.array([5, 12, 25, 50, 100, 200, 400, 800, 1600])  # steps; the upper ends of all ages but the last
N_AGES = len(AGES) + 1
N_KEY_STATES = 1 + 2 * N_AGES
REACH = 36  # semitones; what lies further counts as this far
N_INTERVALS = 2 * REACH + 2  # the last one stands for "none"
N_STRUCK, N_RELEASED, N_VELOCITIES, N_GAPS = 4, 2, 4, 3
N_VELOCITY_ROWS = 64
N_RHYTHMS = 50
RHYTHMS_AN_OCTAVE = 8
CHORD_STEPS = 4  # a strike less than this after the strike before belongs to its chord
HALF_LIVES = (8, 33, 138)  # strikes
N_CLASSES = 12
NONE = -1

class DirectSlot(NamedTuple):
    """logit[column + i] += x . R[first_row + direct[offset + i]] for 0 <= i < width."""

    column: int
    width: int
    first_row: int
    offset: int


class DifferenceSlot(NamedTuple):
    """logit[column + i] += x . R[first_row + clip(i - bases[base], -reach, reach) + reach]; where the base is NONE, the row after those."""

    column: int
    width: int
    first_row: int
    reach: int
    base: int


_N_BINS = PAD - VELOCITY
_VELOCITY_REACH = N_VELOCITY_ROWS // 2 - 1


def _slots() -> tuple[list[DirectSlot], list[DifferenceSlot], int]:
    """All slots in the order of their rows, and how many rows they have."""
    direct, difference, row = [], [], 0
    for column in (NOTE_ON, NOTE_OFF):
        direct.append(DirectSlot(column, N_KEYS, row, 0))
        row += N_KEY_STATES
    released = [0, 1, *range(N_STRUCK, N_STRUCK + N_RELEASED)]
    for column, bases in ((NOTE_ON, range(N_STRUCK)), (NOTE_OFF, released)):
        for base in bases:
            difference.append(DifferenceSlot(column, N_KEYS, row, REACH, base))
            row += N_INTERVALS
    for base in range(N_STRUCK + N_RELEASED, N_BASES):
        difference.append(DifferenceSlot(VELOCITY, _N_BINS, row, _VELOCITY_REACH, base))
        row += N_VELOCITY_ROWS
    for gap in range(N_GAPS):
        direct.append(DirectSlot(TIME_SHIFT, N_SHIFTS, row, N_KEYS + gap * N_SHIFTS))
        row += N_RHYTHMS
    return direct, difference, row


N_BASES = N_STRUCK + N_RELEASED + N_VELOCITIES
DIRECT_SLOTS, DIFFERENCE_SLOTS, N_SLOT_ROWS = _slots()
N_SHARES = len(HALF_LIVES) * N_CLASSES
N_ROWS = N_SLOT_ROWS + N_SHARES
"""The rows of the output relations: those of the slots, then those of the tonality."""

N_INPUT_ROWS = (N_STRUCK - 1) * N_INTERVALS

TURNS = (np.arange(N_CLASSES)[:, None] + np.arange(N_CLASSES)) % N_CLASSES
"""(class, interval): which pitch class lies that interval above this one."""

Floats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]


class States(NamedTuple):
    """The musical state after each of some ids; arrays of leading shape (...), one state for each position."""

    direct: npt.NDArray[np.uint8]  # (..., 428): the state of each key, then the rhythm of each shift for each of three gaps
    bases: npt.NDArray[np.int16]  # (..., 10): four pitches struck, two released, four velocity bins, each newest first; NONE
    shares: npt.NDArray[np.float32]  # (..., 3, 12): of the pitch classes struck, by half-life; zeros before the first strike


def columns() -> Integers:
    """The logit that each index of `output_indices` adds a row to: (n_indices,)."""
    spans = [(slot.column, slot.width) for slot in DIRECT_SLOTS] + [(slot.column, slot.width) for slot in DIFFERENCE_SLOTS]
    return np.concatenate([np.arange(column, column + width) for column, width in spans])


def output_indices(states: States) -> npt.NDArray[np.int16]:
    """The row of R that is added to each logit of `columns`: (..., n_indices). The specification; fast paths walk the slots."""
    direct = [slot.first_row + states.direct[..., slot.offset : slot.offset + slot.width].astype(np.int16) for slot in DIRECT_SLOTS]
    difference = [
        slot.first_row + _differences(np.arange(slot.width, dtype=np.int16), states.bases[..., slot.base], slot.reach)
        for slot in DIFFERENCE_SLOTS
    ]
    return np.concatenate([*direct, *difference], axis=-1)


def input_indices(bases: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """The rows that are added to the embedding of each position, from `States.bases`: (..., 3)."""
    last, before = bases[..., :1], bases[..., 1:N_STRUCK]
    index = np.clip(last - before, -REACH, REACH) + REACH
    index = np.where((last != NONE) & (before != NONE), index, N_INTERVALS - 1)
    return (index + np.arange(N_STRUCK - 1) * N_INTERVALS).astype(np.int16)


def _differences(values: npt.NDArray[np.int16], base: npt.NDArray[np.int16], reach: int) -> npt.NDArray[np.int16]:
    """values (n,) minus base (...) as indices (..., n) below 2 reach + 2; the last one where base is NONE."""
    index = np.clip(values - base[..., None], -reach, reach) + np.int16(reach)
    return np.where(base[..., None] == NONE, np.int16(2 * reach + 1), index)


def states(ids: npt.NDArray[np.integer[Any]]) -> States:
    """The state after each id of rows that begin with nothing known.

    Args:
        ids: (batch, n); PAD, START and END change nothing.

    Returns:
        Arrays of leading shape (batch, n).
    """
    rows = [_row_states(np.asarray(row, dtype=np.int64)) for row in ids]
    return States(*(np.stack(each) for each in zip(*rows, strict=True)))


def _row_states(ids: npt.NDArray[np.int64]) -> States:
    is_on, is_off, names_velocity = is_note_on(ids), is_note_off(ids), is_velocity(ids)
    step = np.cumsum(shift_steps(ids))
    ons = np.flatnonzero(is_on)
    struck = _last(ids[ons], np.cumsum(is_on), N_STRUCK)
    released = _last(ids[is_off] - NOTE_OFF, np.cumsum(is_off), N_RELEASED)
    velocities = _last(ids[names_velocity] - VELOCITY, np.cumsum(names_velocity), N_VELOCITIES)
    rhythms = _rhythms(step, step[ons], np.cumsum(is_on))
    return States(
        direct=np.concatenate([_key_states(ids, step), rhythms.reshape(len(ids), -1)], axis=1),
        bases=np.concatenate([struck, released, velocities], axis=1).astype(np.int16),
        shares=_shares(ids[ons])[np.cumsum(is_on)],
    )


def _last(values: npt.NDArray[np.int64], count: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """Of the first count[t] values the last n, newest first, NONE where there are fewer: (len(count), n)."""
    place = count[:, None] - np.arange(1, n + 1)
    padded = np.append(values, NONE)
    return padded[np.where(place >= 0, place, len(values))]


def _key_states(ids: npt.NDArray[np.int64], step: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """(n, 128)."""
    event = np.flatnonzero(ids < TIME_SHIFT)
    last = np.full((len(ids), N_KEYS), NONE, dtype=np.int32)  # the last event of each key
    last[event, ids[event] % NOTE_OFF] = event
    np.maximum.accumulate(last, axis=0, out=last)
    age = _AGE_OF[np.clip(step[:, None] - step[last], 0, AGES[-1])]  # what was never met is replaced below
    state = 1 + age + N_AGES * (ids[last] >= NOTE_OFF)
    return np.where(last == NONE, 0, state).astype(np.uint8)


_AGE_OF = np.searchsorted(AGES, np.arange(AGES[-1] + 1), side="right").astype(np.uint8)


def _rhythms(step: npt.NDArray[np.int64], struck: npt.NDArray[np.int64], count: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """(n, 3, 100), of the steps of all strikes and how many there were at each position."""
    begins_chord = np.diff(struck, prepend=-CHORD_STEPS - 1) >= CHORD_STEPS
    chords = _last(struck[begins_chord], np.append(0, np.cumsum(begins_chord))[count], N_GAPS + 1)
    return _rhythm_indices(step, chords)


def _rhythm_indices(step: npt.NDArray[np.int64], chords: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """step (n,), the onsets of the last four chords (n, 4) -> (n, 3, 100)."""
    gaps = chords[:, :-1] - chords[:, 1:]
    known = (chords[:, 1:] != NONE)[:, :, None]
    since = (step - chords[:, 0])[:, None] + np.arange(1, N_SHIFTS + 1)
    octaves = np.log2(since)[:, None, :] - np.log2(np.where(known[:, :, 0], gaps, 1))[:, :, None]
    index = np.clip(np.rint(RHYTHMS_AN_OCTAVE * octaves) + 3 * RHYTHMS_AN_OCTAVE, 0, N_RHYTHMS - 2)
    return np.where(known, index, N_RHYTHMS - 1).astype(np.uint8)


def _shares(pitches: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """(strikes + 1, 3, 12): of each pitch class, after 0, 1, 2 ... strikes."""
    shares = np.zeros((len(pitches) + 1, len(HALF_LIVES), N_CLASSES), dtype=np.float32)
    heard = np.zeros((len(HALF_LIVES), N_CLASSES))
    for number, pitch in enumerate(pitches.tolist(), 1):
        heard *= _DECAY
        heard[:, pitch % N_CLASSES] += 1
        shares[number] = heard / heard.sum(axis=1, keepdims=True)
    return shares


_DECAY = 0.5 ** (1 / np.array(HALF_LIVES))[:, None]


class Tracker:
    """The state of one row, moved by one id: `now()` after pushing some ids equals the last row of `states`."""

    def __init__(self) -> None:
        self._step = 0
        self._changed = np.full(N_KEYS, NONE, dtype=np.int64)  # the step of each key's last event
        self._is_up = np.zeros(N_KEYS, dtype=np.int64)
        self._struck: deque[int] = deque([NONE] * N_STRUCK, N_STRUCK)  # newest first
        self._released: deque[int] = deque([NONE] * N_RELEASED, N_RELEASED)
        self._velocities: deque[int] = deque([NONE] * N_VELOCITIES, N_VELOCITIES)
        self._chords: deque[int] = deque([NONE] * (N_GAPS + 1), N_GAPS + 1)
        self._last_strike = -CHORD_STEPS - 1
        self._heard = np.zeros((len(HALF_LIVES), N_CLASSES))

    def push(self, token: int) -> None:
        """Goes on by one id; PAD, START and END change nothing."""
        if token < NOTE_OFF:
            self._strike(token)
        elif token < TIME_SHIFT:
            self._changed[token - NOTE_OFF], self._is_up[token - NOTE_OFF] = self._step, 1
            self._released.appendleft(token - NOTE_OFF)
        elif token < VELOCITY:
            self._step += token - TIME_SHIFT + 1
        elif token < PAD:
            self._velocities.appendleft(token - VELOCITY)

    def _strike(self, pitch: int) -> None:
        self._changed[pitch], self._is_up[pitch] = self._step, 0
        self._struck.appendleft(pitch)
        if self._step - self._last_strike >= CHORD_STEPS:
            self._chords.appendleft(self._step)
        self._last_strike = self._step
        self._heard *= _DECAY
        self._heard[:, pitch % N_CLASSES] += 1

    def bases(self) -> npt.NDArray[np.int16]:
        """`States.bases` alone: (10,)."""
        return np.array([*self._struck, *self._released, *self._velocities], dtype=np.int16)

    def now(self) -> States:
        """Arrays without a leading shape."""
        age = _AGE_OF[np.minimum(self._step - self._changed, AGES[-1])]
        total = np.maximum(self._heard.sum(axis=1, keepdims=True), 1e-30)
        keys = np.where(self._changed == NONE, 0, 1 + age + N_AGES * self._is_up).astype(np.uint8)
        rhythms = _rhythm_indices(np.array([self._step]), np.array([self._chords]))
        return States(
            direct=np.concatenate([keys, rhythms.ravel()]),
            bases=self.bases(),
            shares=(self._heard / total).astype(np.float32),
        )
