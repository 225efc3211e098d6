"""What a performance shares with known music, in any key and any rhythm: runs of strikes with the same intervals in order.

Real performances share runs with one another, too: scales, arpeggios, trills. A share says something only beside theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from preludio.evaluate.statistics import Integers, strikes

if TYPE_CHECKING:
    from preludio.performance import Performance

LENGTHS = (8, 16, 24)  # strikes a run: about a second of music, two and three

Hashes = npt.NDArray[np.uint64]


class KnownRuns:
    """All runs of some lengths in known music: 8 bytes for each run, 45 MB for each length of MAESTRO's training split."""

    def __init__(self, hashes: Mapping[int, Hashes]) -> None:
        """`hashes`: for each length, sorted."""
        self._hashes = hashes

    @classmethod
    def of(cls, performances: Iterable[Performance], lengths: Iterable[int] = LENGTHS) -> KnownRuns:
        pitches = [strikes(performance).astype(np.uint8) for performance in performances]
        return cls({length: np.unique(np.concatenate([run_hashes(piece, length) for piece in pitches])) for length in lengths})

    def shares(self, performance: Performance) -> dict[int, float]:
        """For each length, the share of the performance's runs that are known; 0 where it is too short to have one."""
        pitches = strikes(performance)
        return {length: self._share(run_hashes(pitches, length), hashes) for length, hashes in self._hashes.items()}

    @staticmethod
    def _share(runs: Hashes, known: Hashes) -> float:
        return float(np.isin(runs, known).mean()) if len(runs) else 0.0


def run_hashes(pitches: Integers | npt.NDArray[np.uint8], length: int) -> Hashes:
    """One number for each run of `length` >= 2 strikes, the same in every key; different runs meet by chance once in 2^64."""
    intervals = (np.diff(pitches.astype(np.int64)) + 128).astype(np.uint64)
    n_runs = max(0, len(intervals) - length + 2)
    hashes = np.zeros(n_runs, dtype=np.uint64)
    for place in range(length - 1):
        hashes = (hashes ^ intervals[place : place + n_runs]) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    return hashes
