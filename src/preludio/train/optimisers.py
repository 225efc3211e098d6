"""Who updates what: Muon for the matrices, AdamW for embeddings, distances and gains."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from preludio.train.config import TrainConfig
from preludio.train.distributed_context import shard_like
from preludio.train.muon import Muon

MATRICES = ("qkv", "attention_out", "feed_forward_in", "feed_forward_out")
BETAS = (0.9, 0.95)


class Optimisers:
    """The optimisers of one run, stepped as one, each at its own rate."""

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.parameters = dict(model.named_parameters())
        matrices = [parameter for name, parameter in self.parameters.items() if name.endswith(MATRICES) and config.optimiser == "muon"]
        others = [parameter for parameter in self.parameters.values() if not any(parameter is matrix for matrix in matrices)]
        self.each: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, lr=config.rate, betas=BETAS, weight_decay=config.weight_decay),
        ]
        if matrices:
            self.each.append(Muon(matrices, config.matrix_rate, config.weight_decay))
        self._full_rates = [optimiser.param_groups[0]["lr"] for optimiser in self.each]

    def zero_grad(self) -> None:
        for optimiser in self.each:
            optimiser.zero_grad()

    def step(self, share: float) -> None:
        """One update at `share` of the full rates."""
        for optimiser, full in zip(self.each, self._full_rates, strict=True):
            optimiser.param_groups[0]["lr"] = full * share
            optimiser.step()

    def tensors(self) -> dict[str, Tensor]:
        """All that they remember, by parameter and quantity: `layers.0.qkv/momentum_buffer`."""
        return {
            f"{name}/{quantity}": value if isinstance(value, Tensor) else torch.tensor(value)
            for name, parameter in self.parameters.items()
            for quantity, value in self._owner(parameter).state.get(parameter, {}).items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Takes back what `tensors` gave, whole.

        Raises:
            KeyError, ValueError: of another model, or of another optimiser; nothing was changed.
        """
        found: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            name, _, quantity = key.rpartition("/")
            parameter = self.parameters[name]
            if quantity not in _quantities(self._owner(parameter)) or (value.ndim and value.shape != parameter.shape):
                raise ValueError(f"{key} is of another optimiser or shape")
            found.setdefault(name, {})[quantity] = value.clone() if value.ndim == 0 else shard_like(parameter, value.clone())
        for name, quantities in found.items():
            self._owner(self.parameters[name]).state[self.parameters[name]] = quantities

    def _owner(self, parameter: Tensor) -> torch.optim.Optimizer:
        return next(each for each in self.each if any(parameter is one for one in each.param_groups[0]["params"]))


def _quantities(optimiser: torch.optim.Optimizer) -> tuple[str, ...]:
    return ("momentum_buffer",) if isinstance(optimiser, Muon) else ("step", "exp_avg", "exp_avg_sq")
