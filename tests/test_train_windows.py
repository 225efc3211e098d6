"""What a step reads: pieces of pieces, moved and stretched, always music; the same for the same step, whoever asks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st
from music import played
from strategies import canonical_ids, law

from preludio.corpus.shards import PieceInfo, Split
from preludio.errors import TrainError
from preludio.performance import Performance
from preludio.tokens import END, NOTE_OFF, PAD, START, TIME_SHIFT, VELOCITY, decode, encode
from preludio.train.windows import Windows, stretched, transposed

FACTORS = st.one_of(st.sampled_from([0.5, 0.95, 0.975, 1.0, 1.025, 1.05, 2.0]), st.floats(0.5, 2))


def split_of(*pieces: npt.NDArray[np.uint16]) -> Split:
    ends = np.cumsum([len(piece) for piece in pieces])
    infos = [
        PieceInfo("made", str(n), "x", "y", 1, int(end - len(piece)), len(piece))
        for n, (piece, end) in enumerate(zip(pieces, ends, strict=True))
    ]
    return Split(np.concatenate(pieces), infos)


SPLIT = split_of(encode(played(0)), encode(played(1)), encode(Performance([(0, 100, 60, 64)])))


def events(ids: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """(time in steps, id) of all that is no shift."""
    shifts = np.where((ids >= TIME_SHIFT) & (ids < VELOCITY), ids - TIME_SHIFT + 1, 0)
    times = np.cumsum(shifts)
    return [(int(time), int(token)) for time, token in zip(times, ids, strict=True) if not TIME_SHIFT <= token < VELOCITY]


def test_a_window_is_a_run_of_one_piece_between_its_start_and_its_end() -> None:
    whole = [[START, *SPLIT.piece(n).tolist(), END] for n in range(len(SPLIT))]
    texts = [" ".join(map(str, piece)) + " " for piece in whole]
    starts = ends = 0
    for row in Windows(SPLIT, seed=3).batch(0, 400, 48).tolist():
        ids = [token for token in row if token != PAD]
        assert row == ids + [PAD] * (49 - len(ids))
        assert any(" ".join(map(str, ids)) + " " in text for text in texts)
        assert START not in ids[1:]
        assert END not in ids[:-1]
        assert len(ids) == 49 or ids[-1] == END  # nothing is filled up before a piece is over
        starts, ends = starts + (ids[0] == START), ends + (ids[-1] == END)
    assert starts > 5
    assert ends > 5  # it used to be one place in a piece: a model hardly ever learned how music ends


def test_the_same_step_reads_the_same_and_another_one_does_not() -> None:
    drawn = [Windows(SPLIT, seed, 3, (0.95, 1.0, 1.05)).batch(step, 8, 32) for seed, step in ((1, 5), (1, 5), (1, 6), (2, 5))]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[3])


def test_what_was_drawn_before_changes_nothing() -> None:
    windows = Windows(SPLIT, 1, 3)
    later = windows.batch(9, 4, 32)
    windows.batch(3, 7, 16)
    assert np.array_equal(windows.batch(9, 4, 32), later)


def test_every_transposition_and_stretch_is_met() -> None:
    plain = Windows(SPLIT, 1).batch(0, 300, 32)
    moved = Windows(SPLIT, 1, 2).batch(0, 300, 32)
    shape = [len({tuple(row) for row in batch.tolist()}) for batch in (plain, moved)]
    assert shape[1] > shape[0]
    one = split_of(encode(Performance([(1000 * n, 1000 * n + 500, 60, 64) for n in range(40)])))
    batch = Windows(one, 1, 2, (0.5, 1.0)).batch(0, 200, 32)
    assert set(batch[batch < NOTE_OFF].tolist()) == {58, 59, 60, 61, 62}
    assert {TIME_SHIFT + 24, TIME_SHIFT + 49} <= set(batch.ravel().tolist())


def test_an_empty_split_is_one_line() -> None:
    for empty in (Split(np.empty(0, dtype=np.uint16), []), split_of(np.empty(0, dtype=np.uint16))):
        with pytest.raises(TrainError, match="no pieces"):
            Windows(empty, 0)


@law
@given(ids=canonical_ids(min_notes=1), semitones=st.integers(-12, 12))
def test_transposing_moves_each_key_or_none(ids: list[int], semitones: int) -> None:
    before = np.array(ids)
    after = transposed(before, semitones)
    keys = before < TIME_SHIFT
    assert np.array_equal(after[~keys], before[~keys])
    fits = all(0 <= token % NOTE_OFF + semitones < NOTE_OFF for token in before[keys].tolist())
    assert np.array_equal(after[keys], before[keys] + (semitones if fits else 0))
    decode(after, strict=True)


@law
@given(ids=canonical_ids(min_notes=1), factor=FACTORS)
def test_stretching_keeps_the_grammar_the_events_and_the_time(ids: list[int], factor: float) -> None:
    before = np.array([START, *ids, END])
    after = stretched(before, factor)
    decode(after, strict=True)  # which takes canonical ids alone: order within a step, the fewest shifts, every note ended
    old, new = events(before), events(after)
    assert [token for _, token in new] == [token for _, token in old]
    moment = -1
    for number, ((was, _), (is_, _)) in enumerate(zip(old, new, strict=True)):
        moment += number == 0 or was > old[number - 1][0]
        crowd = max(
            (moments_until(old, number) - moments_until(old, first) - (old[number][0] - old[first][0]) * factor)
            for first in range(number + 1)
        )
        assert -0.5 <= is_ - was * factor <= max(0.5, crowd + 1)  # late only as far as the crowd before it takes its places


def moments_until(timed: list[tuple[int, int]], number: int) -> int:
    return len({time for time, _ in timed[: number + 1]})


def test_dense_music_does_not_drift() -> None:
    """Each step that rounding would have swallowed was made good by pushing all that followed: a window at 0.95 came out as slow as at 1
    wherever something happens at each step."""
    crowd = [(10 * n, 10 * n + 20, 40 + n % 40, 64) for n in range(20)]
    tail = [(400 + 1000 * n, 900 + 1000 * n, 60, 64) for n in range(1, 5)]
    ids = encode(Performance(crowd + tail)).astype(np.int64)
    old, new = events(ids), events(stretched(ids, 0.5))
    assert new[-1][0] == round(old[-1][0] * 0.5)


@law
@given(ids=canonical_ids(min_notes=1), start=st.integers(0, 60), n=st.integers(1, 60), factor=FACTORS)
def test_any_cut_may_be_stretched(ids: list[int], start: int, n: int, factor: float) -> None:
    cut = np.array(ids[start : start + n], dtype=np.int64)
    kept = [token for token in cut.tolist() if not TIME_SHIFT <= token < VELOCITY]
    if kept:
        assert [token for token in stretched(cut, factor).tolist() if not TIME_SHIFT <= token < VELOCITY] == kept
    else:
        assert np.array_equal(stretched(cut, factor), cut)
