"""Let-gos: what a model that knows everything, and one that knows nothing, would expect."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from music import played
from strategies import canonical_ids, law

from preludio.checkpoint import Checkpoint, ModelConfig, array_shapes
from preludio.evaluate import EngineScore, TokenisedPiece, TokenisedPieces
from preludio.evaluate.music.release_calibration import NAMES, RANGES, count_releases, last_strikes, release_calibration
from preludio.tokens import NOTE_OFF, TIME_SHIFT, VELOCITY, VOCAB_SIZE, encode

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def knows_all(ids: Ids) -> Floats:
    return np.eye(VOCAB_SIZE)[ids[1:]]


def knows_nothing(ids: Ids) -> Floats:
    return np.full((len(ids) - 1, VOCAB_SIZE), 1 / VOCAB_SIZE)


def test_by_hand() -> None:
    """C is struck, E is struck, C goes, E goes 30 shifts later: three tokens and 33 after their strikes."""
    ids = np.array([VELOCITY, 60, 64, TIME_SHIFT, NOTE_OFF + 60, *[TIME_SHIFT + 99] * 30, NOTE_OFF + 64])
    found = count_releases(knows_nothing, ids)
    assert dict(zip(NAMES, found.actual.tolist(), strict=True)) == {
        "under 25": 1,
        "25 - 49": 1,
        "50 - 99": 0,
        "100 - 199": 0,
        "200 and more": 0,
    }
    # predictions at which C is down: the 3 after its strike; E: the 33 after its own, of which the last 9 are 25 tokens or more after it
    assert found.expected * VOCAB_SIZE == pytest.approx([3 + 24, 9, 0, 0, 0])


@law
@given(canonical_ids(max_notes=30))
def test_who_knows_what_comes_expects_what_comes(row: list[int]) -> None:
    found = count_releases(knows_all, np.array(row, dtype=np.int64))
    assert found.expected == pytest.approx(found.actual.astype(float))
    n_releases = sum(NOTE_OFF <= token < TIME_SHIFT for token in row)
    assert found.actual.sum() == n_releases  # of a whole piece, each release has its strike


@law
@given(canonical_ids(max_notes=30))
def test_what_is_held_since_when_is_what_a_walk_finds(row: list[int]) -> None:
    held = np.full(128, -1)
    expected = []
    for place, token in enumerate(row):
        if token < NOTE_OFF:
            held[token] = place
        elif token < TIME_SHIFT:
            held[token - NOTE_OFF] = -1
        expected.append(held.copy())
    np.testing.assert_array_equal(last_strikes(np.array(row, dtype=np.int64)), np.array(expected).reshape(-1, 128))


def test_a_key_struck_before_the_segment_is_left_out() -> None:
    """The model has not seen it: its release is no one's to expect."""
    found = count_releases(knows_all, np.array([TIME_SHIFT, NOTE_OFF + 60, TIME_SHIFT]))
    assert found.actual.sum() == found.expected.sum() == 0


def test_a_segment_of_one_token_has_nothing() -> None:
    assert count_releases(knows_all, np.array([60])).actual.sum() == 0


# --- an engine's probabilities ----------------------------------------------------------------------------------------------------

TINY = ModelConfig(d_model=16, n_heads=2, n_layers=2, d_ff=32, window=64)


@pytest.fixture(scope="module")
def score() -> EngineScore:
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in array_shapes(TINY).items()}
    return EngineScore(Checkpoint(TINY, arrays, {}))


def test_probabilities_are_those_of_the_likelihood(score: EngineScore) -> None:
    """Past the window and past a block of logits as well."""
    ids = np.random.default_rng(1).integers(0, 388, 2500)
    found = score.probabilities(ids)
    assert found.shape == (2499, VOCAB_SIZE)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(-np.log(found[np.arange(2499), ids[1:]]), score(ids[None])[0, :, 0], rtol=1e-4, atol=1e-4)


def test_pieces_in_one_process_and_in_two_give_the_same(score: EngineScore) -> None:
    ids = [encode(played(work)) for work in range(3)]
    pieces = TokenisedPieces("here", 3, range(3), lambda number: TokenisedPiece(f"{number}", ids[number]))
    done: list[float] = []
    one, two = (release_calibration(score, pieces, seed=0, processes=n, progress=done.append) for n in (1, 2))
    assert one == two
    assert list(one) == list(RANGES)
    assert done == [1, 2, 3] * 2
    low, high = one["all"].low, one["all"].high
    assert low is not None and high is not None
    assert low <= one["all"].value <= high
