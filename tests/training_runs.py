"""Tiny training data, tiny models, and training runs as processes of their own, which can be killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from music import played

from preludio.checkpoint import ModelConfig
from preludio.corpus.shards import EncodedPiece, Shards, write_shards
from preludio.tokens import encode
from preludio.train import TrainConfig

MODEL = ModelConfig(d_model=16, n_heads=2, n_layers=2, d_ff=32, window=32, relations=True)
WORDS = ["model.d_model=16", "model.n_heads=2", "model.n_layers=2", "model.d_ff=32", "model.window=32", "lengths=[[16,0.5],[32,1.0]]"]
WORDS += ["batch_tokens=256", "steps=24", "warmup_steps=3", "decay_steps=8", "validate_every=6", "validate_windows=2", "save_every=5"]
WORDS += ["sample_every=0", "compile=false"]
SAME = ("step", "tokens", "loss", "length", "rate", "validation")  # what a killed run's log must have in common with an unkilled one's

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["preludio.train", "preludio.cli", "torch._dynamo", "torch.distributed.fsdp"])  # imported once for all


def write_data(folder: Path, **splits: int) -> Path:
    """Shards of made-up works: so many in each split."""
    names = [name for name, n in splits.items() for _ in range(n)]
    write_shards(folder, (EncodedPiece(name, "made", f"{i}.mid", "x", "y", 1, encode(played(i))) for i, name in enumerate(names)), {})
    return folder


def config(**changes: Any) -> TrainConfig:
    """A run of seconds."""
    few: dict[str, Any] = {"model": MODEL, "steps": 24, "batch_tokens": 256, "lengths": ((32, 1.0),), "warmup_steps": 3}
    few |= {"validate_windows": 2, "sample_every": 0, "compile": False}
    return TrainConfig(**few | changes)


def open_data(folder: Path) -> Shards:
    return Shards.open(folder)


def arguments(data: Path, out: Path, *more: str, words: list[str] | None = None) -> list[str]:
    """Of `preludio`, for the run that WORDS describe."""
    changes = [text for word in WORDS + (words or []) for text in ("--set", word)]
    return ["train", "--data", str(data), "--out", str(out), "--config", "tiny", *changes, *more]


def rows(out: Path) -> list[dict[str, Any]]:
    """What of the log does not depend on the clock."""
    lines = (out / "log.jsonl").read_text().splitlines() if (out / "log.jsonl").exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("}")]
    return [{name: row[name] for name in SAME if name in row} for row in whole]


class Started:
    """`preludio` in a process of its own."""

    def __init__(self, words: list[str], said: Path, before: Callable[..., None] | None = None, **options: Any) -> None:
        self.said = said
        self.process: BaseProcess = SERVER.Process(target=_program, args=(words, str(said), before, options))
        self.process.start()

    def until(self, true: Callable[[], bool]) -> None:
        """Waits until it is so, or the process has ended."""
        while self.process.is_alive() and not true():
            time.sleep(0.001)

    def send(self, number: int) -> None:
        assert self.process.pid is not None
        if self.process.is_alive():
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.process.join()

    def wait(self) -> tuple[int, list[str]]:
        """Its exit code (negative: the signal's number) and what it said on stderr."""
        self.process.join(300)
        assert self.process.exitcode is not None
        return self.process.exitcode, self.said.read_text().splitlines()


def _program(words: list[str], said: str, before: Callable[..., None] | None, options: Mapping[str, Any]) -> None:
    import torch

    from preludio import cli

    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(os.open(said if number == 2 else os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    torch.set_num_threads(1)
    if before:
        before(**options)
    sys.exit(cli.run(words))


# What may happen to such a process


def killed_at_write(n: int) -> None:
    """The n-th time that a whole file is about to be renamed into its place."""
    sync, seen = os.fsync, [0]

    def fsync(handle: int) -> None:
        seen[0] += 1
        if seen[0] == n:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(handle)

    os.fsync = fsync  # type: ignore[assignment]


def killed_within_a_state(n: int) -> None:
    """When half of the n-th state is written."""
    from preludio.train import state

    writing: Any = state
    whole, seen = writing.save_file, [0]

    def half(tensors: Any, path: Path, metadata: Any) -> None:
        whole(tensors, path, metadata)
        seen[0] += 1
        if seen[0] == n:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    writing.save_file = half


def slow_step(at: int) -> None:
    """One step takes for ever."""
    from preludio.train.training_run import TrainingRun

    step = TrainingRun.step

    def slow(self: TrainingRun, batch: Any) -> float:
        if self.progress.step == at:
            time.sleep(600)
        return step(self, batch)

    TrainingRun.step = slow  # type: ignore[method-assign]


def full_disk(n_bytes: int) -> None:
    """No file may be longer."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def one_of(rank: int, size: int, port: int, fine: bool = True) -> None:
    """A process as torchrun starts it; `fine`: in float32."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    if fine:
        in_float32()


def in_float32() -> None:
    from preludio.train import training_run

    vars(training_run)["has_bfloat16"] = lambda _: False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
