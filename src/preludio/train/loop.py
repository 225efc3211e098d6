"""The training loop.

windows -> model -> loss -> gradient -> update, and every so often: a line in the log, a glance at the validation split, the state saved
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from preludio import checkpoint
from preludio.corpus.shards import Shards
from preludio.errors import TrainError
from preludio.model import Transformer, fused
from preludio.tokens import PAD
from preludio.train import state
from preludio.train.config import TrainConfig
from preludio.train.optimisers import Optimisers
from preludio.train.state import Progress
from preludio.train.windows import Windows
from preludio.train.world import World

Row = dict[str, Any]
VALIDATION_SEED = 1


@dataclass(frozen=True)
class Result:
    """What came of a run."""

    progress: Progress
    loss: float
    validation: float

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self.progress) | {"loss": self.loss, "validation": self.validation}

    def in_words(self) -> str:
        done = self.progress
        glance = "" if math.isnan(self.validation) else f", validation (a glance) {self.validation:.4f}"
        return f"{done.step:,} steps, {done.tokens:,} tokens in {done.seconds / 60:.1f} minutes: loss {self.loss:.4f}{glance}"


class Run:
    """A model in training, with all that a resumed run needs."""

    def __init__(self, config: TrainConfig, data: Shards, world: World) -> None:
        torch.manual_seed(config.seed)
        self.config, self.world = config, world
        self.model = Transformer(config.model).to(world.device)
        self.optimisers = Optimisers(self.model, config)
        self.train = Windows(_split(data, "train"), config.seed, config.semitones, config.stretches)
        self.validation = Windows(_split(data, "validation"), VALIDATION_SEED)
        self.progress = Progress(data_hash=str(data.manifest.get("content_hash", "")))
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()} if config.average else {}
        self.forward: nn.Module = self.model

    # one step

    def step(self, batch: Tensor) -> float:
        """One update from a batch (n, length + 1) of all processes; returns its mean NLL in nats per token."""
        count = int((batch[:, 1:] != PAD).sum())
        rows = batch[self.world.share(len(batch))]
        self.optimisers.zero_grad()
        total = sum(self._add_gradient(part, count, last) for part, last in self._parts(rows))
        loss = self._over_all(total) / count
        if not math.isfinite(loss):
            raise TrainError(
                f"the loss is {loss} at step {self.progress.step + 1}: nothing of this step was kept; "
                "lower the rates (--set matrix_rate=..., --set rate=...) and --resume"
            )
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimisers.step(self.config.rate_at(self.progress.step))
        self._move_average()
        self.progress = dataclasses.replace(self.progress, step=self.progress.step + 1, tokens=self.progress.tokens + count)
        return loss

    def _parts(self, rows: Tensor) -> Iterator[tuple[Tensor, bool]]:
        """The rows of this process, at most `micro_tokens` at a time, and whether they are the last."""
        at_a_time = max(1, self.config.micro_tokens // (rows.shape[1] - 1)) if self.config.micro_tokens else len(rows)
        for start in range(0, len(rows), at_a_time):
            yield rows[start : start + at_a_time], start + at_a_time >= len(rows)

    def _add_gradient(self, part: Tensor, count: int, last: bool) -> float:
        """Sum of NLLs of this part; its gradient is that of the mean over the whole batch, once all processes' are averaged."""
        alone = isinstance(self.forward, DistributedDataParallel) and not last
        with self.forward.no_sync() if alone else nullcontext():  # type: ignore[operator]
            total = self._nll(self.forward, part)
            (total * (self.world.size / count)).backward()  # type: ignore[no-untyped-call]
        return total.item()

    def _nll(self, model: nn.Module, part: Tensor) -> Tensor:
        part = part.to(self.world.device, non_blocking=True)
        with self._precision():
            logits = model(part[:, :-1])
        return F.cross_entropy(logits.float().flatten(0, 1), part[:, 1:].flatten(), ignore_index=PAD, reduction="sum")

    def _precision(self) -> AbstractContextManager[Any]:
        kind = self.world.device.type
        return torch.autocast(kind, torch.bfloat16) if kind == "cuda" or _cpu_has_bfloat16() else nullcontext()

    def _over_all(self, total: float) -> float:
        if self.world.size == 1:
            return total
        whole = torch.tensor(total, dtype=torch.float64, device=self.world.device)
        torch.distributed.all_reduce(whole)
        return whole.item()

    def _move_average(self) -> None:
        for name, parameter in self.model.named_parameters() if self.average else ():
            self.average[name].lerp_(parameter.detach(), 1 - self.config.average)

    # looking and keeping

    @torch.no_grad()
    def glance(self) -> float:
        """Mean NLL over a few fixed windows of the validation split: quick, to compare within a run. `preludio evaluate` is exact."""
        length = min(self.config.model.window, max(self.config.lengths)[0])
        total, count = 0.0, 0
        for number in range(0, self.config.validate_windows, 4):
            batch = torch.from_numpy(self.validation.batch(number, 4, length))
            total += self._nll(self.model, batch).item()
            count += int((batch[:, 1:] != PAD).sum())
        return total / count

    def tensors(self) -> dict[str, Tensor]:
        kept: dict[str, Tensor] = {f"weights/{name}": p for name, p in self.model.named_parameters()}
        kept |= {f"average/{name}": tensor for name, tensor in self.average.items()}
        return kept | {f"optimiser/{name}": tensor for name, tensor in self.optimisers.tensors().items()}

    def begin_with(self, other: checkpoint.Checkpoint) -> None:
        """Takes a trained model's weights; the optimisers know nothing of them yet.

        Raises:
            TrainError: it has another shape.
        """
        if other.config != self.config.model:
            raise TrainError(f"the weights to begin with are of another shape, {other.config}; choose the configuration of that model")
        self.model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in other.arrays.items()})
        self.average = {name: p.detach().clone() for name, p in self.model.named_parameters()} if self.average else {}

    def restore(self, path: Path) -> None:
        """
        Raises:
            TrainError: the state is damaged, or is another model's or other data's.
        """
        tensors, progress, _ = state.load(path)
        if progress.data_hash != self.progress.data_hash:
            raise TrainError(f"{path} was trained on other data; give the folder that it began with, or begin anew in another folder")
        groups: dict[str, dict[str, Tensor]] = {"weights": {}, "average": {}, "optimiser": {}}
        for key, tensor in tensors.items():
            group, _, name = key.partition("/")
            groups.setdefault(group, {})[name] = tensor
        try:
            self.model.load_state_dict(groups["weights"])
            for name in self.average:
                self.average[name].copy_(groups["average"][name])
            self.optimisers.restore(groups["optimiser"])
        except (RuntimeError, KeyError) as error:
            raise TrainError(
                f"{path} is another model's ({' '.join(str(error).split())[:100]}); resume with the run's own settings"
            ) from None
        self.progress = progress

    def to_checkpoint(self) -> checkpoint.Checkpoint:
        """The weights that one composes with: averaged where that was asked for."""
        kept = self.model.to_checkpoint(steps=self.progress.step, tokens=self.progress.tokens, seconds=round(self.progress.seconds))
        averaged = {name: tensor.float().cpu().numpy() for name, tensor in self.average.items()}
        return dataclasses.replace(kept, arrays=kept.arrays | averaged)


def _split(data: Shards, name: str) -> Any:
    if name not in data.splits:
        raise TrainError(f"the data has no {name} split; prepare it again with preludio prepare")
    return data.splits[name]


def _cpu_has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def batches(run: Run) -> Iterator[Tensor]:
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


def speed_up(run: Run) -> str | None:
    """The fused operator and compiled arithmetic where they can be had; returns why not, if not."""
    why = fused.build() if run.world.device.type == "cpu" else None
    if why is None:
        run.forward = torch.compile(run.model, dynamic=False)  # type: ignore[assignment]
    if run.world.size > 1:
        run.forward = DistributedDataParallel(run.forward)
    return why


def train(run: Run, out: Path, log: Callable[[Row], None], stop: Event) -> Result:
    """Runs the steps that are left; `out` has the state, and the model as it is, whenever one looks.

    Args:
        log: is given one row a step; some rows hold "validation".
        stop: once set, the step in hand is the last.

    Raises:
        TrainError: the loss is not finite.
        OutputError: the folder cannot be written.
        KeyboardInterrupt: it was stopped; all is saved.
    """
    config, row = run.config, {}
    for batch in batches(run):
        if run.progress.step == config.decay_from and config.decay_steps:
            keep(run, out, state.STABLE_FILE)
        row = timed_step(run, batch)
        done = run.progress.step
        if done % config.validate_every == 0 or done == config.steps:
            row["validation"] = run.glance()
        log(row)
        if done % config.save_every == 0 or done == config.steps or stop.is_set():
            keep(run, out, state.FILE)
        if stop.is_set():
            raise KeyboardInterrupt
    return Result(run.progress, row.get("loss", math.nan), row.get("validation", math.nan))


def timed_step(run: Run, batch: Tensor) -> Row:
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


def keep(run: Run, out: Path, file: str) -> None:
    """Saves the state, and the model for composing beside it."""
    if run.world.leads:
        state.save(out / file, run.tensors(), run.progress, run.config.to_json())
        checkpoint.save(out, run.to_checkpoint())
    run.world.wait()
