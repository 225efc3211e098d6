"""Performances <-> token ids.

The canonical form of a piece (what `encode` writes, and all that the grammar accepts):

    piece   = { step | shift }                  it ends with the last sounding note's end
    shift   = { 1 s } [ the rest ]              the largest shifts first, always as few as possible
    step    = { NOTE_OFF } { [VELOCITY] NOTE_ON }     both by rising pitch; VELOCITY only where it changes, and before the first note

Every note lasts at least one step, and every note that begins ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.errors import TokenError
from preludio.performance import N_VELOCITY_BINS, STEP_MS, Performance, bin_velocity, grid_notes, pack_notes, quantise
from preludio.tokens.grammar import Grammar
from preludio.tokens.vocabulary import (
    DEFAULT_VELOCITY_BIN,
    END,
    LAST_STEP,
    N_SHIFTS,
    NOTE_OFF,
    NOTE_ON,
    PAD,
    START,
    TIME_SHIFT,
    VELOCITY,
    VOCAB_SIZE,
    VOCABULARY,
    Ids,
)


def encode(performance: Performance) -> Ids:
    """The canonical ids of `quantise(sustain(performance))`, without START and END.

    Returns:
        uint16 array of shape (n_tokens,), empty for a piece without notes.
    """
    event = _events(performance)
    token, velocity = event >> _TOKEN_BIT & 0xFF ^ NOTE_OFF, event & N_VELOCITY_BINS - 1
    shift = np.diff(event >> _STEP_BIT, prepend=0)
    n_shifts = (shift + N_SHIFTS - 1) // N_SHIFTS
    rows = np.full((len(event), 3), PAD, dtype=np.uint16)  # of each event: its last shift, its velocity, its token; PAD for none
    rows[:, 0] = np.where(shift > 0, TIME_SHIFT - 1 + shift - N_SHIFTS * (n_shifts - 1), PAD)
    named = _where_it_changes(velocity, np.flatnonzero(token < NOTE_OFF))
    rows[named, 1] = VELOCITY + velocity[named]
    rows[:, 2] = token
    ids = rows.ravel()
    long = np.flatnonzero(n_shifts > 1)
    if len(long):
        ids = np.insert(ids, np.repeat(3 * long, n_shifts[long] - 1), TIME_SHIFT + N_SHIFTS - 1)
    return ids.take(np.flatnonzero(ids != PAD))  # far quicker than ids[ids != PAD]


_TOKEN_BIT, _STEP_BIT = 5, 13  # an event as one number: step, eight bits of token, five of the velocity's bin


def _events(performance: Performance) -> npt.NDArray[np.int64]:
    """Each on and off as one number, in canonical order: by step, offs before ons (so the bit NOTE_OFF is turned over), then by pitch."""
    onset_step, offset_step, pitch, bins = (column.astype(np.int64) for column in grid_notes(performance))
    ons = onset_step << _STEP_BIT | (NOTE_ON ^ NOTE_OFF | pitch) << _TOKEN_BIT | bins
    offs = offset_step << _STEP_BIT | pitch << _TOKEN_BIT
    return np.sort(np.concatenate([ons, offs]))  # no ties: one strike of a key at one step


def _where_it_changes(velocity: npt.NDArray[np.int64], ons: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The ons that need a VELOCITY before them."""
    bins = velocity[ons]
    return np.concatenate([ons[:1], ons[1:][bins[1:] != bins[:-1]]])


def decode(ids: Iterable[int] | npt.NDArray[np.integer], *, strict: bool = False) -> Performance:
    """Ids -> a quantised performance, for any ids whatever: `decode(encode(p)) == quantise(sustain(p))`.

    What is not canonical is repaired:
        - PAD, START and ids outside the vocabulary are skipped; END ends the piece;
        - a NOTE_ON of a sounding key ends the note that sounds and strikes it anew;
        - a NOTE_OFF of a silent key is dropped;
        - a note that is never ended sounds until the piece's last event or shift;
        - a note without length lasts one step;
        - notes before the first VELOCITY have bin 16;
        - time stands still at 24 days: notes that would begin there are dropped.

    With `strict=True` a leading START and a closing END are allowed, and everything else must be canonical.

    Raises:
        TokenError: something is not an integer, or, with `strict`, the grammar refuses an id; the text says which and where.
    """
    tokens = _integers(ids)
    if strict:
        _require_canonical(tokens)
    return _decode(tokens)


def _integers(ids: Any) -> list[int]:
    if isinstance(ids, np.ndarray) and ids.size and (ids.ndim != 1 or ids.dtype.kind not in "iuO"):
        raise TokenError(f"token ids must be one row of integers, not {ids.dtype} of shape {ids.shape}")
    try:
        return [index(token) for token in (ids.tolist() if isinstance(ids, np.ndarray) else ids)]
    except TypeError:
        raise TokenError("token ids must be one row of integers") from None


def _decode(tokens: list[int]) -> Performance:
    sounding: dict[int, tuple[int, int]] = {}  # pitch -> (onset step, velocity bin)
    rows: list[tuple[int, int, int, int]] = []  # (onset step, offset step, pitch, velocity bin)
    step, velocity = 0, DEFAULT_VELOCITY_BIN
    for token in tokens:
        if 0 <= token < NOTE_OFF:
            if token in sounding:
                onset, loudness = sounding[token]
                rows.append((onset, step, token, loudness))
            sounding[token] = step, velocity
        elif NOTE_OFF <= token < TIME_SHIFT:
            if token - NOTE_OFF in sounding:
                onset, loudness = sounding.pop(token - NOTE_OFF)
                rows.append((onset, step, token - NOTE_OFF, loudness))
        elif TIME_SHIFT <= token < VELOCITY:
            step = min(step + token - TIME_SHIFT + 1, LAST_STEP)
        elif VELOCITY <= token < PAD:
            velocity = token - VELOCITY
        elif token == END:
            break
    rows += [(onset, step, pitch, loudness) for pitch, (onset, loudness) in sounding.items()]
    notes = np.array(rows, dtype=np.int64).reshape(-1, 4)
    onset_step, offset_step, pitch, bins = notes[notes[:, 0] < LAST_STEP].T
    return quantise(Performance(pack_notes(onset_step * STEP_MS, offset_step * STEP_MS, pitch, bin_velocity(bins))))


def _require_canonical(tokens: list[int]) -> None:
    grammar = Grammar()
    for place, token in enumerate(tokens):
        if token == START and place == 0:
            continue
        if not 0 <= token < VOCAB_SIZE or not grammar.allowed_set >> token & 1:
            name = VOCABULARY[token] if 0 <= token < VOCAB_SIZE else "outside the vocabulary"
            raise TokenError(f"token {place} ({token}, {name}) breaks the grammar; decode without strict=True repairs it")
        grammar.push(token)
    if grammar.step > LAST_STEP:
        raise TokenError("the tokens last over 24 days; decode without strict=True cuts them there")
    if not (grammar.ended or grammar.may_end):
        raise TokenError("the tokens stop while notes sound or time passes; decode without strict=True repairs it")
