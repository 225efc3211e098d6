"""Form and harmony: does music come back to what it was, and is it in a key?

Self-similarity after Wu and Yang 2020 (*The Jazz Transformer on the front line*), whose structureness indicator SI takes the best fitness
of a repetition within a range of durations from the scape plot of audio chroma (Müller et al. 2011). Here, for symbolic music and in one
matrix product: chroma of 0.5 s frames, the piece's mean chroma taken off, so that staying in one key is no repetition; stretches of 4 s
compared with each other by cosine; for each stretch the most similar one that begins a lag within the range before or after it; their mean.

Key clarity: the correlation of the pitch classes of 8 s with the best of 24 key profiles (Krumhansl and Kessler 1982, as in the
Krumhansl-Schmuckler key finder).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from preludio.evaluate.music.features import Figure, NoteColumns

Floats = npt.NDArray[np.float64]

FRAME_MS = 500
STRETCH_FRAMES = 8
LAGS_S = {"short": (4.0, 8.0), "middle": (8.0, 15.0), "long": (15.0, math.inf)}  # a stretch overlaps itself at lags below 4 s
KEY_WINDOW_FRAMES = 16

MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
"""How well each pitch class fits a key, from its tonic up: Krumhansl and Kessler's mean ratings."""


def chroma(events: NoteColumns, frame_ms: int = FRAME_MS) -> Floats:
    """How long each pitch class sounds in each frame, in frames: (frame, 12). What at the end fills no frame is left out."""
    n = events.duration // frame_ms
    found = np.zeros((n + 1, 12))
    if not len(events):
        return found[:n]
    first, last = events.onset // frame_ms, np.maximum(events.offset - 1, events.onset) // frame_ms
    spans = last - first + 1
    note = np.repeat(np.arange(len(events)), spans)
    frame = first[note] + np.arange(len(note)) - np.repeat(np.cumsum(spans) - spans, spans)
    begin, end = np.maximum(events.onset[note], frame * frame_ms), np.minimum(events.offset[note], (frame + 1) * frame_ms)
    np.add.at(found, (np.minimum(frame, n), events.pitch[note] % 12), (end - begin) / frame_ms)
    return found[:n]


def self_similarity(events: NoteColumns) -> Floats:
    """Cosine of every stretch of 4 s with every other one: (stretch, stretch), from -1 to 1; a stretch begins at each frame."""
    frames = chroma(events)
    if len(frames) < STRETCH_FRAMES:
        return np.empty((0, 0))
    frames = frames - frames.mean(axis=0)
    stretches = np.lib.stride_tricks.sliding_window_view(frames, STRETCH_FRAMES, axis=0).reshape(len(frames) - STRETCH_FRAMES + 1, -1)
    norms = np.linalg.norm(stretches, axis=1, keepdims=True)
    unit = np.divide(stretches, norms, out=np.zeros_like(stretches), where=norms > 1e-9)
    return np.asarray(unit @ unit.T)


def returns(events: NoteColumns) -> dict[str, float]:
    """For each range of lags the mean over stretches of the best similarity; not a number where the piece is too short to have one."""
    similarity = self_similarity(events)
    lag_s = np.abs(np.subtract.outer(np.arange(len(similarity)), np.arange(len(similarity)))) * FRAME_MS / 1000
    found = {}
    for name, (least, most) in LAGS_S.items():
        best = np.where((lag_s >= least) & (lag_s < most), similarity, -np.inf).max(axis=1, initial=-np.inf)
        best = best[np.isfinite(best)]
        found[name] = float(best.mean()) if len(best) else math.nan
    return found


def key_clarity(events: NoteColumns) -> float:
    """Mean over windows of 8 s of the correlation with the best key, at most 1; windows of silence are left out; 0 if there is no other."""
    correlations = _key_correlations(events)
    return float(correlations.max(axis=1).mean()) if len(correlations) else 0.0


def key_changes(events: NoteColumns) -> float:
    """The share of neighbouring windows of 8 s (none shared) with another best key."""
    keys = _key_correlations(events).argmax(axis=1)
    return float((np.diff(keys) != 0).mean()) if len(keys) > 1 else 0.0


def _key_correlations(events: NoteColumns) -> Floats:
    """(window, 24): the twelve major keys, then the twelve minor ones."""
    frames = chroma(events)
    n = len(frames) // KEY_WINDOW_FRAMES
    windows = frames[: n * KEY_WINDOW_FRAMES].reshape(n, KEY_WINDOW_FRAMES, 12).sum(axis=1)
    windows = _standardised(windows)[windows.std(axis=1) > 0]
    profiles = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    return np.asarray(windows @ _standardised(profiles).T / 12)


def _standardised(rows: Floats) -> Floats:
    """Rows with mean 0 and deviation 1; constant ones become 0."""
    centred, deviation = rows - rows.mean(axis=1, keepdims=True), rows.std(axis=1, keepdims=True)
    return np.asarray(np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0))


STRUCTURE = (
    Figure("return, short lags", "similarity", lambda events: returns(events)["short"]),
    Figure("return, middle lags", "similarity", lambda events: returns(events)["middle"]),
    Figure("return, long lags", "similarity", lambda events: returns(events)["long"]),
    Figure("key clarity", "correlation", key_clarity),
    Figure("key changes", "share", key_changes),
)
