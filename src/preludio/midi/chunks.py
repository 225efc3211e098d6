"""The bytes of a file -> its header and tracks, whatever its length fields say."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from preludio.errors import MidiError
from preludio.midi.events import Budget, Track, joined, read_track

MAX_BYTES = 16_000_000
"""Size of a file: room for `MAX_EVENTS` events of seven bytes. The 200 hours of MAESTRO are 75 MB; its longest file is 0.4 MB."""

MAX_CHUNKS = 1_000
"""Tracks and unknown chunks of a file: an orchestral score has about a hundred."""

MAX_BEFORE = 1_024
"""Bytes before the header that are passed over: MacBinary has 128."""

MAX_RESUMED = 100
"""Ends of track in the middle of a track, after which it is read on. Real files have one."""

_CHUNK_HEADER = 8  # a type of four letters and a length of four bytes (SMF, "Chunks")
_FRAME_TEMPO = {  # frames a second of an SMPTE division -> (whole frames, microseconds that so many frames last)
    24: (24, 1_000_000),
    25: (25, 1_000_000),
    29: (30, 1_001_000),  # 29.97, the drop-frame rate of NTSC: 30 frames in 1.001 s
    30: (30, 1_000_000),
}


KINDS = {  # what `Repair.n` counts
    "offset": "bytes before the file's header",
    "labels": "wrong counts and lengths",
    "damage": "places from which a track could not be read",
    "resumed": "tracks that were read on after an end-of-track event",
    "trailing": "tracks with bytes after their end-of-track event that are no events",
    "bytes": "data bytes over 127",
    "drums": "notes of percussion that were left out",
    "muted": "notes of parts of volume 0 that were left out",
    "all_muted": "notes of a file in which every part has volume 0; they were read all the same",
    "instruments": "other instruments that were read as piano",
    "sostenuto": "times that the sostenuto pedal was pressed, which was left out",
    "soft": "times that the soft pedal was pressed, which was left out",
    "unclosed": "notes without an end",
    "doubled": "notes struck twice at once with one end, read as one",
    "pedal": "pedals that are never lifted",
    "silence": "long silences",
    "tail": "seconds after the last sound",
}

REMARKS = ("sostenuto", "soft", "pedal", "silence", "tail")
"""Kinds that are no fault of the file."""


class Repair(NamedTuple):
    """Something that was wrong, that had to be guessed, or that a piano does not play."""

    kind: str  # one of `KINDS`
    n: int  # so many of them
    text: str  # one phrase
    names: tuple[str, ...] = ()  # of the instruments, for kind "instruments"


@dataclass
class MidiFile:
    """What stands in a file, before notes are paired."""

    format: int  # 0 one track, 1 simultaneous tracks, 2 independent patterns
    division: int  # ticks per quarter note
    tempo: int | None  # microseconds per `division` ticks where the ticks are parts of a second (SMPTE): tempo events do not count
    tracks: list[Track] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)

    def repaired(self, kind: str, text: str, n: int = 1, names: tuple[str, ...] = ()) -> None:
        self.repairs.append(Repair(kind, n, text, names))


def parse(data: bytes) -> MidiFile:
    """Takes a Standard MIDI File apart, RIFF-MIDI too, and repairs what can be repaired.

    Raises:
        MidiError: it is no MIDI file, it has no track, or it goes beyond a limit.
    """
    if not data:
        raise MidiError("the file is empty; export it again")
    if len(data) > MAX_BYTES:
        raise MidiError(f"larger than {MAX_BYTES // 1_000_000} MB; no piano piece is: split the file")
    data, n_before = _from_header(_unwrapped(data))
    if len(data) < 14:
        raise MidiError("cut off inside its header; get the file again")
    file = _header(data)
    if n_before:
        file.repaired("offset", f"its header begins after {n_before:,} other byte{'s' * (n_before != 1)}", n_before)
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


def _from_header(data: bytes) -> tuple[bytes, int]:
    """From the header on, and how many bytes came before: a MacBinary header, a blank line, a mail's lines."""
    start = data.find(b"MThd", 0, MAX_BEFORE + 4)
    while start > 0 and data[start + 4 : start + 7] != b"\0\0\0":  # the letters alone may stand in any text
        start = data.find(b"MThd", start + 1, MAX_BEFORE + 4)
    if start < 0:
        raise MidiError("not a Standard MIDI File (there is no MThd at its beginning); choose a .mid file")
    return data[start:], start


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

    The end-of-track event ends a track, unless the chunk's length says that more follows and that can be read. The length only bounds
    the reading, and only if a chunk or the end of the file follows.
    """
    data: bytes = view.obj  # type: ignore[assignment]
    believable = said_end == len(data) or _is_chunk(data, said_end)
    following = data.find(b"MTrk", start) if not believable else said_end
    chunk = view[start : following if following >= 0 else len(data)]
    track = read_track(chunk, budget)
    if believable and not track.fault and track.size < len(chunk) and bytes(chunk[track.size : track.size + 4]) != b"MTrk":
        track = _read_on(chunk, track, budget, file)
    file.tracks.append(track)
    end = start + track.size
    if track.fault:
        file.repaired("damage", f"track {len(file.tracks)} {track.fault} at byte {end}: what came before is kept")
        return following
    if end != said_end and (not believable or data[end : end + 4] == b"MTrk"):
        file.repaired("labels", f"the length of track {len(file.tracks)} is wrong")
        return data.find(b"MTrk", end)
    return following


def _read_on(chunk: memoryview, track: Track, budget: Budget, file: MidiFile) -> Track:
    """The whole track, where events follow an end-of-track event; `track` with another size where what follows is no row of events."""
    parts = [track]
    while parts[-1].size < len(chunk):
        done = parts[-1]
        more = read_track(chunk[done.size :], budget)
        if not more.whole or len(parts) > MAX_RESUMED:
            file.repaired("trailing", f"track {len(file.tracks) + 1} has {len(chunk) - track.size:,} bytes after its end, left out")
            return replace(track, size=len(chunk))
        parts.append(_after(done, more))
    file.repaired("resumed", f"track {len(file.tracks) + 1} was read on after an end-of-track event in its middle")
    tempos = [tempo for part in parts for tempo in part.tempos]
    clipped = sum(part.clipped for part in parts)
    return replace(parts[-1], events=joined([part.events for part in parts]), tempos=tempos, fault="", clipped=clipped)


def _after(done: Track, more: Track) -> Track:
    """`more` in the time and at the place of what was read before it."""
    events = more.events._replace(tick=more.events.tick + done.end_tick)
    tempos = [(tick + done.end_tick, tempo) for tick, tempo in more.tempos]
    return replace(more, events=events, tempos=tempos, end_tick=more.end_tick + done.end_tick, size=more.size + done.size)


def _is_chunk(data: bytes, position: int) -> bool:
    """Whether a chunk may begin here: a track, or four letters and a length that fits."""
    kind = data[position : position + 4]
    if kind == b"MTrk":
        return True
    length = int.from_bytes(data[position + 4 : position + 8])
    return len(kind) == 4 and kind.isalnum() and position + _CHUNK_HEADER + length <= len(data)
