"""A decoder-only Transformer with relative global attention (Huang et al. 2018, "Music Transformer", arXiv 1809.04281, section 3).

Pre-norm residual blocks; no absolute positions: order is known only from the causal mask and from one learned embedding per distance.

    attention(i, j) = q_i . (k_j + e_{i-j}) / sqrt(d_head)        for 0 <= i - j < window, else nothing

The paper's "skewing" (section 3.4.1) turns the products q_i . e_d, laid out by distance, into scores laid out by key. Here it is done
for one block of queries at a time, each only against the keys that it may see: the same sum, without L x L matrices (FACTS.md section 5).

Settled here: RMSNorm before each part and at the end (Zhang and Sennrich 2019), squared ReLU (So et al. 2021, "Primer"), no biases.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preludio.checkpoint import Arrays, Checkpoint, ModelConfig, array_shapes
from preludio.tokens import VOCAB_SIZE

NORM_EPSILON = 1e-5
QUERY_BLOCK = 256  # queries that are scored at a time: large enough for fast matrix products, small enough to stay in cache


class Transformer(nn.Module):
    """Ids in, logits out. Its parameters have the names and shapes of `checkpoint.array_shapes(config)`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.empty(VOCAB_SIZE, config.d_model))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))
        self.norm = nn.Parameter(torch.empty(config.d_model))
        self.unembedding = nn.Parameter(torch.empty(VOCAB_SIZE, config.d_model))
        self.initialise()

    def initialise(self) -> None:
        """Normal(0, 0.02) for embeddings and distances, uniform by fan-in for matrices, 0 for what writes to the residual stream."""
        for name, parameter in self.named_parameters():
            kind = name.rpartition(".")[2]
            if kind.endswith("norm"):
                nn.init.ones_(parameter)
            elif kind in ("attention_out", "feed_forward_out"):
                nn.init.zeros_(parameter)
            elif kind in ("embedding", "relative", "unembedding"):
                nn.init.normal_(parameter, std=0.02)
            else:
                nn.init.uniform_(parameter, -math.sqrt(3 / self.config.d_model), math.sqrt(3 / self.config.d_model))

    def forward(self, ids: Tensor) -> Tensor:
        """ids: integer tensor (batch, time) -> logits (batch, time, 391): row t predicts what follows ids[:, : t + 1]."""
        x = F.embedding(ids, self.embedding)  # (batch, time, d_model)
        for layer in self.layers:
            x = layer(x)
        return F.linear(_norm(x, self.norm), self.unembedding)

    def to_checkpoint(self, **about: Any) -> Checkpoint:
        """A copy of the weights as float32 arrays, with what is to be said about them."""
        arrays: Arrays = {name: np.array(parameter.detach().float().cpu().numpy()) for name, parameter in self.named_parameters()}
        return Checkpoint(self.config, {name: arrays[name] for name in array_shapes(self.config)}, about)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Transformer:
        """The model of a checkpoint, float32."""
        model = cls(checkpoint.config)
        model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in checkpoint.arrays.items()})
        return model


class Layer(nn.Module):
    """One block: attention, then the feed-forward, each reading the normalised residual stream and adding to it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.d_model
        per_head = (config.n_heads,) if config.relative_per_head else ()
        self.n_heads, self.window = config.n_heads, config.window
        self.attention_norm = nn.Parameter(torch.empty(d))
        self.qkv = nn.Parameter(torch.empty(3 * d, d))
        self.relative = nn.Parameter(torch.empty(*per_head, config.window, config.d_head))
        self.attention_out = nn.Parameter(torch.empty(d, d))
        self.feed_forward_norm = nn.Parameter(torch.empty(d))
        self.feed_forward_in = nn.Parameter(torch.empty(config.d_ff, d))
        self.feed_forward_out = nn.Parameter(torch.empty(d, config.d_ff))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attend(_norm(x, self.attention_norm))
        hidden = F.relu(F.linear(_norm(x, self.feed_forward_norm), self.feed_forward_in)).square()
        return x + F.linear(hidden, self.feed_forward_out)

    def _attend(self, x: Tensor) -> Tensor:
        batch, time, d = x.shape
        qkv = F.linear(x, self.qkv).view(batch, time, 3, self.n_heads, d // self.n_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (batch, head, time, d_head)
        mixed = relative_attention(q, k, v, self.relative, self.window)
        return F.linear(mixed.transpose(1, 2).reshape(batch, time, d), self.attention_out)


def _norm(x: Tensor, gain: Tensor) -> Tensor:
    return F.rms_norm(x, gain.shape, gain, NORM_EPSILON)


def relative_attention(q: Tensor, k: Tensor, v: Tensor, relative: Tensor, window: int) -> Tensor:
    """Banded causal attention with a learned embedding per distance.

    Args:
        q, k, v: (batch, head, time, d_head), of equal lengths.
        relative: (window, d_head), shared by the heads, or (head, window, d_head); row d belongs to distance d.
        window: a query sees the keys at distances 0 ... window - 1.

    Returns:
        (batch, head, time, d_head).
    """
    time = q.shape[2]
    blocks = []
    for start in range(0, time, QUERY_BLOCK):
        stop = min(start + QUERY_BLOCK, time)
        first_key = max(0, start - window + 1)
        blocks.append(_attend_block(q[:, :, start:stop], k[:, :, first_key:stop], v[:, :, first_key:stop], relative, window))
    return torch.cat(blocks, dim=2)


def _attend_block(q: Tensor, k: Tensor, v: Tensor, relative: Tensor, window: int) -> Tensor:
    """Attention of the last n positions (the queries) to the last m (the keys), n <= m; both end at the same position."""
    n, m = q.shape[2], k.shape[2]
    q = q * q.shape[-1] ** -0.5
    scores = q @ k.transpose(-2, -1) + skewed(q @ _farthest_first(relative, n, m).transpose(-2, -1), m)  # (batch, head, n, m)
    distance = torch.arange(m - n, m, device=q.device)[:, None] - torch.arange(m, device=q.device)
    scores = scores.masked_fill((distance < 0) | (distance >= window), -torch.inf)
    return torch.softmax(scores, dim=-1).to(v.dtype) @ v


def _farthest_first(relative: Tensor, n: int, m: int) -> Tensor:
    """(..., n + m, d_head): the distances m - 1, m - 2 ... 0, then n rows of zeros that skewing moves behind the mask.

    Distances beyond the table, which the mask also hides, are zeros too.
    """
    near = relative[..., :m, :].flip(-2)
    return F.pad(near, (0, 0, max(0, m - relative.shape[-2]), n))


def skewed(by_distance: Tensor, m: int) -> Tensor:
    """(..., n, n + m) with column c for distance m - 1 - c -> (..., n, m) with column j for key j.

    Query r (of n) and key j are (m - n + r) - j apart, so the wanted column is c = n - 1 - r + j: one place further left in each row.
    Read with rows one shorter than they are, the memory has just this slant: no copy. Where c lies past distance 0 stand zeros.
    """
    *outer, n, width = by_distance.shape
    flat = by_distance.reshape(*outer, n * width)[..., n - 1 : n - 1 + n * (width - 1)]
    return flat.reshape(*outer, n, width - 1)[..., :m]
