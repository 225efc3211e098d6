"""Real or composed? A small classifier on windows of 8 s: where it can only guess (AUC 0.5), the two sound alike to it.

It learns from real music of the training split and from half of the composed pieces, and is asked about real music of the held-out split
and the other half; then the halves change places. So no piece is in both, and what the model may have learned by heart is not held
against the held-out music. A multilayer perceptron with one hidden layer, in NumPy: a classifier that anyone can run again in seconds,
not the strongest there is. Its AUC is a lower bound on how well the two can be told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.evaluate.figures import Estimate
from preludio.evaluate.music import features as f
from preludio.evaluate.music.structure import key_clarity
from preludio.performance import Performance, crop

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

WINDOW_MS = 8_000
MIN_NOTES = 4  # a window with fewer says nothing, and is left out
HIDDEN = 24
STEPS, BATCH, RATE, DECAY = 1500, 64, 3e-3, 3e-3
RESAMPLES = 200
DRAWS = 5  # networks, from other random weights, whose outputs are averaged


class Windows(NamedTuple):
    """Windows of some pieces: features (n, d), and of which piece each is (n,)."""

    features: Floats
    piece: Integers

    def of(self, pieces: npt.NDArray[np.bool_]) -> Windows:
        """Those of the pieces that are chosen."""
        chosen = pieces[self.piece]
        return Windows(self.features[chosen], self.piece[chosen])


def windows(performances: Sequence[Performance]) -> Windows:
    """All whole windows of each piece, side by side."""
    rows, pieces = [], []
    for number, performance in enumerate(performances):
        for events in _cut(performance):
            rows.append(window_features(events))
            pieces.append(number)
    return Windows(np.array(rows) if rows else np.empty((0, 0)), np.array(pieces, dtype=np.int64))


def _cut(performance: Performance) -> Iterator[f.NoteColumns]:
    for start_ms in range(0, performance.duration_ms - WINDOW_MS + 1, WINDOW_MS):
        events = f.NoteColumns.of(crop(performance, start_ms, start_ms + WINDOW_MS))
        if len(events) >= MIN_NOTES:
            yield events


def window_features(events: f.NoteColumns) -> Floats:
    """A window as a vector: the figures, the histograms but for what depends on the key, and lengths by register."""
    figures = [figure.of(events) for figure in (*f.FIGURES, *f.TAILS)]
    histograms = [of(events) for of in (f.intervals, f.gaps, f.lengths, f.velocities, f.chord_sizes)]
    classes = np.sort(f.pitch_classes(events))
    octaves = np.bincount(events.pitch // 12, minlength=11) / len(events)
    moves = [np.abs(np.diff(events.velocity)).mean(), np.abs(events.step).max(), np.log(events.length).std(), key_clarity(events)]
    return np.concatenate([np.log1p(np.abs(figures)), *map(np.sqrt, (*histograms, classes, octaves)), moves])


class Network(NamedTuple):
    """tanh(x A + a) . b + c, of standardised features; the log of the odds that a window is composed."""

    mean: Floats
    deviation: Floats
    weights: list[Floats]

    def __call__(self, rows: Floats) -> Floats:
        a, b, c, d = self.weights
        return np.asarray(np.tanh(((rows - self.mean) / self.deviation) @ a + b) @ c + d[0])


def train(rows: Floats, labels: Floats, seed: int) -> Network:
    """By Adam on the cross-entropy, both kinds weighed alike, with decay of the weights.

    Args:
        rows: (n, d).
        labels: (n,): 1 for composed, 0 for real; both occur.
    """
    rng = np.random.default_rng(seed)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-3
    x = (rows - mean) / deviation
    weight = np.where(labels > 0, 0.5 / labels.mean(), 0.5 / (1 - labels.mean()))
    d = x.shape[1]
    weights = [rng.normal(0, d**-0.5, (d, HIDDEN)), np.zeros(HIDDEN), rng.normal(0, HIDDEN**-0.5, HIDDEN), np.zeros(1)]
    moments = [(np.zeros_like(one), np.zeros_like(one)) for one in weights]
    for step in range(STEPS):
        chosen = rng.integers(0, len(x), BATCH)
        gradients = _gradients(weights, x[chosen], labels[chosen], weight[chosen])
        rate = RATE * (1 - step / STEPS)
        for place, gradient in enumerate(gradients):
            _adam(weights[place], moments[place], gradient, rate, step + 1)
    return Network(mean, deviation, weights)


def _gradients(weights: Sequence[Floats], x: Floats, labels: Floats, weight: Floats) -> list[Floats]:
    a, b, c, d = weights
    hidden = np.tanh(x @ a + b)
    error = weight * (1 / (1 + np.exp(-(hidden @ c + d[0]))) - labels) / len(x)
    inner = np.outer(error, c) * (1 - hidden**2)
    return [x.T @ inner + DECAY * a, inner.sum(axis=0), hidden.T @ error + DECAY * c, error.sum(keepdims=True)]


def _adam(weight: Floats, moments: tuple[Floats, Floats], gradient: Floats, rate: float, step: int) -> None:
    first, second = moments
    first += 0.1 * (gradient - first)
    second += 0.001 * (gradient**2 - second)
    weight -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)


def auc(composed: Floats, real: Floats, composed_weights: Floats | None = None, real_weights: Floats | None = None) -> float:
    """The chance that a composed window has a higher output than a real one, ties half.

    Args:
        composed, real: outputs, (n,) and (m,).
        composed_weights, real_weights: how often each counts; None for once.
    """
    ours = np.ones(len(composed)) if composed_weights is None else composed_weights
    theirs = np.ones(len(real)) if real_weights is None else real_weights
    order = np.argsort(real, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(theirs[order])])
    less, as_much = (below[np.searchsorted(real[order], composed, side=side)] for side in ("left", "right"))
    return float(ours @ (less + as_much) / (2 * ours.sum() * theirs.sum()))


class ClassifierOutputs(NamedTuple):
    """Outputs on windows that were not trained on, and of which piece each is: (n,), (n,) of composed pieces and of held-out real ones.

    One entry for each fold: outputs of networks that learned from other pieces are not compared.
    """

    composed: list[tuple[Floats, Integers]]
    real: list[tuple[Floats, Integers]]

    def auc(self, composed_counts: Integers | None = None, real_counts: Integers | None = None) -> float:
        """Mean of the folds. The counts say how often each piece counts, for a bootstrap over pieces."""
        found = []
        for (ours, our_piece), (theirs, their_piece) in zip(self.composed, self.real, strict=True):
            our_weights = None if composed_counts is None else composed_counts[our_piece].astype(np.float64)
            their_weights = None if real_counts is None else real_counts[their_piece].astype(np.float64)
            if (our_weights is None or our_weights.any()) and (their_weights is None or their_weights.any()):
                found.append(auc(ours, theirs, our_weights, their_weights))
        return float(np.mean(found)) if found else float("nan")

    def estimate(self, seed: int) -> Estimate:
        """The AUC, and 1.96 deviations of a bootstrap over pieces to either side."""
        n_ours, n_theirs = (1 + max((int(piece.max()) for _, piece in part), default=0) for part in self)
        rng = np.random.default_rng([seed, 3])
        drawn = [self.auc(*(np.bincount(rng.integers(0, n, n), minlength=n) for n in (n_ours, n_theirs))) for _ in range(RESAMPLES)]
        value = self.auc()
        if not np.isfinite(value):
            return Estimate(value, None, None)
        reach = 1.96 * float(np.nanstd(drawn))
        return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))


def cross_validated(composed: Windows, training: Windows, held_out: Windows, seed: int) -> ClassifierOutputs:
    """Trained on each half of the composed pieces and asked about the other."""
    pieces = np.arange(int(composed.piece.max(initial=0)) + 1)
    verdicts = ClassifierOutputs([], [])
    for fold in (0, 1):
        learned, asked = (composed.of(pieces % 2 == part) for part in (fold, 1 - fold))
        if not (len(learned.piece) and len(asked.piece) and len(training.piece) and len(held_out.piece)):
            continue
        rows = np.concatenate([learned.features, training.features])
        labels = np.concatenate([np.ones(len(learned.piece)), np.zeros(len(training.piece))])
        networks = [train(rows, labels, seed + DRAWS * fold + draw) for draw in range(DRAWS)]
        verdicts.composed.append((_output(networks, asked), asked.piece))
        verdicts.real.append((_output(networks, held_out), held_out.piece))
    return verdicts


def _output(networks: Sequence[Network], asked: Windows) -> Floats:
    return np.asarray(np.mean([network(asked.features) for network in networks], axis=0))
