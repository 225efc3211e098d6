"""Ids -> how surprised a model is by each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from preludio.engine import exact_engine, open_engine
from preludio.tokens.allowed import allowed_after

if TYPE_CHECKING:
    from preludio.checkpoint import Checkpoint
    from preludio.engine import Engine, IdBatch, Logits

Nats = npt.NDArray[np.floating[Any]]

Score = Callable[[npt.NDArray[np.int64]], Nats]
"""int64 ids (batch, n), n >= 2 -> (batch, n - 1): -ln p(ids[:, t + 1] | ids[:, : t + 1]) over the whole vocabulary of 391, in nats.

Or (batch, n - 1, 2): beside that plain figure, the same with p renormalised over the ids that the grammar allows.

To be computed by several processes it must be picklable.
"""

BLOCK = 2048  # ids whose logits are in memory at once


class EngineScore:
    """A `Score` by any engine.

    Attributes:
        engine: its full name, such as "native:float32".
    """

    def __init__(self, checkpoint: Checkpoint, engine: str | None = None, threads: int | None = None) -> None:
        """
        Args:
            engine: by name; None for float32 arithmetic by the fastest one that is there.
            threads: as `open_engine`; 1 where several processes score.

        Raises:
            RequestError: there is no such engine.
        """
        self._checkpoint, self._threads = checkpoint, threads
        self._opened: Engine | None = open_engine(checkpoint, engine or exact_engine(), threads=threads)
        self.engine = self._opened.name

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}  # each process opens its own

    def __call__(self, ids: npt.NDArray[np.int64]) -> Nats:
        """Return the plain figures and those with the grammar: float32 (batch, n - 1, 2)."""
        allowed = np.stack([allowed_after(row) for row in ids])
        at = 0
        found = []
        for logits in self._logits(ids):
            here, targets = slice(at, at + logits.shape[1]), ids[:, at + 1 : at + 1 + logits.shape[1]]
            both = [negative_log_likelihood(logits, targets), negative_log_likelihood(logits, targets, allowed[:, here])]
            found.append(np.stack(both, axis=-1))
            at += logits.shape[1]
        return np.concatenate(found, axis=1)

    def probabilities(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """ids (n,), n >= 2 -> (n - 1, 391): p(next id | ids[: t + 1]) for each t but the last, nothing masked."""
        logits = np.concatenate([block[0] for block in self._logits(ids[None])])
        likely = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(likely / likely.sum(axis=-1, keepdims=True), dtype=np.float32)

    def _logits(self, ids: npt.NDArray[np.int64]) -> Iterator[Logits]:
        """ids (batch, n) -> logits (batch, at most BLOCK, 391) of what follows each id but the last, block after block."""
        if self._opened is None:
            self._opened = open_engine(self._checkpoint, self.engine, threads=self._threads)
        session, n = self._opened.session(len(ids)), ids.shape[1] - 1
        for start in range(0, n, BLOCK):
            yield session.feed_all(ids[:, start : min(start + BLOCK, n)])


def negative_log_likelihood(
    logits: Logits, targets: IdBatch, allowed: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float32]:
    """Return -ln softmax(logits)[id] in nats, (...), of logits (..., 391) and ids (...).

    Args:
        allowed: (..., 391), to normalise over these ids alone; an id that is not among them has infinite nats.
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    places = np.asarray(targets)[..., None]
    chosen = np.take_along_axis(shifted, places, axis=-1)[..., 0]
    weights = np.exp(shifted)
    if allowed is None:
        nats: npt.NDArray[np.float32] = np.log(weights.sum(axis=-1)) - chosen
        return nats
    may_come = np.take_along_axis(allowed, places, axis=-1)[..., 0]
    total = np.where(may_come, (weights * allowed).sum(axis=-1), np.float32(1))
    return np.where(may_come, np.log(total) - chosen, np.float32(np.inf))
