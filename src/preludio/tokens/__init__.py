"""Performances as token ids: the 388-event vocabulary, the codec, and the grammar.

The vocabulary is the one of Oore et al. 2018 ("This Time with Feeling", section 3), in the order of the files that the
`midi-neural-processor` writes, so that files of earlier systems can be read:

    0-127    NOTE_ON pitch          256-355  TIME_SHIFT 10 ms ... 1 s        388  PAD
    128-255  NOTE_OFF pitch         356-387  VELOCITY bin 0 ... 31           389  START    390  END

The canonical form of a piece (what `encode` writes, and all that the grammar accepts):

    piece   = { step | shift }                  it ends with the last sounding note's end
    shift   = { 1 s } [ the rest ]              the largest shifts first, always as few as possible
    step    = { NOTE_OFF } { [VELOCITY] NOTE_ON }     both by rising pitch; VELOCITY only where it changes, and before the first note

Every note lasts at least one step, and every note that begins ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.errors import TokenError
from preludio.performance import (
    MAX_MS,
    N_VELOCITY_BINS,
    STEP_MS,
    Performance,
    bin_velocity,
    pack_notes,
    quantise,
    strikes,
)

Ids = npt.NDArray[np.uint16]

NOTE_ON = 0
NOTE_OFF = 128
TIME_SHIFT = 256
VELOCITY = 356
PAD, START, END = 388, 389, 390
VOCAB_SIZE = 391
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


def shift_steps(token: int) -> int:
    """How many 10 ms steps a TIME_SHIFT id lasts; 0 for any other id."""
    return token - TIME_SHIFT + 1 if TIME_SHIFT <= token < VELOCITY else 0


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
    onset_step, offset_step, pitch, bins = (column.astype(np.int64) for column in strikes(performance))
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


IdSet = int
"""A set of ids as the bits of one number: narrowing it takes 50 ns, an array of 391 truth values 20 times as long."""


def id_range(first: int, stop: int) -> IdSet:
    """The ids first ... stop - 1."""
    return (1 << stop) - (1 << first)


def as_mask(ids: IdSet) -> npt.NDArray[np.bool_]:
    """Mask of shape (391,)."""
    octets = np.frombuffer(ids.to_bytes(-(-VOCAB_SIZE // 8), "little"), dtype=np.uint8)
    return np.unpackbits(octets, count=VOCAB_SIZE, bitorder="little").view(np.bool_)


_ALL_KEYS = id_range(0, 128)
_ALL_OFFS = id_range(NOTE_OFF, TIME_SHIFT)
_ALL_SHIFTS = id_range(TIME_SHIFT, VELOCITY)
_ALL_VELOCITIES = id_range(VELOCITY, PAD)
_END = 1 << END


class Grammar:
    """Which ids may come next: the state machine behind "anything it writes is valid".

    `allowed_set` after pushing any prefix of a canonical piece holds exactly the ids that some canonical piece goes on with; END
    where the piece may end. PAD and START are never allowed. `push` takes only what is allowed.
    """

    def __init__(self) -> None:
        self.step = 0
        self.sounding: dict[int, int] = {}  # pitch -> the step of its onset
        self.velocity: int | None = None  # the bin in force
        self.ended = False
        self.allowed_set: IdSet = _ALL_SHIFTS | _ALL_VELOCITIES | _END
        self._key_up = _ALL_KEYS  # bit by pitch
        self._free = _ALL_KEYS  # those that may still be struck in this step
        self._velocities = _ALL_VELOCITIES  # all but the one in force

    @property
    def may_end(self) -> bool:
        """Nothing sounds, no time or velocity hangs in the air."""
        return bool(self.allowed_set & _END)

    def allowed(self) -> npt.NDArray[np.bool_]:
        """`allowed_set` as a mask of shape (391,)."""
        return as_mask(self.allowed_set)

    def push(self, token: int) -> None:
        """Goes on by one id, which must be allowed."""
        assert self.allowed_set >> token & 1, f"{VOCABULARY[token]} is not allowed here"
        if token < NOTE_OFF:
            self._push_on(token)
        elif token < TIME_SHIFT:
            self._push_off(token - NOTE_OFF)
        elif token < VELOCITY:
            self._push_shift(token - TIME_SHIFT + 1)
        elif token < PAD:
            self.velocity = token - VELOCITY
            self._velocities = _ALL_VELOCITIES ^ 1 << token
            self.allowed_set = self._free << NOTE_ON
        else:
            self.ended = True
            self.allowed_set = 0

    def _push_on(self, pitch: int) -> None:
        """Higher keys may follow in this step."""
        self.sounding[pitch] = self.step
        self._key_up ^= 1 << pitch
        self._free = free = self._key_up >> pitch << pitch
        self.allowed_set = free << NOTE_ON | self._velocities | _ALL_SHIFTS if free else _ALL_SHIFTS

    def _push_off(self, pitch: int) -> None:
        """Higher keys may follow, and so may all that begins."""
        del self.sounding[pitch]
        self._key_up |= 1 << pitch
        self._free = self._key_up
        higher = self.allowed_set & _ALL_OFFS & -1 << NOTE_OFF + pitch + 1
        self.allowed_set = self._free << NOTE_ON | higher | _ALL_SHIFTS | self._velocities | (0 if self.sounding else _END)

    def _push_shift(self, steps: int) -> None:
        """A new step; or more time, after a full second."""
        self.step += steps
        self._free = free = self._key_up
        offs = (_ALL_KEYS ^ free) << NOTE_OFF
        strikes = free << NOTE_ON if self.velocity is not None else 0
        velocities = self._velocities if free else 0
        self.allowed_set = strikes | offs | velocities | (_ALL_SHIFTS if steps == N_SHIFTS else 0)
