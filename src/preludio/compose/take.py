"""One piece in the making: its grammar, its rules, its random stream, and the notes decided so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from preludio.compose.prompt import Prompt
from preludio.compose.request import Request
from preludio.compose.rules import Ending, KeyRange, MaximumNoteLength, SamplingRule, apply_rules, degeneration_guards, push_functions
from preludio.compose.sampling import Filters, RandomStream, TokenSampler
from preludio.performance import STEP_MS, bin_velocity
from preludio.tokens import NOTE_OFF, START, TIME_SHIFT, Grammar


class Note(NamedTuple):
    """A decided note; times count from the beginning of the piece, prompt included."""

    onset_ms: int
    offset_ms: int
    pitch: int
    velocity: int


class Take:
    """Says what may come next, and hears what did, until the piece is over."""

    def __init__(self, request: Request, prompt: Prompt, number: int) -> None:
        self.number = number
        self.finished = False
        self._filters, self._default_filters = Filters.of(request), Filters.of(with_default_filters(request))
        self._is_narrow = self._filters != self._default_filters
        self._random = RandomStream(np.random.default_rng([request.seed, number]))
        self.sampler = TokenSampler(
            self._filters, 0, 0.0
        )  # how the id that comes next is drawn from its logits; it holds until that is pushed
        self._grammar = Grammar()
        self._guards = degeneration_guards()
        self._rules: list[SamplingRule] = [KeyRange(self._grammar), MaximumNoteLength(self._grammar), *self._guards]
        self._push_functions = push_functions(self._grammar, self._rules)
        self._onsets: dict[int, tuple[int, int]] = {}  # pitch -> (onset_ms, velocity) of what sounds
        for token in prompt.context[prompt.context != START].tolist():
            self._notify_rules(token)
        self._first_step = prompt.cut_step - self._grammar.step  # of the context, in the piece
        self._onsets = dict(prompt.held)
        self._ending = Ending(self._grammar, request.seconds)
        self._rules.append(self._ending)
        self._push_functions = push_functions(self._grammar, self._rules)
        self._update_sampler()

    @property
    def composed_seconds(self) -> float:
        return self._ending.steps * STEP_MS / 1000

    def push(self, token: int) -> Sequence[Note]:
        """Goes on by one id; the note that it ends, or all that still sound if it ends the piece."""
        self._notify_rules(token)
        ended: Sequence[Note] = ()
        if token < NOTE_OFF:
            velocity = self._grammar.velocity
            assert velocity is not None
            self._onsets[token] = self._now_ms, bin_velocity(velocity)
        else:
            if token < TIME_SHIFT:
                ended = (self._ended(token - NOTE_OFF, self._now_ms),)
            self.finished = self._ending.finished
            if self.finished:
                return [*ended, *self._released()]
        self._update_sampler()
        return ended

    def _notify_rules(self, token: int) -> None:
        for push in self._push_functions[token]:
            push(token)

    def _update_sampler(self) -> None:
        """What the grammar and the rules leave to choose from, and the next random number."""
        sampler = self.sampler
        if self._is_narrow:
            sampler.filters = self._filters
            for guard in self._guards:
                if guard.triggered:
                    sampler.filters = self._default_filters
        sampler.uniform = self._random.next_uniform()
        sampler.allowed = apply_rules(self._grammar.allowed_set, self._rules)

    def _released(self) -> list[Note]:
        """Lets go of all that still sounds, each after one step at least."""
        now_ms = self._now_ms
        return [self._ended(pitch, max(now_ms, self._onsets[pitch][0] + STEP_MS)) for pitch in sorted(self._onsets)]

    @property
    def _now_ms(self) -> int:
        return (self._first_step + self._grammar.step) * STEP_MS

    def _ended(self, pitch: int, offset_ms: int) -> Note:
        onset_ms, velocity = self._onsets.pop(pitch)
        return Note(onset_ms, offset_ms, pitch, velocity)


def with_default_filters(request: Request) -> Request:
    """The request with its filters no narrower than by default: narrow ones are what lets a model fall into loops and silence."""
    plain = Request()
    return replace(
        request,
        temperature=max(request.temperature, plain.temperature),
        top_k=plain.top_k,
        top_p=max(request.top_p, plain.top_p),
        strike_top_p=max(request.strike_top_p, plain.strike_top_p),
        min_p=min(request.min_p, plain.min_p),
    )
