"""Tracks -> notes and pedal in milliseconds."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.errors import MidiError, PerformanceError, PreludioWarning
from preludio.midi.chunks import MAX_BYTES, MidiFile, Repair, parse
from preludio.midi.events import CONTROL, NOTE_ON, Events, Track, joined
from preludio.midi.plain import Bytes, Ticks
from preludio.performance import MAX_MS, Performance, join, pack_notes, shift

DRUMS = 9  # channel 10 counted from 1: General MIDI's percussion
PEDAL_DOWN = 64  # CC64: 0-63 is up, 64-127 is down (MIDI 1.0, "Controller Numbers")
DEFAULT_TEMPO = 500_000  # microseconds per quarter note before the first tempo event (SMF, "Set Tempo")

Source = bytes | bytearray | memoryview | str | os.PathLike[str]
"""A file's bytes, or a path to it."""

_EXPORT = "export it again as a Standard MIDI File"


class _Notes(NamedTuple):
    """Notes of one track in ticks, in the order in which they begin; columns of equal length."""

    onset: Ticks
    offset: Ticks
    pitch: Bytes
    velocity: Bytes


def read_midi(source: Source, name: str | None = None) -> Performance:
    """The piano performance in a Standard MIDI File: its bytes, or a path to it. RIFF-MIDI and SMPTE division are read too.

    All channels but 10 (drums) are one piano. Each note ends at the next unused note-off of its key in its track and channel: the
    earliest strike of a key ends first, so overlapping equal pitches and notes without length stay as they are. The sustain pedal
    (CC64, 64 and over is down) acts on the whole piano: it is down while any channel holds it down, and one still down at the end goes
    up with the last event. Other controllers and programs are left out. Times are exact integers from absolute ticks and every tempo
    event of the file, rounded half up to milliseconds once. The patterns of format 2, each with its own tempos, follow one another, the
    next beginning at the end-of-track of the last. A file without notes gives an empty performance.

    Args:
        name: what errors and warnings call the file; its path, or "MIDI data", if not given.

    Warns:
        PreludioWarning: something was repaired or left out, one line for the file: channel 10; notes that never end (closed at the end of
            their track); tracks that are cut off or damaged (what came before is kept); wrong lengths and counts; data bytes over 127
            (taken as 127).

    Raises:
        MidiError: the file cannot be read, is no MIDI file, or goes beyond a limit: `MAX_BYTES`, `MAX_CHUNKS`, `MAX_EVENTS`,
            `MAX_ODD_EVENTS`, 24 days; or its tempo or division is 0.
    """
    performance, repairs = read_and_repair(source, name)
    if repairs:
        warnings.warn(PreludioWarning("; ".join(_shortened(repairs)), name or _name_of(source)), stacklevel=2)
    return performance


def read_and_repair(source: Source, name: str | None = None) -> tuple[Performance, list[Repair]]:
    """As `read_midi`, with a list of what was repaired or left out instead of a warning."""
    try:
        file = parse(_bytes_of(Path(source)) if isinstance(source, str | os.PathLike) else bytes(source))
        performance = _patterns(file) if file.format == 2 else _simultaneous(file.tracks, file)
    except MidiError as error:
        raise MidiError(error.reason, name or _name_of(source)) from None
    except PerformanceError as error:  # the last notes begin in the last instants of the 24 days
        raise MidiError(f"{error}; {_EXPORT}", name or _name_of(source)) from None
    return performance, file.repairs


def _name_of(source: Source) -> str:
    return str(os.fspath(source)) if isinstance(source, str | os.PathLike) else "MIDI data"


def _bytes_of(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise MidiError("a folder; choose a .mid file in it")
        if path.exists() and not path.is_file():  # reading a pipe would wait for its writer, for ever if there is none
            raise MidiError("not a file; choose a .mid file")
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise MidiError("no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise MidiError(f"cannot be read ({getattr(error, 'strerror', None) or error}); check the path and its permissions") from None


def _shortened(repairs: Sequence[Repair], most: int = 5) -> list[str]:
    return [*(repair.text for repair in repairs[:most]), *([f"and {len(repairs) - most} more"] if len(repairs) > most else [])]


def _patterns(file: MidiFile) -> Performance:
    """The patterns of format 2 one after another: each start is rounded by itself, from the exact sum of the lengths before."""
    parts, start = [], 0
    for track in file.tracks:
        start_ms = _rounded_ms(start, file)
        part = _simultaneous([track], file)
        if start_ms + part.duration_ms > MAX_MS:
            raise MidiError(f"it lasts over 24 days; {_EXPORT}")
        parts.append(shift(part, start_ms))
        start += int(_times(np.array([track.end_tick]), track.tempos, file)[0])
    return join(parts)


def _simultaneous(tracks: Sequence[Track], file: MidiFile) -> Performance:
    """What tracks play that begin together; tempos count for all of them, whatever track they are in."""
    clipped = sum(track.clipped for track in tracks)
    if clipped:
        file.repaired("bytes", f"{_count(clipped, 'data byte')} over 127 taken as 127", clipped)
    piano = _without_drums(tracks, file)
    paired = [_paired(events, track.end_tick) for track, events in zip(tracks, piano, strict=True)]
    n_unclosed = sum(unclosed for _, unclosed in paired)
    if n_unclosed:
        file.repaired("unclosed", f"{_count(n_unclosed, 'note')} without an end, closed at the end of the track", n_unclosed)
    onset, offset, pitch, velocity = (np.concatenate(column) for column in zip(*(notes for notes, _ in paired), strict=True))
    events = joined(piano)
    pedal = _pedal(events, max(int(events.tick.max(initial=0)), int(offset.max(initial=0))))
    times = _times(np.concatenate([onset, offset, pedal.ravel()]), [tempo for track in tracks for tempo in track.tempos], file)
    onset_ms, offset_ms, pedal_ms = np.split(_rounded_ms(times, file), [len(onset), 2 * len(onset)])
    return Performance(pack_notes(onset_ms, offset_ms, pitch, velocity), pedal_ms.reshape(-1, 2))


def _without_drums(tracks: Sequence[Track], file: MidiFile) -> list[Events]:
    piano, n_drums = [], 0
    for events in (track.events for track in tracks):
        drums = events.status & 15 == DRUMS
        n_drums += int(np.count_nonzero(drums & (events.status >> 4 == NOTE_ON >> 4)))
        piano.append(events.at(~drums) if drums.any() else events)
    if n_drums:
        file.repaired("drums", f"{_count(n_drums, 'note')} on channel 10 (drums) left out", n_drums)
    return piano


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _paired(events: Events, end_tick: int) -> tuple[_Notes, int]:
    """Note-ons with their note-offs, first in first out on each key of each channel; and how many had none, closed at `end_tick`."""
    events = events.at(np.flatnonzero(events.status < CONTROL))
    key = (events.status & 15).astype(np.uint16) << 7 | events.key  # 16 bits: NumPy sorts them by radix
    order = np.argsort(key, kind="stable")
    is_on, key = events.status[order] >= NOTE_ON, key[order]
    ons, offs = _by_turns(is_on, key) or _first_in_first_out(is_on, key.astype(np.int64))
    ends = np.full(len(order), end_tick)
    ends[order[ons]] = events.tick[order[offs]]
    strikes = np.flatnonzero(events.status >= NOTE_ON)
    notes = _Notes(events.tick[strikes], ends[strikes], events.key[strikes], events.value[strikes])
    return notes, len(strikes) - len(ons)


_Places = npt.NDArray[np.intp]


def _by_turns(is_on: npt.NDArray[np.bool_], key: npt.NDArray[Any]) -> tuple[_Places, _Places] | None:
    """As `_first_in_first_out`, for the plainest music: every key is struck and released by turns. None for any other."""
    if len(key) % 2 or not is_on[::2].all() or is_on[1::2].any() or (key[::2] != key[1::2]).any():
        return None
    return np.arange(0, len(key), 2), np.arange(1, len(key), 2)


def _first_in_first_out(is_on: npt.NDArray[np.bool_], key: npt.NDArray[np.int64]) -> tuple[_Places, _Places]:
    """The places of the note-ons that end and, beside each, of the note-off that ends it (`key` is sorted)."""
    ons, offs = np.flatnonzero(is_on), np.flatnonzero(~is_on & ~_orphans(is_on, key))
    off_key = key[offs]
    rank = np.arange(len(offs)) - _begins(off_key)[off_key]  # the j-th note-off of a key that ends something ends its j-th note-on
    return ons[_begins(key[ons])[off_key] + rank], offs


def _begins(key: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where each of the 2,048 keys begins in the sorted `key`."""
    counts = np.bincount(key, minlength=2048)
    return np.cumsum(counts) - counts


def _orphans(is_on: npt.NDArray[np.bool_], key: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which note-offs find no sounding note of their key (`key` is sorted).

    The balance of ons and offs of a key reaches a new lowest value below 0 at just these.
    """
    n = len(key)
    balance = np.cumsum(np.where(is_on, 1, -1))
    first = _begins(key)[key]
    balance = balance - np.where(first > 0, balance[first - 1], 0)
    below = np.minimum(balance, 0) - 2 * (n + 1) * key  # each key far below the one before: one running minimum serves all
    lowest_before = np.minimum.accumulate(below)[:-1]
    starts = first[1:] == np.arange(1, n)
    lowest_before = np.where(starts, -2 * (n + 1) * key[1:], lowest_before)
    return np.concatenate([balance[:1] < 0, below[1:] < lowest_before])


def _pedal(events: Events, end_tick: int) -> Ticks:
    """(n, 2) ticks at which a channel's pedal goes down and up; what is still down goes up at `end_tick`."""
    events = events.at(np.flatnonzero(events.status >= CONTROL))
    if (events.tick[1:] < events.tick[:-1]).any():  # of several tracks; at one tick, in the order of the file
        events = events.at(np.argsort(events.tick, kind="stable"))
    statuses = np.flatnonzero(np.bincount(events.status))
    moves = [_moves(events.at(events.status == status) if len(statuses) > 1 else events, end_tick) for status in statuses]
    return np.concatenate([np.empty((0, 2), np.int64), *moves])


def _moves(events: Events, end_tick: int) -> Ticks:
    """The same of one channel's pedal events."""
    down = events.value >= PEDAL_DOWN
    moves = events.tick[down != np.concatenate([[False], down[:-1]])]  # down, up, down, up ...
    return np.append(moves, np.full(len(moves) % 2, end_tick)).reshape(-1, 2)


def _rounded_ms(time: Any, file: MidiFile) -> Any:
    """Times as `_times` counts them -> milliseconds, half up."""
    unit = 1000 * file.division
    return (time + unit // 2) // unit


def _times(tick: Ticks, tempos: Sequence[tuple[int, int]], file: MidiFile) -> npt.NDArray[np.int64]:
    """Ticks -> exact times, counted in 1 / `division` microseconds: a tick lasts as many of them as its quarter note microseconds."""
    if file.tempo is not None:
        tempos = [(0, file.tempo)]
    elif not all(tempo for _, tempo in tempos):
        raise MidiError(f"a tempo of 0 microseconds per quarter note, so it has no time; {_EXPORT}")
    starts, tempo = np.array([(0, DEFAULT_TEMPO), *sorted(tempos, key=lambda pair: pair[0])], dtype=np.int64).T
    last = int(tick.max(initial=0))
    holds = (starts <= last) & (starts != np.append(starts[1:], -1))  # of several tempos at one tick the last
    starts, tempo = starts[holds], tempo[holds]
    if _elapsed(np.array([last]), starts.astype(np.float64), tempo.astype(np.float64))[0] > MAX_MS * 1000.0 * file.division:
        raise MidiError(f"it lasts over 24 days; {_EXPORT}")
    return _elapsed(tick, starts, tempo)


def _elapsed(tick: Ticks, starts: npt.NDArray[Any], tempo: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The sum of ticks times tempo up to each tick."""
    before = np.concatenate([[0], np.cumsum(np.diff(starts) * tempo[:-1])])
    segment = np.searchsorted(starts, tick, side="right") - 1 if len(starts) > 1 else 0
    elapsed: npt.NDArray[Any] = before[segment] + (tick - starts[segment]) * tempo[segment]
    return elapsed
