"""What people see of a run while it goes on: the log, the live line, the page with the curve and the pieces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from preludio.train import page, sample
from preludio.train.config import TrainConfig
from preludio.train.log import Board, Log
from preludio.train.loop import Row

SHOWN_EVERY_SECONDS = 15.0


@dataclass(frozen=True)
class Voice:
    """How one speaks to a person."""

    say: Callable[[str], None]  # a line that stays
    live: Callable[[str], None] | None = None  # a line that the next one replaces; None where there is no terminal


class Seen:
    """Follows one sitting of a run (loop.Watch)."""

    def __init__(self, config: TrainConfig, out: Path, after_step: int, voice: Voice, tensorboard: bool = False) -> None:
        """
        Raises:
            OutputError: the folder cannot be written.
            TrainError: TensorBoard was asked for and is not installed.
        """
        self.config, self.out = config, out
        self._records: list[Log | Board] = [Log(out, after_step), *([Board(out, after_step)] if tensorboard else [])]
        self._line = Line(config.steps, voice)

    def step(self, row: Row) -> None:
        for record in self._records:
            record.append(row)
        self._line.row(row)

    def kept(self, row: Row) -> None:
        """Time for a piece, if this is a step for one, and for the page."""
        every = self.config.sample_every
        if every and row["step"] % every == 0:
            sample.compose(self.out, row["step"])
        page.write(self.out, self.config)

    def close(self) -> None:
        for record in self._records:
            record.close()


class Line:
    """Loss, tokens a second, time left."""

    def __init__(self, steps: int, voice: Voice) -> None:
        self.steps, self.voice = steps, voice
        self._losses: list[float] = []
        self._first: Row | None = None
        self._next = 0.0

    def row(self, row: Row) -> None:
        """Speaks every few seconds, and lastingly when the validation split was looked at."""
        self._losses.append(row["loss"])
        if self.voice.live:
            self.voice.live(self._text(row))
        if "validation" in row or (not self.voice.live and row["seconds"] >= self._next):
            self._next = row["seconds"] + SHOWN_EVERY_SECONDS
            self.voice.say(self._text(row))
            self._losses = []
        if self._first is None or row["length"] != self._first["length"]:  # the first step of its kind also compiles: no measure of speed
            self._first = row

    def _text(self, row: Row) -> str:
        loss = sum(self._losses) / len(self._losses)
        validation = f", validation {row['validation']:.4f}" if "validation" in row else ""
        return f"step {row['step']:,} of {self.steps:,}: loss {loss:.4f}{validation}{self._pace(row)}"

    def _pace(self, row: Row) -> str:
        first = self._first
        if first is None or row["step"] == first["step"]:
            return ""
        seconds = max(1e-9, row["seconds"] - first["seconds"])
        left = (self.steps - row["step"]) * seconds / (row["step"] - first["step"])
        return f", {(row['tokens'] - first['tokens']) / seconds:,.0f} tokens/s, {clock(left)} left"


def clock(seconds: float) -> str:
    """3725.9 -> "1:02:05"."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
