"""Which players there are on this machine: our engines, and what is installed beside them."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import NamedTuple

from preludio.bench.players import EnginePlayer, Gpt2Player, Player, random_checkpoint
from preludio.checkpoint import Checkpoint, ModelConfig
from preludio.engine import native, open_engine
from preludio.engine.numpy_engine import NumpyEngine

SO_FAR = "recomputing the sequence so far, PyTorch float32"
PADDED = "recomputing the padded 2,048, PyTorch float32"


class Guest(NamedTuple):
    """Somebody who could play: known by name before it is there, since some take seconds and gigabytes to come."""

    name: str
    threads: int
    batch: int
    come: Callable[[], Player]


def everyone(config: ModelConfig, threads: int, batch: int, others: bool) -> list[Guest]:
    """Ours on one thread and on `threads`, the fastest with a batch, too; and what is installed beside them.

    NumPy's threads are what the program was started with.
    """
    checkpoint = functools.cache(lambda: random_checkpoint(config))
    guests = [_ours(f"native:{precision}", checkpoint, *how) for precision in _precisions() for how in _ways(threads, batch)]
    guests.append(Guest("numpy", 1, 1, lambda: EnginePlayer(NumpyEngine(checkpoint()), 1)))
    return guests + (_others(config, checkpoint, threads) if others else [])


def _precisions() -> Sequence[str]:
    return native.PRECISIONS if native.available() else ()


def _ways(threads: int, batch: int) -> list[tuple[int, int]]:
    """(threads, takes at once)"""
    return [*((count, 1) for count in sorted({1, threads})), (threads, batch)]


def _ours(name: str, checkpoint: Callable[[], Checkpoint], threads: int, batch: int) -> Guest:
    return Guest(name, threads, batch, lambda: EnginePlayer(open_engine(checkpoint(), name, threads=threads), threads, batch))


def _others(config: ModelConfig, checkpoint: Callable[[], Checkpoint], threads: int) -> list[Guest]:
    guests = []
    for count in sorted({1, threads}):
        if _installed("onnxruntime", "onnx"):
            name = f"ONNX Runtime {version('onnxruntime')} float32, cached"
            guests.append(Guest(name, count, 1, functools.partial(_onnx, name, checkpoint, count)))
        if _installed("torch", "transformers"):
            name = f"transformers {version('transformers')} GPT-2 float32, cached"
            guests.append(Guest(name, count, 1, functools.partial(Gpt2Player, name, config, count)))
    if _installed("torch"):
        guests += [Guest(name, threads, 1, functools.partial(_recomputing, name, checkpoint, threads)) for name in (SO_FAR, PADDED)]
    return guests


def _installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def _onnx(name: str, checkpoint: Callable[[], Checkpoint], threads: int) -> Player:
    from preludio.bench.onnx_player import OnnxPlayer

    return OnnxPlayer(name, checkpoint(), threads)


def _recomputing(name: str, checkpoint: Callable[[], Checkpoint], threads: int) -> Player:
    from preludio.bench.recomputing import PaddedPlayer, SoFarPlayer

    return (PaddedPlayer if name == PADDED else SoFarPlayer)(name, checkpoint(), threads)
