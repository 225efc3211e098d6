"""A prompt made ready: where it is cut, what the model hears of it, which of its notes are still held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from preludio.errors import RequestError
from preludio.performance import STEP_MS, Performance, crop, pack_notes, quantise, sustain, to_steps
from preludio.tokens import NOTE_OFF, START, TIME_SHIFT, VELOCITY, Ids, encode

# Room within the window for striking anew what is held where a long prompt's last part begins: each of 128 keys may need three events.
RESTRIKE_ROOM = 384


@dataclass(frozen=True)
class Prompt:
    """What comes before the invention.

    The music goes on from the prompt's last event before the cut, in the very state that it is in: a key that is held there is
    still held, and the model decides when it is let go.
    """

    context: Ids  # what the model hears; starts with START where it holds the piece's beginning
    cut_step: int = 0  # where the invention begins, in 10 ms steps from the prompt's beginning
    kept: Performance = field(default_factory=Performance)  # the prompt as it was played, up to the cut, without the held notes
    held: Mapping[int, tuple[int, int]] = field(default_factory=dict)  # pitch -> (onset_ms, velocity) of the notes held at the cut


def prepare(performance: Performance | None, prompt_seconds: float | None, window: int) -> Prompt:
    """Cuts a prompt after `prompt_seconds` (None: at its end) and keeps its last part within the model's window.

    Raises:
        RequestError: no note begins before the cut.
    """
    if performance is None:
        return Prompt(np.array([START], dtype=np.uint16))
    grid = quantise(sustain(performance))
    end_ms = grid.duration_ms
    if prompt_seconds is not None:
        end_ms = min(end_ms, int(prompt_seconds * 1000) // STEP_MS * STEP_MS)
    ids = _open_ended(grid, 0, end_ms)
    if not len(ids):
        raise RequestError(f"the prompt has no notes in its first {end_ms / 1000:g} seconds: use more of it (--prompt-seconds)")
    cut_step = int(_steps(ids).sum())
    held = _held(performance, grid, cut_step)
    return Prompt(_within(window, ids, grid, end_ms), cut_step, _kept(performance, held, cut_step), held)


def _open_ended(grid: Performance, start_ms: int, end_ms: int) -> Ids:
    """The ids of a part up to its last event: without the offs that cropping put at its end, and no time after them."""
    ids = encode(crop(grid, start_ms, end_ms))
    notes = grid.notes
    sounding = notes["pitch"][(notes["onset_ms"] < end_ms) & (notes["offset_ms"] > end_ms)]
    is_off = (ids >= NOTE_OFF) & (ids < TIME_SHIFT)
    closing = len(ids) - np.flatnonzero(~is_off)[-1] - 1 if len(ids) else 0  # offs of the last step
    last_step = np.arange(len(ids)) >= len(ids) - closing
    ids = ids[~(last_step & is_off & np.isin(ids, NOTE_OFF + sounding.astype(np.uint16)))]
    return ids[: len(ids) - _trailing_shifts(ids)]


def _trailing_shifts(ids: Ids) -> int:
    others = np.flatnonzero(_steps(ids) == 0)
    return len(ids) - int(others[-1]) - 1 if len(others) else len(ids)


def _steps(ids: Ids) -> npt.NDArray[np.int64]:
    """How long each id lasts, in steps."""
    wide = ids.astype(np.int64)
    return np.where((wide >= TIME_SHIFT) & (wide < VELOCITY), wide - TIME_SHIFT + 1, 0)


def _within(window: int, ids: Ids, grid: Performance, end_ms: int) -> Ids:
    """All ids after START, or, where they do not fit the window, as many of the last as do: struck anew where the part begins."""
    if len(ids) < window:
        return np.concatenate([np.array([START], dtype=np.uint16), ids])
    room = max(window - RESTRIKE_ROOM, window // 2)
    start_step = int(_steps(ids)[:-room].sum())
    return _open_ended(grid, start_step * STEP_MS, end_ms)


def _held(performance: Performance, grid: Performance, cut_step: int) -> dict[int, tuple[int, int]]:
    """What sounds at the cut on the grid, with the onsets and velocities as they were played."""
    on_grid, cut_ms = grid.notes, cut_step * STEP_MS
    pitches = on_grid["pitch"][(on_grid["onset_ms"] <= cut_ms) & (on_grid["offset_ms"] > cut_ms)]
    notes = performance.notes[to_steps(performance.notes["onset_ms"]) <= cut_step]
    return {pitch: _last_strike(notes, pitch) for pitch in pitches.tolist()}


def _last_strike(notes: npt.NDArray[np.void], pitch: int) -> tuple[int, int]:
    strike = notes[notes["pitch"] == pitch][-1]
    return int(strike["onset_ms"]), int(strike["velocity"])


def _kept(performance: Performance, held: Mapping[int, tuple[int, int]], cut_step: int) -> Performance:
    """The prompt up to the cut as it was played, pedal and all, without the held notes."""
    cut_ms = cut_step * STEP_MS
    notes = performance.notes[to_steps(performance.notes["onset_ms"]) <= cut_step]
    held_since = np.full(128, -1)
    held_since[list(held)] = [onset_ms for onset_ms, _ in held.values()]
    notes = notes[held_since[notes["pitch"]] != notes["onset_ms"]]
    offset_ms = np.minimum(notes["offset_ms"], np.maximum(cut_ms, notes["onset_ms"]))
    return Performance(pack_notes(notes["onset_ms"], offset_ms, notes["pitch"], notes["velocity"]), np.minimum(performance.pedals, cut_ms))
