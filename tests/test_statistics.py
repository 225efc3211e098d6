"""Statistics and originality: by hand, and the laws that they keep when music is moved, stretched or copied."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music import played
from preludio.evaluate.statistics import LONGEST_PERIOD, longest_loop

from preludio.errors import RequestError
from preludio.evaluate import KnownRuns, Statistics, distance, histogram
from preludio.performance import Performance, crop, shift, stretch, transpose


def test_by_hand() -> None:
    """Two seconds: a C held throughout, an E for its second half."""
    found = Statistics.of(Performance([(0, 2000, 60, 40), (1000, 2000, 64, 60)]))
    assert found == Statistics(
        seconds=2.0,
        notes_per_second=1.0,
        polyphony=1.5,
        lowest_pitch=60,
        highest_pitch=64,
        distinct_pitches=2,
        velocity_mean=50.0,
        velocity_deviation=10.0,
        duration_ms=1500.0,
        long_notes=0.0,
        longest_wait_seconds=1.0,
        longest_loop=0,
    )


def test_what_a_broken_model_does_is_seen() -> None:
    """A key that is never let go, a wait, and two keys in turn without end."""
    turns = [(start, start + 50, 60 + start // 100 % 2, 64) for start in range(0, 3000, 100)]
    found = Statistics.of(Performance([*turns, (0, 30_000, 40, 64), (20_000, 20_100, 72, 64)]))
    assert found.long_notes == pytest.approx(1 / 32)
    assert found.longest_wait_seconds == pytest.approx(20 - 2.9)
    assert found.longest_loop == 28  # of thirty strikes in turn the first two are the pattern


def test_one_note_is_enough_and_none_is_not() -> None:
    found = Statistics.of(Performance([(500, 1000, 60, 64)]))
    assert (found.longest_wait_seconds, found.longest_loop) == (0.0, 0)
    with pytest.raises(RequestError, match="without notes"):
        Statistics.of(Performance())


@given(st.lists(st.integers(0, 3), max_size=60))
@settings(deadline=None)
def test_the_longest_loop_is_what_a_slow_search_finds(row: list[int]) -> None:
    longest = 0
    for period in range(1, min(LONGEST_PERIOD, len(row) - 1) + 1):
        run = 0
        for place in range(period, len(row)):
            run = run + 1 if row[place] == row[place - period] else 0
            longest = max(longest, run)
    assert longest_loop(np.array(row, dtype=np.int64)) == longest


def test_a_copy_is_known_in_any_key_and_at_any_pace_and_another_work_is_not() -> None:
    known = KnownRuns.of([played(0), played(1)], lengths=(4, 8))
    disguised = shift(transpose(stretch(crop(played(1), 5_000, 15_000), 1.3), 3), 2_000)
    assert known.shares(disguised) == {4: 1.0, 8: 1.0}
    assert known.shares(played(2))[8] == 0.0
    half = Performance([*played(0).notes[:50].tolist(), *shift(played(2), 60_000).notes[:50].tolist()])
    assert known.shares(half)[8] == pytest.approx(43 / 93)
    assert known.shares(Performance([(0, 100, 60, 64)])) == {4: 0.0, 8: 0.0}


def test_histograms_are_shares_and_their_distance_is_the_part_that_differs() -> None:
    low, high = Performance([(0, 100, 40, 20), (200, 300, 41, 20)]), Performance([(0, 100, 40, 20), (200, 300, 90, 20)])
    assert histogram([low, high], "pitch")[[40, 41, 90]] == pytest.approx([0.5, 0.25, 0.25])
    assert distance(histogram([low], "pitch"), histogram([high], "pitch")) == pytest.approx(0.5)
    assert distance(histogram([low], "velocity"), histogram([high], "velocity")) == 0
    assert histogram([], "pitch").sum() == 0
