"""Rules that narrow what may come next: how a piece ends, and guards against the two ways such models die.

Each rule hears every event of the piece, the prompt's too (`push`), and strikes out what must not come next (`narrow`). All of them
together take a few microseconds an event, since a step of the engine takes a few hundred: plain numbers and sets, no arrays. The guards'
limits lie beyond what real performances do: `benchmarks/guards.py` counts how often they would have touched MAESTRO (docs/composing.md has
the table).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from typing import Protocol

from preludio.performance import STEP_MS
from preludio.tokens import END, N_SHIFTS, NOTE_OFF, NOTE_ON, PAD, TIME_SHIFT, VELOCITY, Grammar, IdSet, id_range, shift_steps

STRIKES, SHIFTS, VELOCITIES = id_range(NOTE_ON, NOTE_OFF), id_range(TIME_SHIFT, VELOCITY), id_range(VELOCITY, PAD)

STEPS_PER_SECOND = 1000 // STEP_MS


class Rule(Protocol):
    def push(self, token: int) -> None:
        """Hears the next event of the piece."""

    def narrow(self, ids: IdSet) -> IdSet:
        """Those of the ids that may come next."""


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

    def narrow(self, ids: IdSet) -> IdSet:
        if not self._struck or self.steps < self._target // 2:
            ids &= ~(1 << END)
        if not self._struck and self.steps >= self._target:
            ids &= ~SHIFTS
        if self._closed_at is not None:
            ids &= ~(STRIKES | VELOCITIES)
        return ids


class Keyboard:
    """What a piano can do: its 88 keys, and no tone for longer than a string sounds.

    A model that is lost stops letting go of keys, until all of them are down. The lowest string sounds for 12 seconds here, the highest
    for four: 1.6 in a thousand notes of MAESTRO's validation split are held for longer, nearly all by the pedal, and have faded by then.
    """

    LOWEST, HIGHEST = 21, 108
    LOWEST_SOUNDS, HIGHEST_SOUNDS = 12 * STEPS_PER_SECOND, 4 * STEPS_PER_SECOND  # and those between, in proportion
    OTHER_KEYS = STRIKES ^ id_range(NOTE_ON + LOWEST, NOTE_ON + HIGHEST + 1)

    def __init__(self, grammar: Grammar) -> None:
        """The grammar goes on being pushed by the caller."""
        self._grammar = grammar

    def push(self, token: int) -> None:
        """All that this rule needs to know is in the grammar."""

    def narrow(self, ids: IdSet) -> IdSet:
        ids &= ~self.OTHER_KEYS
        now, due = self._grammar.step, 0
        for pitch, since in self._grammar.sounding.items():
            if now - since >= LONGEST_STEPS[pitch]:
                due |= 1 << NOTE_OFF + pitch
        return ids & due or ids  # later in this step they may not come: offs rise in pitch, and before all ons

    @classmethod
    def longest_steps(cls, pitch: int) -> float:
        """How many steps a key may sound; a prompt may hold keys that no piano has."""
        key = min(max(pitch, cls.LOWEST), cls.HIGHEST) - cls.LOWEST
        return cls.LOWEST_SOUNDS + key * (cls.HIGHEST_SOUNDS - cls.LOWEST_SOUNDS) / (cls.HIGHEST - cls.LOWEST)


LONGEST_STEPS = [Keyboard.longest_steps(pitch) for pitch in range(128)]


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

    def narrow(self, ids: IdSet) -> IdSet:
        left = self.LIMIT_STEPS - self.debt
        return ids & ~id_range(TIME_SHIFT + max(0, left), VELOCITY) if left < N_SHIFTS else ids


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
        self.runs: dict[int, int] = {}  # by period, where not 0
        self._recent: deque[int] = deque(maxlen=longest_period)  # the newest first
        self._n_heard = 0
        self._places: defaultdict[int, deque[int]] = defaultdict(deque)  # where an item was heard, of late
        self._breaking: dict[int, int] = {}  # for how many items a period's figure is struck out

    def push(self, token: int) -> None:
        if not self.first <= token < self.last:
            return
        periods = self._periods_back_to(token)
        runs = {period: self.runs.get(period, 0) + 1 for period in periods}
        for period, run in self.runs.items():
            if run > self.setback and period not in runs:
                runs[period] = run - self.setback
        self.runs = runs
        self._recent.appendleft(token)
        if self._breaking:
            self._breaking = {period: left - 1 for period, left in self._breaking.items() if left > 1}
        for period, run in runs.items():
            if run >= self.limit:
                self._breaking[period] = max(self.BREAK, period)

    def _periods_back_to(self, token: int) -> list[int]:
        """How far back this item was heard before, within the longest period; and notes where it is heard now."""
        here, places = self._n_heard, self._places[token]
        self._n_heard += 1
        while places and here - places[0] > self.longest_period:
            places.popleft()
        periods = [here - place for place in places]
        places.append(here)
        return periods

    def narrow(self, ids: IdSet) -> IdSet:
        for period in self._breaking:
            ids &= ~(1 << self._recent[period - 1])  # the item `period` before the one to come
        return ids

    @property
    def alarmed(self) -> bool:
        return bool(self._breaking)


class FewKeysGuard:
    """Against babbling: a few keys in any order that have nearly all the strikes are left alone for a while.

    No figure repeats exactly there, so the loop guards hear nothing.
    """

    WINDOW = 256  # strikes
    LIMITS = (180, 240, 246, 250)  # how many of these one key, two, three and four keys may have together
    BREAK = 32  # strikes

    def __init__(self) -> None:
        self._recent: deque[int] = deque()
        self.counts = [0] * (NOTE_OFF - NOTE_ON)
        self._barred: IdSet = 0
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
        favourites = sorted(range(len(self.counts)), key=lambda key: -self.counts[key])[: len(self.LIMITS)]
        strikes = barred = 0
        for key, limit in zip(favourites, self.LIMITS, strict=True):
            strikes += self.counts[key]
            barred |= 1 << NOTE_ON + key
            if strikes >= limit:
                self._barred, self._breaking = barred, self.BREAK
                return

    def narrow(self, ids: IdSet) -> IdSet:
        return ids & ~self._barred if self._breaking else ids

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


def narrowed(allowed: IdSet, rules: Iterable[Rule]) -> IdSet:
    """What the rules leave of the grammar's ids; one that would leave nothing to choose is passed over."""
    for rule in rules:
        allowed = rule.narrow(allowed) or allowed
    return allowed
