"""Let-gos: does a model release the keys that are down? Expected over actual releases of real music, by how long ago the key was struck.

The model sees real segments (teacher forcing). At each token, for each key that is down, it gives a probability to that key's NOTE_OFF;
summed over a segment these are the releases that it expects. Their ratio to the releases that came is 1 for a calibrated model; under 1
for keys struck long ago means that the model forgets what is down. Tokens since the strike are counted, since that is the distance over
which a model must remember. Keys whose strike lies before the segment do not count: the model has not seen it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.corpus.workers import parallel_map
from preludio.evaluate.figures import Estimate
from preludio.evaluate.pieces import TokenisedPieces
from preludio.evaluate.score import EngineScore
from preludio.tokens import NOTE_OFF, NOTE_ON, PAD, TIME_SHIFT

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

Probabilities = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.floating[Any]]]
"""int64 ids (n,) -> (n - 1, 391): p(next id | ids[: t + 1]) for each t, nothing masked."""

BORDERS = (25, 50, 100, 200)
NAMES = ("under 25", "25 - 49", "50 - 99", "100 - 199", "200 and more")
RANGES = {name: [place] for place, name in enumerate(NAMES)} | {"100 and more": [3, 4], "all": [0, 1, 2, 3, 4]}
SEGMENT = 2048
DRAWS = 1000

N_KEYS = NOTE_OFF - NOTE_ON


class ReleaseCounts(NamedTuple):
    """Of one segment: sums by tokens since the strike, as NAMES: (5,)."""

    expected: Floats
    actual: Integers


def count_releases(probabilities: Probabilities, segment: npt.NDArray[np.integer[Any]]) -> ReleaseCounts:
    """Of one segment of ids without START, END and PAD."""
    ids = np.asarray(segment, dtype=np.int64)
    if len(ids) < 2:
        return ReleaseCounts(np.zeros(len(NAMES)), np.zeros(len(NAMES), dtype=np.int64))
    struck = last_strikes(ids)[:-1]
    place = np.arange(len(ids) - 1)
    age = place[:, None] + 1 - struck  # tokens from the strike to the token that comes
    down = struck >= 0
    bucket = np.digitize(age, BORDERS)
    off = probabilities(ids)[:, NOTE_OFF : NOTE_OFF + N_KEYS].astype(np.float64)
    expected = np.bincount(bucket[down], off[down], len(NAMES)).astype(np.float64)
    released = (ids[1:] >= NOTE_OFF) & (ids[1:] < TIME_SHIFT)
    key = np.where(released, ids[1:] - NOTE_OFF, 0)
    known = released & down[place, key]
    return ReleaseCounts(expected, np.bincount(bucket[place, key][known], minlength=len(NAMES)))


def last_strikes(ids: Integers) -> Integers:
    """After each token, for each key the place of the strike that it is held from, -1 while it is up: (n, 128)."""
    change = np.full((len(ids) + 1, N_KEYS), -2, dtype=np.int64)  # -2: as before
    change[0] = -1
    place = np.arange(len(ids))
    is_on, is_off = ids < NOTE_OFF, (ids >= NOTE_OFF) & (ids < TIME_SHIFT)
    change[place[is_on] + 1, ids[is_on]] = place[is_on]
    change[place[is_off] + 1, ids[is_off] - NOTE_OFF] = -1
    changed = np.maximum.accumulate(np.where(change == -2, 0, np.arange(len(ids) + 1)[:, None]), axis=0)
    return np.asarray(np.take_along_axis(change, changed, axis=0)[1:])


def release_calibration(
    score: EngineScore, pieces: TokenisedPieces, seed: int, processes: int, progress: Callable[[float], None] | None = None
) -> dict[str, Estimate]:
    """Expected over actual releases of one random segment of each piece, by tokens since the strike; the interval is over pieces.

    The segment begins at a multiple of SEGMENT, as the likelihood protocol cuts.
    """
    found: list[tuple[int, ReleaseCounts]] = []
    for one in parallel_map(_in_process, score, _segments(pieces, seed), processes):
        found.append(one)
        if progress is not None:
            progress(len(found))
    sums = [one for _, one in sorted(found, key=itemgetter(0))]
    expected, actual = (np.array([getattr(one, name) for one in sums]).reshape(-1, len(NAMES)) for name in ReleaseCounts._fields)
    return {name: _over(expected[:, places].sum(axis=1), actual[:, places].sum(axis=1), seed) for name, places in RANGES.items()}


def _segments(pieces: TokenisedPieces, seed: int) -> Iterator[tuple[int, Integers]]:
    for number, piece in enumerate(pieces):
        ids = piece.ids[piece.ids < PAD].astype(np.int64)
        start = SEGMENT * int(np.random.default_rng([seed, number]).integers(0, max(1, len(ids) // SEGMENT)))
        yield number, ids[start : start + SEGMENT]


def _in_process(score: EngineScore, task: tuple[int, Integers]) -> tuple[int, ReleaseCounts]:
    number, ids = task
    return number, count_releases(score.probabilities, ids)


def _over(expected: Floats, actual: Integers, seed: int) -> Estimate:
    """Sum over sum, and the quantiles of a bootstrap over pieces; not a number where nothing was released."""
    n = len(actual)
    if not actual.sum():
        return Estimate(math.nan, None, None)
    drawn = np.random.default_rng(seed).integers(0, n, (DRAWS, n))
    over, under = expected[drawn].sum(axis=1), actual[drawn].sum(axis=1)
    low, high = np.quantile(over[under > 0] / under[under > 0], [0.025, 0.975])
    return Estimate(float(expected.sum() / actual.sum()), float(low), float(high))
