"""A decoder-only Transformer with relative global attention (Huang et al. 2018, "Music Transformer", arXiv 1809.04281, section 3).

Pre-norm residual blocks; no absolute positions: order is known only from the causal mask and from one learned embedding per distance.

    attention(i, j) = q_i . (k_j + e_{i-j}) / sqrt(d_head)        for 0 <= i - j < window, else nothing      (attention.py)

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
from preludio.model.attention import attend
from preludio.tokens import VOCAB_SIZE

NORM_EPSILON = 1e-5


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
        return F.linear(attend(qkv, self.relative, self.window), self.attention_out)


def _norm(x: Tensor, gain: Tensor) -> Tensor:
    return F.rms_norm(x, gain.shape, gain, NORM_EPSILON)
