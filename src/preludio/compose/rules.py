"""Rules that narrow what may come next: how a piece ends, and guards against the two ways such models die.

Each rule hears the events of the piece that concern it, the prompt's too (`push`), and bars what must not come next. An event is chosen
while the caches hold nothing but weights, where every object touched costs ten times as much as elsewhere: so a rule is not asked each time
what it bars, but keeps the answer up to date, in plain numbers. The guards' limits lie beyond what real performances do:
`benchmarks/guards.py` counts how often they would have touched MAESTRO (docs/composing.md has the table).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from preludio.performance import STEP_MS
from preludio.tokens import (
    END,
    N_KEYS,
    N_SHIFTS,
    NOTE_OFF,
    NOTE_ON,
    PAD,
    STEPS_OF,
    TIME_SHIFT,
    VELOCITY,
    VOCAB_SIZE,
    Grammar,
    IdSet,
    id_range,
)

NOTE_ON_IDS, NOTE_OFF_IDS = id_range(NOTE_ON, NOTE_OFF), id_range(NOTE_OFF, TIME_SHIFT)
TIME_SHIFT_IDS, VELOCITY_IDS, END_ID = id_range(TIME_SHIFT, VELOCITY), id_range(VELOCITY, PAD), id_range(END, END + 1)
KINDS = ((NOTE_ON, NOTE_OFF), (NOTE_OFF, TIME_SHIFT), (TIME_SHIFT, VELOCITY), (VELOCITY, PAD), (PAD, VOCAB_SIZE))

STEPS_PER_SECOND = 1000 // STEP_MS


class SamplingRule(Protocol):
    @property
    def forbidden(self) -> IdSet:
        """What must not come next."""

    @property
    def listens_to(self) -> IdSet:
        """The kinds of events that can change what is barred."""

    def push(self, token: int) -> None:
        """Hears the next event of the piece, of any kind."""


class DegenerationGuard(SamplingRule, Protocol):
    @property
    def triggered(self) -> bool:
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

    listens_to = NOTE_ON_IDS | TIME_SHIFT_IDS

    def __init__(self, grammar: Grammar, seconds: float) -> None:
        """The grammar has heard the prompt, and hears each event before this rule."""
        self._grammar = grammar
        self._start = grammar.step
        self._target = max(1, round(seconds * STEPS_PER_SECOND))
        self._half = self._target // 2
        self._struck = False
        self._since_strike = 0
        self._silence = 0
        self._closed_at: int | None = None  # when the last key had been struck
        self.forbidden: IdSet = 0
        self._decide()

    @property
    def steps(self) -> int:
        """How much has been composed."""
        return self._grammar.step - self._start

    @property
    def finished(self) -> bool:
        """The piece is over: at its END, or closed and silent, or its last notes have rung long enough."""
        if self._closed_at is None:
            return self._grammar.ended
        return not self._grammar.sounding or self.steps >= self._closed_at + self.RELEASE_STEPS

    def push(self, token: int) -> None:
        if token < NOTE_OFF:
            self._struck = True
            self._since_strike = self._silence = 0
        else:
            shift = STEPS_OF[token]
            self._since_strike += shift
            self._silence = 0 if self._grammar.sounding else self._silence + shift
        if self._closed_at is None:
            self._decide()

    def _decide(self) -> None:
        """Whether this is the rest to close at, and else what is too early."""
        steps, self.forbidden = self._grammar.step - self._start, 0
        if not self._struck:
            self.forbidden = END_ID | TIME_SHIFT_IDS if steps >= self._target else END_ID
        elif steps >= self._target:
            if self._is_rest((steps - self._target) / self.GRACE_STEPS):
                self._closed_at, self.forbidden = steps, NOTE_ON_IDS | VELOCITY_IDS
        elif steps < self._half:
            self.forbidden = END_ID

    def _is_rest(self, waited: float) -> bool:
        breath = self.BREATH_STEPS - waited * (self.BREATH_STEPS - self.SHORTEST_BREATH_STEPS)
        return self._since_strike >= breath or self._silence >= self.SILENCE_STEPS or waited >= 1


class KeyRange:
    """A piano has 88 keys. A velocity is forbidden too where no key of them may follow it: in one step, keys are struck by rising pitch."""

    LOWEST, HIGHEST = 21, 108
    KEYS: IdSet = id_range(NOTE_ON + LOWEST, NOTE_ON + HIGHEST + 1)
    BEYOND: IdSet = NOTE_ON_IDS ^ KEYS
    listens_to = NOTE_ON_IDS | NOTE_OFF_IDS | TIME_SHIFT_IDS

    def __init__(self, grammar: Grammar) -> None:
        """The grammar is told of each event before this rule."""
        self._grammar = grammar
        self.forbidden: IdSet = self.BEYOND

    def push(self, token: int) -> None:
        closed = token < NOTE_OFF and not self._grammar.allowed_set & self.KEYS
        self.forbidden = self.BEYOND | VELOCITY_IDS if closed else self.BEYOND


class MaximumNoteLength:
    """No tone lasts for longer than a string sounds: a key that was held so long is let go before anything else happens.

    A model that is lost stops letting go of keys, until all of them are down. The lowest string sounds for 12 seconds here, the highest
    for four: 1.6 in a thousand notes of MAESTRO's validation split are held for longer, nearly all by the pedal, and have faded by then.
    """

    LOWEST_KEY_STEPS, HIGHEST_KEY_STEPS = 12 * STEPS_PER_SECOND, 4 * STEPS_PER_SECOND  # and those between, in proportion
    listens_to = NOTE_ON_IDS | NOTE_OFF_IDS | TIME_SHIFT_IDS

    def __init__(self, grammar: Grammar) -> None:
        """The grammar hears each event before this rule."""
        self._grammar = grammar
        self._next_due = math.inf  # before that step, nothing is overdue
        self.forbidden: IdSet = 0
        self._find_overdue()

    def push(self, token: int) -> None:
        step = self._grammar.step
        if token < NOTE_OFF:
            self._next_due = min(self._next_due, step + MAX_NOTE_STEPS[token])
        elif step >= self._next_due:
            self._find_overdue()

    def _find_overdue(self) -> None:
        """Bars all but letting go of what is overdue. Where that is out of reach until the next step (offs rise in pitch, and come before
        all ons), nothing would be left, and so the rule is passed over."""
        now, overdue = self._grammar.step, 0
        self._next_due = math.inf
        for pitch, since in self._grammar.sounding.items():
            due = since + MAX_NOTE_STEPS[pitch]
            self._next_due = min(self._next_due, due)
            if due <= now:
                overdue |= 1 << NOTE_OFF + pitch
        self.forbidden = ~overdue if overdue else 0

    @classmethod
    def max_note_steps(cls, pitch: int) -> int:
        """How many steps a key may sound; a prompt may hold keys that no piano has."""
        key = min(max(pitch, KeyRange.LOWEST), KeyRange.HIGHEST) - KeyRange.LOWEST
        return math.ceil(cls.LOWEST_KEY_STEPS + key * (cls.HIGHEST_KEY_STEPS - cls.LOWEST_KEY_STEPS) / (KeyRange.HIGHEST - KeyRange.LOWEST))


MAX_NOTE_STEPS = [MaximumNoteLength.max_note_steps(pitch) for pitch in range(128)]


class SilenceGuard:
    """Against endless silence: time without a strike adds up to a debt that strikes pay back; at its limit, no time may pass.

    So one long rest is as free as in real music, but not a row of them with a lone note between.
    """

    LIMIT_STEPS = 12 * STEPS_PER_SECOND
    PAID_BACK_STEPS = 2 * STEPS_PER_SECOND  # by each strike
    OPENING_STEPS = 2 * STEPS_PER_SECOND  # how long a piece may be silent before its first strike
    listens_to = NOTE_ON_IDS | TIME_SHIFT_IDS

    def __init__(self) -> None:
        self.debt = self.LIMIT_STEPS - self.OPENING_STEPS
        self.forbidden: IdSet = 0
        self.triggered = False  # from the limit on until half of the debt is paid back

    def push(self, token: int) -> None:
        if token < NOTE_OFF:
            self.debt = max(0, min(self.debt, self.LIMIT_STEPS) - self.PAID_BACK_STEPS)
        else:
            self.debt += STEPS_OF[token]
        self.triggered = self.debt >= self.LIMIT_STEPS or (self.triggered and self.debt > self.LIMIT_STEPS // 2)
        left = self.LIMIT_STEPS - self.debt
        self.forbidden = id_range(TIME_SHIFT + max(0, left), VELOCITY) if left < N_SHIFTS else 0


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
        self.listens_to = id_range(first, last)
        self.forbidden: IdSet = 0
        self.triggered = False
        self._n_items = 0
        self._last_index = [(0, 0)] * last  # of each id: when it was heard last, and bit d of a number: so it was d items before that
        self._periods = id_range(1, longest_period + 1)
        self._recent: deque[int] = deque(maxlen=longest_period)  # the newest first
        self._streaks: list[int] = []  # bit p of number k: the last k + 1 items each equalled the one p before
        self._longest_streak = min(setback, limit)
        self._runs: dict[int, int] = {}  # by period, once a streak is that long and until 0; any other run is its streak
        self._breaking: dict[int, int] = {}  # for how many items a period's figure is struck out

    def push(self, token: int) -> None:
        if not self.first <= token < self.last:
            return
        here = self._n_items = self._n_items + 1
        last, before = self._last_index[token]
        equal = before << here - last & self._periods  # bit d: this item equals the one d before
        self._last_index[token] = here, equal | 1
        self._recent.appendleft(token)
        streaks = [equal] if equal else []
        for streak in self._streaks:
            if not (streak := streak & equal) or len(streaks) == self._longest_streak:
                break
            streaks.append(streak)
        self._streaks = streaks
        if self._runs or len(streaks) == self._longest_streak:
            self._count_runs(equal)
        if self._breaking or self._runs:
            self._break_figures()

    def run(self, period: int) -> int:
        """For how many items the figure of that period repeats."""
        return self._runs.get(period) or sum(streak >> period & 1 for streak in self._streaks)

    def _count_runs(self, equal: int) -> None:
        changed = ((period, run + 1 if equal >> period & 1 else run - self.setback) for period, run in self._runs.items())
        self._runs = {period: run for period, run in changed if run > 0}
        long = self._streaks[-1] if len(self._streaks) == self._longest_streak else 0
        for period in range(long.bit_length()):
            if long >> period & 1:
                self._runs.setdefault(period, self._longest_streak)

    def _break_figures(self) -> None:
        self._breaking = {period: left - 1 for period, left in self._breaking.items() if left > 1}
        for period, run in self._runs.items():
            if run >= self.limit:
                self._breaking[period] = max(self.BREAK, period)
        self.triggered = bool(self._breaking)
        self.forbidden = 0
        for period in self._breaking:
            self.forbidden |= 1 << self._recent[period - 1]  # the item `period` before the one to come


class FewKeysGuard:
    """Against babbling: a few keys in any order that have nearly all the strikes are left alone for a while.

    No figure repeats exactly there, so the loop guards hear nothing.
    """

    WINDOW = 256  # strikes
    LIMITS = (180, 240, 246, 250)  # how many of these one key, two, three and four keys may have together
    BREAK = 32  # strikes
    listens_to = NOTE_ON_IDS

    def __init__(self) -> None:
        self._recent: deque[int] = deque()
        self.counts = [0] * N_KEYS
        self.forbidden: IdSet = 0
        self.triggered = False
        self._breaking = 0

    def push(self, token: int) -> None:
        if token >= NOTE_OFF:
            return
        self._recent.append(token)
        self.counts[token] += 1
        if len(self._recent) > self.WINDOW:
            self.counts[self._recent.popleft()] -= 1
        if self._breaking:
            self._breaking -= 1
            self.triggered = self._breaking > 0
            self.forbidden = self.forbidden if self.triggered else 0
        if self.counts[token] >= self.LIMITS[0] // 4 and not self._breaking:  # few strikes need the sorting
            self._count()

    def _count(self) -> None:
        most_frequent = sorted(range(len(self.counts)), key=lambda key: -self.counts[key])[: len(self.LIMITS)]
        strikes = forbidden = 0
        for key, limit in zip(most_frequent, self.LIMITS, strict=True):
            strikes += self.counts[key]
            forbidden |= 1 << NOTE_ON + key
            if strikes >= limit:
                self.forbidden, self.triggered, self._breaking = forbidden, True, self.BREAK
                return


def degeneration_guards() -> list[DegenerationGuard]:
    """The guards of one piece, with limits beyond what real performances do."""
    return [
        SilenceGuard(),
        LoopGuard(NOTE_ON, PAD, longest_period=256, limit=64, setback=64),
        LoopGuard(NOTE_ON, NOTE_OFF, longest_period=64, limit=128, setback=8),
        FewKeysGuard(),
    ]


def push_functions(grammar: Grammar, rules: Iterable[SamplingRule]) -> list[Sequence[Callable[[int], None]]]:
    """For each id, who is to hear it: the grammar first, then whom it concerns."""
    table: list[Sequence[Callable[[int], None]]] = []
    for first, stop in KINDS:
        concerned = [grammar.push, *(rule.push for rule in rules if rule.listens_to >> first & 1)]
        table += [concerned] * (stop - first)
    return table


def apply_rules(allowed: IdSet, rules: Iterable[SamplingRule]) -> IdSet:
    """What the rules leave of the grammar's ids; one that would leave nothing to choose is passed over."""
    for rule in rules:
        forbidden = rule.forbidden
        if forbidden:
            allowed = allowed & ~forbidden or allowed
    return allowed
