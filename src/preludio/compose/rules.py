"""Rules that narrow what may come next: how a piece ends, and guards against the two ways such models die.

Each rule hears every event of the piece, the prompt's too (`push`), and strikes out of the mask what must not come next (`narrow`). The
guards' limits lie beyond what real performances do: `benchmarks/guards.py` counts how often they would have touched MAESTRO
(docs/composing.md has the table).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from preludio.performance import STEP_MS
from preludio.tokens import END, NOTE_OFF, NOTE_ON, PAD, TIME_SHIFT, VELOCITY, Grammar, shift_steps

Mask = npt.NDArray[np.bool_]

STEPS_PER_SECOND = 1000 // STEP_MS


class Rule(Protocol):
    def push(self, token: int) -> None:
        """Hears the next event of the piece."""

    def narrow(self, mask: Mask) -> None:
        """Strikes out, in place, ids that must not come next."""


class Ending:
    """A piece of the asked length ends at the next rest; if none comes in time, it strikes no more keys and lets those that sound ring out.

    A rest is silence or, since most piano music is never silent under its pedal, a breath: no strike for a while.
    The model's own END counts from half of the asked length on: before that, someone who asked for a minute would get a few seconds.
    """

    BREATH_STEPS = STEPS_PER_SECOND * 7 // 10
    GRACE_STEPS = 4 * STEPS_PER_SECOND  # how long past the asked length a rest is waited for
    RELEASE_STEPS = STEPS_PER_SECOND  # how long after that the last notes may ring

    def __init__(self, grammar: Grammar, seconds: float) -> None:
        """The grammar has heard the prompt, and goes on being pushed by the caller."""
        self._grammar = grammar
        self._start = grammar.step
        self._target = max(1, round(seconds * STEPS_PER_SECOND))
        self._since_strike = 0

    @property
    def steps(self) -> int:
        """How much has been composed."""
        return self._grammar.step - self._start

    @property
    def reached(self) -> bool:
        """The piece is over: at its END, at a rest past the asked length, or when its last notes have rung long enough."""
        rest = not self._grammar.sounding or self._since_strike >= self.BREATH_STEPS
        long_enough = self.steps >= self._target + self.GRACE_STEPS + self.RELEASE_STEPS
        return self._grammar.ended or (rest and self.steps >= self._target) or long_enough

    def push(self, token: int) -> None:
        self._since_strike = 0 if token < NOTE_OFF else self._since_strike + shift_steps(token)

    def narrow(self, mask: Mask) -> None:
        if self.steps < self._target // 2:
            mask[END] = False
        if self.steps >= self._target + self.GRACE_STEPS:
            mask[NOTE_ON:NOTE_OFF] = False
            mask[VELOCITY:PAD] = False


class SilenceGuard:
    """Against endless silence: after so long without a strike, time may not pass until a key is struck."""

    LIMIT_STEPS = 12 * STEPS_PER_SECOND

    def __init__(self) -> None:
        self._since_strike = 0

    def push(self, token: int) -> None:
        self._since_strike = 0 if token < NOTE_OFF else self._since_strike + shift_steps(token)

    def narrow(self, mask: Mask) -> None:
        left = self.LIMIT_STEPS - self._since_strike
        if left < VELOCITY - TIME_SHIFT:
            mask[TIME_SHIFT + max(0, left) : VELOCITY] = False


class LoopGuard:
    """Against one figure for ever: a figure that has repeated for too long may not go on as it did.

    Heard are either all events or the struck keys alone. A figure of `period` items repeats for `run` items when each of them equals
    the one `period` before. Once a run reaches the limit, the item that would lengthen it is struck out, and so is the figure's
    every next item for one period (at least `MIN_BREAK`): else the music falls back into it.
    """

    MIN_BREAK = 16

    def __init__(self, first: int, last: int, longest_period: int, limit: int) -> None:
        """Hears ids first ... last - 1."""
        self._first, self._last, self._limit = first, last, limit
        self._recent = np.full(longest_period, -1, dtype=np.int64)  # the newest first
        self._runs = np.zeros(longest_period, dtype=np.int64)  # the run of period p at p - 1
        self._breaking = np.zeros(longest_period, dtype=np.int64)  # for how many items period p's figure is struck out

    def push(self, token: int) -> None:
        if not self._first <= token < self._last:
            return
        self._runs += 1
        self._runs[self._recent != token] = 0
        self._recent[1:] = self._recent[:-1]
        self._recent[0] = token
        np.maximum(self._breaking - 1, 0, out=self._breaking)
        for place in np.flatnonzero(self._runs >= self._limit):
            self._breaking[place] = max(self.MIN_BREAK, place + 1)

    def narrow(self, mask: Mask) -> None:
        for token in self._recent[self._breaking > 0].tolist():  # the items `period` before the one to come
            mask[token] = False

    @property
    def active(self) -> bool:
        """A figure is being struck out."""
        return bool(self._breaking.any())


def guards() -> list[Rule]:
    """The guards of one piece, with limits beyond what MAESTRO's performances do."""
    return [
        SilenceGuard(),
        LoopGuard(NOTE_ON, NOTE_OFF, longest_period=64, limit=192),
        LoopGuard(NOTE_ON, VELOCITY + 32, longest_period=256, limit=64),
    ]


def narrowed(allowed: Mask, rules: list[Rule]) -> Mask:
    """A copy of the grammar's mask with the rules applied, except one that would leave nothing to choose."""
    mask = allowed.copy()
    for rule in rules:
        before = mask.copy()
        rule.narrow(mask)
        if not mask.any():
            mask = before
    return mask
