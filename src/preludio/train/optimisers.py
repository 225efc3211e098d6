"""Who updates what: Muon for the matrices (Jordan et al. 2024), AdamW for embeddings, distances and gains."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from preludio.train.config import TrainConfig

MATRICES = ("qkv", "attention_out", "feed_forward_in", "feed_forward_out")
BETAS = (0.9, 0.95)


class Optimisers:
    """The optimisers of one run, stepped as one, each at its own rate."""

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        self.names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
        matrices = [parameter for parameter, name in self.names.items() if name.endswith(MATRICES) and config.optimiser == "muon"]
        others = [parameter for parameter in self.names if not any(parameter is matrix for matrix in matrices)]
        self.each: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, lr=config.rate, betas=BETAS, weight_decay=config.weight_decay),
        ]
        if matrices:
            self.each.append(torch.optim.Muon(matrices, lr=config.matrix_rate, weight_decay=config.weight_decay))
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
            f"{self.names[parameter]}/{quantity}": value if isinstance(value, Tensor) else torch.tensor(value)
            for optimiser in self.each
            for parameter, kept in optimiser.state.items()
            for quantity, value in kept.items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Takes back what `tensors` gave."""
        parameters = {name: parameter for parameter, name in self.names.items()}
        owners = {id(parameter): optimiser for optimiser in self.each for parameter in optimiser.param_groups[0]["params"]}
        for key, value in tensors.items():
            name, _, quantity = key.rpartition("/")
            parameter = parameters[name]
            kept = value if value.ndim == 0 else value.to(parameter.device)
            owners[id(parameter)].state[parameter][quantity] = kept.clone()
