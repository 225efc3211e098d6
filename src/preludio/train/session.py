"""One sitting of a run: begins or resumes it, and shows how it goes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from preludio import checkpoint
from preludio.corpus.shards import Shards
from preludio.errors import TrainError
from preludio.train import log, state
from preludio.train.config import TrainConfig
from preludio.train.loop import Result, Row, Run, speed_up, train
from preludio.train.world import joined

SHOWN_EVERY_SECONDS = 15.0


@dataclass(frozen=True)
class Setup:
    """What the command says."""

    config: TrainConfig
    data: Path
    out: Path
    resume: bool = False
    init: str | None = None  # a model whose weights are the first ones


def run(setup: Setup, say: Callable[[str], None]) -> Result | None:
    """Trains as `setup` says; None in a process that does not lead.

    Args:
        say: shows one line to a person.

    Raises:
        TrainError: settings, data or state that cannot be, or a loss that is not finite.
        OutputError: the folder cannot be written.
        KeyboardInterrupt: of the user; the state was saved.
    """
    with joined() as world, asked_to_stop() as stop:
        begun = Run(setup.config, Shards.open(setup.data), world)
        _begin(begun, setup)
        why_slow = speed_up(begun)
        if why_slow and world.leads:
            say(f"without the fused operator, so about half as fast: {why_slow}")
        record = log.Log(setup.out, begun.progress.step) if world.leads else None
        shown = Shown(setup.config.steps, say)

        def seen(row: Row) -> None:
            if record:
                record.append(row)
                shown.row(row)

        try:
            result = train(begun, setup.out, seen, stop)
        finally:
            if record:
                record.close()
        return result if world.leads else None


def _begin(run: Run, setup: Setup) -> None:
    path = setup.out / state.FILE
    if setup.resume:
        run.restore(path)
    elif path.exists():
        raise TrainError(f"{setup.out} holds a run already: go on with --resume, or name another folder")
    elif setup.init:
        run.begin_with(checkpoint.load(setup.init))


@contextmanager
def asked_to_stop() -> Iterator[Event]:
    """Set by Ctrl-C: the step in hand is finished first. A second Ctrl-C does not wait."""
    asked = Event()

    def ask(*_: Any) -> None:
        signal.signal(signal.SIGINT, before)
        asked.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


class Shown:
    """The live line: loss, tokens a second, time left."""

    def __init__(self, steps: int, say: Callable[[str], None]) -> None:
        self.steps, self.say = steps, say
        self._losses: list[float] = []
        self._tokens, self._seconds, self._next = -1, 0.0, 0.0

    def row(self, row: Row) -> None:
        """Speaks every few seconds, and when the validation split was looked at."""
        self._losses.append(row["loss"])
        if self._tokens < 0:  # the first step also compiles: it says nothing of the speed
            self._tokens, self._seconds = row["tokens"], row["seconds"]
        elif row["seconds"] >= self._next or "validation" in row:
            self._next = row["seconds"] + SHOWN_EVERY_SECONDS
            self.say(self._line(row))
            self._losses = []

    def _line(self, row: Row) -> str:
        speed = (row["tokens"] - self._tokens) / max(1e-9, row["seconds"] - self._seconds)
        left = (self.steps - row["step"]) * row["step_seconds"]
        loss = sum(self._losses) / len(self._losses)
        validation = f", validation {row['validation']:.4f}" if "validation" in row else ""
        clock = f"{int(left // 3600)}:{int(left // 60) % 60:02}:{int(left) % 60:02}"
        return f"step {row['step']:,} of {self.steps:,}: loss {loss:.4f}{validation}, {speed:,.0f} tokens/s, {clock} left"
