"""Which players there are on this machine: our engines, and what is installed beside them."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import NamedTuple

from preludio.bench.decoders import Decoder, EngineDecoder, Gpt2Decoder, random_checkpoint
from preludio.checkpoint import Checkpoint, ModelConfig
from preludio.engine import native, open_engine
from preludio.engine.numpy_engine import NumpyEngine

WHOLE_PREFIX = "recomputing the sequence so far, PyTorch float32"
PADDED = "recomputing the padded 2,048, PyTorch float32"


class Candidate(NamedTuple):
    """Somebody who could play: known by name before it is there, since some take seconds and gigabytes to come."""

    name: str
    threads: int
    batch: int
    build: Callable[[], Decoder]


def list_candidates(config: ModelConfig, threads: int, batch: int, others: bool) -> list[Candidate]:
    """Ours on one thread and on `threads`, the fastest with a batch, too; and what is installed beside them.

    NumPy's threads are what the program was started with.
    """
    checkpoint = functools.cache(lambda: random_checkpoint(config))
    found = [
        _engine_candidate(f"native:{precision}", checkpoint, *how)
        for precision in _precisions()
        for how in _thread_and_batch_sizes(threads, batch)
    ]
    found.append(Candidate("numpy", 1, 1, lambda: EngineDecoder(NumpyEngine(checkpoint()), 1)))
    return found + (_installed_candidates(config, checkpoint, threads) if others else [])


def _precisions() -> Sequence[str]:
    return native.PRECISIONS if native.available() else ()


def _thread_and_batch_sizes(threads: int, batch: int) -> list[tuple[int, int]]:
    """(threads, takes at once)"""
    return [*((count, 1) for count in sorted({1, threads})), (threads, batch)]


def _engine_candidate(name: str, checkpoint: Callable[[], Checkpoint], threads: int, batch: int) -> Candidate:
    return Candidate(name, threads, batch, lambda: EngineDecoder(open_engine(checkpoint(), name, threads=threads), threads, batch))


def _installed_candidates(config: ModelConfig, checkpoint: Callable[[], Checkpoint], threads: int) -> list[Candidate]:
    found = []
    for count in sorted({1, threads}):
        if _installed("onnxruntime", "onnx"):
            name = f"ONNX Runtime {version('onnxruntime')} float32, cached"
            found.append(Candidate(name, count, 1, functools.partial(_onnx, name, checkpoint, count)))
        if _installed("torch", "transformers"):
            name = f"transformers {version('transformers')} GPT-2 float32, cached"
            found.append(Candidate(name, count, 1, functools.partial(Gpt2Decoder, name, config, count)))
    if _installed("torch"):
        found += [
            Candidate(name, threads, 1, functools.partial(_recomputing, name, checkpoint, threads)) for name in (WHOLE_PREFIX, PADDED)
        ]
    return found


def _installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def _onnx(name: str, checkpoint: Callable[[], Checkpoint], threads: int) -> Decoder:
    from preludio.bench.onnx_decoder import OnnxDecoder

    return OnnxDecoder(name, checkpoint(), threads)


def _recomputing(name: str, checkpoint: Callable[[], Checkpoint], threads: int) -> Decoder:
    from preludio.bench.uncached_decoders import PaddedDecoder, PrefixDecoder

    return (PaddedDecoder if name == PADDED else PrefixDecoder)(name, checkpoint(), threads)
