"""What the grammar allows after each id of a row that may begin anywhere in a piece: `Grammar`, vectorised, for scoring.

A row cut out of a piece does not say which keys were down before it, nor which velocity was in force. What is not known is allowed: a
key that was not met yet may be struck or released, any velocity may follow. A row that begins with START knows everything.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.tokens.vocabulary import (
    END,
    N_KEYS,
    NOTE_OFF,
    NOTE_ON,
    PAD,
    START,
    TIME_SHIFT,
    VELOCITY,
    VOCAB_SIZE,
    is_note_off,
    is_note_on,
    is_shift,
    is_velocity,
)

Mask = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.int64]
_UNKNOWN, _DOWN, _UP = 0, 1, 2
_KEYS = np.arange(N_KEYS)


def allowed_after(ids: npt.NDArray[np.signedinteger[Any]]) -> Mask:
    """Return which ids may follow each id of a canonical row: (n, 391). PAD and START never may; after END or PAD, nothing.

    Args:
        ids: (n,), part of a canonical piece with or without START and END.
    """
    ids = ids.astype(np.int64)
    keys, velocity = _keys(ids), _velocity_in_force(ids)
    after_on, after_off, after_shift, after_velocity = is_note_on(ids), is_note_off(ids), is_shift(ids), is_velocity(ids)
    strikes = (keys != _DOWN) & (_lowest_strike(ids)[:, None] <= _KEYS)
    releases = (keys != _UP) & np.where(after_off[:, None], (ids - NOTE_OFF)[:, None] < _KEYS, after_shift[:, None])
    silent = ~(keys == _DOWN).any(axis=1)
    begins = ids == START
    mask = np.zeros((len(ids), VOCAB_SIZE), dtype=np.bool_)
    mask[:, NOTE_ON:NOTE_OFF] = strikes & (velocity != _NONE)[:, None]
    mask[:, NOTE_OFF:TIME_SHIFT] = releases
    mask[:, TIME_SHIFT:VELOCITY] = (after_on | after_off | begins | (ids == VELOCITY - 1))[:, None]
    named = (np.arange(PAD - VELOCITY) != velocity[:, None]) & (~after_velocity & (strikes.any(axis=1) | begins))[:, None]
    mask[:, VELOCITY:PAD] = named
    mask[:, END] = (after_off & silent) | begins
    mask[(ids == END) | (ids == PAD)] = False
    return mask


def _keys(ids: Ids) -> npt.NDArray[np.int8]:
    """Whether each key is down after each id: (n, 128)."""
    event = np.flatnonzero(ids < TIME_SHIFT)
    last = np.full((len(ids), N_KEYS), -1, dtype=np.int32)
    last[event, ids[event] % NOTE_OFF] = event
    np.maximum.accumulate(last, axis=0, out=last)
    state = np.where(ids[last] < NOTE_OFF, _DOWN, _UP)
    unmet = np.where(np.cumsum(ids == START) > 0, _UP, _UNKNOWN)[:, None]
    return np.where(last < 0, unmet, state).astype(np.int8)


_ANY, _NONE = -1, -2  # velocities in force: not known, and none yet


def _velocity_in_force(ids: Ids) -> Ids:
    """The bin after each id, _ANY before the first that a cut row names, _NONE before the first of a piece."""
    names = np.where(is_velocity(ids) | (ids == START), np.arange(len(ids)), -1)
    last = np.maximum.accumulate(names)
    found = np.where(ids[last] == START, _NONE, ids[last] - VELOCITY)
    return np.where(last < 0, _ANY, found)


def _lowest_strike(ids: Ids) -> Ids:
    """In one step keys are struck by rising pitch: the lowest that may be next. A velocity between two strikes changes nothing."""
    is_other = (ids < VELOCITY) | (ids >= PAD)
    last = np.maximum.accumulate(np.where(is_other, np.arange(len(ids)), -1))
    before = ids[last]
    return np.where((last >= 0) & (before < NOTE_OFF), before + 1, 0)
