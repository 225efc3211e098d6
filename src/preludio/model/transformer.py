"""A decoder-only Transformer with relative global attention (Huang et al. 2018, "Music Transformer", arXiv 1809.04281, section 3).

Pre-norm residual blocks; no absolute positions: order is known only from the causal mask and from one embedding per distance.

    attention(i, j) = q_i . (k_j + e_{i-j}) / sqrt(d_head)        for 0 <= i - j < window, else nothing      (attention.py)

Each distance's embedding and each event's rows are generated from fixed features while it learns (tables.py). With relations, the musical
state adds extra rows of the last product to the logits (relations.py).

Settled here: RMSNorm before each part and at the end (Zhang and Sennrich 2019), squared ReLU (So et al. 2021, "Primer"), no biases.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preludio.checkpoint import Checkpoint, ModelConfig, array_shapes
from preludio.model import tables
from preludio.model.attention import attend
from preludio.model.relations import N_LOGITS, States, related
from preludio.tokens import VOCAB_SIZE, relations

NORM_EPSILON = 1e-5


class Transformer(nn.Module):
    """Ids in, logits out. `baked` makes the arrays of `checkpoint.array_shapes(config)` from its parameters and buffers."""

    features: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        d = config.d_model
        self.embedding = nn.Parameter(torch.empty(VOCAB_SIZE, d))
        self.embedding_by_feature = nn.Parameter(torch.empty(tables.N_FEATURES, d))
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layers))
        self.norm = nn.Parameter(torch.empty(d))
        self.unembedding = nn.Parameter(torch.empty(VOCAB_SIZE, d))
        self.unembedding_by_feature = nn.Parameter(torch.empty(tables.N_FEATURES, d))
        if config.relations:
            self.input_relations = nn.Parameter(torch.empty(relations.N_INPUT_ROWS, d))
            self.relations = nn.Parameter(torch.empty(relations.N_ROWS, d))
        self.register_buffer("features", tables.event_features(), persistent=False)
        self.initialise()

    def initialise(self) -> None:
        """Normal(0, 0.02) for embeddings, less for what many features share, uniform by fan-in for matrices, 0 for what writes to the
        residual stream or is added to the logits."""
        for name, parameter in self.named_parameters():
            kind = name.rpartition(".")[2]
            if kind.endswith("norm"):
                nn.init.ones_(parameter)
            elif kind in ("attention_out", "feed_forward_out", "unembedding_by_feature", "relations", "input_relations"):
                nn.init.zeros_(parameter)
            elif kind in ("embedding", "relative", "unembedding"):
                nn.init.normal_(parameter, std=0.02)
            elif kind in ("embedding_by_feature", "relative_by_wave"):
                nn.init.normal_(parameter, std=0.005)
            else:
                nn.init.uniform_(parameter, -math.sqrt(3 / self.config.d_model), math.sqrt(3 / self.config.d_model))

    def forward(self, ids: Tensor, states: States | None = None) -> Tensor:
        """Return the logits (batch, time, 391) of ids (batch, time): row t predicts what follows ids[:, : t + 1].

        Args:
            states: the musical state of each position, for a model with relations; None to compute it from each row's beginning.
        """
        x = F.embedding(ids, self.embedding + self.features @ self.embedding_by_feature)  # (batch, time, d_model)
        if self.config.relations:
            states = states or States.of(ids)
            x = x + F.embedding(states.inputs, self.input_relations).sum(dim=2)
        for layer in self.layers:
            x = layer(x)
        x = _norm(x, self.norm)
        logits = F.linear(x, self.unembedding + self.features @ self.unembedding_by_feature)
        if states is not None:
            logits = logits.float() + F.pad(related(x, self.relations, states), (0, VOCAB_SIZE - N_LOGITS))
        return logits

    def to_checkpoint(self, **about: Any) -> Checkpoint:
        """Return a copy of the weights as float32 arrays, with what is to be said about them."""
        plain = tables.checkpoint_arrays(self.config, {name: tensor.detach().float().cpu() for name, tensor in self.state_dict().items()})
        return Checkpoint(self.config, {name: np.array(plain[name].numpy()) for name in array_shapes(self.config)}, about)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> Transformer:
        """Return the model of a checkpoint, float32."""
        model = cls(checkpoint.config)
        model.load_state_dict(model.parameters_of(checkpoint))
        return model

    def parameters_of(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """Return parameters and buffers by name that give exactly the tables of a checkpoint: as own rows, nothing from features.

        The relations of a checkpoint without them are zero, so the model is the same function.
        """
        state = {name: torch.zeros_like(tensor) for name, tensor in self.state_dict().items()}
        return state | {name: torch.from_numpy(np.array(array)) for name, array in checkpoint.arrays.items()}


class Layer(nn.Module):
    """One block: attention, then the feed-forward, each reading the normalised residual stream and adding to it."""

    relative: Tensor
    waves: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.d_model
        per_head = (config.n_heads,) if config.relative_per_head else ()
        self.n_heads, self.window = config.n_heads, config.window
        self.attention_norm = nn.Parameter(torch.empty(d))
        self.qkv = nn.Parameter(torch.empty(3 * d, d))
        self.register_buffer("relative", torch.zeros(*per_head, config.window, config.d_head))  # of the checkpoint that training began with
        self.register_buffer("waves", tables.distance_waves(config.window), persistent=False)
        self.relative_by_wave = nn.Parameter(torch.empty(*per_head, tables.N_WAVES, config.d_head))
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
        return F.linear(attend(qkv, self._table(), self.window), self.attention_out)

    def _table(self) -> Tensor:
        """Return the embedding of each distance: (window, d_head), or (head, window, d_head)."""
        return self.relative + self.waves @ self.relative_by_wave


def _norm(x: Tensor, gain: Tensor) -> Tensor:
    return F.rms_norm(x, gain.shape, gain, NORM_EPSILON)
