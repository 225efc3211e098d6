"""A `Performance` -> the bytes of a Standard MIDI File, so that reading them gives it back."""

from __future__ import annotations

import os
from bisect import bisect_left

import numpy as np
import numpy.typing as npt

from preludio.errors import MidiError
from preludio.files import write_atomically
from preludio.midi.channels import DRUMS
from preludio.midi.chunks import MAX_CHUNKS
from preludio.midi.events import CONTROL, MAX_EVENTS, NOTE_OFF, NOTE_ON, SUSTAIN
from preludio.performance import Notes, Pedals, Performance

_TICKS_PER_QUARTER = 500  # at 500,000 microseconds per quarter note (120 bpm) a tick is one millisecond
_TEMPO = b"\0\xff\x51\x03\x07\xa1\x20"
_METER = b"\0\xff\x58\x04\x04\x02\x18\x08"  # 4/4, a click every 24 MIDI clocks, 8 thirty-seconds in a quarter
_NAME = b"\0\xff\x03\x05Piano"
_END_OF_TRACK = b"\0\xff\x2f\0"
_PROGRAM = 0xC0
_GRAND_PIANO = 0  # General MIDI program 1
_RELEASE = 64  # the velocity of a note-off from a keyboard that senses none (MIDI 1.0, "Note-Off")
_LONGEST_DELTA = (1 << 28) - 1  # what four bytes hold: three days
_NOTHING = b"\xff\x01\0"  # an empty text, to carry a longer delta time

_CHANNELS = [channel for channel in range(16) if channel != DRUMS]

_Events = npt.NDArray[np.int64]  # (n, 6): ms, rank at one ms, place among equals, status, data, data


def write_midi(performance: Performance, path: str | os.PathLike[str] | None = None) -> bytes:
    """The performance as a Standard MIDI File, one tick a millisecond; written to `path` too, if given, whole or not at all.

    `read_midi(write_midi(p)) == p`, for overlapping equal pitches too: a note that lies inside another one of its key would be paired
    wrongly by any reader, so it goes to the next channel (and the 16th such layer to the next track). A piece without such notes is one
    track on channel 1 (format 0). Each channel in use gets the grand piano and the pedal. Equal performances give equal bytes.

    Raises:
        MidiError: over `MAX_EVENTS` events, or over 15,000 notes of one key each inside the next, which `read_midi` would refuse.
        OutputError: the file cannot be written; what stood at `path` before still does.
    """
    layer = _layers(performance.notes)
    n_layers = int(layer.max(initial=0)) + 1
    if 2 * len(performance.notes) + 2 * len(performance.pedals) * n_layers > MAX_EVENTS:
        raise MidiError(f"the performance needs more than {MAX_EVENTS:,} note and pedal events; write it in parts")
    n_tracks = -(-n_layers // len(_CHANNELS))
    if n_tracks > MAX_CHUNKS:
        raise MidiError(f"over {MAX_CHUNKS * len(_CHANNELS):,} notes of one key lie inside one another; write it in parts")
    tracks = [_track(performance, layer, first) for first in range(0, n_layers, len(_CHANNELS))]
    header = [int(n_tracks > 1), n_tracks, _TICKS_PER_QUARTER]
    data = _chunk(b"MThd", np.array(header, dtype=">u2").tobytes()) + b"".join(_chunk(b"MTrk", track) for track in tracks)
    if path is not None:
        write_atomically(path, data)
    return data


def _layers(notes: Notes) -> npt.NDArray[np.int64]:
    """For each note the lowest layer where the notes of its key end in the order in which they begin: 0 for nearly all music."""
    by_pitch = np.argsort(notes["pitch"], kind="stable")
    pitch, offset_ms = notes["pitch"][by_pitch], notes["offset_ms"][by_pitch]
    layer = np.zeros(len(notes), dtype=np.int64)
    inside = (offset_ms[1:] < offset_ms[:-1]) & (pitch[1:] == pitch[:-1])
    for number in np.unique(pitch[1:][inside]):
        last_ends: list[int] = []  # by layer, negated: rising, since each note takes the lowest layer that is free of later ends
        of_pitch = by_pitch[pitch == number]
        for place, end in zip(of_pitch.tolist(), notes["offset_ms"][of_pitch].tolist(), strict=True):
            layer[place] = bisect_left(last_ends, -end)
            last_ends[layer[place] : layer[place] + 1] = [-end]
    return layer


def _track(performance: Performance, layer: npt.NDArray[np.int64], first: int) -> bytes:
    """The track of the layers from `first` on, as many as there are channels."""
    here = (layer >= first) & (layer < first + len(_CHANNELS))
    channel = np.array(_CHANNELS)[layer[here] - first]
    in_use = _CHANNELS[: len(np.unique(channel)) or 1]
    head = [_TEMPO, _METER] if first == 0 else []
    pieces = [*head, _NAME, *(bytes([0, _PROGRAM | channel, _GRAND_PIANO]) for channel in in_use)]
    now = 0
    for ms, _, _, *message in _events(performance.notes[here], channel, performance.pedals, in_use).tolist():
        delta = ms - now
        while delta > _LONGEST_DELTA:
            pieces.append(_quantity(_LONGEST_DELTA) + _NOTHING)
            delta -= _LONGEST_DELTA
        pieces.append(_quantity(delta) + bytes(message))
        now = ms
    return b"".join([*pieces, _END_OF_TRACK])


def _events(notes: Notes, channel: npt.NDArray[np.int64], pedals: Pedals, in_use: list[int]) -> _Events:
    """Sorted by time. At one instant note-offs come first, then the pedal, up before down, then notes without length, whole, then ons."""
    pitch, velocity = notes["pitch"], notes["velocity"]
    place = np.arange(len(notes))
    brief = notes["onset_ms"] == notes["offset_ms"]
    on = _columns(notes["onset_ms"], np.where(brief, 2, 3), 2 * place, NOTE_ON | channel, pitch, velocity)
    off = _columns(notes["offset_ms"], np.where(brief, 2, 0), 2 * place + 1, NOTE_OFF | channel, pitch, _RELEASE)
    downs = [_columns(pedals[:, 0], 1, 1, CONTROL | number, SUSTAIN, 127) for number in in_use]
    ups = [_columns(pedals[:, 1], 1, 0, CONTROL | number, SUSTAIN, 0) for number in in_use]
    events = np.concatenate([on, off, *downs, *ups])
    return events[np.lexsort((events[:, 2], events[:, 1], events[:, 0]))]


def _columns(*columns: npt.ArrayLike) -> _Events:
    return np.stack(np.broadcast_arrays(*columns), axis=1).astype(np.int64)


def _quantity(value: int) -> bytes:
    """A variable-length quantity (SMF, "Conventions"): seven bits a byte, the most significant first, bit 7 set on all but the last."""
    pieces = [value & 127]
    while value := value >> 7:
        pieces.append(value & 127 | 128)
    return bytes(reversed(pieces))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + len(content).to_bytes(4) + content
