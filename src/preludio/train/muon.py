"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/): momentum, made orthogonal, is the update of a matrix.

A step of gradient descent changes a matrix mostly along a few directions. Muon gives all directions of the momentum equal length: with
the singular value decomposition M = U S V' the update is U V', found by Newton and Schulz's iteration instead of a decomposition.
The same numbers as `torch.optim.Muon`, which does not know matrices whose rows lie on several devices.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from preludio.train.distributed_context import gather_full, has_bfloat16, shard_like

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic, chosen so that small singular values grow fast
ITERATIONS = 5
MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """For matrices alone. A sharded one is gathered once a step: to be made orthogonal it must be seen whole."""

    def __init__(self, matrices: Iterable[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update of each matrix that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._update(matrix, matrix.grad, group["lr"], group["weight_decay"])

    def _update(self, matrix: Tensor, gradient: Tensor, rate: float, weight_decay: float) -> None:
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - MOMENTUM)
        direction = orthogonal(gather_full(gradient.lerp(momentum, MOMENTUM)))  # Nesterov's look ahead
        rows, columns = matrix.shape
        matrix.mul_(1 - rate * weight_decay)
        matrix.add_(shard_like(matrix, direction), alpha=-rate * max(1.0, rows / columns) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """Roughly U V' of a matrix U S V': its singular values come to lie between about 0.7 and 1.2.

    In bfloat16, which is precise enough, where the device multiplies it; emulated it would take a hundred times as long as float32.
    """
    a, b, c = COEFFICIENTS
    x = matrix.bfloat16() if has_bfloat16(matrix.device.type) else matrix.float()
    if matrix.shape[0] > matrix.shape[1]:
        x = x.T
    x = x / x.norm().clamp(min=1e-7)  # no singular value above 1
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if matrix.shape[0] > matrix.shape[1] else x
