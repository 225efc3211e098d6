"""Which ids may come next: the state machine behind "anything it writes is valid". The canonical form: codec.py."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from preludio.tokens.vocabulary import END, N_SHIFTS, NOTE_OFF, NOTE_ON, PAD, TIME_SHIFT, VELOCITY, VOCAB_SIZE, VOCABULARY

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
