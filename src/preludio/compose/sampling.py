"""One event from the model's logits: which are in the draw, and the draw.

`sample` is how it is defined, and what draws for NumPy's engine. The native engine draws the same, in the call that makes the logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.compose.request import Request
from preludio.tokens import NOTE_OFF, VOCAB_SIZE, IdSet, as_mask

MIN_TEMPERATURE = 1e-6  # below, logits of float32 divided by it overflow, and only the likeliest has a chance anyway
Floats = npt.NDArray[np.floating[Any]]


class Filters(NamedTuple):
    """What a request says about drawing, applied in the order temperature, strike-top-p, min-p, top-k, top-p."""

    temperature: float = 1.0
    top_p: float = 1.0
    min_p: float = 0.0
    strike_top_p: float = 1.0
    top_k: int = 0

    @classmethod
    def of(cls, request: Request) -> Filters:
        temperature = request.temperature if request.temperature >= MIN_TEMPERATURE else 0.0
        return cls(temperature, request.top_p, request.min_p, request.strike_top_p, min(request.top_k, VOCAB_SIZE))


@dataclass(slots=True)
class TokenSampler:
    """How the next id is drawn, settled before its logits are there; called with them (391,), it is drawn."""

    filters: Filters
    allowed: IdSet  # at least one id
    uniform: float  # in [0, 1)

    def __call__(self, logits: npt.NDArray[np.float32]) -> int:
        return sample(logits, as_mask(self.allowed), self.filters, self.uniform)


class RandomStream:
    """One number in [0, 1) for each draw, whatever the filters: so two requests that differ in a filter stay comparable.

    They are the ones that `rng.random()` would give one by one.
    """

    BLOCK = 256

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._buffer: list[float] = []  # the next one last

    def next_uniform(self) -> float:
        if not self._buffer:
            self._buffer = self._rng.random(self.BLOCK)[::-1].tolist()
        return self._buffer.pop()


def sample(logits: Floats, allowed: npt.NDArray[np.bool_], filters: Filters, uniform: float) -> int:
    """Draw one id among the allowed ones (at least one) by temperature, strike-top-p, min-p, top-k and top-p, in that order."""
    candidates = np.flatnonzero(allowed)
    probabilities = probabilities_at(logits[candidates], filters.temperature)
    if filters.strike_top_p < 1:
        n_strikes = int(np.searchsorted(candidates, NOTE_OFF))  # note-ons are the lowest ids
        probabilities[:n_strikes] = likeliest_strikes(probabilities[:n_strikes], filters.strike_top_p)
    order = np.argsort(-probabilities, kind="stable")
    kept = truncate_distribution(probabilities[order], filters)
    cumulative = np.cumsum(kept)
    place = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
    return int(candidates[order[min(place, len(kept) - 1)]])


def probabilities_at(logits: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """Probabilities at a temperature; at 0 all on the likeliest. float64, so that engines that differ in a last bit draw alike."""
    shifted = logits.astype(np.float64) - logits.max()
    if temperature < MIN_TEMPERATURE:
        weights = (shifted == 0).astype(np.float64)
        weights[int(np.argmax(weights)) + 1 :] = 0  # one of several equals
    else:
        weights = np.exp(shifted / temperature)
    probabilities: npt.NDArray[np.float64] = weights / weights.sum()
    return probabilities


def likeliest_strikes(probabilities: npt.NDArray[np.float64], top_p: float) -> npt.NDArray[np.float64]:
    """Return the probabilities of the likeliest note-ons that have the share `top_p` of all of theirs, scaled to their sum; 0 for the rest.

    Which key is struck is made surer so, and not whether one is struck: when notes come and how long they last stays as it was learned.
    """
    order = np.argsort(-probabilities, kind="stable")
    cumulative = np.cumsum(probabilities[order])
    if not len(order) or cumulative[-1] <= 0:
        return probabilities
    n = int(np.searchsorted(cumulative, top_p * cumulative[-1], side="left")) + 1
    kept = np.zeros_like(probabilities)
    kept[order[:n]] = probabilities[order[:n]] * (cumulative[-1] / cumulative[min(n, len(order)) - 1])
    return kept


def truncate_distribution(descending: npt.NDArray[np.float64], filters: Filters) -> npt.NDArray[np.float64]:
    """The beginning of the descending probabilities that stays in the draw; never empty."""
    n = len(descending)
    if filters.min_p > 0:
        n = min(n, int(np.searchsorted(-descending, -filters.min_p * descending[0], side="right")))
    if filters.top_k:
        n = min(n, filters.top_k)
    if filters.top_p < 1:
        n = min(n, int(np.searchsorted(np.cumsum(descending), filters.top_p, side="left")) + 1)
    return descending[: max(n, 1)]
