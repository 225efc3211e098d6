"""The fast engine: C beside this file (`forward.c` is where to begin), and here a thin binding to it.

Weights, keys and values are float32 (the NumPy engine's numbers, to rounding), bfloat16, or int8 with a scale per row of weights and per
position and head of keys and values, and then activations int8 with a scale per 64. Sums have one order: same bits for any number of
threads, any batch.

What guards a pointer or a length handed to C raises AssertionError by itself: `python -O` takes `assert` statements away.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.checkpoint import Checkpoint, array_shapes
from preludio.engine.native.library import Config, Outcome, available, library, raise_for_outcome
from preludio.engine.native.step_buffers import SamplerParameters, StepBuffers
from preludio.errors import RequestError
from preludio.processors import usable_cores

Floats = npt.NDArray[np.float32]
IdBatch = npt.NDArray[np.integer[Any]]

__all__ = ["PRECISIONS", "MemoryReader", "NativeEngine", "NativeSession", "available", "default_threads", "sample_one"]

PRECISIONS = ("float32", "bfloat16", "int8")
BLOCK = 256  # tokens that go through the network at once, of all sequences together
MAX_THREADS = 64
MAX_USEFUL_THREADS = 4  # a step waits for memory, and a few cores read all that it gives
MAX_SEQUENCES = 2**20  # of a session: C counts their pages and ids with 32 bits
MAX_BYTES = 2**62


class NativeEngine:
    """A model's weights in the layout of the kernels; sessions share them. May be used from several threads."""

    def __init__(self, checkpoint: Checkpoint, precision: str = "int8", threads: int | None = None, instructions: str = "") -> None:
        """threads: how many a step may use; None for what suits this machine. instructions: "" for the best that this processor has.

        Raises:
            RequestError: no such precision or instructions, or threads out of range.
            MemoryError: the weights do not fit.
        """
        self._library = library()
        if precision not in PRECISIONS:
            raise RequestError(f"no precision {precision!r}: choose one of {', '.join(PRECISIONS)}")
        if threads is not None and not 1 <= threads <= MAX_THREADS:
            raise RequestError(f"threads must be from 1 to {MAX_THREADS}, not {threads!r}")
        if not self._library.has_instructions(instructions.encode()):
            raise RequestError(f"this processor has no {instructions!r}: leave the choice to the engine")
        self.config = checkpoint.config
        self.precision = precision
        self.name = f"native:{precision}"
        self.threads = default_threads() if threads is None else threads
        self._handle = self._open(checkpoint, instructions)
        self._close = weakref.finalize(self, self._library.engine_close, self._handle)
        self._close.atexit = False
        self.instructions: str = self._library.engine_instructions(self._handle).decode()

    def _open(self, checkpoint: Checkpoint, instructions: str) -> int:
        config, shapes = self.config, array_shapes(self.config)
        arrays = [checkpoint.arrays[name] for name in shapes]
        for (name, shape), array in zip(shapes.items(), arrays, strict=True):  # before a pointer touches them
            if array.shape != shape or array.dtype != np.float32:
                raise AssertionError(f"{name} is {array.dtype} of shape {array.shape}")
        arrays = [np.ascontiguousarray(array) for array in arrays]
        sizes = config.d_model, config.n_heads, config.n_layers, config.d_ff, config.window, config.relative_per_head
        pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        n_relations = shapes["relations"][0] if config.relations else 0
        c_config, why = Config(shapes["embedding"][0], *sizes, n_relations), ctypes.c_int()
        wanted = ctypes.byref(c_config), pointers, PRECISIONS.index(self.precision), instructions.encode(), self.threads
        return int(self._library.engine_open(*wanted, ctypes.byref(why)) or raise_for_outcome(why.value))

    def session(self, batch: int = 1) -> NativeSession:
        """Starts `batch` empty sequences."""
        if not 1 <= batch <= MAX_SEQUENCES:
            raise AssertionError(f"a batch of {batch}")
        handle = self._library.session_open(self._handle, batch) or raise_for_outcome(Outcome.NO_MEMORY)
        return NativeSession(self, handle, batch)

    def step_bytes(self, context: int, batch: int = 1) -> int:
        """How many bytes a step at this context must read: all weights and distances once, and each sequence's keys and values."""
        return int(self._library.engine_step_bytes(self._handle, context, batch))


class NativeSession:
    """A batch of sequences and their cache; see `preludio.engine.Session`. One thread at a time."""

    def __init__(self, engine: NativeEngine, handle: int, batch: int) -> None:
        self.engine = engine  # kept alive
        self.batch = batch
        self._handle = handle
        self._library = engine._library
        self._close = weakref.finalize(self, _close_session, engine, handle)
        self._close.atexit = False
        self._vocabulary = array_shapes(engine.config)["embedding"][0]
        self._buffers = buffers = StepBuffers(batch, self._vocabulary)  # for steps
        self._draw = functools.partial(self._library.session_draw, handle, buffers.choices_address, buffers.ids_address)

    @property
    def position(self) -> int:
        return int(self._library.session_position(self._handle))

    @property
    def rewindable(self) -> int:
        return int(self._library.session_rewindable(self._handle))

    def feed(self, ids: IdBatch) -> Floats:
        return self._blocks(ids, return_all=False)[-1]

    def feed_all(self, ids: IdBatch) -> Floats:
        return np.concatenate(self._blocks(ids, return_all=True), axis=1)

    def step(self, ids: IdBatch) -> Floats:
        with self._buffers as buffers:
            buffers.put_ids(ids.tolist())
            outcome = self._library.session_feed(self._handle, buffers.ids_address, 1, False, buffers.logits_address)
            if outcome:
                raise_for_outcome(outcome)
            return buffers.logits.copy()

    def begin_step(self, ids: Sequence[int]) -> None:
        with self._buffers as buffers:
            buffers.put_ids(ids)
            outcome = self._library.session_begin(self._handle, buffers.ids_address)
            if outcome:
                raise_for_outcome(outcome)

    def draw(self, samplers: Sequence[SamplerParameters]) -> list[int]:
        with self._buffers as buffers:
            buffers.put_samplers(samplers)
            outcome = self._draw()
            if outcome:
                raise_for_outcome(outcome)
            drawn: list[int] = buffers.ids[:]
            return drawn

    def fork(self, rows: Sequence[int]) -> NativeSession:
        """Shares the cache: what two sequences have in common is there once, until one of them writes on in its last part."""
        chosen = np.array(rows, dtype=np.int32)
        if chosen.ndim != 1 or not 1 <= len(chosen) <= MAX_SEQUENCES or chosen.min() < 0 or chosen.max() >= self.batch:
            raise AssertionError(f"rows {rows} of {self.batch}")
        why = ctypes.c_int()
        handle = self._library.session_fork(self._handle, chosen.ctypes.data, len(chosen), ctypes.byref(why)) or raise_for_outcome(
            why.value
        )
        return NativeSession(self.engine, handle, len(chosen))

    def rewind(self, n: int) -> None:
        outcome = self._library.session_rewind(self._handle, n)
        if outcome == Outcome.TOO_FAR:
            raise AssertionError(f"cannot take back {n} ids, only {self.rewindable}")
        if outcome:
            raise_for_outcome(outcome)

    def _blocks(self, ids: IdBatch, return_all: bool) -> list[Floats]:
        """Blocks, so that Ctrl-C is heard between them."""
        if ids.ndim != 2 or ids.shape[0] != self.batch or ids.shape[1] < 1:
            raise AssertionError(f"ids of shape {ids.shape} for a batch of {self.batch}")
        n = max(1, BLOCK // self.batch)
        return [self._feed(ids[:, start : start + n], return_all) for start in range(0, ids.shape[1], n)]

    def _feed(self, ids: IdBatch, return_all: bool) -> Floats:
        rows = np.ascontiguousarray(ids, dtype=np.int32)
        batch, n = rows.shape
        logits = np.empty((batch, n, self._vocabulary) if return_all else (batch, self._vocabulary), dtype=np.float32)
        outcome = self._library.session_feed(self._handle, rows.ctypes.data, n, return_all, logits.ctypes.data)
        if outcome:
            raise_for_outcome(outcome)
        return logits


def default_threads() -> int:
    """Return how many threads a step is worth: one for each core that this process may use, at most four."""
    return min(MAX_USEFUL_THREADS, usable_cores())


def sample_one(logits: Floats, draw: SamplerParameters) -> int:
    """logits (n,) of a step made before -> an id."""
    row, buffers = np.ascontiguousarray(logits, dtype=np.float32), StepBuffers(1, len(logits))
    buffers.put_samplers([draw])
    drawn: int = library().draw(row.ctypes.data, len(row), buffers.choices_address)
    return drawn if drawn >= 0 else raise_for_outcome(Outcome.NONE_ALLOWED)


class MemoryReader:
    """So many bytes, to be read again and again: how fast can this machine?"""

    def __init__(self, n_bytes: int) -> None:
        if not 1 <= n_bytes <= MAX_BYTES:
            raise AssertionError(f"{n_bytes} bytes to read")
        self._library = library()
        self._handle = self._library.reading_open(n_bytes) or raise_for_outcome(Outcome.NO_MEMORY)
        weakref.finalize(self, self._library.reading_close, self._handle).atexit = False

    def run(self, threads: int, repeats: int = 1) -> int:
        """Reads them; how many bytes that were."""
        return int(self._library.reading_run(self._handle, threads, repeats))


def _close_session(engine: NativeEngine, handle: int) -> None:
    """Its pages go back to the engine, which is there at least as long."""
    engine._library.session_close(handle)
