"""Runs shared with known music: against a slow search, and whatever disguise a copy wears."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from music import played
from strategies import law

from preludio.evaluate import originality
from preludio.evaluate.originality import MIN_KEYS, SHORTEST, KnownRuns, SharedRun, onset_pitches, onset_pitches_of_ids
from preludio.performance import Performance, crop, quantise, shift, stretch, sustain, transpose
from preludio.tokens import encode

Pitches = npt.NDArray[np.uint8]

# Few intervals, so that runs do come back.
melodies = st.lists(st.sampled_from([60, 61, 63, 66, 70]), max_size=40).map(lambda row: np.array(row, dtype=np.uint8))


def slow_longest(pitches: Pitches, known: list[Pitches]) -> list[int]:
    """At each strike, the longest run that is anywhere in known music, by trying all places."""
    steps = np.diff(pitches.astype(int)).tolist()
    others = [np.diff(piece.astype(int)).tolist() for piece in known]
    found = []
    for start in range(len(pitches)):
        best = 0
        for other in others:
            for place in range(len(other)):
                n = 0
                while start + n < len(steps) and place + n < len(other) and steps[start + n] == other[place + n]:
                    n += 1
                best = max(best, n + 1)
        found.append(best if best >= SHORTEST else 0)
    return found


@law
@given(st.lists(melodies, min_size=1, max_size=3), st.lists(melodies, max_size=3))
def test_the_longest_runs_are_what_a_slow_search_finds(pieces: list[Pitches], known: list[Pitches]) -> None:
    runs = KnownRuns(pieces)
    runs.search(known)
    assert [row.tolist() for row in runs.by_piece()] == [slow_longest(piece, known) for piece in pieces]


def on_grid(performance: Performance) -> Performance:
    return quantise(sustain(performance))


def test_a_copy_is_found_in_any_key_and_at_any_pace_and_named() -> None:
    known = [onset_pitches_of_ids(encode(played(work))) for work in range(3)]
    part = crop(on_grid(played(1)), 5_000, 15_000)
    disguised = shift(transpose(Performance(part.notes), 3), 2_000)
    runs = KnownRuns([onset_pitches(disguised), onset_pitches(on_grid(played(7)))])
    runs.search(known)
    copy, other = runs.runs()
    assert copy.known == 1
    assert copy.length > len(disguised) - 6  # all but what was held where the part begins, which is struck anew there
    assert other.length < 12
    assert runs.shares(16)[0] > 0.9
    assert runs.shares(16)[1] == 0


def test_a_slower_copy_keeps_its_intervals() -> None:
    melody = Performance([(n * 100, n * 100 + 90, int(pitch), 64) for n, pitch in enumerate(onset_pitches(on_grid(played(1)))[:60])])
    runs = KnownRuns([onset_pitches(on_grid(stretch(melody, 1.7)))])
    runs.search([onset_pitches(melody)])
    assert runs.runs()[0].length == 60


def test_half_a_copy_shares_half() -> None:
    melody = onset_pitches(on_grid(played(1)))[:50]
    other = onset_pitches(on_grid(played(2)))[:50]
    runs = KnownRuns([np.concatenate([melody, other])])
    runs.search([melody])
    assert runs.runs()[0] == SharedRun(50, 0, 0)
    assert runs.shares(8)[0] == pytest.approx(43 / 93)


def test_a_trill_is_nobodys() -> None:
    """Real minutes share trills of 30 strikes with some training piece: the longest run once told of little else."""
    trill = np.tile(np.array([60, 62], dtype=np.uint8), 30)
    scale = np.arange(60, 72, dtype=np.uint8)
    runs = KnownRuns([np.concatenate([trill, scale])])
    runs.search([trill, scale])
    assert runs.by_piece()[0][0] == 60
    assert runs.runs()[0] == SharedRun(12, 60, 1)
    assert len(np.unique(scale)) >= MIN_KEYS > len(np.unique(trill))


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [onset_pitches_of_ids(encode(played(work))) for work in range(6)]
    pieces = [onset_pitches(on_grid(played(work))) for work in (1, 4, 9)]
    found = []
    for chunk in (1, 300, 1 << 20):
        monkeypatch.setattr(originality, "CHUNK", chunk)
        runs, done = KnownRuns(pieces), list[float]()
        runs.search(known, done.append)
        found.append((runs.runs(), [row.tolist() for row in runs.by_piece()]))
        assert done == sorted(done)
    assert found[0] == found[1] == found[2]


def test_nothing_known_and_nothing_asked() -> None:
    runs = KnownRuns([np.empty(0, np.uint8), np.array([60], np.uint8)])
    runs.search([])
    assert runs.runs() == [SharedRun(0, 0, -1)] * 2
    assert runs.shares(8) == [0.0, 0.0]
    KnownRuns([]).search([np.arange(40, dtype=np.uint8)])


def test_a_run_does_not_cross_from_one_known_piece_into_the_next() -> None:
    scale = np.arange(40, 60, dtype=np.uint8)
    runs = KnownRuns([scale])
    runs.search([scale[:10], scale[10:]])
    assert runs.runs()[0].length == 10
