"""Output relations in PyTorch: extra rows of the last product, added to the logits that the musical state names.

The state comes as arrays of integers and shares from `preludio.tokens.relations`; what they mean, only that module knows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from preludio.model import fused
from preludio.tokens import N_KEYS, relations

N_LOGITS = 388  # no relation belongs to PAD, START or END
_DIRECT = torch.tensor(relations.DIRECT_SLOTS)
_DIFFERENCE = torch.tensor(relations.DIFFERENCE_SLOTS)
_COLUMNS = torch.from_numpy(relations.columns())
_TURNS = torch.from_numpy(relations.TURNS)


class States(NamedTuple):
    """The musical state of each position, as tensors; see `preludio.tokens.relations.States`."""

    direct: Tensor  # (batch, time, n) uint8
    bases: Tensor  # (batch, time, n) int16
    shares: Tensor  # (batch, time, half-lives, classes) float32
    inputs: Tensor  # (batch, time, 3): rows to add to the embedding

    @classmethod
    def of(cls, ids: Tensor) -> States:
        """Of ids (batch, time), each row from its own beginning."""
        found = relations.states(ids.detach().cpu().numpy())
        direct, bases, shares = (torch.from_numpy(array) for array in found)
        return cls(direct, bases, shares, torch.from_numpy(relations.input_indices(found.bases)).long()).to(ids.device)

    def to(self, device: torch.device) -> States:
        return States(*(tensor.to(device, non_blocking=True) for tensor in self))


def related(x: Tensor, rows: Tensor, states: States) -> Tensor:
    """What the relations add to the logits.

    Args:
        x: (batch, time, d_model), the last hidden states after their norm.
        rows: (N_ROWS, d_model).

    Returns:
        (batch, time, 388).
    """
    products = F.linear(x, rows).float()  # (batch, time, N_ROWS)
    by_slot = _SlotSums.apply(products[..., : relations.N_SLOT_ROWS].flatten(0, 1), states)  # type: ignore[no-untyped-call]
    by_class = _by_class(products[..., relations.N_SLOT_ROWS :].reshape(states.shares.shape), states.shares)
    keys = by_class.repeat(1, 1, -(-N_KEYS // relations.N_CLASSES))[..., : N_KEYS]
    added: Tensor = by_slot.view(*x.shape[:2], N_LOGITS) + F.pad(keys, (0, N_LOGITS - N_KEYS))
    return added


def _by_class(products: Tensor, shares: Tensor) -> Tensor:
    """products, shares (batch, time, half-lives, 12) -> (batch, time, 12): sum over k and i of products[k, i] shares[k, c + i]."""
    turned = shares[..., _TURNS.to(shares.device)]  # (batch, time, half-lives, class, interval)
    return torch.einsum("btki,btkci->btc", products, turned)


class _SlotSums(torch.autograd.Function):
    """products (positions, rows) -> (positions, 388): each logit's sum of the rows that its indices name."""

    @staticmethod
    def forward(ctx: Any, products: Tensor, states: States) -> Tensor:
        ctx.n_rows = products.shape[1]
        if fused.loaded() and products.device.type == "cpu":
            ctx.index = None
            ctx.fused = states.direct.flatten(0, 1), states.bases.flatten(0, 1), _DIRECT, _DIFFERENCE
            return torch.ops.preludio.relate(products.contiguous(), *ctx.fused, N_LOGITS)  # type: ignore[no-any-return]
        ctx.index = _indices(states).to(products.device)
        ctx.columns = _COLUMNS.to(products.device)
        return products.new_zeros(len(products), N_LOGITS).index_add_(1, ctx.columns, products.gather(1, ctx.index))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        if ctx.index is None:
            return torch.ops.preludio.relate_backward(gradients[0].contiguous(), *ctx.fused, ctx.n_rows), None
        d_products = gradients[0].new_zeros(len(gradients[0]), ctx.n_rows)
        return d_products.scatter_add_(1, ctx.index, gradients[0].index_select(1, ctx.columns)), None


def _indices(states: States) -> Tensor:
    """The row that is added to each logit of `_COLUMNS`: int64 (positions, n_indices), computed where the states are."""
    direct, bases = states.direct.flatten(0, 1).long(), states.bases.flatten(0, 1).long()
    parts = [slot.first_row + direct[:, slot.offset : slot.offset + slot.width] for slot in relations.DIRECT_SLOTS]
    for slot in relations.DIFFERENCE_SLOTS:
        base = bases[:, slot.base, None]
        index = (torch.arange(slot.width, device=bases.device) - base).clamp(-slot.reach, slot.reach) + slot.reach
        parts.append(slot.first_row + torch.where(base == relations.NONE, 2 * slot.reach + 1, index))
    return torch.cat(parts, dim=1)
