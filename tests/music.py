"""Made-up music for the corpus: works, and how several hands play them."""

from __future__ import annotations

from functools import cache

import numpy as np

from preludio.performance import Performance

N_CHORDS = 120


@cache
def played(work: int, hand: int = 0, n_chords: int = N_CHORDS) -> Performance:
    """A work, the same chords whoever plays it, each hand with its own rhythm and touch. Lively enough for every cleaning rule."""
    composing, playing = np.random.default_rng([1, work]), np.random.default_rng([2, work, hand])
    notes, onset_ms = [], 0
    for _ in range(n_chords):
        chord = composing.choice(np.arange(36, 90), size=composing.integers(1, 4), replace=False)
        length = int(composing.choice([150, 200, 300]) * playing.uniform(0.7, 1.5))
        notes += [(onset_ms, onset_ms + length, int(pitch), int(playing.integers(30, 100))) for pitch in chord]
        onset_ms += length
    pedals = [(start, start + 700) for start in range(0, onset_ms, 1500)]
    return Performance(notes, pedals)
