"""Ids in, logits out: the cached Transformer. Knows nothing of music.

An engine holds a model's weights; a session is one batch of sequences being written by it:

    engine = open_engine(checkpoint.load("small"))
    session = engine.session()
    logits = session.feed(prompt)        # (1, n) ids in one pass -> (1, 391), what follows the last one
    logits = session.step(ids)           # (1,) -> (1, 391)
    three = session.fork([0, 0, 0])      # three continuations of one prompt
    three.rewind(10)                     # the last 10 ids never were

Every engine gives the logits of the plain forward pass with a banded causal mask (`preludio.model`), for any mixture of these.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from preludio.checkpoint import Checkpoint, ModelConfig
from preludio.engine import native
from preludio.engine.numpy_engine import NumpyEngine
from preludio.errors import PreludioWarning, RequestError

Logits = npt.NDArray[np.float32]
IdBatch = npt.NDArray[np.integer[Any]]


class Sampler(Protocol):
    """How an id is drawn from logits: what that is, `__call__` defines; an engine may do the same by the numbers that it is made of."""

    @property
    def allowed(self) -> int:
        """The ids that may be drawn as bits, at least one."""

    @property
    def uniform(self) -> float:
        """A number in [0, 1): the place in the likeliest ids' cumulative probability."""

    @property
    def filters(self) -> tuple[float, float, float, float, int]:
        """Temperature (0 takes the likeliest), top-p, min-p, top-p among note-ons alone, top-k (0 for all)."""

    def __call__(self, logits: Logits) -> int:
        """logits (391,) -> an id."""


class Session(Protocol):
    """A batch of equally long sequences and their cache."""

    @property
    def position(self) -> int:
        """How many ids each sequence has."""

    @property
    def rewindable(self) -> int:
        """How many of the last ids `rewind` can take back; at least `REWIND` of those fed."""

    def feed(self, ids: IdBatch) -> Logits:
        """ids (batch, n), n >= 1 -> logits (batch, 391) of what follows the last."""

    def feed_all(self, ids: IdBatch) -> Logits:
        """ids (batch, n), n >= 1 -> logits (batch, n, 391) of what follows each."""

    def step(self, ids: IdBatch) -> Logits:
        """ids (batch,) -> logits (batch, 391)."""

    def begin_step(self, ids: Sequence[int]) -> None:
        """Starts a step by these ids, one for each sequence. The engine may still be at it when this returns; any other call waits."""

    def draw(self, samplers: Sequence[Sampler]) -> list[int]:
        """What each draw takes of the logits of the step that has begun: the next ids. The step by these begins."""

    def fork(self, rows: Sequence[int]) -> Session:
        """A new session whose sequence i is this one's sequence rows[i]: to multiply, to drop, to reorder.

        A step that has begun, and was not drawn from, can be drawn from there too.
        """

    def rewind(self, n: int) -> None:
        """Takes back the last n ids of each sequence; n <= rewindable."""


class Engine(Protocol):
    """A model's weights, ready to be played."""

    name: str
    config: ModelConfig

    def session(self, batch: int = 1) -> Session:
        """Starts `batch` empty sequences."""


AUTO = "auto"  # the native engine, or NumPy's where the package was built without a compiler
ENGINES: dict[str, Callable[..., Engine]] = {"native": native.NativeEngine, "numpy": NumpyEngine} | {
    f"native:{precision}": functools.partial(native.NativeEngine, precision=precision) for precision in native.PRECISIONS
}


def exact_engine() -> str:
    """The name of the fastest engine here that computes in float32: what figures are taken with."""
    return "native:float32" if native.available() else "numpy"


def open_engine(checkpoint: Checkpoint, name: str = AUTO, *, threads: int | None = None) -> Engine:
    """The engine of that name with the checkpoint's weights.

    Args:
        threads: of the native engine, where not all that it would take; NumPy's are those of its linear algebra.

    Raises:
        RequestError: there is no engine of that name, or the native one was not built.
    """
    if name == AUTO:
        name = "native" if native.available() else "numpy"
        if name == "numpy":
            _warn_once("the native engine is not there, NumPy's serves, ten times slower: install a C compiler, then preludio again")
    if name not in ENGINES:
        raise RequestError(f"no engine {name!r}: choose one of {', '.join(ENGINES)}")
    if name != "numpy" and not native.available():
        raise RequestError("the native engine was not built: install a C compiler, then preludio again, or choose --engine numpy")
    return ENGINES[name](checkpoint) if name == "numpy" else ENGINES[name](checkpoint, threads=threads)


@functools.cache
def _warn_once(note: str) -> None:
    warnings.warn(note, PreludioWarning, stacklevel=3)
