"""Never clipping: a gain that goes down a few milliseconds before a peak and comes back slowly, and is 1 for all other sound.

The gain is worked out in steps of `HOP` frames and drawn as straight lines between them. At each step it is the mean of past minima of
what the steps ahead need, so at every frame it is at most what that frame needs: the ceiling holds exactly, without clipping.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from preludio.render.resample import Wave

HOP = 64  # frames
AHEAD = 4  # hops: with 44.1 kHz the gain falls over 6 ms
CEILING_DB = -1.0  # dBFS
RELEASE_DB = 0.03  # per hop: 20 dB a second

Gains = npt.NDArray[np.float64]


def limited(blocks: Iterable[Wave]) -> Iterator[Wave]:
    """The same sound with no |sample| over -1 dBFS. Blocks hold whole hops; they come out shorter and longer, altogether as long."""
    held: Wave = np.zeros((0, 2), dtype=np.float32)
    need = np.zeros(AHEAD)  # dB, from AHEAD hops before `held` on
    for block in blocks:
        assert len(block) % HOP == 0, "a block must hold whole hops"
        need = np.concatenate([need, _released(_needed_db(block), need[-1])])
        held = np.concatenate([held, block])
        ready = len(held) // HOP - (AHEAD + 1)
        if ready > 0:
            yield _turned_down(held[: ready * HOP], need)
            held, need = held[ready * HOP :], need[ready:]
    if len(held):
        yield _turned_down(held, np.concatenate([need, np.zeros(AHEAD + 1)]))


def _needed_db(block: Wave) -> Gains:
    """For each hop the gain (dB, at most 0) that brings its peak down to the ceiling."""
    peaks = np.abs(block).reshape(-1, HOP * 2).max(axis=1).astype(np.float64)
    need_db: Gains = np.minimum(0.0, CEILING_DB - 0.01 - 20 * np.log10(np.maximum(peaks, 1e-9)))  # 0.01: float32 rounds
    return need_db


def _released(need_db: Gains, before_db: float) -> Gains:
    """Each need, or the one before plus `RELEASE_DB`, whichever is lower: a running minimum along a slope."""
    slope = RELEASE_DB * np.arange(1, len(need_db) + 1)
    released: Gains = np.minimum(0.0, np.minimum.accumulate(np.minimum(need_db - slope, before_db)) + slope)
    return released


def _turned_down(wave: Wave, need_db: Gains) -> Wave:
    """`need_db` begins AHEAD hops before `wave` and goes on at least AHEAD + 1 hops after it."""
    n_hops = len(wave) // HOP
    if not need_db[: n_hops + 2 * AHEAD + 1].any():
        return wave
    windows = np.lib.stride_tricks.sliding_window_view
    lowest_ahead = windows(need_db, AHEAD + 1).min(axis=1)
    at_border = 10 ** (windows(lowest_ahead, AHEAD).mean(axis=1)[: n_hops + 1] / 20)
    place = np.arange(HOP) / HOP
    gain = at_border[:-1, None] * (1 - place) + at_border[1:, None] * place
    turned: Wave = wave * gain.reshape(-1, 1).astype(np.float32)
    return turned
