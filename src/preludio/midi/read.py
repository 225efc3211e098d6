"""Tracks -> notes and pedal in milliseconds."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.errors import MidiError, PerformanceError, PreludioWarning, RemarkWarning
from preludio.midi.channels import (
    PedalTicks,
    controls_of,
    count,
    pedal,
    report_instruments,
    report_other_pedals,
    silenced_at,
    without_muted,
    without_percussion,
)
from preludio.midi.chunks import MAX_BYTES, REMARKS, MidiFile, Repair, parse
from preludio.midi.events import MidiEvents, Track
from preludio.midi.pairing import Notes, pair_notes
from preludio.midi.plain import Ticks
from preludio.performance import MAX_MS, Performance, end_of_sound_ms, join, pack_notes, shift, sounding_until_ms

LONGEST_RING_MS = 15_000  # a note or pedal without an end lasts so long after the last event at most: no string sounds longer
LONG_SILENCE_MS = 30_000  # is said; movements lie up to 42 s apart in MAESTRO
LONG_TAIL_MS = 10_000  # after the last sound, is said
DEFAULT_TEMPO = 500_000  # microseconds per quarter note before the first tempo event (SMF, "Set Tempo")

Source = bytes | bytearray | memoryview | str | os.PathLike[str]
"""A file's bytes, or a path to it."""

_EXPORT = "export it again as a Standard MIDI File"


def read_midi(source: Source, name: str | None = None) -> Performance:
    """The piano performance in a Standard MIDI File: its bytes, or a path to it. RIFF-MIDI and SMPTE division are read too.

    All channels but 10 (drums) and those with a bank of drums are one piano, whatever their program; docs/midi.md says how each kind of
    event is read. Times are exact integers from absolute ticks and every tempo event of the file, rounded half up to milliseconds
    once. The patterns of format 2, each with its own tempos, follow one another, the next beginning at the end-of-track of the last. A
    file without notes gives an empty performance.

    Args:
        name: what errors and warnings call the file; its path, or "MIDI data", if not given.

    Warns:
        PreludioWarning: something was repaired, guessed or left out, one line for the file (`preludio.midi.KINDS` lists the kinds); a
            RemarkWarning if nothing of it is a fault of the file (`preludio.midi.REMARKS`).

    Raises:
        MidiError: the file cannot be read, is no MIDI file, or goes beyond a limit: `MAX_BYTES`, `MAX_CHUNKS`, `MAX_EVENTS`,
            `MAX_ODD_EVENTS`, 24 days; or its tempo or division is 0.
    """
    performance, repairs = read_and_repair(source, name)
    if repairs:
        category = RemarkWarning if all(repair.kind in REMARKS for repair in repairs) else PreludioWarning
        warnings.warn(category("; ".join(shortened(repairs)), name or _name_of(source)), stacklevel=2)
    return performance


def read_and_repair(source: Source, name: str | None = None) -> tuple[Performance, list[Repair]]:
    """As `read_midi`, with a list of what was repaired, guessed or left out instead of a warning."""
    try:
        file = parse(_bytes_of(Path(source)) if isinstance(source, str | os.PathLike) else bytes(source))
        performance = _patterns(file) if file.format == 2 else _simultaneous(file.tracks, file)
        _say_silences(performance, file)
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


def shortened(repairs: Sequence[Repair], most: int = 5) -> list[str]:
    """Their texts; of one kind, of which a hostile file may have thousands, the first."""
    texts = []
    for kind in dict.fromkeys(repair.kind for repair in repairs):
        alike = [repair.text for repair in repairs if repair.kind == kind]
        texts += [*alike[:most], *([f"and {len(alike) - most} more"] if len(alike) > most else [])]
    return texts


def _say_silences(performance: Performance, file: MidiFile) -> None:
    """Tells of what lasts longer than its music."""
    notes = performance.notes
    if not len(notes):
        return
    keys_up_ms = np.maximum.accumulate(np.append(0, notes["offset_ms"]))
    if (notes["onset_ms"] - keys_up_ms[:-1] > LONG_SILENCE_MS).any():  # rare: the pedal is looked at only then
        silent_ms = np.maximum.accumulate(np.append(0, sounding_until_ms(performance)))[:-1]
        waits = notes["onset_ms"] - silent_ms
        n, longest = int(np.count_nonzero(waits > LONG_SILENCE_MS)), int(waits.argmax())
        if n:
            text = f"{count(n, 'long silence')}, the longest {waits[longest] / 1000:,.1f} s, from {silent_ms[longest] / 1000:,.1f} s on"
            file.repaired("silence", text, n)
    if performance.duration_ms - keys_up_ms[-1] > LONG_TAIL_MS:
        tail_ms = performance.duration_ms - end_of_sound_ms(performance)
        if tail_ms > LONG_TAIL_MS:
            end_ms = performance.duration_ms - tail_ms
            file.repaired(
                "tail",
                f"nothing sounds after {end_ms / 1000:,.1f} s, but the pedal is lifted at {performance.duration_ms / 1000:,.1f} s",
                tail_ms // 1000,
            )


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
        file.repaired("bytes", f"{count(clipped, 'data byte')} over 127 taken as 127", clipped)
    events = [track.events for track in tracks]
    all_controls = controls_of(events)
    piano, controls = without_percussion(events, all_controls, file)
    notes = without_muted(_all_paired(piano, tracks, all_controls, file), controls, file)
    report_instruments(notes, controls, file)
    report_other_pedals(controls, file)
    pedals = pedal(controls, max(int(notes.offset.max(initial=0)), *(track.end_tick for track in tracks)))
    return _in_ms(notes, pedals, [tempo for track in tracks for tempo in track.tempos], file)


def _all_paired(piano: Sequence[MidiEvents], tracks: Sequence[Track], controls: MidiEvents, file: MidiFile) -> Notes:
    silenced = silenced_at(controls)  # of percussion too: a note may sound from before the bank of drums was chosen
    parts = [pair_notes(events, track.end_tick, silenced) for events, track in zip(piano, tracks, strict=True)]
    n_restruck, n_doubled = sum(part.n_restruck for part in parts), sum(part.n_doubled for part in parts)
    if n_restruck:
        file.repaired("unclosed", f"{count(n_restruck, 'note')} without an end, closed when the key is struck again", n_restruck)
    if n_doubled:
        file.repaired("doubled", f"{count(n_doubled, 'note')} struck twice at once with one end, read as one", n_doubled)
    return Notes(*(np.concatenate(column) for column in zip(*(part.notes for part in parts), strict=True)))


def _in_ms(notes: Notes, pedals: PedalTicks, tempos: Sequence[tuple[int, int]], file: MidiFile) -> Performance:
    """Notes and pedals in milliseconds. What has no end in the file rings to its end, but not for ever after the last event."""
    closed = [notes.onset, notes.offset[~notes.unclosed], pedals.moves[:, 0], pedals.moves[~pedals.unlifted, 1]]
    last_tick = max(int(ticks.max(initial=0)) for ticks in closed)
    times = _times(np.concatenate([notes.onset, notes.offset, pedals.moves.ravel(), [last_tick]]), tempos, file)
    onset_ms, offset_ms, pedal_ms, last_ms = np.split(_rounded_ms(times, file), np.cumsum([*[len(notes.onset)] * 2, pedals.moves.size]))
    end_ms = int(last_ms[0]) + LONGEST_RING_MS
    pedal_ms = pedal_ms.reshape(-1, 2)
    _say_endless(np.append(offset_ms[notes.unclosed], pedal_ms[pedals.unlifted, 1]) > end_ms, notes, pedals, file)
    offset_ms[notes.unclosed] = np.minimum(offset_ms[notes.unclosed], end_ms)
    pedal_ms[pedals.unlifted, 1] = np.minimum(pedal_ms[pedals.unlifted, 1], end_ms)
    return Performance(pack_notes(onset_ms, offset_ms, notes.pitch, notes.velocity), pedal_ms)


def _say_endless(beyond: npt.NDArray[np.bool_], notes: Notes, pedals: PedalTicks, file: MidiFile) -> None:
    """Of notes and pedals without an end; `beyond` says of each whether the file goes on for too long after its last event."""
    n_unclosed = int(np.count_nonzero(notes.unclosed))
    late = f"{LONGEST_RING_MS // 1000} s after the last event"
    if n_unclosed:
        where = late if beyond[:n_unclosed].any() else "at the end of the track"
        file.repaired("unclosed", f"{count(n_unclosed, 'note')} without an end, closed {where}", n_unclosed)
    if pedals.unlifted.any():
        where = late if beyond[n_unclosed:].any() else "at the end of the file"
        file.repaired("pedal", f"the pedal is never lifted, taken as lifted {where}")


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
