"""The small classifier: its AUC by hand, what it tells apart and what it cannot, and that no piece is on both sides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from music import played
from strategies import law

from preludio.evaluate.music import classifier
from preludio.evaluate.music.classifier import Verdicts, Windows, auc, cross_checked, windows
from preludio.performance import Performance, quantise, sustain, transpose

Floats = npt.NDArray[np.float64]

outputs = st.lists(st.integers(-3, 3), min_size=1, max_size=12).map(lambda row: np.array(row, dtype=np.float64))


@law
@given(outputs, outputs)
def test_auc_is_the_share_of_pairs_that_are_in_order(ours: Floats, theirs: Floats) -> None:
    pairs = [(a > b) + 0.5 * (a == b) for a in ours for b in theirs]
    assert auc(ours, theirs) == pytest.approx(np.mean(pairs))
    assert auc(ours, theirs) == pytest.approx(1 - auc(theirs, ours))


@law
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 3)), min_size=1, max_size=8), outputs)
def test_a_weight_is_a_repetition(weighed: list[tuple[int, int]], theirs: Floats) -> None:
    values, counts = (np.array(column, dtype=np.float64) for column in zip(*weighed, strict=True))
    repeated = np.repeat(values, counts.astype(int))
    assert auc(values, theirs, counts) == pytest.approx(auc(repeated, theirs))
    assert auc(theirs, values, None, counts) == pytest.approx(auc(theirs, repeated))


def some(n_pieces: int, per_piece: int, at: float, seed: int) -> Windows:
    """Windows whose first feature lies around `at`; each piece has a place of its own besides."""
    rng = np.random.default_rng(seed)
    places = np.repeat(rng.normal(0, 0.5, (n_pieces, 4)), per_piece, axis=0)
    rows = places + rng.normal(0, 1, (n_pieces * per_piece, 4))
    rows[:, 0] += at
    return Windows(rows, np.repeat(np.arange(n_pieces), per_piece))


def test_what_differs_is_told_apart_and_what_does_not_is_not() -> None:
    training, held_out = some(20, 6, 0, 1), some(20, 6, 0, 2)
    apart = cross_checked(some(20, 6, 3, 3), training, held_out, seed=0)
    alike = cross_checked(some(20, 6, 0, 4), training, held_out, seed=0)
    assert apart.auc() > 0.9
    assert alike.auc() == pytest.approx(0.5, abs=0.15)
    found = alike.estimate(0)
    assert found.low is not None and found.high is not None
    assert found.low < 0.5 < found.high


def test_a_bend_is_learned_not_only_a_slope() -> None:
    """Composed music may be too plain and too wild, never in between: no straight line tells it."""
    rng = np.random.default_rng(0)

    def bent(at: float, seed: int) -> Windows:
        one = some(20, 8, 0, seed)
        one.features[:, 0] = at * rng.choice([-1, 1], len(one.features)) + rng.normal(0, 0.3, len(one.features))
        return one

    assert cross_checked(bent(2, 1), bent(0, 2), bent(0, 3), seed=0).auc() > 0.9


def test_one_seed_one_verdict() -> None:
    sets = some(6, 4, 1, 1), some(6, 4, 0, 2), some(6, 4, 0, 3)
    assert cross_checked(*sets, seed=5).estimate(5) == cross_checked(*sets, seed=5).estimate(5)


def test_no_piece_is_learned_from_and_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each composed window is asked about once, by a network that learned from other pieces, and held-out music is never learned from."""
    ours, training, held_out = some(5, 3, 1, 1), some(4, 3, 0, 2), some(4, 3, 0, 3)
    learned: list[Floats] = []
    train = classifier.train

    def watched(rows: Floats, labels: Floats, seed: int) -> classifier.Network:
        learned.append(rows[labels > 0])
        return train(rows, labels, seed)

    monkeypatch.setattr(classifier, "train", watched)
    verdicts = cross_checked(ours, training, held_out, seed=0)
    asked = [set(pieces.tolist()) for _, pieces in verdicts.composed]
    assert asked == [{1, 3}, {0, 2, 4}]
    for fold, pieces in enumerate(asked):
        from_asked = ours.features[np.isin(ours.piece, list(pieces))]
        assert not (learned[fold * classifier.DRAWS][:, None] == from_asked[None]).all(axis=-1).any()
    assert sum(len(output) for output, _ in verdicts.composed) == len(ours.piece)


def test_too_few_pieces_give_no_number() -> None:
    nothing = windows([])
    assert cross_checked(nothing, some(2, 2, 0, 1), some(2, 2, 0, 2), 0).estimate(0).to_json() == {"value": None, "low": None, "high": None}
    assert Verdicts([], []).auc() != Verdicts([], []).auc()


def test_windows_are_whole_and_none_is_nearly_silent() -> None:
    piece = quantise(sustain(played(0)))
    found = windows([piece, Performance([(0, 60_000, 60, 64)]), piece])
    per_piece = piece.duration_ms // classifier.WINDOW_MS
    assert found.piece.tolist() == [0] * per_piece + [2] * per_piece
    assert np.isfinite(found.features).all()


def test_a_window_in_another_key_is_the_same_but_for_its_register() -> None:
    piece = quantise(sustain(played(0)))
    plain, moved = windows([piece]).features, windows([transpose(piece, 1)]).features
    differs = np.flatnonzero(~np.isclose(plain, moved).all(axis=0))
    assert len(differs) <= 12  # the mean pitch and the octaves
