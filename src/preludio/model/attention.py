"""Relative global attention (Huang et al. 2018, section 3), banded and causal, whose memory grows with the length and not with its square.

    attention(i, j) = q_i . (k_j + e_{i-j}) / sqrt(d_head)        for 0 <= i - j < window, else nothing

The paper's "skewing" (section 3.4.1) turns the products q_i . e_d, laid out by distance, into scores laid out by key. Here it is done
for one block of queries at a time, each only against the keys that it may see. Nothing of size L x L is kept for the backward pass:
it makes each block's weights again, as FlashAttention does (Dao et al. 2022, section 3.1).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from preludio.model import fused

QUERY_BLOCK = 256  # queries that are scored at a time: large enough for fast matrix products, small enough to stay in cache


def attend(qkv: Tensor, relative: Tensor, window: int) -> Tensor:
    """Self-attention by the quickest way that there is here for these tensors.

    Args:
        qkv: (batch, time, 3, head, d_head): queries, keys and values, as one matrix product makes them.
        relative: (window, d_head), shared by the heads, or (head, window, d_head); row d belongs to distance d.
        window: a query sees the keys at distances 0 ... window - 1.

    Returns:
        (batch, time, head * d_head).
    """
    if fused.supports(qkv, window):
        return fused.attend(qkv, relative)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (batch, head, time, d_head)
    return relative_attention(q, k, v, relative, window).transpose(1, 2).flatten(2)


def relative_attention(q: Tensor, k: Tensor, v: Tensor, relative: Tensor, window: int) -> Tensor:
    """Banded causal attention with a learned embedding per distance.

    Args:
        q, k, v: (batch, head, time, d_head), of equal lengths.
        relative, window: as for `attend`.

    Returns:
        (batch, head, time, d_head).
    """
    mixed: Tensor = _RelativeAttention.apply(q * q.shape[-1] ** -0.5, k, v, relative.to(q.dtype), window)  # type: ignore[no-untyped-call]
    return mixed


class Block(NamedTuple):
    """The queries first ... last - 1 and the keys first_key ... last - 1."""

    first: int
    last: int
    first_key: int
    window: int

    @property
    def n(self) -> int:
        return self.last - self.first

    @property
    def m(self) -> int:
        return self.last - self.first_key

    def queries(self, x: Tensor) -> Tensor:
        return x[:, :, self.first : self.last]

    def keys(self, x: Tensor) -> Tensor:
        return x[:, :, self.first_key : self.last]


def blocks(time: int, window: int) -> list[Block]:
    """All queries, in blocks, each with the keys that any of its queries sees."""
    starts = range(0, time, QUERY_BLOCK)
    return [Block(start, min(start + QUERY_BLOCK, time), max(0, start - window + 1), window) for start in starts]


class _RelativeAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, relative: Tensor, window: int) -> Tensor:
        ctx.save_for_backward(q, k, v, relative)
        ctx.window = window
        with torch.autocast(q.device.type, enabled=False):
            parts = [weights(block, block.queries(q), block.keys(k), relative) @ block.keys(v) for block in blocks(q.shape[2], window)]
        return torch.cat(parts, dim=2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, relative = ctx.saved_tensors
        into = [torch.zeros_like(x) for x in (q, k, v)] + [torch.zeros_like(relative, dtype=_sum_type(relative))]
        with torch.autocast(q.device.type, enabled=False):
            for block in blocks(q.shape[2], ctx.window):
                _backward(block, (q, k, v, relative), gradients[0], into)
        return into[0], into[1], into[2], into[3].to(relative.dtype), None


def _sum_type(x: Tensor) -> torch.dtype:
    """All sequences' gradients are summed in one table: not in bfloat16."""
    return torch.promote_types(x.dtype, torch.float32)


def weights(block: Block, q: Tensor, k: Tensor, relative: Tensor) -> Tensor:
    """How much each of the block's n queries (scaled already) takes of each of its m keys: (batch, head, n, m)."""
    n, m = block.n, block.m
    scores = q @ k.transpose(-2, -1)
    scores += skewed(q @ farthest_first(relative, n, m).transpose(-2, -1), m)
    distance = torch.arange(m - n, m, device=q.device)[:, None] - torch.arange(m, device=q.device)
    scores.masked_fill_((distance < 0) | (distance >= block.window), -torch.inf)
    return torch.softmax(scores, dim=-1)


def _backward(block: Block, inputs: tuple[Tensor, ...], gradient: Tensor, into: list[Tensor]) -> None:
    """Adds one block's share to the gradients of q, k, v and the table. With P the weights, O = P V and A the scores:

    dV = P' dO,   dP = dO V',   dA = P * (dP - rowsum(dP * P)),   dQ = dA K + unskewed(dA) E,   dK = dA' Q,   dE = unskewed(dA)' Q
    """
    q, k, v = (each(x) for each, x in zip((block.queries, block.keys, block.keys), inputs, strict=False))
    relative, n, m = inputs[3], block.n, block.m
    gradient = block.queries(gradient)
    p = weights(block, q, k, relative)
    dp = gradient @ v.transpose(-2, -1)
    da = p * (dp - (dp * p).sum(-1, keepdim=True))
    by_distance = da.new_zeros(*da.shape[:-1], n + m)
    skewed(by_distance, m).copy_(da)
    block.queries(into[0]).copy_(da @ k + by_distance @ farthest_first(relative, n, m))
    block.keys(into[1]).add_(da.transpose(-2, -1) @ q)
    block.keys(into[2]).add_(p.transpose(-2, -1) @ gradient)
    _add_to_table(into[3], by_distance, q, m)


def _add_to_table(table: Tensor, by_distance: Tensor, q: Tensor, m: int) -> None:
    """Over all sequences, and all heads that share a table: column m - 1 - d of `by_distance` belongs to distance d."""
    known = min(m, table.shape[-2])
    rows = by_distance[..., m - known : m].flip(-1)  # (batch, head, n, known)
    shape = "bhnd,bhne->hde" if table.ndim == 3 else "bhnd,bhne->de"
    table[..., :known, :] += torch.einsum(shape, rows, q)


def farthest_first(relative: Tensor, n: int, m: int) -> Tensor:
    """(..., n + m, d_head): the distances m - 1, m - 2 ... 0, then n rows of zeros that skewing moves behind the mask.

    Distances beyond the table, which the mask also hides, are zeros too.
    """
    near = relative[..., :m, :].flip(-2)
    return F.pad(near, (0, 0, max(0, m - relative.shape[-2]), n))


def skewed(by_distance: Tensor, m: int) -> Tensor:
    """(..., n, n + m) with column c for distance m - 1 - c -> (..., n, m) with column j for key j: a view.

    Query r (of n) and key j are (m - n + r) - j apart, so the wanted column is c = n - 1 - r + j: one place further left in each row.
    Read with rows one shorter than they are, the memory has just this slant: no copy. Where c lies past distance 0 stand zeros.
    """
    *outer, n, width = by_distance.shape
    flat = by_distance.view(*outer, n * width)[..., n - 1 : n - 1 + n * (width - 1)]
    return flat.view(*outer, n, width - 1)[..., :m]
