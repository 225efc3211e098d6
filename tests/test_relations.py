"""The musical state and the output relations: the same by steps, by the row and in C; what they add is the sum as it is written."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import canonical_ids, law, random_generators
from test_engine import TINY, needs_native, random_checkpoint

from preludio.engine.native import NativeEngine, NativeSession
from preludio.engine.native.library import library
from preludio.engine.relations import add_relations
from preludio.tokens import N_KEYS, NOTE_OFF, PAD, TIME_SHIFT, VELOCITY, VOCAB_SIZE, relations
from preludio.tokens.relations import States, Tracker

pytest.importorskip("torch")

import torch

from preludio.model import fused
from preludio.model.relations import States as StatesOfTensors
from preludio.model.relations import related

RELATED = dataclasses.replace(TINY, relations=True)

few_ids = st.sampled_from([0, 7, 60, 61, 72, 127, 128, 188, 255, 256, 258, 259, 260, 300, 355, 356, 371, 387, 388, 389, 390])
rows_of_ids = st.one_of(
    st.lists(st.one_of(few_ids, st.integers(0, VOCAB_SIZE - 1)), min_size=1, max_size=80),
    canonical_ids(min_notes=1),
    random_generators().map(lambda rng: rng.integers(0, VOCAB_SIZE, 100).tolist()),
)


def assert_same(ours: States, expected: States) -> None:
    np.testing.assert_array_equal(ours.direct, expected.direct)
    np.testing.assert_array_equal(ours.bases, expected.bases)
    np.testing.assert_allclose(ours.shares, expected.shares, rtol=1e-6, atol=1e-9)


def at(states: States, *position: int) -> States:
    return States(states.direct[position], states.bases[position], states.shares[position])


# The state


@law
@given(rows_of_ids)
def test_the_state_by_steps_is_the_state_of_the_whole_row(ids: list[int]) -> None:
    whole, tracker = relations.states(np.array([ids])), Tracker()
    for number, token in enumerate(ids):
        tracker.push(token)
        assert_same(tracker.now(), at(whole, 0, number))
        np.testing.assert_array_equal(tracker.bases(), whole.bases[0, number])


@law
@given(rows_of_ids, st.data())
def test_the_state_knows_nothing_of_what_comes_later(ids: list[int], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(ids)))
    assert_same(at(relations.states(np.array([ids[:n]])), 0, n - 1), at(relations.states(np.array([ids])), 0, n - 1))


def test_the_state_of_some_chords_by_hand() -> None:
    """Two chords half a second apart, then .25 s later; times are steps of 10 ms."""
    half, quarter = TIME_SHIFT + 49, TIME_SHIFT + 24
    ids = [VELOCITY + 16, 60, 64, half, NOTE_OFF + 60, VELOCITY + 20, 67, quarter]
    state = at(relations.states(np.array([ids])), 0, len(ids) - 1)
    assert state.bases.tolist() == [67, 64, 60, -1, 60, -1, 20, 16, -1, -1]
    assert state.direct[[59, 60, 64, 67]].tolist() == [0, 1 + 10 + 3, 1 + 4, 1 + 3]  # up for 25 steps, down for 75, down for 25
    rhythm = state.direct[N_KEYS:].reshape(3, 100)
    assert rhythm[0, [0, 24, 74, 99]].tolist() == [16, 24, 32, 35]  # 26, 50, 100 and 125 steps after the chord; the gap is 50
    assert (rhythm[1:] == relations.N_RHYTHMS - 1).all()
    assert state.shares.argmax(axis=1).tolist() == [7, 7, 7]
    np.testing.assert_allclose(state.shares.sum(axis=1), 1, rtol=1e-6)


def test_slots_cover_each_row_and_the_logits_that_they_belong_to() -> None:
    widths = [slot.width for slot in relations.DIRECT_SLOTS] + [slot.width for slot in relations.DIFFERENCE_SLOTS]
    assert relations.N_ROWS == 1076 and relations.N_INPUT_ROWS == 222  # what checkpoints hold
    assert sum(widths) == len(relations.columns()) == 4 * 256 + 256 + 4 * 32 + 3 * 100
    assert relations.columns().max() == PAD - 1


# In C


def state_in_c(session: NativeSession, row: int) -> States:
    """Of a row of the session."""
    state = States(np.zeros(428, np.uint8), np.zeros(10, np.int16), np.zeros((3, 12), np.float32))
    assert library().session_state(session._handle, row, *(array.ctypes.data for array in state)) == 0
    return state


@needs_native
@law
@given(rows_of_ids)
def test_the_state_in_c_is_the_same_at_every_position(ids: list[int]) -> None:
    session, whole = NativeEngine(_CHECKPOINT, "int8", 1).session(), relations.states(np.array([ids]))
    for number, token in enumerate(ids):
        session.step(np.array([token]))
        assert_same(state_in_c(session, 0), at(whole, 0, number))


@needs_native
@settings(max_examples=10, deadline=None)
@given(random_generators())
def test_the_state_in_c_is_the_same_after_feeds_forks_and_rewinds_in_any_order(rng: np.random.Generator) -> None:
    """Beyond the pages of the cache (window 24: four of 256), which the ids to go back by lie in; to their first position, too."""
    session, ids = NativeEngine(_CHECKPOINT, "int8", 1).session(2), np.empty((2, 0), dtype=np.int64)
    for _ in range(8):
        more = rng.integers(0, VOCAB_SIZE, (2, int(rng.choice([1, 40, 256, 257, 500]))))
        session.feed(more)
        ids = np.concatenate([ids, more], axis=1)
        rows = rng.integers(0, 2, 2).tolist()
        session, ids, before = session.fork(rows), ids[rows], session
        before.step(np.zeros(2, dtype=np.int64))  # touches nothing of the fork
        n = int(rng.choice([0, 1, ids.shape[1] % 256, int(rng.integers(0, session.rewindable + 1)), session.rewindable]))
        session.rewind(min(n, session.rewindable))
        ids = ids[:, : session.position]
        for row in range(2):
            tracker = Tracker()
            for token in ids[row].tolist():
                tracker.push(token)
            assert_same(state_in_c(session, row), tracker.now())


@needs_native
def test_rhythms_in_c_are_the_same_for_every_gap_and_time_since() -> None:
    """C compares with borders where Python takes logarithms: gaps from 40 ms to two minutes and times beyond, some whole octaves apart."""
    engine = NativeEngine(_CHECKPOINT, "int8", 1)
    for gap in [*range(4, 20), 64, 99, 100, 128, 1000, 12_345]:
        for since in (0, 1, gap // 8, gap // 2, gap, 3 * gap, 8 * gap):
            ids = np.array([[60, *_shifts(gap), 62, *_shifts(since), VELOCITY]])
            session = engine.session()
            session.feed(ids)
            assert_same(state_in_c(session, 0), at(relations.states(ids), 0, ids.shape[1] - 1))


def _shifts(steps: int) -> list[int]:
    return [*[TIME_SHIFT + 99] * (steps // 100), *([TIME_SHIFT + steps % 100 - 1] if steps % 100 else [])]


@needs_native
def test_another_number_of_relations_than_the_library_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its rows are read: an old library beside new Python files."""
    monkeypatch.setattr(relations, "N_ROWS", 1077)
    with pytest.raises(AssertionError, match="build it again"):
        NativeEngine(random_checkpoint(RELATED))


_CHECKPOINT = random_checkpoint(dataclasses.replace(RELATED, n_layers=1))


# What they add


def related_as_written(products: list[float], state: States) -> list[float]:
    """One position's products with all rows -> what is added to each logit."""
    logits = [0.0] * VOCAB_SIZE
    for column, row in zip(relations.columns().tolist(), relations.output_indices(state).tolist(), strict=True):
        logits[column] += products[row]
    for pitch in range(128):
        for half_life in range(3):
            for i in range(12):
                row = relations.N_SLOT_ROWS + 12 * half_life + i
                logits[pitch] += products[row] * float(state.shares[half_life, (pitch + i) % 12])
    return logits


@pytest.mark.parametrize("with_operator", [False, True])
def test_what_is_added_is_the_sum_as_it_is_written(monkeypatch: pytest.MonkeyPatch, with_operator: bool) -> None:
    """In NumPy; in PyTorch, by the operator in C++ and without it."""
    if with_operator and (why := fused.build()):
        pytest.skip(f"the operators cannot be built here: {why}")
    monkeypatch.setattr(fused, "loaded", lambda: with_operator)
    rng = np.random.default_rng(0)
    x, rows = rng.normal(size=(2, 30, 16)).astype(np.float32), rng.normal(size=(relations.N_ROWS, 16)).astype(np.float32)
    ids = rng.integers(0, 388, (2, 30))
    states, products, ours = relations.states(ids), x @ rows.T, np.zeros((2, 30, VOCAB_SIZE), np.float32)
    add_relations(ours, products, states)
    torchs = related(torch.from_numpy(x), torch.from_numpy(rows), StatesOfTensors.of(torch.from_numpy(ids))).numpy()
    for row, number in np.ndindex(2, 30):
        expected = related_as_written(products[row, number].tolist(), at(states, row, number))
        np.testing.assert_allclose(ours[row, number], expected, rtol=0, atol=1e-4)
        np.testing.assert_allclose(torchs[row, number], expected[:388], rtol=0, atol=1e-4)


def test_the_operator_has_the_gradient_of_plain_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    if why := fused.build():
        pytest.skip(f"the operators cannot be built here: {why}")
    generator = torch.Generator().manual_seed(0)
    x, rows = (torch.randn(shape, generator=generator).requires_grad_() for shape in ((2, 70, 16), (relations.N_ROWS, 16)))
    weights, states = torch.randn(2, 70, 388, generator=generator), StatesOfTensors.of(torch.randint(0, 388, (2, 70), generator=generator))
    gradients = []
    for loaded in (True, False):
        monkeypatch.setattr(fused, "loaded", lambda loaded=loaded: loaded)
        gradients.append(torch.autograd.grad((related(x, rows, states) * weights).sum(), (x, rows)))
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)
