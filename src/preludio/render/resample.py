"""Sound at another speed: how one recorded note serves the keys beside it.

A speed of 2^(semitones/12) is not rational, but 196/185 is one semitone to 0.006 cents. With a rational speed the interpolation
filter repeats, so resampling is one matrix product: each row of inputs (one period and the filter's reach) gives one row of outputs.
That is as exact as a long windowed sinc and as fast as BLAS.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float32]
"""Stereo sound, shape (frames, 2)."""

REACH = 32  # input frames that the filter sees to either side: what it adds to a tone of 15 kHz lies 97 dB below it
KAISER_BETA = 9.0
MAX_PERIOD = 200  # the largest denominator of a speed
ROWS = 128  # rows to one product. Always as many, so that BLAS rounds a frame alike however much of the recording is asked for
ROLL_OFF = 0.97  # of the lower of the two Nyquist frequencies, where the filter is at half height


def semitones_to_speed(semitones: int) -> Fraction:
    """How much faster a recording must run to sound that many semitones higher, as a ratio of small numbers."""
    return Fraction(2.0 ** (semitones / 12)).limit_denominator(MAX_PERIOD)


def resample(wave: Wave, speed: Fraction) -> Wave:
    """The recording played `speed` times as fast, at the same sample rate: band-limited, without aliases.

    The result has `floor(frames / speed)` frames. What lies outside the recording counts as silence.
    """
    if speed == 1:
        return wave
    n_in, n_out = speed.numerator, speed.denominator
    n_frames = int(len(wave) / speed)
    n_products = -(-n_frames // (n_out * ROWS))
    width = n_in + 2 * REACH + 1
    padded = np.zeros((2, n_products * ROWS * n_in + width), dtype=np.float32)
    padded[:, REACH : REACH + len(wave)] = wave.T[:, : padded.shape[1] - REACH]
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)[:, : n_products * ROWS * n_in : n_in]
    outputs = np.ascontiguousarray(windows).reshape(2, n_products, ROWS, width) @ _interpolation(n_in, n_out)
    return np.ascontiguousarray(outputs.reshape(2, -1)[:, :n_frames].T)


@lru_cache(maxsize=8)
def _interpolation(n_in: int, n_out: int) -> npt.NDArray[np.float32]:
    """The matrix from one row of inputs to one row of outputs: a Kaiser-windowed sinc about each output's place in time."""
    cutoff = min(1.0, n_out / n_in) * ROLL_OFF
    inputs = np.arange(-REACH, n_in + REACH + 1)[:, None]
    places = (np.arange(n_out) * n_in / n_out)[None, :]
    distance = inputs - places
    inside = np.clip(1 - (distance / (REACH + 1)) ** 2, 0, None)
    window = np.where(np.abs(distance) <= REACH, np.i0(KAISER_BETA * np.sqrt(inside)) / np.i0(KAISER_BETA), 0)
    kernel = cutoff * np.sinc(cutoff * distance) * window
    matrix: npt.NDArray[np.float32] = (kernel / kernel.sum(axis=0)).astype(np.float32)
    return matrix
