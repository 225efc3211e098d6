"""The 388-event vocabulary as one table, and what an id or an array of ids says.

The vocabulary is the one of Oore et al. 2018 ("This Time with Feeling", section 3), in the order of the files that the
`midi-neural-processor` writes, so that files of earlier systems can be read:

    0-127    NOTE_ON pitch          256-355  TIME_SHIFT 10 ms ... 1 s        388  PAD
    128-255  NOTE_OFF pitch         356-387  VELOCITY bin 0 ... 31           389  START    390  END
"""

from __future__ import annotations

import hashlib
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from preludio.performance import MAX_MS, N_VELOCITY_BINS, STEP_MS, bin_velocity

Ids = npt.NDArray[np.uint16]

NOTE_ON = 0
NOTE_OFF = 128
TIME_SHIFT = 256
VELOCITY = 356
PAD, START, END = 388, 389, 390
VOCAB_SIZE = 391
N_KEYS = NOTE_OFF - NOTE_ON
N_SHIFTS = VELOCITY - TIME_SHIFT  # the longest shift, in steps
LAST_STEP = MAX_MS // STEP_MS  # where time ends: notes may end here, not begin
DEFAULT_VELOCITY_BIN = 16  # for files that strike a note before naming a velocity

VOCABULARY: tuple[str, ...] = (
    *(f"NOTE_ON {pitch}" for pitch in range(128)),
    *(f"NOTE_OFF {pitch}" for pitch in range(128)),
    *(f"TIME_SHIFT {STEP_MS * steps} ms" for steps in range(1, N_SHIFTS + 1)),
    *(f"VELOCITY {bin_velocity(number)}" for number in range(N_VELOCITY_BINS)),
    "PAD",
    "START",
    "END",
)
"""What each id means; a readable dump is `[VOCABULARY[i] for i in ids]`."""

VOCABULARY_HASH = hashlib.sha256("\n".join(VOCABULARY).encode()).hexdigest()
"""Carried by every checkpoint and shard: ids of another vocabulary are refused."""


Array = npt.NDArray[np.integer[Any]]
Mask = npt.NDArray[np.bool_]


@overload
def is_note_on(ids: int) -> bool: ...
@overload
def is_note_on(ids: Array) -> Mask: ...
def is_note_on(ids: Any) -> Any:
    """Whether an id, or each id of an array, strikes a key; the pitch is then the id itself."""
    return ids < NOTE_OFF


@overload
def is_note_off(ids: int) -> bool: ...
@overload
def is_note_off(ids: Array) -> Mask: ...
def is_note_off(ids: Any) -> Any:
    """Whether an id, or each id of an array, releases a key; the pitch is then `ids - NOTE_OFF`."""
    return (ids >= NOTE_OFF) & (ids < TIME_SHIFT)


@overload
def is_shift(ids: int) -> bool: ...
@overload
def is_shift(ids: Array) -> Mask: ...
def is_shift(ids: Any) -> Any:
    """Whether an id, or each id of an array, lets time pass."""
    return (ids >= TIME_SHIFT) & (ids < VELOCITY)


@overload
def is_velocity(ids: int) -> bool: ...
@overload
def is_velocity(ids: Array) -> Mask: ...
def is_velocity(ids: Any) -> Any:
    """Whether an id, or each id of an array, sets the velocity; the bin is then `ids - VELOCITY`."""
    return (ids >= VELOCITY) & (ids < PAD)


def pitches(ids: Array) -> npt.NDArray[np.int64]:
    """Return the pitch of each NOTE_ON and NOTE_OFF of an array; without meaning for other ids."""
    return ids.astype(np.int64) % N_KEYS


def shift_steps(ids: Array) -> npt.NDArray[np.int64]:
    """Return how many 10 ms steps pass at each id of an array: 0 where it is no TIME_SHIFT."""
    wide = ids.astype(np.int64)
    return np.where(is_shift(wide), wide - TIME_SHIFT + 1, 0)


STEPS_OF: tuple[int, ...] = tuple(shift_steps(np.arange(VOCAB_SIZE)).tolist())
"""Of each id, how many steps pass: what `shift_steps` says, for one id at a time."""
