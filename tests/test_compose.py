"""From a request to pieces and streams, with engines whose logits the tests script: whatever a model wants, the piece is a piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import performances
from test_engine import TINY, random_checkpoint

from preludio.compose import Composer, Note, Request
from preludio.compose.rules import Ending, FewKeysGuard, SilenceGuard
from preludio.engine import Sampler, open_engine
from preludio.errors import RequestError
from preludio.performance import STEP_MS, Performance, quantise, shift, sustain
from preludio.tokens import END, NOTE_OFF, TIME_SHIFT, VELOCITY, VOCAB_SIZE, encode

Logits = npt.NDArray[np.float32]
Script = Callable[[list[int]], Logits]  # the ids so far -> what the model makes of them

OVERSHOOT_S = (Ending.GRACE_STEPS + Ending.RELEASE_STEPS + 100) / 100


class MockSession:
    """Keeps the ids of each sequence and asks the script."""

    rewindable = 0

    def __init__(self, engine: MockEngine, rows: list[list[int]]) -> None:
        self.engine, self.rows = engine, rows
        self.begun = np.zeros((len(rows), VOCAB_SIZE), dtype=np.float32)

    @property
    def position(self) -> int:
        return len(self.rows[0])

    def feed(self, ids: npt.NDArray[np.integer]) -> Logits:
        for row, new in zip(self.rows, ids.tolist(), strict=True):
            row.extend(new)
        self.engine.steps += 1
        return np.stack([self.engine.script(row) for row in self.rows])

    def feed_all(self, ids: npt.NDArray[np.integer]) -> Logits:
        raise NotImplementedError

    def step(self, ids: npt.NDArray[np.integer]) -> Logits:
        return self.feed(ids[:, None])

    def begin_step(self, ids: Sequence[int]) -> None:
        self.begun = self.step(np.array(ids))

    def draw(self, draws: Sequence[Sampler]) -> list[int]:
        drawn = [draw(logits) for draw, logits in zip(draws, self.begun, strict=True)]
        self.begin_step(drawn)
        return drawn

    def fork(self, rows: Sequence[int]) -> MockSession:
        session = MockSession(self.engine, [[*self.rows[row]] for row in rows])
        session.begun = self.begun[list(rows)]
        return session

    def rewind(self, n: int) -> None:
        raise NotImplementedError


class MockEngine:
    name, config = "mock", TINY

    def __init__(self, script: Script) -> None:
        self.script, self.steps = script, 0

    def session(self, batch: int = 1) -> MockSession:
        return MockSession(self, [[] for _ in range(batch)])


def composer(script: Script) -> Composer:
    return Composer(MockEngine(script))


def noise(scale: float = 3.0, **bias: float) -> Script:
    """Logits that depend on nothing but the ids so far."""

    def script(ids: list[int]) -> Logits:
        rng = np.random.default_rng([len(ids), ids[-1]])
        logits = rng.normal(0, scale, VOCAB_SIZE)
        logits[TIME_SHIFT:VELOCITY] += bias.get("shifts", 0.0)
        logits[END] += bias.get("end", 0.0)
        return logits.astype(np.float32)

    return script


def wants(*favourites: int) -> Logits:
    """The earlier the id stands, the likelier it is; all others hardly."""
    logits = np.full(VOCAB_SIZE, -20.0, dtype=np.float32)
    logits[list(favourites)] = 20.0 - np.arange(len(favourites))
    return logits


def invented(piece: Performance, from_ms: int) -> Performance:
    notes = piece.notes[piece.notes["onset_ms"] >= from_ms]
    return shift(Performance(notes), -from_ms) if len(notes) else Performance()


def rows(piece: Performance) -> list[tuple[int, ...]]:
    return [tuple(row) for row in piece.notes.tolist()]


PROMPT = Performance(
    [(13, 480, 60, 61), (13, 2000, 48, 40), (507, 990, 64, 77), (1003, 1600, 67, 90), (2508, 2900, 72, 100)], [(900, 1990)]
)

random_tiny = Composer(open_engine(random_checkpoint(TINY)))
two_kinds = pytest.mark.parametrize("composing", [random_tiny, composer(noise())], ids=["random weights", "noise"])

wishes = st.fixed_dictionaries(
    {
        "seconds": st.sampled_from([0.01, 0.5, 1.0, 3.3]),
        "seed": st.integers(0, 2**64 - 1),
        "temperature": st.sampled_from([0.0, 0.7, 1.0, 5.0]),
        "top_p": st.sampled_from([0.5, 1.0]),
    }
)


@settings(deadline=None, max_examples=60)
@given(performances(min_notes=1), st.one_of(st.none(), st.floats(0.001, 10)), wishes, st.sampled_from([0.0, 4.0]))
def test_any_composition_is_a_piece(prompt: Performance, cut: float | None, wish: dict[str, float], shifts: float) -> None:
    """It begins with the prompt, goes on on the grid, every note ends, and it is canonical: it encodes and decodes to itself."""
    composing = composer(noise(shifts=shifts))
    try:
        [piece] = composing.takes(Request(prompt=prompt, prompt_seconds=cut, **wish))  # type: ignore[arg-type]
    except RequestError:
        return
    cut_ms = piece.prompt_ms
    notes = piece.performance.notes
    assert (notes["offset_ms"] - notes["onset_ms"]).min() >= 0
    assert piece.performance.duration_ms <= cut_ms + 1000 * (wish["seconds"] + OVERSHOOT_S)
    onsets = {(int(note["onset_ms"]), int(note["pitch"])) for note in prompt.notes}
    new = [row for row in rows(piece.performance) if (row[0], row[2]) not in onsets]
    fresh = Performance(new)
    assert quantise(fresh) == fresh
    assert all(row[0] >= cut_ms for row in new)


@two_kinds
@pytest.mark.parametrize("seed", range(3))
def test_a_piece_from_nothing_is_canonical_and_has_notes(composing: Composer, seed: int) -> None:
    piece = composing.compose(seconds=2.0, seed=seed)
    assert len(piece)
    assert quantise(sustain(piece)) == piece
    assert not len(piece.pedals)


@two_kinds
def test_one_seed_one_piece(composing: Composer) -> None:
    pieces = [composing.compose(PROMPT, seconds=1.5, seed=seed) for seed in (1, 1, 2, 3)]
    assert pieces[0] == pieces[1]
    assert len(set(pieces)) == 3


@two_kinds
def test_the_first_variation_is_the_single_piece_and_all_differ(composing: Composer) -> None:
    takes = composing.takes(Request(prompt=PROMPT, seconds=1.5, seed=9, variations=4))
    assert takes[0].performance == composing.compose(PROMPT, seconds=1.5, seed=9)
    assert len({take.performance for take in takes}) == 4
    more = composing.takes(Request(prompt=PROMPT, seconds=1.5, seed=9, variations=6))
    assert more[:4] == takes


@two_kinds
def test_the_stream_yields_the_notes_of_the_takes_in_the_order_of_their_ends(composing: Composer) -> None:
    request = Request(prompt=PROMPT, prompt_seconds=2.6, seconds=2.0, seed=5, variations=3)
    streamed: list[list[Note]] = [[], [], []]
    for number, note in composing.stream(request):
        streamed[number].append(note)
    kept = {(row[0], row[2]) for row in rows(PROMPT)[:4]}
    for notes, piece in zip(streamed, composing.takes(request), strict=True):
        assert sorted(map(tuple, notes)) == sorted(row for row in rows(piece.performance) if (row[0], row[2]) not in kept)
        assert all(a.offset_ms <= b.offset_ms for a, b in pairwise(notes))


def test_the_stream_is_lazy_and_closing_it_stops_the_work() -> None:
    engine = MockEngine(noise())
    stream = Composer(engine).stream(Request(seconds=20.0))
    assert engine.steps == 0
    next(stream)
    first = engine.steps
    assert first < 200
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    stopped = engine.steps
    assert first <= stopped < 400
    assert len(list(stream)) == 0
    assert engine.steps == stopped


def test_a_bad_prompt_is_refused_before_the_stream_begins() -> None:
    with pytest.raises(RequestError, match="no notes in its first"):
        composer(noise()).stream(Request(prompt=Performance([(5000, 6000, 60, 64)]), prompt_seconds=1.0))


def test_the_piece_begins_with_the_prompt_as_it_was_played() -> None:
    piece = composer(noise()).compose(PROMPT, seconds=1.0)
    assert rows(piece)[:5] == rows(PROMPT)
    assert piece.pedals.tolist() == PROMPT.pedals.tolist()


def test_a_held_key_comes_out_with_its_own_onset_and_velocity() -> None:
    """Cut at 1.2 s: 67 is down, 48 too, 60 and 64 are up (64 rings on in the pedal)."""
    [take] = composer(noise()).takes(Request(prompt=PROMPT, prompt_seconds=1.2, seconds=1.0))
    assert take.prompt_ms == 1000
    notes = {(row[0], row[2]): row for row in rows(take.performance)}
    for onset_ms, pitch, velocity in ((13, 48, 40), (1003, 67, 90)):
        assert notes[onset_ms, pitch][3] == velocity
        assert notes[onset_ms, pitch][1] >= 1000
    assert notes[13, 60] == (13, 480, 60, 61)
    assert take.performance.pedals.tolist() == [[900, 1000]]


def test_the_invention_goes_on_from_the_model_hearing_the_prompt() -> None:
    heard: list[list[int]] = []

    def script(ids: list[int]) -> Logits:
        heard.append(ids[:])
        return noise()(ids)

    composer(script).compose(PROMPT, seconds=0.5)
    assert heard[0][1:] == encode(PROMPT).tolist()


def test_the_models_end_ends_it_after_half_of_the_length() -> None:
    """A model that wants to end at once, and whenever it may."""

    def script(ids: list[int]) -> Logits:
        sounding = [pitch for pitch in (60, 64) if ids.count(pitch) > ids.count(NOTE_OFF + pitch)]
        return wants(END, *[NOTE_OFF + pitch for pitch in sounding], TIME_SHIFT + 39, *(() if sounding else (60, 64)), VELOCITY + 16)

    piece = composer(script).compose(seconds=8.0, temperature=0.0)
    assert 4.0 <= piece.duration_ms / 1000 <= 4.9


def test_a_model_that_never_rests_is_stopped_within_the_grace() -> None:
    def script(ids: list[int]) -> Logits:
        last = ids[-1]
        if TIME_SHIFT <= last < VELOCITY:
            return wants(*(NOTE_OFF + np.random.default_rng(len(ids)).permutation(128)[:3]), VELOCITY + len(ids) % 32, TIME_SHIFT)
        if last >= VELOCITY:
            return wants(*np.random.default_rng(len(ids)).permutation(128), VELOCITY)
        return wants(TIME_SHIFT + 3)

    piece = composer(script).compose(seconds=5.0)
    assert 5.0 + Ending.GRACE_STEPS / 100 <= piece.duration_ms / 1000 <= 5.0 + OVERSHOOT_S


def test_a_model_that_wants_only_time_is_made_to_play() -> None:
    piece = composer(noise(scale=1.0, shifts=50.0)).compose(seconds=120.0)
    onsets = piece.notes["onset_ms"]
    assert onsets[0] <= SilenceGuard.OPENING_STEPS * STEP_MS
    assert np.diff(onsets).max() <= SilenceGuard.LIMIT_STEPS * STEP_MS
    assert len(onsets) >= 50


def figure(ids: list[int], keys: Sequence[int], *, steps: Callable[[int], int], velocities: Callable[[int], int]) -> Logits:
    """Wants one key of the figure after another, each for a while, and returns to it from wherever it is driven."""
    counts = np.bincount(ids, minlength=VOCAB_SIZE)
    held = np.flatnonzero(counts[:NOTE_OFF] > counts[NOTE_OFF:TIME_SHIFT]).tolist()
    n_on = int(counts[:NOTE_OFF].sum())
    last, key = ids[-1], keys[n_on % len(keys)]
    others = np.random.default_rng(len(ids)).permutation(128).tolist()
    if last < NOTE_OFF:
        return wants(TIME_SHIFT + steps(n_on))
    if TIME_SHIFT <= last < VELOCITY and held:
        return wants(*[NOTE_OFF + pitch for pitch in held], VELOCITY + velocities(n_on))
    if VELOCITY <= last < VELOCITY + 32:
        return wants(*[pitch for pitch in (key, *others) if pitch not in held])
    return wants(VELOCITY + velocities(n_on), key, *others)


LOOPS: dict[str, tuple[Sequence[int], Callable[[int], int], Callable[[int], int]]] = {
    "exactly": ((60, 64, 67, 64), lambda _: 14, lambda n: 10 + n % 2),
    "in uneven time": ((60, 64, 67, 64), lambda n: 10 + n * 7 % 13, lambda n: 10 + n % 2),
    "with swells": ((60, 64, 67, 72, 76, 72, 67, 64), lambda _: 14, lambda n: (n * n // 7) % 32),
    "on one key": ((60,), lambda n: 8 + n * 5 % 11, lambda n: (n * n // 3) % 32),
}


@pytest.mark.parametrize("how", LOOPS)
def test_a_figure_repeated_for_ever_is_broken_out_of(how: str) -> None:
    """Without guards all of the piece is the figure; with them none lasts longer than the loop guard's limit."""
    keys, steps, velocities = LOOPS[how]
    piece = composer(lambda ids: figure(ids, keys, steps=steps, velocities=velocities)).compose(seconds=40.0, temperature=0.0)
    pitches = piece.notes["pitch"].astype(int)
    period = len(keys)
    same = pitches[period:] == pitches[:-period]
    runs = np.diff(np.flatnonzero(np.concatenate([[True], ~same, [True]])))
    assert runs.max() <= 130 + period
    assert (~same).sum() >= 30


def test_babbling_on_two_keys_is_broken_out_of() -> None:
    def script(ids: list[int]) -> Logits:
        key = 60 + int(np.random.default_rng(len(ids)).integers(2))
        return figure(ids, [key], steps=lambda n: 10 + n % 9, velocities=lambda n: n * 7 % 32)

    piece = composer(script).compose(seconds=50.0)
    pitches = piece.notes["pitch"].astype(int)
    others = np.flatnonzero((pitches != 60) & (pitches != 61))
    assert len(others) >= 16
    assert others[0] <= FewKeysGuard.WINDOW


def test_progress_rises_to_the_whole_length() -> None:
    said: list[float] = []
    composer(noise()).takes(Request(seconds=1.0, variations=2), progress=said.append)
    assert said == sorted(said)
    assert said[-1] >= 1.0


def test_several_requests_side_by_side_do_not_disturb_each_other() -> None:
    requests = [Request(seconds=1.0, seed=1), Request(prompt=PROMPT, seconds=1.0, seed=2)]
    alone = [list(random_tiny.stream(request)) for request in requests]
    streams = [random_tiny.stream(request) for request in requests]
    together: list[list[tuple[int, Note]]] = [[], []]
    going = {0, 1}
    while going:
        for number in sorted(going):
            note = next(streams[number], None)
            if note is None:
                going.remove(number)
            else:
                together[number].append(note)
    assert together == alone
