"""What choosing an event costs where it happens, beside the engine's step: a part of `benchmarks/decoding.py`, which runs it.

Alone in a loop it takes a fifth of the time: a step sweeps the caches that grammar, rules and draw live in. So a piece is composed, and
then the same ids are stepped through the engine alone; the difference is the cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from preludio.bench.measure import AROUND, PIECES, Figure
from preludio.checkpoint import Checkpoint, ModelConfig, array_shapes
from preludio.compose import Composer, Request
from preludio.engine import Draw, Logits, Session
from preludio.engine.native import NativeEngine

N = PIECES[-1]
CONTEXTS = (100, 1000, 2000)
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


class Listening:
    """An engine and its session; it notes the ids of each step, and when it was called."""

    name = "listening"

    def __init__(self, engine: NativeEngine, session: Session | None = None) -> None:
        self.engine, self.config = engine, engine.config
        self._session: Any = session
        self.ids: list[list[int]] = []
        self.marks: list[float] = []

    def session(self, batch: int = 1) -> Any:
        self._session = self.engine.session(batch)
        return self

    def feed(self, ids: Any) -> Logits:
        logits: Logits = self._session.feed(ids)
        return logits

    def fork(self, rows: Sequence[int]) -> Any:
        self._session = self._session.fork(rows)
        return self

    def step_and_draw(self, ids: Sequence[int], draws: Sequence[Draw]) -> list[int]:
        self.marks.append(time.perf_counter())
        self.ids.append(list(ids))
        drawn: list[int] = self._session.step_and_draw(ids, draws)
        return drawn


def chosen_and_stepped(engine: Callable[[], NativeEngine], wish: Request, repeat: int) -> dict[str, list[float]]:
    """Seconds of each event of a piece that is composed, and of each step by the same ids."""
    heard = Listening(engine())
    stream = Composer(heard).stream(replace(wish, seed=repeat))
    while len(heard.marks) <= N:
        next(stream)
    session, ids = engine().session(), np.array(heard.ids[:N])
    marks = [time.perf_counter()]
    for row in ids:
        session.step(row)
        marks.append(time.perf_counter())
    return {"composed": np.diff(heard.marks)[:N].round(7).tolist(), "stepped": np.diff(marks).round(7).tolist()}


def table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """By wish, what each repeat found -> microseconds and the share of an event: near contexts by their medians, and over all."""
    heads = ["choosing", *(f"at context {context:,}" for context in CONTEXTS), f"a piece of {N:,}"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for name, repeats in found.items():
        if repeats:
            composed, stepped = (np.array([line[key] for line in repeats]) for key in ("composed", "stepped"))
            near = [slice(context - AROUND, context + AROUND) for context in CONTEXTS]
            cells = [share(np.median(composed[:, part], 1), np.median(stepped[:, part], 1)) for part in near]
            yield f"| {name} | {' | '.join([*cells, share(composed.mean(1), stepped.mean(1))])} |"


def share(composed: Any, stepped: Any) -> str:
    figure = Figure.of((100 * (1 - stepped / composed)).tolist())
    return f"{1e6 * np.median(composed - stepped):.0f} us, {figure.median:.1f} % ({figure.low:.1f} - {figure.high:.1f})"
