"""Rules that narrow what may come next: how a piece ends, and guards against the two ways such models die.

Each rule hears every event of the piece, the prompt's too (`push`), and strikes out of the mask what must not come next (`narrow`). The
guards' limits lie beyond what real performances do: `benchmarks/guards.py` counts how often they would have touched MAESTRO
(docs/composing.md has the table).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from preludio.performance import STEP_MS
from preludio.tokens import END, N_SHIFTS, NOTE_OFF, NOTE_ON, PAD, TIME_SHIFT, VELOCITY, Grammar, shift_steps

Mask = npt.NDArray[np.bool_]

STEPS_PER_SECOND = 1000 // STEP_MS


class Rule(Protocol):
    def push(self, token: int) -> None:
        """Hears the next event of the piece."""

    def narrow(self, mask: Mask) -> None:
        """Strikes out, in place, ids that must not come next."""


class Guard(Rule, Protocol):
    @property
    def alarmed(self) -> bool:
        """The music is dying, or just has been: draw from all that the model holds likely, whatever was asked for."""


class Ending:
    """A piece of the asked length ends at the next rest: it strikes no more keys and lets those that sound ring out.

    A rest is a short silence or, since most piano music is never silent under its pedal, a breath: no strike for a while. The longer the
    wait for one, the shorter a breath will do; at the end of the grace, none is needed. The model's own END counts from half of the asked
    length on: before that, someone who asked for a minute would get a few seconds. No piece ends before it has struck a key.
    """

    SILENCE_STEPS = STEPS_PER_SECOND * 2 // 10
    BREATH_STEPS = STEPS_PER_SECOND * 7 // 10
    SHORTEST_BREATH_STEPS = STEPS_PER_SECOND * 2 // 10
    GRACE_STEPS = 6 * STEPS_PER_SECOND  # how long past the asked length a rest is waited for
    RELEASE_STEPS = 2 * STEPS_PER_SECOND  # how long after that the last notes may ring

    def __init__(self, grammar: Grammar, seconds: float) -> None:
        """The grammar has heard the prompt, and goes on being pushed by the caller."""
        self._grammar = grammar
        self._start = grammar.step
        self._target = max(1, round(seconds * STEPS_PER_SECOND))
        self._struck = False
        self._since_strike = 0
        self._silence = 0
        self._closed_at: int | None = None  # when the last key had been struck

    @property
    def steps(self) -> int:
        """How much has been composed."""
        return self._grammar.step - self._start

    @property
    def reached(self) -> bool:
        """The piece is over: at its END, or closed and silent, or its last notes have rung long enough."""
        if self._closed_at is None:
            return self._grammar.ended
        return not self._grammar.sounding or self.steps >= self._closed_at + self.RELEASE_STEPS

    def push(self, token: int) -> None:
        self._struck |= token < NOTE_OFF
        self._since_strike = 0 if token < NOTE_OFF else self._since_strike + shift_steps(token)
        self._silence = 0 if self._grammar.sounding else self._silence + shift_steps(token)
        if self._closed_at is None and self._struck and self.steps >= self._target:
            waited = (self.steps - self._target) / self.GRACE_STEPS
            breath = self.BREATH_STEPS - waited * (self.BREATH_STEPS - self.SHORTEST_BREATH_STEPS)
            if self._since_strike >= breath or self._silence >= self.SILENCE_STEPS or waited >= 1:
                self._closed_at = self.steps

    def narrow(self, mask: Mask) -> None:
        if not self._struck or self.steps < self._target // 2:
            mask[END] = False
        if not self._struck and self.steps >= self._target:
            mask[TIME_SHIFT:VELOCITY] = False
        if self._closed_at is not None:
            mask[NOTE_ON:NOTE_OFF] = False
            mask[VELOCITY:PAD] = False


class Keyboard:
    """What a piano can do: its 88 keys, and no tone for longer than a string sounds.

    A model that is lost stops letting go of keys, until all of them are down. The lowest string sounds for 12 seconds here, the highest
    for four: 1.6 in a thousand notes of MAESTRO's validation split are held for longer, nearly all by the pedal, and have faded by then.
    """

    LOWEST, HIGHEST = 21, 108
    LONGEST_STEPS = np.linspace(12 * STEPS_PER_SECOND, 4 * STEPS_PER_SECOND, HIGHEST - LOWEST + 1)  # by key

    def __init__(self, grammar: Grammar) -> None:
        """The grammar goes on being pushed by the caller."""
        self._grammar = grammar

    def push(self, token: int) -> None:
        """All that this rule needs to know is in the grammar."""

    def narrow(self, mask: Mask) -> None:
        mask[NOTE_ON : NOTE_ON + self.LOWEST] = False
        mask[NOTE_ON + self.HIGHEST + 1 : NOTE_OFF] = False
        due = [NOTE_OFF + pitch for pitch, since in self._grammar.sounding.items() if self._grammar.step - since >= self._longest(pitch)]
        if mask[due].any():  # later in this step they may not come: offs rise in pitch, and before all ons
            now = mask[due].copy()
            mask[:] = False
            mask[due] = now

    def _longest(self, pitch: int) -> float:
        """How many steps a key may sound; a prompt may hold keys that no piano has."""
        key = min(max(pitch, self.LOWEST), self.HIGHEST) - self.LOWEST
        return float(self.LONGEST_STEPS[key])


class SilenceGuard:
    """Against endless silence: time without a strike adds up to a debt that strikes pay back; at its limit, no time may pass.

    So one long rest is as free as in real music, but not a row of them with a lone note between.
    """

    LIMIT_STEPS = 12 * STEPS_PER_SECOND
    PAID_BACK_STEPS = 2 * STEPS_PER_SECOND  # by each strike
    OPENING_STEPS = 2 * STEPS_PER_SECOND  # how long a piece may be silent before its first strike

    def __init__(self) -> None:
        self.debt = self.LIMIT_STEPS - self.OPENING_STEPS
        self.alarmed = False  # from the limit on until half of the debt is paid back

    def push(self, token: int) -> None:
        if token < NOTE_OFF:
            self.debt = max(0, min(self.debt, self.LIMIT_STEPS) - self.PAID_BACK_STEPS)
        else:
            self.debt += shift_steps(token)
        self.alarmed = self.debt >= self.LIMIT_STEPS or (self.alarmed and self.debt > self.LIMIT_STEPS // 2)

    def narrow(self, mask: Mask) -> None:
        left = self.LIMIT_STEPS - self.debt
        if left < N_SHIFTS:
            mask[TIME_SHIFT + max(0, left) : VELOCITY] = False


class LoopGuard:
    """Against one figure for ever: a figure that has repeated for too long may not go on as it did.

    Heard are either all events or the struck keys alone. A figure of `period` items repeats for `run` items when each of them equals
    the one `period` before; one that does not sets the run back by `setback`, so that a loop with a slip now and then is one too. Once a
    run reaches the limit, the item that would lengthen it is struck out, and so is the figure's every next item for a while: else the
    music falls back into it.
    """

    BREAK = 64  # items; at least one period

    def __init__(self, first: int, last: int, *, longest_period: int, limit: int, setback: int) -> None:
        """Hears ids first ... last - 1."""
        self.first, self.last, self.longest_period, self.limit, self.setback = first, last, longest_period, limit, setback
        self._recent = np.full(longest_period, -1, dtype=np.int64)  # the newest first
        self.runs = np.zeros(longest_period, dtype=np.int64)  # the run of period p at p - 1
        self._breaking = np.zeros(longest_period, dtype=np.int64)  # for how many items period p's figure is struck out

    def push(self, token: int) -> None:
        if not self.first <= token < self.last:
            return
        self.runs += np.where(self._recent == token, 1, -self.setback)
        np.maximum(self.runs, 0, out=self.runs)
        self._recent[1:] = self._recent[:-1]
        self._recent[0] = token
        np.maximum(self._breaking - 1, 0, out=self._breaking)
        for place in np.flatnonzero(self.runs >= self.limit).tolist():
            self._breaking[place] = max(self.BREAK, place + 1)

    def narrow(self, mask: Mask) -> None:
        mask[self._recent[self._breaking > 0]] = False  # the items `period` before the one to come

    @property
    def alarmed(self) -> bool:
        return bool(self._breaking.any())


class FewKeysGuard:
    """Against babbling: a few keys in any order that have nearly all the strikes are left alone for a while.

    No figure repeats exactly there, so the loop guards hear nothing.
    """

    WINDOW = 256  # strikes
    LIMITS = (180, 240, 246, 250)  # how many of these one key, two, three and four keys may have together
    BREAK = 32  # strikes

    def __init__(self) -> None:
        self._recent: deque[int] = deque()
        self.counts = np.zeros(NOTE_OFF - NOTE_ON, dtype=np.int64)
        self._barred = np.empty(0, dtype=np.int64)
        self._breaking = 0

    def push(self, token: int) -> None:
        if token >= NOTE_OFF:
            return
        self._recent.append(token)
        self.counts[token] += 1
        if len(self._recent) > self.WINDOW:
            self.counts[self._recent.popleft()] -= 1
        self._breaking = max(0, self._breaking - 1)
        if self.counts[token] >= self.LIMITS[0] // 4 and not self._breaking:  # few strikes need the sorting
            self._count()

    def _count(self) -> None:
        favourites = np.argsort(-self.counts, kind="stable")[: len(self.LIMITS)]
        over = np.flatnonzero(np.cumsum(self.counts[favourites]) >= self.LIMITS)
        if len(over):
            self._barred, self._breaking = favourites[: over[0] + 1], self.BREAK

    def narrow(self, mask: Mask) -> None:
        if self._breaking:
            mask[NOTE_ON + self._barred] = False

    @property
    def alarmed(self) -> bool:
        return self._breaking > 0


def guards() -> list[Guard]:
    """The guards of one piece, with limits beyond what real performances do."""
    return [
        SilenceGuard(),
        LoopGuard(NOTE_ON, PAD, longest_period=256, limit=64, setback=64),
        LoopGuard(NOTE_ON, NOTE_OFF, longest_period=64, limit=128, setback=8),
        FewKeysGuard(),
    ]


def narrowed(allowed: Mask, rules: Iterable[Rule]) -> Mask:
    """A copy of the grammar's mask with the rules applied, except one that would leave nothing to choose."""
    mask = allowed.copy()
    for rule in rules:
        before = mask.copy()
        rule.narrow(mask)
        if not mask.any():
            mask = before
    return mask
