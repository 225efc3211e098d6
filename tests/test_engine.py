"""Fast equals slow: the engine's logits are those of the plain banded forward pass, for any mixture of feed, step, fork and rewind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from preludio import engine as engines
from preludio.checkpoint import Checkpoint, ModelConfig, array_shapes
from preludio.compose.sampling import Filters, TokenSampler
from preludio.engine import native, open_engine
from preludio.engine.numpy_engine import REWIND, NumpyEngine, RingBuffer
from preludio.errors import PreludioWarning, RequestError
from preludio.tokens import VOCAB_SIZE, id_range

torch = pytest.importorskip("torch")

TINY = ModelConfig(d_model=16, n_heads=2, n_layers=2, d_ff=32, window=24)
RELATED = dataclasses.replace(TINY, relations=True)


needs_native = pytest.mark.skipif(not native.available(), reason="the package was built without a C compiler")
EXACT = [pytest.param("native:float32", marks=needs_native), "numpy"]  # engines whose logits are the reference's, to rounding
each_engine = pytest.mark.parametrize("name", EXACT)


def random_checkpoint(config: ModelConfig, seed: int = 0) -> Checkpoint:
    """Weights large enough that every term, the distances' too, moves the logits."""
    rng = np.random.default_rng(seed)
    arrays = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in array_shapes(config).items()}
    return Checkpoint(config, arrays, {})


def reference_logits(checkpoint: Checkpoint, ids: np.ndarray) -> np.ndarray:
    """(batch, n) -> (batch, n, 391) by the PyTorch model."""
    from preludio.model import Transformer

    with torch.no_grad():
        logits: np.ndarray = Transformer.from_checkpoint(checkpoint)(torch.from_numpy(ids.astype(np.int64))).numpy()
    return logits


def random_ids(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCAB_SIZE, shape)


def assert_equal_logits(ours: np.ndarray, reference: np.ndarray) -> None:
    np.testing.assert_allclose(ours, reference, rtol=0, atol=2e-5 * float(np.std(reference)) + 1e-6)


@each_engine
@pytest.mark.parametrize("config", [TINY, dataclasses.replace(TINY, relative_per_head=True), RELATED])
@pytest.mark.parametrize("n", [1, 2, 23, 24, 25, 61, 300, 777])
def test_feeding_all_at_once_equals_the_reference_past_the_window(n: int, config: ModelConfig, name: str) -> None:
    checkpoint = random_checkpoint(config)
    ids = random_ids(2, n)
    assert_equal_logits(open_engine(checkpoint, name).session(2).feed_all(ids), reference_logits(checkpoint, ids))


@each_engine
@pytest.mark.parametrize("relations", [False, True])
@pytest.mark.parametrize("window", [1, 2, 24, 600])
def test_stepping_equals_the_reference_at_every_position(window: int, relations: bool, name: str) -> None:
    """Past twice the window and past the ring's wrap: position 1,500 of a ring of window + REWIND slots."""
    checkpoint = random_checkpoint(dataclasses.replace(TINY, window=window, relations=relations))
    ids = random_ids(1, max(1500, 2 * window + 100))
    session = open_engine(checkpoint, name).session()
    stepped = np.stack([session.step(ids[:, t]) for t in range(ids.shape[1])], axis=1)
    assert_equal_logits(stepped, reference_logits(checkpoint, ids))


@each_engine
def test_a_model_of_real_size_equals_the_reference_past_twice_its_window(name: str) -> None:
    checkpoint = random_checkpoint(ModelConfig(d_model=128, n_heads=4, n_layers=3, d_ff=512, window=300, relations=True))
    ids = random_ids(2, 900)
    session = open_engine(checkpoint, name).session(2)
    reference = reference_logits(checkpoint, ids)
    assert_equal_logits(session.feed_all(ids[:, :400]), reference[:, :400])
    for t in range(400, 900):
        assert_equal_logits(session.step(ids[:, t]), reference[:, t])


class AnyMixture(RuleBasedStateMachine):
    """Feeds, steps, forks and rewinds in any order; after each, the last logits are the reference's."""

    engine = "numpy"

    @initialize(seed=st.integers(0, 3), batch=st.integers(1, 3), window=st.sampled_from([1, 5, 24, 40]), relations=st.booleans())
    def begin_step(self, seed: int, batch: int, window: int, relations: bool) -> None:
        self.checkpoint = random_checkpoint(dataclasses.replace(TINY, window=window, relations=relations), seed)
        self.session = open_engine(self.checkpoint, self.engine).session(batch)
        self.ids = np.empty((batch, 0), dtype=np.int64)
        self.logits: np.ndarray | None = None
        self.following: np.ndarray | None = None  # the logits of a step that has begun
        self.rng = np.random.default_rng(seed)

    def more(self, n: int) -> np.ndarray:
        new = self.rng.integers(0, VOCAB_SIZE, (len(self.ids), n))
        self.ids = np.concatenate([self.ids, new], axis=1)
        return new

    def hear(self, logits: np.ndarray | None) -> None:
        self.logits, self.following = logits, None

    @rule(n=st.one_of(st.integers(1, 30), st.sampled_from([255, 256, 257, 600])))
    def feed(self, n: int) -> None:
        self.hear(self.session.feed(self.more(n)))

    @rule()
    def step(self) -> None:
        self.hear(self.session.step(self.more(1)[:, 0]))

    @rule()
    def begin_a_step(self) -> None:
        """Whatever comes next finds it done. A twin makes the same at the same time."""
        self.twin, ids = self.session.fork(range(len(self.ids))), self.more(1)[:, 0]
        self.session.begin_step(ids.tolist())
        self.logits = self.following = self.twin.step(ids)

    @precondition(lambda self: self.following is not None)
    @rule(top_p=st.sampled_from([0.5, 1.0]))
    def draw(self, top_p: float) -> None:
        """What is drawn is drawn from the very logits of `step`, and fed."""
        draws = [TokenSampler(Filters(top_p=top_p), id_range(row, VOCAB_SIZE), float(self.rng.random())) for row in range(len(self.ids))]
        drawn = self.session.draw(draws)
        assert self.following is not None
        assert drawn == [draw(logits) for draw, logits in zip(draws, self.following, strict=True)]
        self.ids = np.concatenate([self.ids, np.array(drawn)[:, None]], axis=1)
        self.logits = self.following = self.twin.step(np.array(drawn))

    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        rows = data.draw(st.lists(st.integers(0, len(self.ids) - 1), min_size=1, max_size=3))
        before, before_rows = self.session, len(self.ids)
        self.session, self.ids = before.fork(rows), self.ids[rows]
        before.step(np.zeros(before_rows, dtype=np.int64))  # the original goes its own way and touches nothing of the fork
        self.logits = None
        if self.following is not None:
            self.twin, self.following = self.twin.fork(rows), self.following[rows]

    @precondition(lambda self: self.ids.shape[1])
    @rule(data=st.data())
    def rewind(self, data: st.DataObject) -> None:
        n = data.draw(st.integers(0, self.session.rewindable))
        self.session.rewind(n)
        self.ids = self.ids[:, : self.ids.shape[1] - n]
        self.hear(None)

    @invariant()
    def agrees(self) -> None:
        if self.following is None:  # else the question would end the step
            assert self.session.position == self.ids.shape[1]
        if self.logits is not None:
            assert_equal_logits(self.logits, reference_logits(self.checkpoint, self.ids)[:, -1])


class AnyMixtureNatively(AnyMixture):
    engine = "native:float32"


TestAnyMixture = AnyMixture.TestCase
TestAnyMixtureNatively = needs_native(AnyMixtureNatively.TestCase)
TestAnyMixture.settings = TestAnyMixtureNatively.settings = settings(max_examples=12, stateful_step_count=10, deadline=None)


@each_engine
def test_nothing_is_drawn_where_no_step_has_begun(name: str) -> None:
    session, draws = open_engine(random_checkpoint(TINY), name).session(), [TokenSampler(Filters(), allowed=1, uniform=0.5)]
    session.feed(random_ids(1, 10))
    for forget in (lambda: None, lambda: session.rewind(1), lambda: session.step(np.array([1])), lambda: session.feed(random_ids(1, 2))):
        forget()
        with pytest.raises(AssertionError, match="no step has begun"):
            session.draw(draws)
        session.begin_step([1])
        assert session.draw(draws) == [0]


@each_engine
@pytest.mark.parametrize("config", [TINY, RELATED])
def test_a_rewind_of_what_was_promised_is_exact_past_the_ring(config: ModelConfig, name: str) -> None:
    """Writing over the ring's oldest rows and then going back must find the window before the landing place intact."""
    checkpoint = random_checkpoint(config)
    ids = random_ids(1, 3000)
    session = open_engine(checkpoint, name).session()
    session.feed(ids[:, :2900])
    session.rewind(session.rewindable)
    assert session.position <= 2900 - REWIND
    logits = session.feed_all(ids[:, session.position : 2950])
    assert_equal_logits(logits, reference_logits(checkpoint, ids[:, :2950])[:, -logits.shape[1] :])


def test_a_session_longer_than_the_ring_stops_growing() -> None:
    session = NumpyEngine(random_checkpoint(TINY)).session()
    session.feed(random_ids(1, 2000))
    size = session.rings[0][0].rows.nbytes
    session.feed(random_ids(1, 2000))
    assert session.rings[0][0].rows.nbytes == size
    assert session.rings[0][0].slots == TINY.window + REWIND


@given(st.data(), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_a_ring_reads_back_what_was_written(data: st.DataObject, slots: int) -> None:
    ring = RingBuffer(1, 1, slots, 1)
    written: list[float] = []
    for _ in range(data.draw(st.integers(1, 8))):
        n = data.draw(st.integers(1, slots))
        rows = np.arange(len(written), len(written) + n, dtype=np.float32)
        ring.write(len(written), rows.reshape(1, 1, n, 1))
        written += rows.tolist()
        start = data.draw(st.integers(max(0, len(written) - slots), len(written)))
        assert ring.read(start, len(written)).ravel().tolist() == written[start:]


def test_an_unknown_engine_names_the_choices() -> None:
    with pytest.raises(RequestError, match="numpy"):
        engines.open_engine(random_checkpoint(TINY), "abacus")


def test_without_the_native_engine_numpys_serves_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "available", lambda: False)
    engines._warn_once.cache_clear()
    with pytest.warns(PreludioWarning, match="install a C compiler"):
        assert open_engine(random_checkpoint(TINY)).name == "numpy"
    assert open_engine(random_checkpoint(TINY)).name == "numpy"
    with pytest.raises(RequestError, match="--engine numpy"):
        open_engine(random_checkpoint(TINY), "native")
