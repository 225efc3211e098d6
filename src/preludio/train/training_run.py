"""A model in training: one step of it, a quick validation, and all that a resumed run needs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from preludio import checkpoint
from preludio.corpus.shards import Shards, Split
from preludio.errors import TrainError
from preludio.model import Transformer, fused
from preludio.model.tables import checkpoint_arrays
from preludio.tokens import PAD
from preludio.train import state
from preludio.train.config import TrainConfig
from preludio.train.distributed_context import DistributedContext, gather_full, has_bfloat16, place_model, shard_like
from preludio.train.optimisers import Optimisers
from preludio.train.state import TrainingProgress
from preludio.train.windows import Windows

VALIDATION_SEED = 1
VALIDATION_ROWS = 4  # windows at a time


class TrainingRun:
    """Weights, optimisers, data and how far it came; the same on every process but for the rows of a batch that it learns from."""

    def __init__(self, config: TrainConfig, data: Shards, context: DistributedContext) -> None:
        """
        Raises:
            TrainError: the data lacks a split, or has nothing to train on, or the processes cannot share the batches.
        """
        for length, _ in config.lengths:
            if config.batch_tokens // length % context.size:
                rows = config.batch_tokens // length
                raise TrainError(f"a batch of {rows} windows of {length} cannot be shared by {context.size} processes: change batch_tokens")
        torch.manual_seed(config.seed)
        self.config, self.context = config, context
        self.train = Windows(_split(data, "train"), config.seed, config.semitones, config.stretches)
        held_out = _split(data, "validation")
        self.validation = Windows(held_out, VALIDATION_SEED) if len(held_out) else None  # one's own few pieces may all be in training
        self.model = place_model(Transformer(config.model), context)
        self.optimisers = Optimisers(self.model, config)
        self.progress = TrainingProgress(data_hash=str(data.manifest.get("content_hash", "")))
        self.average: dict[str, Tensor] = {}
        self._begin_average()
        self.forward: nn.Module = self.model

    @property
    def parameters(self) -> dict[str, Tensor]:
        return dict(self.model.named_parameters())

    @property
    def weights(self) -> dict[str, Tensor]:
        """The parameters, and the tables that training began with."""
        fixed = {name: tensor for name, tensor in self.model.named_buffers() if name.endswith("relative")}
        return self.parameters | fixed

    # one step

    def step(self, batch: Tensor) -> float:
        """One update from a batch (n, length + 1) of all processes; returns its mean NLL in nats per token."""
        count = int((batch[:, 1:] != PAD).sum())
        rows = batch[self.context.local_rows(len(batch))]
        self.optimisers.zero_grad()
        loss = self.context.all_reduce_sum(sum(self._add_gradient(part, count, last) for part, last in self._micro_batches(rows))) / count
        norm = gather_full(nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)).item()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainError(
                f"the loss is {loss:.4g} and its gradient {norm:.4g} at step {self.progress.step + 1}: nothing of this step was kept; "
                "lower the rates (--set matrix_rate=..., --set rate=...) and --resume"
            )
        self.optimisers.step(self.config.rate_at(self.progress.step))
        self._move_average()
        self.progress = dataclasses.replace(self.progress, step=self.progress.step + 1, tokens=self.progress.tokens + count)
        return loss

    def _micro_batches(self, rows: Tensor) -> Iterator[tuple[Tensor, bool]]:
        """The rows of this process, at most `micro_tokens` at a time, and whether they are the last."""
        at_a_time = max(1, self.config.micro_tokens // (rows.shape[1] - 1)) if self.config.micro_tokens else len(rows)
        for start in range(0, len(rows), at_a_time):
            yield rows[start : start + at_a_time], start + at_a_time >= len(rows)

    def _add_gradient(self, part: Tensor, count: int, last: bool) -> float:
        """Sum of NLLs of this part; its gradient is that of the mean over the whole batch, once all processes' are averaged."""
        alone = isinstance(self.forward, DistributedDataParallel) and not last
        with self.forward.no_sync() if alone else nullcontext():  # type: ignore[operator]
            total = self._nll(self.forward, part)
            (total * (self.context.size / count)).backward()  # type: ignore[no-untyped-call]
        return total.item()

    def _nll(self, model: nn.Module, part: Tensor) -> Tensor:
        part = part.to(self.context.device, non_blocking=True)
        with self._precision():
            logits = model(part[:, :-1])
        return F.cross_entropy(logits.float().flatten(0, 1), part[:, 1:].flatten(), ignore_index=PAD, reduction="sum")

    def _precision(self) -> AbstractContextManager[Any]:
        kind = self.context.device.type
        return torch.autocast(kind, torch.bfloat16) if has_bfloat16(kind) else nullcontext()

    # the running average

    def _begin_average(self) -> None:
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()} if self.config.average else {}

    def _move_average(self) -> None:
        for name, tensor in self.average.items():
            tensor.lerp_(self.parameters[name].detach(), 1 - self.config.average)

    @contextmanager
    def _with_average_weights(self) -> Iterator[None]:
        """The averaged weights in the model's place for a while, where there are any."""
        learning = {name: self.parameters[name].detach().clone() for name in self.average}
        self._copy_weights(self.average)
        try:
            yield
        finally:
            self._copy_weights(learning)

    @torch.no_grad()
    def _copy_weights(self, weights: dict[str, Tensor]) -> None:
        own = self.weights
        for name, tensor in weights.items():
            own[name].copy_(tensor)

    # looking and keeping

    @torch.no_grad()
    def quick_validation(self) -> float | None:
        """Mean NLL of the weights that are kept over a few fixed windows of the validation split: quick, to compare within a run.

        `preludio evaluate` is exact. None if the split is empty.
        """
        if self.validation is None:
            return None
        length = min(self.config.model.window, max(self.config.lengths)[0])
        total, count = 0.0, 0
        with self._with_average_weights():
            for number in range(0, self.config.validate_windows, VALIDATION_ROWS):
                rows = min(VALIDATION_ROWS, self.config.validate_windows - number)
                batch = torch.from_numpy(self.validation.batch(number, rows, length))
                total += self._nll(self.model, batch).item()
                count += int((batch[:, 1:] != PAD).sum())
        return total / count

    def tensors(self) -> dict[str, Tensor]:
        """All that changes with a step, whole, in the leading process; the others give their parts and get nothing."""
        kept: dict[str, Tensor] = {f"weights/{name}": tensor for name, tensor in self.weights.items()}
        kept |= {f"average/{name}": tensor for name, tensor in self.average.items()}
        kept |= {f"optimiser/{name}": tensor for name, tensor in self.optimisers.tensors().items()}
        return self._whole(kept)

    def to_checkpoint(self) -> checkpoint.Checkpoint | None:
        """The weights that one composes with, averaged where that was asked for; None in a process that does not lead."""
        weights = self._whole(self.weights | self.average)
        if not self.context.is_main:
            return None
        about = {"steps": self.progress.step, "tokens": self.progress.tokens, "seconds": round(self.progress.seconds)}
        plain = checkpoint_arrays(self.config.model, weights)
        arrays = {name: np.array(plain[name].float().numpy()) for name in checkpoint.array_shapes(self.config.model)}
        return checkpoint.Checkpoint(self.config.model, arrays, about)

    def _whole(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """On the CPU, gathered one by one, so that no device has to hold them all."""
        kept = {}
        for name, tensor in tensors.items():
            gathered = gather_full(tensor.detach())
            if self.context.is_main:
                kept[name] = gathered.cpu()
        return kept

    # going on

    def load_weights(self, other: checkpoint.Checkpoint) -> None:
        """Takes a trained model's weights; the optimisers know nothing of them yet.

        Raises:
            TrainError: it has another shape. One without relations may become one with them, which begin at zero.
        """
        if self.config.model not in (other.config, dataclasses.replace(other.config, relations=True)):
            raise TrainError(f"the weights to begin with are of another shape, {other.config}; choose the configuration of that model")
        self._load(self.model.parameters_of(other))
        self._begin_average()

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
        _upgrade(groups, self.weights)
        try:
            self._load(groups["weights"])
            self._begin_average()
            for name, tensor in self.average.items() if groups["average"] else ():
                tensor.copy_(shard_like(tensor, groups["average"][name]))
            self.optimisers.restore(groups["optimiser"])
        except (ValueError, KeyError) as error:
            why = " ".join(str(error).split())[:100]
            raise TrainError(f"{path} is another model's or optimiser's ({why}); resume with the run's own settings") from None
        self.progress = progress

    def _load(self, weights: dict[str, Tensor]) -> None:
        for name, tensor in self.weights.items():
            if weights[name].shape != tensor.shape:
                raise ValueError(f"{name} is {tuple(weights[name].shape)}, not {tuple(tensor.shape)}")
        self._copy_weights({name: shard_like(tensor, weights[name]) for name, tensor in self.weights.items()})


def _upgrade(groups: dict[str, dict[str, Tensor]], weights: dict[str, Tensor]) -> None:
    """Change a state of version 0.1.0, which has no generated tables, in place: they begin at zero, and its distance tables are kept."""
    for group in ("weights", "average"):
        if groups[group] and "embedding_by_feature" not in groups[group]:
            generated = [name for name in weights if name.endswith(("_by_feature", "_by_wave"))]
            groups[group] |= {name: torch.zeros_like(gather_full(weights[name])) for name in generated}
    for key in [key for key in groups["optimiser"] if key.rpartition("/")[0].endswith("relative")]:
        del groups["optimiser"][key]


def _split(data: Shards, name: str) -> Split:
    if name not in data.splits:
        raise TrainError(f"the data has no {name} split; prepare it again with preludio prepare")
    return data.splits[name]


def compile_and_distribute(run: TrainingRun) -> str | None:
    """The fused operator and compiled arithmetic where they can be had, and the processes joined; returns why not, if not."""
    why = fused.build() if run.config.compile and run.context.device.type == "cpu" else None
    kind = run.context.device.type
    if run.config.compile and why is None and has_bfloat16(kind):  # in float32, nearly all of a step is in operators and products
        for layer in run.model.layers:
            layer.compile(dynamic=False)
    if run.context.size > 1 and not run.context.sharded:
        run.forward = DistributedDataParallel(run.forward)
    return why
