"""How a piece ends, and the guards: each heard alone, event by event."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import canonical_ids, law

from preludio.compose.rules import (
    Ending,
    FewKeysGuard,
    KeyRange,
    LoopGuard,
    MaximumNoteLength,
    SamplingRule,
    SilenceGuard,
    apply_rules,
    degeneration_guards,
    push_functions,
)
from preludio.tokens import END, NOTE_OFF, NOTE_ON, PAD, TIME_SHIFT, VELOCITY, VOCAB_SIZE, Grammar, IdSet, as_mask, id_range

SECOND = TIME_SHIFT + 99
TENTH = TIME_SHIFT + 9


def mask_of(rule: SamplingRule) -> np.ndarray:
    return as_mask(id_range(0, VOCAB_SIZE) & ~rule.forbidden)


def struck_out(rule: SamplingRule) -> set[int]:
    return set(np.flatnonzero(~mask_of(rule)).tolist())


def hear(rule: SamplingRule, tokens: Iterable[int]) -> None:
    for token in tokens:
        rule.push(token)


class Player:
    """A grammar and the ending that listens to it."""

    def __init__(self, seconds: float, prompt: Iterable[int] = ()) -> None:
        self.grammar = Grammar()
        for token in prompt:
            self.grammar.push(token)
        self.ending = Ending(self.grammar, seconds)

    def play(self, *tokens: int) -> Player:
        for token in tokens:
            self.grammar.push(token)
            self.ending.push(token)
        return self


def at_the_keyboard(*tokens: int) -> set[int]:
    """What a piano allows after these events."""
    grammar = Grammar()
    strings = MaximumNoteLength(grammar)
    for token in tokens:
        grammar.push(token)
        strings.push(token)
    left = apply_rules(grammar.allowed_set, [KeyRange(grammar), strings])
    assert left == apply_rules(grammar.allowed_set, [KeyRange(grammar), MaximumNoteLength(grammar)])  # as if it had just come to listen
    return set(np.flatnonzero(as_mask(left)).tolist())


class TestPiano:
    """An undertrained model once let go of no key, struck ever new ones up to the edge of MIDI, and ended with all 128 down."""

    def test_only_the_88_keys_are_struck(self) -> None:
        assert {token for token in at_the_keyboard(VELOCITY + 16) if token < NOTE_OFF} == set(range(21, 109))

    def test_a_key_held_for_longer_than_its_string_sounds_is_let_go(self) -> None:
        """At 12 seconds the lowest, at 4 the highest; 40 and 60 lie between."""
        assert at_the_keyboard(VELOCITY + 16, 21, 108, *[SECOND] * 4) == {NOTE_OFF + 108}
        assert SECOND in at_the_keyboard(VELOCITY + 16, 21, *[SECOND] * 11)
        assert at_the_keyboard(VELOCITY + 16, 21, *[SECOND] * 12) == {NOTE_OFF + 21}
        held = [VELOCITY + 16, 40, 60, *[SECOND] * 11, VELOCITY + 3, 50]
        assert NOTE_OFF + 40 not in at_the_keyboard(*held)  # not in the step of a strike
        assert at_the_keyboard(*held, SECOND) == {NOTE_OFF + 40, NOTE_OFF + 60}
        assert at_the_keyboard(*held, SECOND, NOTE_OFF + 40) == {NOTE_OFF + 60}
        assert SECOND in at_the_keyboard(*held, SECOND, NOTE_OFF + 40, NOTE_OFF + 60)

    def test_an_overdue_key_that_was_passed_by_waits_for_the_next_step(self) -> None:
        held = [VELOCITY + 16, 40, 60, *[SECOND] * 12]
        passed = [*held, NOTE_OFF + 60]  # rising pitch: 40 is out of reach in this step
        assert TENTH in at_the_keyboard(*passed)
        assert at_the_keyboard(*passed, TENTH) == {NOTE_OFF + 40}


LEGATO = [VELOCITY + 16, 60, TENTH, *[t for n in range(200) for t in (NOTE_OFF + 60 + n % 2, 61 - n % 2, TENTH)]]


class TestEnding:
    def test_the_models_end_counts_from_half_of_the_length_on(self) -> None:
        player = Player(4.0).play(VELOCITY + 16, 60, SECOND, NOTE_OFF + 60)
        assert not mask_of(player.ending)[END]
        player.play(VELOCITY + 3, 60, SECOND, NOTE_OFF + 60)
        assert mask_of(player.ending)[END]
        assert not player.ending.finished
        assert player.play(END).ending.finished

    def test_a_legato_line_is_not_cut_between_two_notes(self) -> None:
        """Nothing sounds for an instant between two slurred notes: that is no rest."""
        player = Player(2.0)
        for token in LEGATO[: 3 * 50]:
            assert not player.play(token).ending.finished

    def test_a_breath_ends_it_and_the_last_notes_ring_on(self) -> None:
        player = Player(2.0).play(*LEGATO[: 3 * 30 - 1])
        player.play(TIME_SHIFT + Ending.BREATH_STEPS)
        assert not player.ending.finished
        assert struck_out(player.ending) >= {*range(NOTE_ON, NOTE_OFF), *range(VELOCITY, PAD)}
        assert player.play(*[NOTE_OFF + pitch for pitch in sorted(player.grammar.sounding)]).ending.finished

    def test_ringing_is_bounded(self) -> None:
        player = Player(1.0).play(VELOCITY + 16, 60, SECOND)
        assert not player.ending.finished
        player.play(SECOND)
        assert not player.ending.finished
        assert player.play(SECOND).ending.finished

    def test_silence_ends_it(self) -> None:
        player = Player(1.0).play(VELOCITY + 16, 60, SECOND - 1, NOTE_OFF + 60)
        assert not player.ending.finished
        assert player.play(TIME_SHIFT + Ending.SILENCE_STEPS).ending.finished

    def test_no_rest_in_time_closes_it(self) -> None:
        seconds = 5.0
        player = Player(seconds)
        steps = int(seconds * 100) + Ending.GRACE_STEPS
        for token in LEGATO:
            if not mask_of(player.ending)[token]:
                break
            player.play(token)
        assert steps <= player.ending.steps < steps + 100
        assert player.play(SECOND, SECOND).ending.finished

    def test_no_piece_is_without_a_note(self) -> None:
        """A piece of one second from nothing was over at the model's first long shift: silence."""
        player = Player(1.0).play(SECOND)
        assert not player.ending.finished
        assert struck_out(player.ending) == {END, *range(TIME_SHIFT, VELOCITY)}

    def test_the_prompts_time_does_not_count(self) -> None:
        player = Player(1.0, prompt=[SECOND, SECOND, VELOCITY + 16, 60, SECOND])
        assert player.ending.steps == 0
        assert not player.ending.finished


class TestSilenceGuard:
    def test_a_long_rest_may_last_to_the_limit_and_no_longer(self) -> None:
        guard = SilenceGuard()
        hear(guard, [60] * 8 + [SECOND] * 11 + [TIME_SHIFT + 89])
        assert struck_out(guard) == set(range(TIME_SHIFT + 10, VELOCITY))
        hear(guard, [TIME_SHIFT + 9])
        assert struck_out(guard) == set(range(TIME_SHIFT, VELOCITY))
        assert guard.triggered

    def test_one_note_does_not_buy_another_long_rest(self) -> None:
        guard = SilenceGuard()
        hear(guard, [SECOND] * 12 + [60] + [SECOND] * 2)
        assert mask_of(guard)[TIME_SHIFT:VELOCITY].sum() == 0
        hear(guard, [60, 64, 67, 72])
        assert mask_of(guard).all()
        assert not guard.triggered

    def test_a_piece_from_nothing_begins_soon(self) -> None:
        guard = SilenceGuard()
        hear(guard, [SECOND] * 2)
        assert struck_out(guard) == set(range(TIME_SHIFT, VELOCITY))

    def test_a_silence_of_the_prompt_beyond_the_limit_is_paid_back_from_the_limit(self) -> None:
        guard = SilenceGuard()
        hear(guard, [SECOND] * 1000 + [60])
        assert mask_of(guard)[TIME_SHIFT:VELOCITY].all()


def naive_runs(items: list[int], period: int, setback: int) -> list[int]:
    run, runs = 0, []
    for place, item in enumerate(items):
        same = place >= period and items[place - period] == item
        run = run + 1 if same else max(0, run - setback)
        runs.append(run)
    return runs


class TestLoopGuard:
    @law
    @given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 7))
    def test_runs_are_counted_as_defined(self, items: list[int], setback: int) -> None:
        guard = LoopGuard(0, 3, longest_period=6, limit=10**6, setback=setback)
        for place, item in enumerate(items):
            guard.push(item)
            assert [guard.run(period) for period in range(1, 7)] == [naive_runs(items, period, setback)[place] for period in range(1, 7)]

    @pytest.mark.parametrize("period", [1, 2, 5, 6])
    def test_a_figure_is_struck_out_at_the_limit_for_the_length_of_a_break(self, period: int) -> None:
        guard = LoopGuard(0, 128, longest_period=6, limit=20, setback=8)
        figure = list(range(60, 60 + period))
        played = [figure[n % period] for n in range(20 + period)]
        hear(guard, played[:-1])
        assert not struck_out(guard)
        guard.push(played[-1])
        for _ in range(guard.BREAK):
            assert guard.triggered
            expected = played[-period]
            assert expected in struck_out(guard)
            played.append(expected + 1 if expected < 64 else 50)
            guard.push(played[-1])

    def test_other_events_are_not_heard(self) -> None:
        guard = LoopGuard(NOTE_ON, NOTE_OFF, longest_period=4, limit=9, setback=9)
        rng = np.random.default_rng(0)
        for n in range(30):
            hear(guard, [int(rng.integers(TIME_SHIFT, PAD)), NOTE_OFF + 60 + n % 2, 60 + n % 2])
        assert guard.triggered

    def test_a_slip_now_and_then_does_not_hide_a_loop(self) -> None:
        guard = LoopGuard(NOTE_ON, NOTE_OFF, longest_period=64, limit=128, setback=8)
        hear(guard, [90 if n % 30 == 29 else 60 + n % 3 for n in range(400)])
        assert guard.triggered

    def test_it_never_strikes_out_the_end(self) -> None:
        guard = LoopGuard(NOTE_ON, PAD, longest_period=256, limit=64, setback=64)
        hear(guard, [60] * 400)
        assert struck_out(guard) == {60}


class TestFewKeysGuard:
    @pytest.mark.parametrize("n_keys", [1, 2, 3, 4])
    def test_a_few_keys_in_any_order_are_barred_for_a_while(self, n_keys: int) -> None:
        guard, rng = FewKeysGuard(), np.random.default_rng(n_keys)
        for n in range(guard.WINDOW):
            guard.push(int(rng.integers(n_keys)) if n % 50 else 100)
            if guard.triggered:
                break
        assert struck_out(guard) - {100} == set(range(n_keys))
        hear(guard, range(64, 64 + guard.BREAK))
        assert not struck_out(guard)

    @pytest.mark.parametrize("n", [10, 255, 256, 257, 900])
    def test_it_counts_the_last_strikes(self, n: int) -> None:
        guard, strikes = FewKeysGuard(), np.random.default_rng(n).integers(0, 128, n).tolist()
        hear(guard, strikes)
        assert guard.counts == np.bincount(strikes[-guard.WINDOW :], minlength=128).tolist()

    def test_scales_are_no_babble(self) -> None:
        guard = FewKeysGuard()
        hear(guard, [60 + n % 8 for n in range(2000)])
        assert not guard.triggered


class StrikesOutAll:
    listens_to: IdSet = 0
    forbidden: IdSet = id_range(0, VOCAB_SIZE)

    def push(self, token: int) -> None: ...


@law
@given(canonical_ids(min_notes=1), st.integers(1, 300))
def test_a_mask_is_never_left_empty(ids: list[int], repeats: int) -> None:
    grammar = Grammar()
    rules: list[SamplingRule] = [*degeneration_guards(), Ending(grammar, seconds=1.0), StrikesOutAll()]
    for token in ids:
        left = apply_rules(grammar.allowed_set, rules)
        assert left
        assert not left & ~grammar.allowed_set
        for rule in rules:
            hear(rule, [token] * (1 + repeats // len(ids)))
        grammar.push(token)


@law
@given(canonical_ids(min_notes=1))
def test_a_rule_misses_nothing_by_hearing_only_what_concerns_it(ids: list[int]) -> None:
    grammar = Grammar()
    told_all: list[SamplingRule] = [KeyRange(grammar), MaximumNoteLength(grammar), *degeneration_guards(), Ending(grammar, seconds=1.0)]
    told: list[SamplingRule] = [KeyRange(grammar), MaximumNoteLength(grammar), *degeneration_guards(), Ending(grammar, seconds=1.0)]
    concerned = push_functions(grammar, told)
    for token in ids:
        for push in concerned[token]:
            push(token)
        for rule in told_all:
            rule.push(token)
        assert [rule.forbidden for rule in told] == [rule.forbidden for rule in told_all]


@given(st.lists(st.integers(21, 108), min_size=1, max_size=6, unique=True).map(sorted), st.booleans())
def test_no_key_beyond_the_piano_is_ever_the_only_choice(pitches: list[int], with_highest: bool) -> None:
    """Behind the highest key and a velocity only keys beyond the piano were left, and the rule was passed over: 110 to 126 came out."""
    grammar = Grammar()
    rule = KeyRange(grammar)

    def push(token: int) -> None:
        grammar.push(token)
        rule.push(token)

    push(VELOCITY + 10)
    for pitch in sorted({*pitches, *([108] if with_highest else [])}):
        push(NOTE_ON + pitch)
        left = grammar.allowed_set & ~rule.forbidden
        assert left and not left & rule.BEYOND
        for velocity in (token for token in range(VELOCITY, PAD) if left >> token & 1):
            after = copy.deepcopy(grammar)
            after.push(velocity)
            assert after.allowed_set & rule.KEYS
    push(TIME_SHIFT)
    assert rule.forbidden == rule.BEYOND
