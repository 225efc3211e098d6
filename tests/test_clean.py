"""The cleaning rules: what is mended stays the music it was, what is refused is refused for the reason given, real music passes."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import giantmidi_files, maestro_files, needs_datasets
from hypothesis import given
from hypothesis import strategies as st
from strategies import law, performances

from preludio.corpus.clean import (
    RULES,
    CleaningResult,
    CleaningRule,
    ConstantVelocity,
    NotSoloPiano,
    TooShort,
    TooSparse,
    TrimSilence,
    clean,
)
from preludio.midi import read_midi
from preludio.performance import MAX_MS, STEP_MS, Performance, pack_notes, shift, sustain


def played(n_notes: int = 200, every_ms: int = 100, pitch: int = 60, velocities: int = 60) -> Performance:
    count = np.arange(n_notes)
    return Performance(pack_notes(count * every_ms, count * every_ms + 80, pitch + count % 12, 20 + count % velocities))


# --- silences ---------------------------------------------------------------------------------------------------------------------


def silences_ms(performance: Performance) -> tuple[int, int]:
    """(before the first note, the longest within)."""
    notes = sustain(performance).notes
    ends = np.maximum.accumulate(notes["offset_ms"])[:-1]
    return int(notes["onset_ms"][0]), int(max((notes["onset_ms"][1:] - ends).max(initial=0), 0))


@law
@given(performance=performances(min_notes=1), before_ms=st.integers(2, 2_000), within_ms=st.integers(2, 2_000))
def test_a_trimmed_piece_is_the_same_music_with_short_silences(performance: Performance, before_ms: int, within_ms: int) -> None:
    rule = TrimSilence(before_ms, within_ms)
    trimmed, reason = rule(performance)
    assert trimmed is not None
    before, after = sustain(performance).notes, sustain(trimmed).notes
    for column in ("pitch", "velocity"):
        assert np.array_equal(before[column], after[column])
    assert np.array_equal(before["offset_ms"] - before["onset_ms"], after["offset_ms"] - after["onset_ms"])  # each sounds as long as it did
    leading, within = silences_ms(trimmed)
    assert leading == min(silences_ms(performance)[0], before_ms) and within == min(silences_ms(performance)[1], within_ms)
    assert (trimmed == performance) == (reason == "")
    assert rule(trimmed) == (trimmed, "")


def test_what_the_trimming_says() -> None:
    piece = Performance([(61_000, 62_000, 60, 64), (82_000, 83_000, 62, 64)], [(90_000, 99_000)])
    trimmed, reason = TrimSilence(before_ms=1_000, within_ms=5_000)(piece)
    assert trimmed == Performance([(1_000, 2_000, 60, 64), (7_000, 8_000, 62, 64)])
    assert reason == "91.0 s trimmed"


def test_a_held_pedal_is_no_silence() -> None:
    piece = Performance([(0, 500, 60, 64), (60_000, 61_000, 62, 64)], [(100, 59_000)])
    assert TrimSilence()(piece) == (piece, "")


def test_silence_up_to_the_last_day() -> None:
    piece = shift(Performance([(0, STEP_MS, 60, 64)]), MAX_MS - STEP_MS)
    trimmed, _ = TrimSilence()(piece)
    assert trimmed == Performance([(1_000, 1_000 + STEP_MS, 60, 64)])


# --- refusals ---------------------------------------------------------------------------------------------------------------------

ALL_HANDS = Performance(pack_notes(np.arange(3_000) * 5, np.arange(3_000) * 5 + 40, 30 + np.arange(3_000) % 60, 20 + np.arange(3_000) % 60))

REFUSED: list[tuple[CleaningRule, Performance, str]] = [
    (TooShort(), played(63, every_ms=500), "31.1 s, 63 notes; at least 10 s and 64 notes are wanted"),
    (TooShort(), played(99), "9.9 s, 99 notes; at least 10 s and 64 notes are wanted"),
    (TooSparse(), played(100, every_ms=2_500), "0.40 notes a second; at least 0.5 are wanted"),
    (ConstantVelocity(), played(velocities=1), "1 velocities, 100% of the notes have the same; not a performance"),
    (ConstantVelocity(), played(velocities=11), "11 velocities, 10% of the notes have the same; not a performance"),
    (NotSoloPiano(), played(pitch=100), "24% of the notes lie beyond a piano's 88 keys"),
    (NotSoloPiano(), played(pitch=10), "92% of the notes lie beyond a piano's 88 keys"),
    (NotSoloPiano(), ALL_HANDS, "2,000 notes within ten seconds are more than two hands play"),
]


@pytest.mark.parametrize(("rule", "performance", "reason"), REFUSED)
def test_what_is_refused_and_why(rule: CleaningRule, performance: Performance, reason: str) -> None:
    assert rule(performance) == (None, reason)
    cleaned = clean(performance, [rule])
    assert cleaned == CleaningResult(None, (f"{rule.name}: {reason}",))


def test_what_is_well_passes_untouched() -> None:
    assert clean(played()) == CleaningResult(played(), ())


def test_a_rule_left_out_does_not_judge() -> None:
    typed = played(velocities=1)
    assert clean(typed).performance is None
    assert clean(typed, [rule for rule in RULES if rule.name != "constant velocity"]) == CleaningResult(typed, ())
    assert clean(Performance(), []) == CleaningResult(Performance(), ())


def test_the_first_refusal_ends_it_and_mending_is_told() -> None:
    late = shift(played(20), 30_000)
    assert clean(late).reasons == ("silence: 29.0 s trimmed", "too short: 2.0 s, 20 notes; at least 10 s and 64 notes are wanted")


@law
@given(performance=performances())
def test_anything_is_kept_or_refused_with_a_reason(performance: Performance) -> None:
    for rules in (RULES, RULES[:1], *([rule] for rule in RULES)):
        cleaned = clean(performance, rules)
        assert cleaned.performance is not None or cleaned.reasons
        if cleaned.performance is not None:
            assert clean(cleaned.performance, rules) == CleaningResult(cleaned.performance, ())


@needs_datasets
def test_no_real_performance_is_refused() -> None:
    for path in [*giantmidi_files(), *maestro_files("validation")[::8]]:
        cleaned = clean(read_midi(path))
        assert cleaned.performance is not None, (path.name, cleaned.reasons)
        assert len(cleaned.performance) == len(read_midi(path))
