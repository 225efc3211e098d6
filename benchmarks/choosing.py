"""What choosing an event costs where it happens, beside the engine's step: a part of `benchmarks/decoding.py`, which runs it.

Alone in a loop it takes a fifth of the time: a step sweeps the caches that grammar, rules and draw live in. And most of it is done while a
step is under way, which has one worker less meanwhile. So a piece is composed, and after every few of its events a second session makes
the same steps, at the same contexts and by the same ids, with nothing around them. The difference is the cost. Of all events around a
context the middle half counts: a moment in which the machine did something else is no choosing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from preludio.bench.decoders import Seconds
from preludio.bench.measure import AROUND, PIECES, Figure
from preludio.checkpoint import Checkpoint, ModelConfig, array_shapes
from preludio.compose import Composer, Request
from preludio.engine import Logits, Sampler
from preludio.engine.native import NativeEngine

N = PIECES[-1]
CONTEXTS = (100, 1000, 2000)
BLOCK = 16  # events composed, then as many steps of the twin
WISHES = {
    "by default": Request(seconds=3600),
    "top-p 0.95": Request(seconds=3600, top_p=0.95),
    "min-p 0.05 at a temperature of 1.1": Request(seconds=3600, min_p=0.05, temperature=1.1),
}


def widened(given: Checkpoint, config: ModelConfig) -> Checkpoint:
    """The given model within the arrays of a larger one: what it adds is zero, so it composes as before, and takes as long as a larger one.

    The norms divide by the width; their gains make up for it.
    """
    arrays = {}
    for name, shape in array_shapes(config).items():
        arrays[name] = whole = np.zeros(shape, dtype=np.float32)
        part = given.arrays.get(name)
        if part is None:
            continue
        assert given.config.d_head == config.d_head and given.config.relative_per_head == config.relative_per_head
        if name.endswith("norm"):
            part = part * np.float32(np.sqrt(given.config.d_model / config.d_model))
        if name.endswith("qkv"):  # queries, keys and values lie one below the other
            part, whole = part.reshape(3, -1, part.shape[1]), whole.reshape(3, -1, shape[1])
        whole[tuple(slice(n) for n in part.shape)] = part
    return Checkpoint(config, arrays, {})


def small_engine() -> NativeEngine:
    config = ModelConfig(d_model=64, n_heads=1, n_layers=1, d_ff=64, window=64)
    arrays = {name: np.zeros(shape, dtype=np.float32) for name, shape in array_shapes(config).items()}
    return NativeEngine(Checkpoint(config, arrays, {}), threads=1)


class Listening:
    """An engine and its session. After each block of events a twin makes its steps; both are timed, the first with all that Python did.

    An event lasts from one draw's return to the next one's. The session's step is done before the twin begins, so that neither has the
    other beside it; the event that this falls into counts on neither side, and so the first of each block does not. What Python does for
    a step of the twin is not to count as the engine's: a step of a very small model brings it back into the caches just before.
    """

    name = "listening"

    def __init__(self, engine: NativeEngine) -> None:
        self.config = engine.config
        self._session, self._twin, self._small = engine.session(), engine.session(), small_engine().session()
        self._ids: list[int] = []  # that the block's steps are by
        self._left = 0.0  # when the last draw was handed back
        self.composed: list[float] = []
        self.stepped: list[float] = []

    def session(self, batch: int = 1) -> Any:
        assert batch == 1
        return self

    def fork(self, rows: Sequence[int]) -> Any:
        assert list(rows) == [0]
        return self

    def feed(self, ids: Any) -> Logits:
        self._twin.feed(ids)
        return self._session.feed(ids)

    def begin_step(self, ids: Sequence[int]) -> None:
        self._session.begin_step(ids)
        self._ids += ids

    def draw(self, draws: Sequence[Sampler]) -> list[int]:
        drawn = self._session.draw(draws)
        returned = time.perf_counter()
        self.composed.append(returned - self._left)
        if len(self._ids) == BLOCK:
            self._step_the_twin()
            returned = time.perf_counter()
        self._ids += drawn
        self._left = returned
        return drawn

    def _step_the_twin(self) -> None:
        assert self._session.position == self._twin.position + BLOCK + 1  # asking for it waits for the step that has begun
        for ids in np.array(self._ids)[:, None]:
            self._small.step(ids)
            began = time.perf_counter()
            self._twin.step(ids)
            self.stepped.append(time.perf_counter() - began)
        self._ids.clear()


def chosen_and_stepped(engine: Callable[[], NativeEngine], wish: Request, repeat: int) -> dict[str, list[float]]:
    """Seconds of each event of a piece that is composed, and of each step alone."""
    heard = Listening(engine())
    stream = Composer(heard).stream(replace(wish, seed=repeat))
    while len(heard.stepped) < N:
        next(stream)
    return {key: np.round(seconds[:N], 7).tolist() for key, seconds in (("composed", heard.composed), ("stepped", heard.stepped))}


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """By wish, what each repeat found -> the cost in microseconds, and its share of the whole event."""
    event = np.arange(N)
    counts = event % BLOCK > 0
    parts = {f"at context {context:,}": counts & (abs(event - context) <= AROUND) for context in CONTEXTS}
    parts |= {f"a piece of {N:,}": counts}
    yield f"| choosing | {' | '.join(parts)} |"
    yield "|---" * (1 + len(parts)) + "|"
    for name, repeats in found.items():
        if repeats:
            composed, stepped = (np.array([line[key] for line in repeats]) for key in ("composed", "stepped"))
            yield f"| {name} | {' | '.join(cost(composed[:, part], stepped[:, part]) for part in parts.values())} |"


def cost(composed: Seconds, stepped: Seconds) -> str:
    """(repeat, event) each."""
    chosen, whole = middle(composed - stepped), middle(composed)
    figure = Figure.of((100 * chosen / whole).tolist())
    return f"{1e6 * np.median(chosen):.0f} us, {figure.median:.1f} % ({figure.low:.1f} - {figure.high:.1f})"


def middle(seconds: Seconds) -> Seconds:
    """The mean of each row's middle half."""
    quarter = seconds.shape[1] // 4
    means: Seconds = np.sort(seconds, axis=1)[:, quarter : seconds.shape[1] - quarter].mean(axis=1)
    return means
