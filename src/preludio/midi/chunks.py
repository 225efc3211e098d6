"""The bytes of a file -> its header and tracks, whatever its length fields say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from preludio.errors import MidiError
from preludio.midi.events import Budget, Track, read_track

MAX_BYTES = 16_000_000
"""Size of a file: room for `MAX_EVENTS` events of seven bytes. The 200 hours of MAESTRO are 75 MB; its longest file is 0.4 MB."""

MAX_CHUNKS = 1_000
"""Tracks and unknown chunks of a file: an orchestral score has about a hundred."""

_CHUNK_HEADER = 8  # a type of four letters and a length of four bytes (SMF, "Chunks")
_FRAME_TEMPO = {  # frames a second of an SMPTE division -> (whole frames, microseconds that so many frames last)
    24: (24, 1_000_000),
    25: (25, 1_000_000),
    29: (30, 1_001_000),  # 29.97, the drop-frame rate of NTSC: 30 frames in 1.001 s
    30: (30, 1_000_000),
}


class Repair(NamedTuple):
    """Something that was wrong, or that a piano does not play."""

    kind: str  # "labels" (counts, lengths), "damage" (lost from there on), "bytes" (over 127), "unclosed" (notes), "drums" (left out)
    n: int  # so many of them
    text: str  # one phrase


@dataclass
class MidiFile:
    """What stands in a file, before notes are paired."""

    format: int  # 0 one track, 1 simultaneous tracks, 2 independent patterns
    division: int  # ticks per quarter note
    tempo: int | None  # microseconds per `division` ticks where the ticks are parts of a second (SMPTE): tempo events do not count
    tracks: list[Track] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)

    def repaired(self, kind: str, text: str, n: int = 1) -> None:
        self.repairs.append(Repair(kind, n, text))


def parse(data: bytes) -> MidiFile:
    """Takes a Standard MIDI File apart, RIFF-MIDI too, and repairs what can be repaired.

    Raises:
        MidiError: it is no MIDI file, it has no track, or it goes beyond a limit.
    """
    if not data:
        raise MidiError("the file is empty; export it again")
    if len(data) > MAX_BYTES:
        raise MidiError(f"larger than {MAX_BYTES // 1_000_000} MB; no piano piece is: split the file")
    data = _unwrapped(data)
    if data[:4] != b"MThd":
        raise MidiError("not a Standard MIDI File (it does not begin with MThd); choose a .mid file")
    if len(data) < 14:
        raise MidiError("cut off inside its header; get the file again")
    file = _header(data)
    _read_tracks(data, file)
    if not file.tracks:
        raise MidiError("it has no track; get the file again")
    return file


def _unwrapped(data: bytes) -> bytes:
    """RIFF-MIDI (RP-029): the `data` chunk of a RIFF file of type RMID is a Standard MIDI File."""
    if data[:4] != b"RIFF" or data[8:12] != b"RMID":
        return data
    start = data.find(b"MThd", 12)  # what stands before is a few bytes of RIFF chunks; their lengths need not be trusted
    return data[start:] if start >= 0 else b""


def _header(data: bytes) -> MidiFile:
    """SMF, "MThd chunks": length (6, or more in a later version), format, number of tracks, division."""
    kind, division = int.from_bytes(data[8:10]), int.from_bytes(data[12:14])
    tempo = None
    if division & 0x8000:
        rate = 256 - (division >> 8)  # a negative number in eight bits
        if rate not in _FRAME_TEMPO:
            raise MidiError(f"its time division is {rate} frames a second, not 24, 25, 29 or 30; export it again")
        frames, tempo = _FRAME_TEMPO[rate]
        division = frames * (division & 0xFF)
    if not division:
        raise MidiError("its time division is 0 ticks, so it has no time; export it again")
    if kind > 2:
        return MidiFile(1, division, tempo, repairs=[Repair("labels", 1, f"format {kind} is unknown and read as 1")])
    return MidiFile(kind, division, tempo)


def _read_tracks(data: bytes, file: MidiFile) -> None:
    budget, view = Budget(), memoryview(data)
    said = int.from_bytes(data[10:12])
    position = _CHUNK_HEADER + int.from_bytes(data[4:8])
    if not _is_chunk(data, position):
        position = data.find(b"MTrk", _CHUNK_HEADER)
        file.repaired("labels", "its first track is not where its header says")
    n_chunks = 0
    while 0 <= position <= len(data) - _CHUNK_HEADER:
        n_chunks += 1
        if n_chunks > MAX_CHUNKS:
            raise MidiError(f"more than {MAX_CHUNKS:,} tracks; merge them")
        end = position + _CHUNK_HEADER + int.from_bytes(data[position + 4 : position + 8])
        if data[position : position + 4] == b"MTrk":
            position = _read_track(view, position + _CHUNK_HEADER, end, budget, file)
        else:
            position = end if _is_chunk(data, end) else data.find(b"MTrk", position + 4)
    if len(file.tracks) != said:
        file.repaired("labels", f"it says {said} tracks and has {len(file.tracks)}")


def _read_track(view: memoryview, start: int, said_end: int, budget: Budget, file: MidiFile) -> int:
    """Reads one track into `file`; returns where the next chunk begins, -1 if there is none.

    The end-of-track event ends a track. The length field only bounds the reading, and only if a chunk or the end of the file follows.
    """
    data: bytes = view.obj  # type: ignore[assignment]
    believable = said_end == len(data) or _is_chunk(data, said_end)
    following = data.find(b"MTrk", start) if not believable else said_end
    track = read_track(view[start : following if following >= 0 else len(data)], budget)
    file.tracks.append(track)
    end = start + track.size
    if track.fault:
        file.repaired("damage", f"track {len(file.tracks)} {track.fault} at byte {end}: what came before is kept")
        return following
    if end != said_end and (not believable or data[end : end + 4] == b"MTrk"):
        file.repaired("labels", f"the length of track {len(file.tracks)} is wrong")
        return data.find(b"MTrk", end)
    return following


def _is_chunk(data: bytes, position: int) -> bool:
    """Whether a chunk may begin here: a track, or four letters and a length that fits."""
    kind = data[position : position + 4]
    if kind == b"MTrk":
        return True
    length = int.from_bytes(data[position + 4 : position + 8])
    return len(kind) == 4 and kind.isalnum() and position + _CHUNK_HEADER + length <= len(data)
