"""Our model without a cache, in eager PyTorch, float32: what each event costs where the network hears everything again for it.

Two ways. `PrefixDecoder` hears the sequence so far, with the attention that training uses: in blocks of 256 queries, each against only the
keys that it may see. `PaddedDecoder` is how this project's ancestor, the Keras example of a Music Transformer, does it: the sequence is
padded to the whole window, and attention is the paper's: all scores of all queries and keys at once, masked. In both the logits of all
positions are computed, as a plain forward pass does; nothing is compiled or fused.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preludio.bench.decoders import Seconds, random_ids
from preludio.checkpoint import Checkpoint, ModelConfig
from preludio.model import Transformer
from preludio.model.transformer import Layer


class PrefixDecoder:
    """Measured at some lengths, and between them interpolated: a whole piece takes ten minutes."""

    batch = 1
    LENGTHS = (1, 256, 512, 1024, 1536, 2048)

    def __init__(self, name: str, checkpoint: Checkpoint, threads: int) -> None:
        self.name, self.threads = name, threads
        self._model = Transformer.from_checkpoint(checkpoint).eval()

    def decode(self, n: int) -> Seconds:
        torch.set_num_threads(self.threads)
        lengths = [length for length in self.LENGTHS if length < n] + [n]
        return np.interp(np.arange(1, n + 1), lengths, [_seconds(self._model, length) for length in lengths])


class PaddedDecoder:
    """Each event costs a pass over the whole window, wherever in the piece it is: some are measured, and their median stands for all."""

    batch = 1
    PASSES = 3

    def __init__(self, name: str, checkpoint: Checkpoint, threads: int) -> None:
        self.name, self.threads = name, threads
        self._model = SkewedTransformer.from_checkpoint(checkpoint).eval()

    def decode(self, n: int) -> Seconds:
        torch.set_num_threads(self.threads)
        return np.full(n, np.median([_seconds(self._model, self._model.config.window) for _ in range(self.PASSES)]))


def _seconds(model: nn.Module, length: int) -> float:
    ids = torch.from_numpy(random_ids(1, length))
    began = time.perf_counter()
    with torch.no_grad():
        model(ids)
    return time.perf_counter() - began


class SkewedTransformer(Transformer):
    """The same model with attention as the paper writes it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(SkewedLayer(config) for _ in range(config.n_layers))


class SkewedLayer(Layer):
    def _attend(self, x: Tensor) -> Tensor:
        batch, time, d = x.shape
        q, k, v = F.linear(x, self.qkv).view(batch, time, 3, self.n_heads, d // self.n_heads).permute(2, 0, 3, 1, 4)
        return F.linear(skewed(q, k, v, self.relative).transpose(1, 2).flatten(2), self.attention_out)


def skewed(q: Tensor, k: Tensor, v: Tensor, relative: Tensor) -> Tensor:
    """Huang et al. 2018, section 3.4.1: q, k, v (batch, head, time, d_head), up to the window's length -> the same."""
    time = q.shape[2]
    by_distance = q @ relative[..., :time, :].flip(-2).transpose(-2, -1)  # (batch, head, time, time): column c for distance time - 1 - c
    by_key = F.pad(by_distance, (1, 0)).view(*q.shape[:2], time + 1, time)[:, :, 1:]
    scores = (q @ k.transpose(-2, -1) + by_key) * q.shape[-1] ** -0.5
    later = torch.ones(time, time, dtype=torch.bool).triu(1)
    return torch.softmax(scores.masked_fill(later, -torch.inf), dim=-1) @ v
