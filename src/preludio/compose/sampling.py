"""One event from the model's logits: which are in the draw, and the draw.

`sample` is how it is defined, and what draws where the native engine was not built. The native `Draw` draws the same, ten times faster.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.compose.request import Request
from preludio.engine import native
from preludio.tokens import VOCAB_SIZE, IdSet, as_mask

COLDEST = 1e-6  # below, logits of float32 divided by it overflow, and only the likeliest has a chance anyway
Floats = npt.NDArray[np.floating[Any]]


class Sampler:
    """Draws by one request's filters."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._draw: native.Draw | None = None
        if native.available():
            temperature = request.temperature if request.temperature >= COLDEST else 0.0
            self._draw = native.Draw(VOCAB_SIZE, temperature, request.top_k, request.top_p, request.min_p)

    def __call__(self, logits: npt.NDArray[np.float32], allowed: IdSet, rng: np.random.Generator) -> int:
        """logits (391,) -> one of the allowed ids, of which there is at least one."""
        if self._draw is None:
            return sample(logits, as_mask(allowed), self._request, rng)
        return self._draw(logits, allowed, rng.random())


def sample(logits: Floats, allowed: npt.NDArray[np.bool_], request: Request, rng: np.random.Generator) -> int:
    """Draws one id among the allowed ones (at least one) by temperature, min-p, top-k and top-p, in that order.

    Takes exactly one number from `rng`, whatever the filters: two requests that differ in a filter stay comparable.
    """
    chance = rng.random()
    candidates = np.flatnonzero(allowed)
    probabilities = temper(logits[candidates], request.temperature)
    order = np.argsort(-probabilities, kind="stable")
    kept = keep_likeliest(probabilities[order], request)
    cumulative = np.cumsum(kept)
    place = int(np.searchsorted(cumulative, chance * cumulative[-1], side="right"))
    return int(candidates[order[min(place, len(kept) - 1)]])


def temper(logits: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """Probabilities at a temperature; at 0 all on the likeliest. float64, so that engines that differ in a last bit draw alike."""
    shifted = logits.astype(np.float64) - logits.max()
    if temperature < COLDEST:
        weights = (shifted == 0).astype(np.float64)
        weights[int(np.argmax(weights)) + 1 :] = 0  # one of several equals
    else:
        weights = np.exp(shifted / temperature)
    probabilities: npt.NDArray[np.float64] = weights / weights.sum()
    return probabilities


def keep_likeliest(descending: npt.NDArray[np.float64], request: Request) -> npt.NDArray[np.float64]:
    """The beginning of the descending probabilities that stays in the draw; never empty."""
    n = len(descending)
    if request.min_p > 0:
        n = min(n, int(np.searchsorted(-descending, -request.min_p * descending[0], side="right")))
    if request.top_k:
        n = min(n, request.top_k)
    if request.top_p < 1:
        n = min(n, int(np.searchsorted(np.cumsum(descending), request.top_p, side="left")) + 1)
    return descending[: max(n, 1)]
