"""Who plays: each writes a piece event by event, and says how long each took. Weights are random: the arithmetic does not care."""

from __future__ import annotations

import importlib
import time
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from preludio.checkpoint import Checkpoint, ModelConfig, array_shapes
from preludio.engine import Engine, native

Seconds = npt.NDArray[np.float64]

PROMPT = 1000  # tokens of the prompt that is timed


class Decoder(Protocol):
    name: str
    threads: int
    batch: int

    def decode(self, n: int) -> Seconds:
        """How long each of n events took, from the first on; all sequences of the batch together."""


class EngineDecoder:
    """One of our engines."""

    def __init__(self, engine: Engine, threads: int, batch: int = 1) -> None:
        self.engine, self.name, self.threads, self.batch = engine, engine.name, threads, batch

    def decode(self, n: int) -> Seconds:
        session, ids = self.engine.session(self.batch), random_ids(self.batch, n)
        marks = [time.perf_counter()]
        for t in range(n):
            session.step(ids[:, t])
            marks.append(time.perf_counter())
        return np.diff(marks)

    def prompt_seconds(self) -> float:
        began = time.perf_counter()
        self.engine.session().feed(random_ids(1, PROMPT))
        return time.perf_counter() - began

    def step_bytes(self, context: int) -> int | None:
        """That a step of the whole batch must read."""
        return self.engine.step_bytes(context, self.batch) if isinstance(self.engine, native.NativeEngine) else None


class Gpt2Decoder:
    """transformers' GPT-2 of the same size, with its cache: `generate`, as its users call it."""

    batch = 1

    def __init__(self, name: str, config: ModelConfig, threads: int) -> None:
        import torch

        transformers: Any = importlib.import_module("transformers")
        self.name, self.threads = name, threads
        sizes = {"n_embd": config.d_model, "n_head": config.n_heads, "n_layer": config.n_layers, "n_inner": config.d_ff}
        gpt2 = transformers.GPT2Config(vocab_size=391, n_positions=4096, bos_token_id=389, eos_token_id=None, **sizes)
        self._model = transformers.GPT2LMHeadModel(gpt2).eval()
        self._torch = torch

    def decode(self, n: int) -> Seconds:
        self._torch.set_num_threads(self.threads)
        marks = [time.perf_counter()]

        def note_time(ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG001 (called for each token, with all of them)
            marks.append(time.perf_counter())
            return self._torch.zeros(len(ids), dtype=self._torch.bool)

        start = self._torch.full((1, 1), 389)
        with self._torch.no_grad():
            self._model.generate(
                start,
                attention_mask=start > 0,
                max_new_tokens=n,
                min_new_tokens=n,
                do_sample=False,
                pad_token_id=388,
                stopping_criteria=[note_time],
            )
        return np.diff(marks)[:n]


def random_checkpoint(config: ModelConfig) -> Checkpoint:
    rng = np.random.default_rng(0)
    return Checkpoint(config, {name: rng.normal(0, 0.02, shape).astype(np.float32) for name, shape in array_shapes(config).items()}, {})


def random_ids(*shape: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, 388, shape)
