"""A piano performance: which key, when, how hard, how long, and the sustain pedal. Integer milliseconds, frozen.

Pure functions from `Performance` to `Performance` follow the type. The rules of pedal and grid that tokens rely on live here:
`decode(encode(p)) == quantise(sustain(p))`.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import index
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.errors import PerformanceError

NOTE = np.dtype([("onset_ms", "<i4"), ("offset_ms", "<i4"), ("pitch", "u1"), ("velocity", "u1")])
"""One note. `onset_ms <= offset_ms`; pitch 0-127 (60 is middle C); velocity 1-127."""

STEP_MS = 10  # the time grid of the vocabulary
N_VELOCITY_BINS = 32
VELOCITY_BIN_WIDTH = 128 // N_VELOCITY_BINS
MAX_MS = 2**31 // 1000 * 1000  # times are int32. A whole step, so rounding stays inside; 24 days

PIANO_KEYS = 21, 108  # A0 to C8
LOWEST_AUDIBLE_MS, HIGHEST_AUDIBLE_MS = 12_000, 4_000

Notes = npt.NDArray[np.void]
Pedals = npt.NDArray[np.int32]


class Performance:
    """Notes and sustain pedal of one piece, immutable and comparable.

    Attributes:
        notes: structured array of dtype `NOTE`, sorted by onset, then pitch (then offset, velocity).
        pedals: int32 array of shape (n, 2): `[down_ms, up_ms)`, sorted, not overlapping. Where one ends as the next begins, the pedal was
            lifted and pressed again at that instant: what it held is damped.
    """

    __slots__ = ("notes", "pedals")
    notes: Notes
    pedals: Pedals

    def __init__(self, notes: Any = (), pedals: Any = ()) -> None:
        """Takes notes in any order as (onset_ms, offset_ms, pitch, velocity) rows or a `NOTE` array; pedals may overlap.

        Raises:
            PerformanceError: a number is not whole; a time is negative, ends before it begins, or lies beyond 24 days (a note needs
                a step of room before that); a pitch or velocity is out of range.
        """
        note_array = _note_array(notes)
        _check_notes(note_array)
        pedal_array = _pedal_array(pedals)
        object.__setattr__(self, "notes", _frozen(note_array.take(_note_order(note_array))))  # far quicker than [] for records
        object.__setattr__(self, "pedals", _frozen(_merged(pedal_array)))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Performance is frozen: make a new one instead of setting {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Performance is frozen: {name!r} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        return Performance, (self.notes, self.pedals)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Performance):
            return NotImplemented
        return np.array_equal(self.notes, other.notes) and np.array_equal(self.pedals, other.pedals)

    def __hash__(self) -> int:
        return hash((self.notes.tobytes(), self.pedals.tobytes()))

    def __len__(self) -> int:
        """The number of notes."""
        return len(self.notes)

    def __repr__(self) -> str:
        return f"Performance({len(self.notes)} notes, {len(self.pedals)} pedals, {self.duration_ms / 1000:.1f} s)"

    @property
    def duration_ms(self) -> int:
        """Where the last sound ends: the latest offset or pedal-up, 0 if there is neither."""
        ends = [int(column.max()) for column in (self.notes["offset_ms"], self.pedals[:, 1]) if len(column)]
        return max(ends, default=0)


def _note_array(notes: Any) -> Notes:
    array = _array(notes, "notes")
    if array.dtype == NOTE and array.ndim == 1:
        return array
    rows = _integer_rows(array, "notes", ("onset_ms", "offset_ms", "pitch", "velocity"))
    if rows.size and (rows.min() < 0 or rows[:, :2].max() > MAX_MS or rows[:, 2:].max() > 127):
        raise PerformanceError("notes must have times from 0 to 24 days, pitches 0-127 and velocities 1-127")
    return pack_notes(rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3])


def _array(rows: Any, what: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(rows if isinstance(rows, np.ndarray) else list(rows))
    except (TypeError, ValueError):  # nothing to iterate over, or ragged
        raise PerformanceError(f"{what} must be rows of equal length") from None


def _integer_rows(array: npt.NDArray[Any], what: str, columns: tuple[str, ...]) -> npt.NDArray[Any]:
    """One integer column for each name. Floats are refused, not rounded: 0.5 may be meant as seconds."""
    if not array.size:
        return np.empty((0, len(columns)), dtype=np.int64)
    if array.dtype.kind not in "iu" or array.shape[1:] != (len(columns),):
        raise PerformanceError(
            f"{what} must be rows of {len(columns)} whole numbers ({', '.join(columns)}), not {array.dtype} of shape {array.shape}"
        )
    return array


def pack_notes(onset_ms: Any, offset_ms: Any, pitch: Any, velocity: Any) -> Notes:
    """Columns of equal length -> one `NOTE` array (unchecked, in the order given)."""
    notes = np.empty(len(onset_ms), dtype=NOTE)
    notes["onset_ms"], notes["offset_ms"], notes["pitch"], notes["velocity"] = onset_ms, offset_ms, pitch, velocity
    return notes


class Columns(NamedTuple):
    """Notes as arrays of equal length, for arithmetic: a record's fields lie apart in memory."""

    onset_ms: npt.NDArray[np.int32]
    offset_ms: npt.NDArray[np.int32]
    pitch: npt.NDArray[np.uint8]
    velocity: npt.NDArray[np.uint8]

    def at(self, chosen: npt.NDArray[Any]) -> Columns:
        return Columns(*(column[chosen] for column in self))


def columns(notes: Notes) -> Columns:
    """A `NOTE` array's fields, copied."""
    return Columns(*(notes[name].copy() for name in Columns._fields))


def _check_notes(notes: Notes) -> None:
    if not len(notes):
        return
    onset_ms, offset_ms, pitch, velocity = columns(notes)
    if onset_ms.min() < 0 or onset_ms.max() > MAX_MS - STEP_MS or offset_ms.max() > MAX_MS:
        raise PerformanceError("note times must lie between 0 and 24 days")
    if (offset_ms < onset_ms).any():
        raise PerformanceError("a note ends before it begins")
    if pitch.max() > 127:
        raise PerformanceError(f"pitch {pitch.max()} is not a MIDI pitch (0-127)")
    if velocity.min() < 1 or velocity.max() > 127:
        raise PerformanceError("a velocity is outside 1-127")


def _note_order(notes: Notes) -> npt.NDArray[np.intp]:
    """Sorted by onset, pitch, offset, velocity: equal sets of notes give equal arrays."""
    key = notes["onset_ms"].astype(np.int64) << 7 | notes["pitch"]
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    if (ordered[1:] == ordered[:-1]).any():  # two strikes of one key at once: rare, so the slow sort only then
        order = np.lexsort((notes["velocity"], notes["offset_ms"], key))
    return order


def _pedal_array(pedals: Any) -> Pedals:
    rows = _integer_rows(_array(pedals, "pedals"), "pedals", ("down_ms", "up_ms"))
    if rows.size and (rows.min() < 0 or rows.max() > MAX_MS):
        raise PerformanceError("pedal times must lie between 0 and 24 days")
    if (rows[:, 1] < rows[:, 0]).any():
        raise PerformanceError("a pedal goes up before it goes down")
    return rows.astype(np.int32)


def _merged(pedals: Pedals) -> Pedals:
    """Sorted, empty intervals dropped, overlapping ones joined. Touching ones stay apart: rounding may have closed the gap between them."""
    pedals = pedals[pedals[:, 1] > pedals[:, 0]]
    pedals = pedals[np.argsort(pedals[:, 0], kind="stable")]
    if len(pedals) < 2:
        return pedals
    ups = np.maximum.accumulate(pedals[:, 1])
    starts = np.concatenate([[True], pedals[1:, 0] >= ups[:-1]])
    ends = np.concatenate([starts[1:], [True]])
    return np.stack([pedals[starts, 0], ups[ends]], axis=1)


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.flags.writeable = False
    return array


def sustain(performance: Performance) -> Performance:
    """The pedal and shared keys resolved into longer notes; the result has no pedals.

    A key that several notes hold at once (two hands, two tracks) goes up when the last of them ends, so none ends before an earlier one
    of its key. A note whose key goes up while the pedal is down sounds until the pedal goes up or the same pitch is struck again,
    whichever is first. Of events at one instant, key-up comes before the pedal and the pedal before key-down: a key released at the
    very instant of pedal-down is not caught.
    """
    notes = performance.notes
    return Performance(pack_notes(notes["onset_ms"], sounding_until_ms(performance), notes["pitch"], notes["velocity"]))


def sounding_until_ms(performance: Performance) -> npt.NDArray[np.int32]:
    """For each note when it falls silent, the pedal and shared keys resolved as `sustain` says."""
    by_key = _by_key(performance.notes)
    result = np.empty(len(by_key), dtype=np.int32)
    result[by_key] = _sustained(performance, by_key).offset_ms
    return result


def end_of_sound_ms(performance: Performance) -> int:
    """Where the music ends: the last key goes up, or what the pedal holds after that has died away (see `audible_ms`). 0 without notes."""
    notes = performance.notes
    if not len(notes):
        return 0
    until_ms = np.minimum(sounding_until_ms(performance), notes["onset_ms"].astype(np.int64) + audible_ms(notes["pitch"]))
    return int(np.maximum(until_ms, notes["offset_ms"]).max())


def audible_ms(pitch: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """How long a string that is not damped can be heard: 12 s for the lowest key of a piano, 4 s for the highest."""
    lowest, highest = PIANO_KEYS
    key = np.clip(pitch.astype(np.int64), lowest, highest) - lowest
    return LOWEST_AUDIBLE_MS - key * (LOWEST_AUDIBLE_MS - HIGHEST_AUDIBLE_MS) // (highest - lowest)


def _by_key(notes: Notes) -> npt.NDArray[np.intp]:
    """The order in which the notes of each key follow one another, key after key: what one strike does to the last is then next to it."""
    return np.argsort(notes["pitch"], kind="stable")


def _sustained(performance: Performance, by_key: npt.NDArray[np.intp]) -> Columns:
    """The notes by key, lengthened."""
    notes, pedals = columns(performance.notes), performance.pedals
    keys = notes.at(by_key)
    held = _held(keys)
    if not len(pedals):
        return held
    if held is not keys:
        notes.offset_ms[by_key] = held.offset_ms
    # The last pedal that was down strictly before the key went up, if it is still down. In the order of time, for speed.
    pedal = np.searchsorted(np.ascontiguousarray(pedals[:, 0]), notes.offset_ms, side="left")
    pedal_up_ms = np.concatenate([np.zeros(1, np.int32), pedals[:, 1]])[pedal]
    until_ms = np.minimum(pedal_up_ms[by_key], _next_strike(held.onset_ms, held.pitch, MAX_MS))
    return held._replace(offset_ms=np.maximum(held.offset_ms, until_ms))


def _held(keys: Columns) -> Columns:
    """Notes by key with the ends that their keys have: a key goes up with the last of the notes that hold it."""
    earlier = (keys.offset_ms[1:] < keys.offset_ms[:-1]) & (keys.pitch[1:] == keys.pitch[:-1])
    if not earlier.any():
        return keys
    latest = np.maximum.accumulate(keys.pitch.astype(np.int64) << 32 | keys.offset_ms)  # keys rise, so one running maximum serves all
    return keys._replace(offset_ms=(latest & 0xFFFFFFFF).astype(np.int32))


def _next_strike(onset: npt.NDArray[np.int32], pitch: npt.NDArray[np.uint8], never: int) -> npt.NDArray[np.int32]:
    """Of notes by key."""
    following = np.full(len(onset), never, dtype=np.int32)
    np.copyto(following[:-1], onset[1:], where=pitch[1:] == pitch[:-1])
    return following


def next_strike_ms(notes: Notes) -> npt.NDArray[np.int32]:
    """For each note of a sorted array, when its key is struck next; `MAX_MS` for the last strike of a key."""
    by_key = _by_key(notes)
    result = np.empty(len(notes), dtype=np.int32)
    result[by_key] = _next_strike(notes["onset_ms"][by_key], notes["pitch"][by_key], MAX_MS)
    return result


def quantise(performance: Performance) -> Performance:
    """On the grid of the vocabulary: 10 ms steps, 32 velocities, one note per key at a time. Idempotent.

    Absolute times are rounded (half up), so an onset moves by at most 5 ms however long the piece. Two strikes of one key on one
    step become one note, with the later end and the greater velocity. A strike ends the note that still sounds on its key, and the new
    note lasts until the last of both ends. Each note lasts at least one step. A velocity becomes the middle of its bin (at most 2 away).
    Pedals are rounded too.
    """
    strikes = _strikes(_held(columns(performance.notes).at(_by_key(performance.notes))))
    velocity = bin_velocity(strikes.velocity_bin)
    notes = pack_notes(strikes.onset_step * STEP_MS, strikes.offset_step * STEP_MS, strikes.pitch, velocity)
    return Performance(notes, to_steps(performance.pedals) * STEP_MS)


class Strikes(NamedTuple):
    """Notes on the grid of the vocabulary, key after key: columns of equal length."""

    onset_step: npt.NDArray[np.int32]
    offset_step: npt.NDArray[np.int32]
    pitch: npt.NDArray[np.uint8]
    velocity_bin: npt.NDArray[np.uint8]


def strikes(performance: Performance) -> Strikes:
    """The notes of `quantise(sustain(performance))`."""
    return _strikes(_sustained(performance, _by_key(performance.notes)))


def _strikes(keys: Columns) -> Strikes:
    """Of notes by key; see `quantise`."""
    onset_step = to_steps(keys.onset_ms)
    offset_step = np.maximum(to_steps(keys.offset_ms), onset_step + 1)
    merged = _merged_strikes(Strikes(onset_step, offset_step, keys.pitch, velocity_bin(keys.velocity)))
    until = np.minimum(merged.offset_step, _next_strike(merged.onset_step, merged.pitch, MAX_MS // STEP_MS))
    return merged._replace(offset_step=until)


def _merged_strikes(strikes: Strikes) -> Strikes:
    """Notes of one key with one onset -> one note, with the later end and the greater velocity."""
    again = (strikes.onset_step[1:] == strikes.onset_step[:-1]) & (strikes.pitch[1:] == strikes.pitch[:-1])
    if not again.any():
        return strikes
    starts = np.flatnonzero(np.concatenate([[True], ~again]))
    latest, loudest = (np.maximum.reduceat(column, starts) for column in (strikes.offset_step, strikes.velocity_bin))
    return Strikes(strikes.onset_step[starts], latest, strikes.pitch[starts], loudest)


def to_steps(ms: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Milliseconds -> the nearest step, half up."""
    return (ms + STEP_MS // 2) // STEP_MS


def velocity_bin(velocity: Any) -> Any:
    """Velocity 1-127 -> bin 0-31."""
    return velocity // VELOCITY_BIN_WIDTH


def bin_velocity(velocity_bin: Any) -> Any:
    """Bin 0-31 -> the velocity in its middle, 2-126."""
    return velocity_bin * VELOCITY_BIN_WIDTH + VELOCITY_BIN_WIDTH // 2


def _whole(name: str, number: Any) -> int:
    try:
        return index(number)
    except TypeError:
        raise PerformanceError(f"{name} must be a whole number, not {number!r}") from None


def transpose(performance: Performance, semitones: int) -> Performance:
    """All pitches moved by `semitones`.

    Raises:
        PerformanceError: a pitch would leave 0-127.
    """
    semitones = _whole("semitones", semitones)
    notes = performance.notes
    if not len(notes):
        return performance
    if not 0 <= int(notes["pitch"].min()) + semitones <= int(notes["pitch"].max()) + semitones <= 127:
        raise PerformanceError(f"transposing by {semitones} semitones takes a pitch outside 0-127; choose a smaller interval")
    pitch = notes["pitch"].astype(np.int64) + semitones
    return Performance(pack_notes(notes["onset_ms"], notes["offset_ms"], pitch, notes["velocity"]), performance.pedals)


def stretch(performance: Performance, factor: float) -> Performance:
    """All times multiplied by `factor` (over 1 is slower), rounded to the millisecond.

    Raises:
        PerformanceError: the factor is not a positive number, or the piece would exceed 24 days.
    """
    if not 0 < factor < float("inf"):
        raise PerformanceError(f"a stretch factor must be a positive number, not {factor}")
    if performance.duration_ms * factor > MAX_MS:
        raise PerformanceError(f"stretched by {factor} the piece would last over 24 days")
    notes = performance.notes

    def scaled(ms: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        rounded: npt.NDArray[np.int64] = np.floor(ms * float(factor) + 0.5).astype(np.int64)
        return rounded

    stretched = pack_notes(scaled(notes["onset_ms"]), scaled(notes["offset_ms"]), notes["pitch"], notes["velocity"])
    return Performance(stretched, scaled(performance.pedals))


def shift(performance: Performance, by_ms: int) -> Performance:
    """All times moved by `by_ms`.

    Raises:
        PerformanceError: a time would become negative or exceed 24 days.
    """
    by_ms = _whole("by_ms", by_ms)
    notes, pedals = performance.notes, performance.pedals
    if not len(notes) and not len(pedals):
        return performance
    begin_ms = min(int(column.min()) for column in (notes["onset_ms"], pedals[:, 0]) if len(column))
    if not -begin_ms <= by_ms <= MAX_MS - performance.duration_ms:
        raise PerformanceError(f"shifting by {by_ms} ms takes a note or a pedal out of the piece, or beyond 24 days")
    return Performance(pack_notes(notes["onset_ms"] + by_ms, notes["offset_ms"] + by_ms, notes["pitch"], notes["velocity"]), pedals + by_ms)


def crop(performance: Performance, start_ms: int, end_ms: int | None = None) -> Performance:
    """The part `[start_ms, end_ms)` with `start_ms` moved to 0.

    What is held at a border is closed there and re-opened: a note that began earlier and still sounds at `start_ms` is struck anew
    at 0 with its velocity; a note that sounds on past `end_ms` ends there. So a crop has no orphan offs and no hanging notes. Only the
    key counts, not the pedal: crop `sustain(performance)` to keep what rings on at `start_ms` though its key is up.

    Raises:
        PerformanceError: `start_ms` is negative or after `end_ms`.
    """
    start_ms = _whole("start_ms", start_ms)
    stop_ms = MAX_MS if end_ms is None else min(_whole("end_ms", end_ms), MAX_MS)
    if not 0 <= start_ms <= stop_ms:
        raise PerformanceError(f"cannot crop from {start_ms} ms to {stop_ms} ms: choose 0 <= start <= end")
    if start_ms == stop_ms:  # else what is held there would leave notes without length
        return Performance()
    notes = performance.notes
    notes = notes[(notes["onset_ms"] < stop_ms) & ((notes["offset_ms"] > start_ms) | (notes["onset_ms"] >= start_ms))]
    onset_ms, offset_ms = (np.clip(notes[name], start_ms, stop_ms) - start_ms for name in ("onset_ms", "offset_ms"))
    pedals = np.clip(performance.pedals, start_ms, stop_ms) - start_ms
    return Performance(pack_notes(onset_ms, offset_ms, notes["pitch"], notes["velocity"]), pedals)


def join(performances: Iterable[Performance]) -> Performance:
    """Performances on one timeline laid over each other (no time is moved; use `shift` to put one after another)."""
    parts = list(performances)
    if not parts:
        return Performance()
    return Performance(np.concatenate([part.notes for part in parts]), np.concatenate([part.pedals for part in parts]))
