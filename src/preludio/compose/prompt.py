"""A prompt made ready: where it is cut, what the model hears of it, which of its notes are still held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from preludio.errors import RequestError
from preludio.performance import STEP_MS, Notes, Pedals, Performance, crop, end_of_sound_ms, pack_notes, quantise, sustain, to_steps
from preludio.tokens import LAST_STEP, NOTE_OFF, START, TIME_SHIFT, VELOCITY, Ids, encode

# Room within the window for striking anew what is held where a long prompt's last part begins: each of 128 keys may need three events.
RESTRIKE_ROOM = 384
SECOND = VELOCITY - 1  # the longest shift
ROOM_STEPS = 2 * 24 * 3600 * 1000 // STEP_MS  # between the cut and the end of time: more than can be asked for


@dataclass(frozen=True)
class Prompt:
    """What comes before the invention.

    The music goes on from the prompt's last event before the cut, in the very state that it is in: a key that is held there is
    still held, and the model decides when it is let go. Where one is held for longer than a second before the cut, the music goes on
    within a second before the cut, in whole seconds after the last event: the last shift is left to the model.
    """

    context: Ids  # what the model hears; starts with START where it holds the piece's beginning
    cut_step: int = 0  # where the invention begins, in 10 ms steps from the prompt's beginning
    kept: Performance = field(default_factory=Performance)  # the prompt as it was played, up to the cut, without the held notes
    held: Mapping[int, tuple[int, int]] = field(default_factory=dict)  # pitch -> (onset_ms, velocity) of the notes held at the cut


def prepare(performance: Performance | None, prompt_seconds: float | None, window: int, keep_silence: bool = False) -> Prompt:
    """Cuts a prompt after `prompt_seconds` (None: where its sound ends) and keeps its last part within the model's window.

    Args:
        keep_silence: keep the time without sound before the cut too, and without a cut that of a pedal that is lifted long after the
            sound has died away.

    Raises:
        RequestError: no note begins before the cut.
    """
    if performance is None:
        return Prompt(np.array([START], dtype=np.uint16))
    if not keep_silence:  # a pedal that nobody hears any more holds nothing
        performance = Performance(performance.notes, np.minimum(performance.pedals, end_of_sound_ms(performance)))
    grid = quantise(sustain(performance))
    last_ms = quantise(performance).duration_ms if keep_silence else grid.duration_ms
    end_ms = last_ms
    if prompt_seconds is not None:
        end_ms = min(end_ms, round(min(prompt_seconds, end_ms / 1000) * 1000 / STEP_MS) * STEP_MS)
    ids = _open_ended(grid, 0, end_ms, keep_silence)
    if not (grid.notes["onset_ms"] < end_ms).any():
        raise RequestError(_no_notes(performance, end_ms))
    cut_step = int(_steps(ids).sum())
    if cut_step > LAST_STEP - ROOM_STEPS:
        raise RequestError("the prompt goes on for over 22 days: use less of it (--prompt-seconds)")
    begun = performance.notes[to_steps(performance.notes["onset_ms"]) * STEP_MS < end_ms]
    sounding = grid.notes["pitch"][(grid.notes["onset_ms"] < end_ms) & (grid.notes["offset_ms"] > end_ms)]
    strikes = {pitch: int(np.flatnonzero(begun["pitch"] == pitch)[-1]) for pitch in sounding.tolist()}
    held = {pitch: (int(begun["onset_ms"][last]), int(begun["velocity"][last])) for pitch, last in strikes.items()}
    kept = _kept(np.delete(begun, list(strikes.values())), performance.pedals, cut_step)
    return Prompt(_within(window, ids, grid, end_ms, keep_silence), cut_step, kept, held)


def _no_notes(performance: Performance, end_ms: int) -> str:
    if not len(performance):
        return "the prompt has no notes: give a piano piece, or no prompt for a piece from nothing"
    begins = performance.notes["onset_ms"][0] / 1000
    return f"the prompt has no notes in its first {end_ms / 1000:g} seconds, its music begins at {begins:g}: use more (--prompt-seconds)"


def _open_ended(grid: Performance, start_ms: int, end_ms: int, keep_silence: bool) -> Ids:
    """The ids of a part up to its last event, without the offs that cropping put at its end.

    Then come as many whole seconds as the notes that are held, or the silence that is kept, last on before the end: what such an id
    row goes on with may be a shift, an event or an end, as in any piece.
    """
    ids = encode(crop(grid, start_ms, end_ms))
    notes = grid.notes
    sounding = notes["pitch"][(notes["onset_ms"] < end_ms) & (notes["offset_ms"] > end_ms)]
    is_off = (ids >= NOTE_OFF) & (ids < TIME_SHIFT)
    closing = len(ids) - np.flatnonzero(~is_off)[-1] - 1 if len(ids) else 0  # offs of the last step
    last_step = np.arange(len(ids)) >= len(ids) - closing
    ids = ids[~(last_step & is_off & np.isin(ids, NOTE_OFF + sounding.astype(np.uint16)))]
    ids = ids[: len(ids) - _trailing_shifts(ids)]
    if not len(sounding) and not keep_silence:
        return ids
    seconds = (end_ms - start_ms - int(_steps(ids).sum()) * STEP_MS) // 1000
    return np.concatenate([ids, np.full(seconds, SECOND, dtype=ids.dtype)])


def _trailing_shifts(ids: Ids) -> int:
    others = np.flatnonzero(_steps(ids) == 0)
    return len(ids) - int(others[-1]) - 1 if len(others) else len(ids)


def _steps(ids: Ids) -> npt.NDArray[np.int64]:
    """How long each id lasts, in steps."""
    wide = ids.astype(np.int64)
    return np.where((wide >= TIME_SHIFT) & (wide < VELOCITY), wide - TIME_SHIFT + 1, 0)


def _within(window: int, ids: Ids, grid: Performance, end_ms: int, keep_silence: bool) -> Ids:
    """All ids after START, or, where they do not fit the window, as many of the last as do: struck anew where the part begins."""
    start = np.array([START], dtype=np.uint16)
    if len(ids) < window:
        return np.concatenate([start, ids])
    room = max(window - RESTRIKE_ROOM, window // 2)
    start_step = int(_steps(ids)[:-room].sum())
    last_part = _open_ended(grid, start_step * STEP_MS, end_ms, keep_silence)
    return last_part if len(last_part) else start  # nothing: only in a window smaller than one step's offs


def _kept(notes: Notes, pedals: Pedals, cut_step: int) -> Performance:
    """As it was played, pedal and all, up to the cut."""
    cut_ms = cut_step * STEP_MS
    too_long = to_steps(notes["offset_ms"]) > cut_step
    offset_ms = np.where(too_long, np.maximum(cut_ms, notes["onset_ms"]), notes["offset_ms"])
    return Performance(pack_notes(notes["onset_ms"], offset_ms, notes["pitch"], notes["velocity"]), np.minimum(pedals, cut_ms))
