"""The engine in NumPy: the readable specification, and the one that runs everywhere.

Keys and values of past positions are kept, so a new position costs one pass of its own row through the network:

    attention(i, j) = q_i . k_j + q_i . e_{i-j}

The second term for one query is a product with a slice of the distance table: stored farthest first, its rows line up with the keys.
Long inputs go through in blocks; `step` is a block of one. There is one path for all of them, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.checkpoint import Arrays, Checkpoint, ModelConfig
from preludio.engine.relations import BatchState, Indices, States, add_relations, slice_states

Floats = npt.NDArray[np.float32]

NORM_EPSILON = np.float32(1e-5)
BLOCK = 256  # positions that go through the network at once
REWIND = 512  # ids that can be taken back, whatever was fed before
FIRST_SLOTS = 512  # a new cache's size; it doubles as the sequences grow, up to window + REWIND


@dataclass(frozen=True)
class LayerWeights:
    """One block's arrays in the layout of the products below: matrices as (in, out), distances farthest first."""

    attention_norm: Floats  # (d_model,)
    qkv: Floats  # (d_model, 3 d_model), the queries' part scaled by d_head ** -0.5
    relative: Floats  # (window, d_head) or (head, window, d_head): row window - 1 - d belongs to distance d
    attention_out: Floats  # (d_model, d_model)
    feed_forward_norm: Floats
    feed_forward_in: Floats  # (d_model, d_ff)
    feed_forward_out: Floats  # (d_ff, d_model)

    @classmethod
    def of(cls, arrays: Arrays, layer: int, config: ModelConfig) -> LayerWeights:
        part = {name.rpartition(".")[2]: array for name, array in arrays.items() if name.startswith(f"layers.{layer}.")}
        scale = np.ones((3 * config.d_model, 1), dtype=np.float32)
        scale[: config.d_model] = config.d_head**-0.5
        return cls(
            attention_norm=part["attention_norm"],
            qkv=(part["qkv"] * scale).T,
            relative=np.ascontiguousarray(part["relative"][..., ::-1, :]),
            attention_out=part["attention_out"].T,
            feed_forward_norm=part["feed_forward_norm"],
            feed_forward_in=part["feed_forward_in"].T,
            feed_forward_out=part["feed_forward_out"].T,
        )


class RingBuffer:
    """Keys or values of one layer: the last `slots` positions, each row written twice, `slots` apart.

    So any run of up to `slots` positions lies in one piece somewhere, and reading never copies.
    """

    def __init__(self, batch: int, n_heads: int, slots: int, d_head: int) -> None:
        self.slots = slots
        self.rows = np.zeros((batch, n_heads, 2 * slots, d_head), dtype=np.float32)

    def write(self, position: int, rows: Floats) -> None:
        """rows (batch, head, n, d_head) at position ... position + n - 1; n <= slots."""
        place, n = position % self.slots, rows.shape[2]
        head = min(n, self.slots - place)  # what fits before the ring's end; the rest goes on at its beginning
        for start in (place, place + self.slots):
            self.rows[:, :, start : start + head] = rows[:, :, :head]
        for start in (0, self.slots):
            self.rows[:, :, start : start + n - head] = rows[:, :, head:]

    def read(self, start: int, stop: int) -> Floats:
        """A view (batch, head, stop - start, d_head) of positions start ... stop - 1."""
        place = start % self.slots
        return self.rows[:, :, place : place + stop - start]

    def copied(self, batch_rows: Sequence[int], start: int, stop: int, slots: int) -> RingBuffer:
        """A ring of `slots` with the given rows of the batch, holding positions start ... stop - 1."""
        _, n_heads, _, d_head = self.rows.shape
        ring = RingBuffer(len(batch_rows), n_heads, slots, d_head)
        ring.write(start, self.read(start, stop)[list(batch_rows)])
        return ring


class NumpyEngine:
    """A model's weights as NumPy arrays; sessions share them."""

    name = "numpy"

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.config = checkpoint.config
        self.embedding = checkpoint.arrays["embedding"]
        self.layers = [LayerWeights.of(checkpoint.arrays, layer, self.config) for layer in range(self.config.n_layers)]
        self.norm = checkpoint.arrays["norm"]
        self.unembedding = checkpoint.arrays["unembedding"].T
        if self.config.relations:
            self.input_relations = checkpoint.arrays["input_relations"]
            self.relations = checkpoint.arrays["relations"].T

    def session(self, batch: int = 1) -> NumpySession:
        """Starts `batch` empty sequences."""
        slots = min(FIRST_SLOTS, self.config.window + REWIND)
        shape = batch, self.config.n_heads, slots, self.config.d_head
        rows = BatchState.new(batch, self.config.window + REWIND) if self.config.relations else None
        return NumpySession(self, [(RingBuffer(*shape), RingBuffer(*shape)) for _ in self.layers], rows, position=0)


class NumpySession:
    """A batch of sequences, the rings of their keys and values, and with relations their musical states; see `preludio.engine.Session`."""

    def __init__(self, engine: NumpyEngine, rings: list[tuple[RingBuffer, RingBuffer]], rows: BatchState | None, position: int) -> None:
        self.engine = engine
        self.rings = rings
        self._rows = rows
        self.position = position
        self._oldest = 0  # positions before this one have been overwritten
        self._begun: Floats | None = None  # the logits of a step that nothing was drawn from yet

    @property
    def batch(self) -> int:
        return int(self.rings[0][0].rows.shape[0])

    @property
    def rewindable(self) -> int:
        """Where one lands, the whole window before must still be there."""
        if self._oldest == 0:
            return self.position
        return max(0, self.position - self._oldest - (self.engine.config.window - 1))

    def feed(self, ids: npt.NDArray[np.integer[Any]]) -> Floats:
        return self._feed(ids, return_all=False)[:, 0]

    def feed_all(self, ids: npt.NDArray[np.integer[Any]]) -> Floats:
        return self._feed(ids, return_all=True)

    def step(self, ids: npt.NDArray[np.integer[Any]]) -> Floats:
        return self._feed(np.asarray(ids)[:, None], return_all=False)[:, 0]

    def begin_step(self, ids: Sequence[int]) -> None:
        self._begun = self.step(np.array(ids))

    def draw(self, samplers: Sequence[Callable[[Floats], int]]) -> list[int]:
        assert self._begun is not None, "no step has begun"
        drawn = [draw(logits) for draw, logits in zip(samplers, self._begun, strict=True)]
        self.begin_step(drawn)
        return drawn

    def fork(self, rows: Sequence[int]) -> NumpySession:
        slots = self.rings[0][0].slots
        states = self._rows and self._rows.fork(rows)
        session = NumpySession(self.engine, self._copied(rows, self._oldest, slots), states, self.position)
        session._oldest = self._oldest
        session._begun = None if self._begun is None else self._begun[list(rows)]
        return session

    def rewind(self, n: int) -> None:
        assert 0 <= n <= self.rewindable, f"cannot take back {n} ids, only {self.rewindable}"
        self.position -= n
        self._begun = None
        if self._rows:
            self._rows.rewind(n)

    def _feed(self, ids: npt.NDArray[np.integer[Any]], return_all: bool) -> Floats:
        """ids (batch, n) -> logits (batch, n, 391) of what follows each, or (batch, 1, 391) of what follows the last."""
        assert ids.ndim == 2 and ids.shape[0] == self.batch and ids.shape[1] >= 1, f"ids of shape {ids.shape} for a batch of {self.batch}"
        inputs, states = self._rows.feed(ids, self.position == 0, return_all) if self._rows else (None, None)
        found = []
        for start in range(0, ids.shape[1], BLOCK):
            stop = start + BLOCK
            x = self._forward(ids[:, start:stop], None if inputs is None else inputs[:, start:stop])
            if return_all:
                found.append(self._logits(x, states and slice_states(states, start, stop)))
        return np.concatenate(found, axis=1) if return_all else self._logits(x[:, -1:], states)

    def _logits(self, x: Floats, states: States | None) -> Floats:
        """Residual rows (batch, n, d_model) -> logits (batch, n, 391)."""
        x = _norm(x, self.engine.norm)
        logits: Floats = x @ self.engine.unembedding
        if states is not None:
            add_relations(logits, x @ self.engine.relations, states)
        return logits

    def _forward(self, ids: npt.NDArray[np.integer[Any]], inputs: Indices | None) -> Floats:
        """ids (batch, n), n <= BLOCK -> residual rows (batch, n, d_model); the cache grows by n."""
        self._grow(ids.shape[1])
        x: Floats = self.engine.embedding[ids]
        if inputs is not None:
            x = x + self.engine.input_relations[inputs].sum(axis=2)
        for weights, rings in zip(self.engine.layers, self.rings, strict=True):
            x = x + self._attend(_norm(x, weights.attention_norm), weights, rings)
            hidden = np.maximum(_norm(x, weights.feed_forward_norm) @ weights.feed_forward_in, 0)
            x = x + np.square(hidden, out=hidden) @ weights.feed_forward_out
        self.position += ids.shape[1]
        self._begun = None
        return x

    def _grow(self, n: int) -> None:
        """Larger rings as long as they may grow; then the oldest positions are given up."""
        config, stop = self.engine.config, self.position + n
        slots, most = self.rings[0][0].slots, config.window + REWIND
        if stop - self._oldest > slots and slots < most:
            slots = min(most, max(2 * slots, stop - self._oldest))
            self.rings = self._copied(range(self.batch), max(self._oldest, stop - slots), slots)
        self._oldest = max(self._oldest, stop - slots)

    def _copied(self, rows: Sequence[int], start: int, slots: int) -> list[tuple[RingBuffer, RingBuffer]]:
        """New rings of `slots` with the given rows of the batch, from position `start` on."""
        stop = self.position
        return [(keys.copied(rows, start, stop, slots), values.copied(rows, start, stop, slots)) for keys, values in self.rings]

    def _attend(self, x: Floats, weights: LayerWeights, rings: tuple[RingBuffer, RingBuffer]) -> Floats:
        """Normalised rows (batch, n, d_model) -> what attention adds to them."""
        config, (batch, n, d) = self.engine.config, x.shape
        start, stop = max(0, self.position - config.window + 1), self.position + n
        q, k, v = (x @ weights.qkv).reshape(batch, n, 3, config.n_heads, config.d_head).transpose(2, 0, 3, 1, 4)
        for ring, rows in zip(rings, (k, v), strict=True):
            ring.write(self.position, rows)
        keys, values = (ring.read(start, stop) for ring in rings)  # (batch, head, m, d_head)
        scores = q @ keys.swapaxes(-2, -1) + self._by_distance(q, weights.relative, stop - start)
        if n > 1:
            scores += _band(n, stop - start, config.window)
        mixed = _softmax(scores) @ values  # (batch, head, n, d_head)
        added: Floats = np.matmul(mixed.transpose(0, 2, 1, 3).reshape(batch, n, d), weights.attention_out)
        return added

    def _by_distance(self, q: Floats, relative: Floats, m: int) -> Floats:
        """q_i . e_{i-j} for the queries (batch, head, n, d_head) and the last m keys: (batch, head, n, m).

        Query r (of n) and key j are (m - n + r) - j apart. The product has column c for distance m - 1 - c; reading its rows one place
        shorter than they are slants it into place (Huang et al. 2018, section 3.4.1). What slants in from beyond the table is masked.
        """
        batch, n_heads, n, _ = q.shape
        window = relative.shape[-2]
        known = min(m, window)
        products: Floats = q @ relative[..., window - known :, :].swapaxes(-2, -1)
        if n == 1:
            return products
        by_distance = np.zeros((batch, n_heads, n, n + m), dtype=np.float32)
        by_distance[..., m - known : m] = products
        flat = by_distance.reshape(batch, n_heads, n * (n + m))[..., n - 1 : n - 1 + n * (n + m - 1)]
        return flat.reshape(batch, n_heads, n, n + m - 1)[..., :m]


def _norm(x: Floats, gain: Floats) -> Floats:
    """RMSNorm over the last axis."""
    mean_square = np.einsum("...d,...d->...", x, x) / np.float32(x.shape[-1])
    normalised: Floats = x * (1 / np.sqrt(mean_square + NORM_EPSILON))[..., None] * gain
    return normalised


def _softmax(scores: Floats) -> Floats:
    scores = scores - scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def _band(n: int, m: int, window: int) -> Floats:
    """0 where query r (of the last n of m positions) may see key j, minus infinity elsewhere: (n, m)."""
    distance = np.arange(m - n, m)[:, None] - np.arange(m)
    return np.where((distance >= 0) & (distance < window), np.float32(0), np.float32(-np.inf))
