"""The training loop.

windows -> model -> loss -> gradient -> update, and every so often: a line in the log, a quick validation, the state saved
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import torch
from torch import Tensor

from preludio import checkpoint
from preludio.train import state
from preludio.train.state import TrainingProgress
from preludio.train.training_run import TrainingRun

LogRow = dict[str, Any]


class RunObserver(Protocol):
    """Who follows a run, in the process that leads."""

    def on_step(self, row: LogRow) -> None:
        """After each step; some rows hold "validation"."""

    def on_saved(self, row: LogRow) -> None:
        """The state and the model that came of this step lie in the folder."""


@dataclass(frozen=True)
class TrainingResult:
    """What came of a run."""

    progress: TrainingProgress
    loss: float | None  # of the last step; None if none was left to do
    validation: float | None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self.progress) | {"loss": self.loss, "validation": self.validation}

    def to_text(self) -> str:
        done = self.progress
        loss = "no step was left to do" if self.loss is None else f"loss {self.loss:.4f}"
        quick_validation = "" if self.validation is None else f", quick validation {self.validation:.4f}"
        return f"{done.step:,} steps, {done.tokens:,} tokens in {done.seconds / 60:.1f} minutes: {loss}{quick_validation}"


def train(run: TrainingRun, out: Path, observer: RunObserver, stop: Event) -> TrainingResult:
    """Runs the steps that are left; `out` has the state, and the model as it is, whenever one looks.

    Args:
        stop: once set in any process, the step in hand is the last.

    Raises:
        TrainError: the loss is not finite.
        OutputError: the folder cannot be written.
        KeyboardInterrupt: it was stopped; all is saved.
    """
    config, row = run.config, {}
    for batch in batches(run):
        if 0 < run.progress.step == config.decay_from < config.steps:
            save_run(run, out, state.STABLE_FILE)
        row = timed_step(run, batch)
        done, stopping = run.progress.step, run.context.all_reduce_sum(float(stop.is_set())) > 0
        if (done == config.steps or done % config.validate_every == 0) and (quick_validation := run.quick_validation()) is not None:
            row["validation"] = quick_validation
        if run.context.is_main:
            observer.on_step(row)
        if done == config.steps or stopping or done % config.save_every == 0 or is_sample_step(run):
            save_run(run, out, state.FILE)
            if run.context.is_main:
                observer.on_saved(row)
            run.context.barrier()
        if stopping and done < config.steps:
            raise KeyboardInterrupt
    if not row:  # it was complete; killed at its very end, the model may be older than the state
        save_run(run, out, state.FILE)
    return TrainingResult(run.progress, row.get("loss"), row.get("validation"))


def batches(run: TrainingRun) -> Iterator[Tensor]:
    """The batches of the steps that are left, each drawn while the one before is learnt from."""
    config, step = run.config, run.progress.step

    def draw(step: int) -> Tensor:
        length = config.length_at(step)
        return torch.from_numpy(run.train.batch(step, config.batch_tokens // length, length))

    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(draw, step)
        for following in range(step + 1, config.steps + 1):
            batch = coming.result()
            if following < config.steps:
                coming = ahead.submit(draw, following)
            yield batch


def timed_step(run: TrainingRun, batch: Tensor) -> LogRow:
    """One step, and what the log says of it."""
    began, before = time.monotonic(), run.progress
    loss = run.step(batch)
    seconds = time.monotonic() - began
    run.progress = dataclasses.replace(run.progress, seconds=before.seconds + seconds)
    return {
        "step": run.progress.step,
        "tokens": run.progress.tokens,
        "loss": loss,
        "length": batch.shape[1] - 1,
        "rate": run.config.rate_at(before.step),
        "seconds": run.progress.seconds,
        "step_seconds": seconds,
    }


def is_sample_step(run: TrainingRun) -> bool:
    """Whether a piece is to be composed after the step that was done last."""
    return bool(run.config.sample_every) and run.progress.step % run.config.sample_every == 0


def save_run(run: TrainingRun, out: Path, file: str) -> None:
    """Saves the state, and the model for composing beside it. All processes take part, the leading one writes."""
    tensors, model = run.tensors(), run.to_checkpoint()
    if model is not None:
        state.save(out / file, tensors, run.progress, run.config.to_json())
        checkpoint.save(out, model)
