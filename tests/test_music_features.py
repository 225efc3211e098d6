"""Figures and structure of a piece: by hand on tiny pieces, and the laws that they keep when music is moved or transposed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music import played
from strategies import law, quantised_performances

from preludio.evaluate.music import features as f
from preludio.evaluate.music import structure as s
from preludio.performance import Performance, crop, join, quantise, shift, sustain, transpose

FIGURES = {figure.name: figure.of for figure in (*f.FIGURES, *f.TAILS, *s.STRUCTURE)}


def events(*notes: tuple[int, int, int, int]) -> f.NoteColumns:
    return f.NoteColumns.of(Performance(list(notes)))


# --- done by hand -----------------------------------------------------------------------------------------------------------------

# Two seconds: C and E at once (20 ms apart), the C held throughout; G at 1 s for a second; C again a second later is none: 1.5 s, high C.
BY_HAND = events((0, 2000, 60, 40), (20, 520, 64, 40), (1000, 2000, 67, 60), (1500, 1750, 72, 60))


def test_figures_by_hand() -> None:
    expected = {
        "distinct keys": 4,
        "pitch range": 12,
        "mean pitch": (60 + 64 + 67 + 72) / 4,
        "step between strikes": (4 + 3 + 5) / 3,
        "pitch-class entropy": -(0.5 * math.log2(0.5) + 2 * 0.25 * math.log2(0.25)),  # C twice, E, G
        "transition entropy": 0.0,  # C - E - G - C: each has one successor
        "gap between chords": (1.0 + 0.5) / 2,  # C and E are one chord
        "gap, spread": 0.5,  # one octave apart
        "note length, median": (0.5 + 1.0) / 2,
        "velocity, mean": 50,
        "velocity, deviation": 10,
        "velocity step": 20 / 3,
        "notes a second": 2,
        "keys sounding": (2000 + 500 + 1000 + 250) / 2000,
        "most keys at once": 3,
        "overlaps": (2 + 0 + 1 + 0) / 4,  # two chords begin while the low C sounds, one while the G does
        "chord size": 4 / 3,
        "length": 2,
        "over 20 keys at once": 0,
        "longest key held": 2,
        "notes over 4 s": 0,
        "longest wait": 1,
        "longest loop": 0,
        "densest second": 2,
        "key struck again at once": 0,
    }
    assert {name: FIGURES[name](BY_HAND) for name in expected} == pytest.approx(expected)


def test_histograms_by_hand() -> None:
    assert f.pitch_classes(BY_HAND)[[0, 4, 7]].tolist() == [0.5, 0.25, 0.25]
    transitions = f.pitch_class_transitions(BY_HAND)
    assert transitions[[12 * 0 + 4, 12 * 4 + 7, 12 * 7 + 0]] == pytest.approx([1 / 3] * 3)
    assert f.intervals(BY_HAND)[[24 + 4, 24 + 3, 24 + 5]] == pytest.approx([1 / 3] * 3)
    assert f.chord_sizes(BY_HAND)[:2] == pytest.approx([2 / 3, 1 / 3])
    assert f.velocities(BY_HAND)[[40 // 8, 60 // 8]].tolist() == [0.5, 0.5]
    # the borders are 14, 28 ... ms: 500 ms lies in bin 6 (453 - 905), 1,000 in bin 7, 2,000 in bin 8, 250 in bin 5
    assert f.gaps(BY_HAND)[[6, 7]].tolist() == [0.5, 0.5]
    assert f.lengths(BY_HAND)[[5, 6, 7, 8]].tolist() == [0.25] * 4


def test_what_a_broken_model_does_is_seen() -> None:
    """A key that is never let go, a wait, two keys in turn without end, and a wall."""
    turns = [(start, start + 50, 60 + start // 100 % 2, 64) for start in range(0, 3000, 100)]
    found = events(*turns, (0, 30_000, 40, 64), (20_000, 20_100, 72, 64))
    assert FIGURES["longest key held"](found) == 30
    assert FIGURES["notes over 4 s"](found) == pytest.approx(1 / 32)
    assert FIGURES["longest wait"](found) == pytest.approx(20 - 2.9)
    assert FIGURES["longest loop"](found) == 28  # of thirty strikes in turn the first two are the pattern
    wall = events(*((100 * key, 5000, 40 + key, 64) for key in range(25)))
    assert FIGURES["over 20 keys at once"](wall) == FIGURES["over 20 keys for a second"](wall) == 1
    brief = events(*((100 * key, 2500, 40 + key, 64) for key in range(25)))
    assert (FIGURES["over 20 keys at once"](brief), FIGURES["over 20 keys for a second"](brief)) == (1, 0)


def test_a_sound_that_goes_on_after_the_last_strike_is_a_wait() -> None:
    """Pieces that stop playing and let a chord ring to the end of the minute once had no wait at all."""
    assert FIGURES["longest wait"](events((0, 100, 60, 64), (500, 20_000, 64, 64))) == 19.5


@pytest.mark.parametrize("performance", [Performance(), Performance([(500, 1000, 60, 64)])])
def test_no_note_and_one_note_have_every_figure(performance: Performance) -> None:
    """A silent piece must weigh in, not drop out; only returns may not exist."""
    found = f.NoteColumns.of(performance)
    for name, of in FIGURES.items():
        assert math.isfinite(of(found)) or name.startswith("return"), name
    assert all(np.isfinite(of(found)).all() for of in f.HISTOGRAMS.values())


# --- laws -------------------------------------------------------------------------------------------------------------------------

MOVED_BY_KEY = {"mean pitch", "key clarity", "key changes", "return, short lags", "return, middle lags", "return, long lags"}


@law
@given(quantised_performances(), st.integers(-12, 12))
def test_transposition_moves_pitches_alone(performance: Performance, semitones: int) -> None:
    pitches = performance.notes["pitch"].astype(int) + semitones
    if len(pitches) and not 0 <= pitches.min() <= pitches.max() <= 127:
        return
    plain, moved = f.NoteColumns.of(performance), f.NoteColumns.of(transpose(performance, semitones))
    for name, of in FIGURES.items():
        if name not in MOVED_BY_KEY:
            assert of(moved) == pytest.approx(of(plain)), name
    assert s.key_clarity(moved) == pytest.approx(s.key_clarity(plain), abs=1e-9)
    assert s.returns(moved) == pytest.approx(s.returns(plain), abs=1e-9, nan_ok=True)
    np.testing.assert_allclose(f.pitch_classes(moved), np.roll(f.pitch_classes(plain), semitones))
    for of_histogram in (f.intervals, f.gaps, f.lengths, f.velocities, f.chord_sizes):
        np.testing.assert_array_equal(of_histogram(moved), of_histogram(plain))


@law
@given(quantised_performances(min_notes=2))
def test_every_histogram_is_shares(performance: Performance) -> None:
    found = f.NoteColumns.of(performance)
    if len(found) < 2:
        return
    for name, of in f.HISTOGRAMS.items():
        shares = of(found)
        assert (shares >= 0).all()
        assert shares.sum() == pytest.approx(0 if name == "gaps" and not len(found.gap) else 1), name


@settings(law, max_examples=30)
@given(quantised_performances(max_notes=8))
def test_keys_sounding_is_what_a_slow_count_finds(performance: Performance) -> None:
    notes = performance.notes.tolist()
    counts = [sum(on <= ms < off for on, off, _, _ in notes) for ms in range(0, performance.duration_ms, 10)]
    found = f.NoteColumns.of(performance)
    assert FIGURES["most keys at once"](found) == max(counts, default=0)
    assert FIGURES["keys sounding"](found) == pytest.approx(np.mean(counts) if counts else 0)


@settings(law, max_examples=50)
@given(st.lists(st.integers(0, 3), max_size=60))
def test_the_longest_loop_is_what_a_slow_search_finds(row: list[int]) -> None:
    longest = 0
    for period in range(1, min(f.LONGEST_PERIOD, len(row) - 1) + 1):
        run = 0
        for place in range(period, len(row)):
            run = run + 1 if row[place] == row[place - period] else 0
            longest = max(longest, run)
    assert f.longest_loop(np.array(row, dtype=np.int64)) == longest


# --- structure --------------------------------------------------------------------------------------------------------------------


@settings(law, max_examples=30)
@given(quantised_performances(max_notes=8))
def test_chroma_is_what_a_slow_count_finds(performance: Performance) -> None:
    found = s.chroma(f.NoteColumns.of(performance), 500)
    expected = np.zeros((performance.duration_ms // 500, 12))
    for onset, offset, pitch, _ in performance.notes.tolist():
        for frame in range(len(expected)):
            expected[frame, pitch % 12] += max(0, min(offset, 500 * frame + 500) - max(onset, 500 * frame)) / 500
    np.testing.assert_allclose(found, expected, atol=1e-12)


def grid(work: int) -> Performance:
    return crop(quantise(sustain(played(work))), 0, 20_000)


def test_music_that_comes_back_is_found_at_its_lag_alone() -> None:
    """Twenty seconds, then the same again: each stretch has its like 20 s away, and none before that."""
    again = join([grid(0), shift(grid(0), 20_000)])
    other = join([grid(0), shift(grid(1), 20_000)])
    returned, new = (s.returns(f.NoteColumns.of(piece)) for piece in (again, other))
    assert returned["long"] > 0.9
    assert new["long"] < 0.6
    assert returned["short"] < 0.6
    assert returned["middle"] < 0.6
    assert s.returns(f.NoteColumns.of(crop(again, 0, 10_000)))["middle"] == pytest.approx(math.nan, nan_ok=True)


def test_staying_in_one_chord_is_no_return() -> None:
    """The mean chroma is taken off: what never changes is not similar to itself but nothing."""
    held = events(*((500 * n, 500 * n + 500, pitch, 64) for n in range(80) for pitch in (60, 64, 67)))
    assert s.returns(held) == {"short": 0, "middle": 0, "long": 0}


def test_a_key_is_clear_and_a_cluster_is_not() -> None:
    scale = [60, 64, 67, 72, 65, 69, 62, 67, 71, 60, 64, 67, 65, 62, 71, 60]
    major = events(*((500 * n, 500 * n + 500, pitch, 64) for n, pitch in enumerate(scale)))
    chromatic = events(*((500 * n, 500 * n + 500, 60 + n % 12, 64) for n in range(16)))
    assert s.key_clarity(major) > 0.8 > 0.6 > s.key_clarity(chromatic)


def test_a_change_of_key_is_counted() -> None:
    chords = (60, 64, 67), (65, 69, 72), (67, 71, 74), (60, 64, 67)
    here = Performance([(2000 * n, 2000 * n + 2000, pitch, 64) for n, chord in enumerate(chords) for pitch in chord])
    up = shift(transpose(here, 6), 8000)
    assert s.key_changes(f.NoteColumns.of(join([here, shift(here, 8000)]))) == 0
    assert s.key_changes(f.NoteColumns.of(join([here, up]))) == 1
