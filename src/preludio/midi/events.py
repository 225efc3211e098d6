"""The bytes of one track -> its note and pedal events with absolute ticks, and its tempos.

An event is `delta [status] data` (SMF, "MTrk chunks"): a delta time of one to four bytes, a status byte unless it is the last one
again (running status), one or two data bytes below 128. Nearly all bytes of a real file are such *regular* events: a regular
expression cuts them apart and NumPy decodes them, thousands at a time. What the expression stops at is an *odd* event (meta,
system exclusive, a data byte over 127, damage), read alone in plain Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from preludio.errors import MidiError

Ticks = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

MAX_EVENTS = 2_000_000
"""Note and pedal events of a file: MAESTRO, with its dense pedalling, reaches that in over 17 hours. Bounds the memory."""

MAX_ODD_EVENTS = 100_000
"""Meta, system and faulty events of a file: they cost microseconds each. Scores with a lyric on every note have some thousands."""

NOTE_OFF, NOTE_ON, CONTROL, SUSTAIN = 0x80, 0x90, 0xB0, 64
META, TEMPO, END_OF_TRACK = 0xFF, 0x51, 0x2F
SYSTEM_DATA = {0xF1: 1, 0xF2: 2, 0xF3: 1}  # data bytes of system messages; they do not belong in a file, so they are passed over

_DELTA = rb"[\x80-\xff]{0,3}[\x00-\x7f]"
_STATUS_1, _STATUS_2 = rb"[\xc0-\xdf]", rb"[\x80-\xbf\xe0-\xef]"  # program and channel pressure have one data byte, the others two
_DATA = rb"[\x00-\x7f]"
_REST = rb"|(?s:.)+"  # swallows at once what follows the last regular event, outside the group: findall gives it as b""
_REGULAR = {  # by how many data bytes an event without status has
    1: re.compile(rb"(" + _DELTA + _STATUS_1 + rb"?" + _DATA + rb")" + _REST),
    # A one-byte message is taken here only if the next event has a status of its own, so that the running status stays one of two bytes.
    2: re.compile(
        rb"(" + _DELTA + rb"(?:" + _STATUS_2 + rb"?" + _DATA + _DATA
        + rb"|" + _STATUS_1 + _DATA + rb"(?=" + _DELTA + rb"[\x80-\xff])))" + _REST
    ),
}  # fmt: skip
_BLOCK = 1 << 16  # bytes cut apart at a time: bounds the memory of the pieces
_ONE_DATA_BYTE = 0x80  # set in the noted length of events that may have one data byte without a status: their bytes do not show it
_NOTED_ONE = bytes(length | _ONE_DATA_BYTE for length in range(256))  # a table for bytes.translate


@dataclass
class Budget:
    """What the tracks of one file may still cost."""

    events: int = MAX_EVENTS
    odd_events: int = MAX_ODD_EVENTS

    def spend(self, events: int = 0, odd_events: int = 0) -> None:
        self.events -= events
        self.odd_events -= odd_events
        if self.events < 0:
            raise MidiError(f"more than {MAX_EVENTS:,} note and pedal events; split the file")
        if self.odd_events < 0:
            raise MidiError(f"more than {MAX_ODD_EVENTS:,} texts, tempos and faulty events; export it again without them")


@dataclass
class Track:
    """What a track holds of a piano piece, in the order of the file."""

    tick: Ticks  # (n_events,), from the track's beginning, never falling
    message: Bytes  # (n_events, 3): status, pitch or 64, velocity or value; a note-on of velocity 0 has become a note-off
    tempos: list[tuple[int, int]]  # (tick, microseconds per quarter note)
    end_tick: int  # of the end-of-track event, or of the last readable one
    size: int  # bytes read
    fault: str  # why reading stopped, empty at a proper end of track
    clipped: int  # data bytes that were over 127


class _DamageError(Exception):
    """The bytes make no sense from here on."""


def read_track(chunk: memoryview, budget: Budget) -> Track:
    """The track at the beginning of `chunk`, up to its end-of-track event, or as far as it can be read.

    Running status goes on after meta and system events: the specification ends it there, but files in the wild rely on it.
    Data bytes over 127 become 127.

    Raises:
        MidiError: the budget is exceeded.
    """
    reader = _TrackReader(chunk, budget)
    fault = ""
    try:
        while not reader.ended:
            if not reader.take_regular():
                reader.take_odd()
    except _DamageError as damage:
        fault = str(damage)
    except IndexError:
        fault = "is cut off"
    reader.decode()
    tick, message = np.concatenate(reader.ticks), np.concatenate(reader.messages)
    return Track(tick, message, reader.tempos, reader.tick, reader.position, fault, reader.clipped)


@dataclass
class _TrackReader:
    chunk: memoryview
    budget: Budget
    position: int = 0
    ended: bool = False
    clipped: int = 0
    tempos: list[tuple[int, int]] = field(default_factory=list)
    tick: int = 0  # of the last decoded event
    ticks: list[Ticks] = field(default_factory=lambda: [np.empty(0, np.int64)])
    messages: list[Bytes] = field(default_factory=lambda: [np.empty((0, 3), np.uint8)])
    _data_bytes: int = 0  # of an event without status; 0: there was no status yet
    _status: int = 0  # running status after the last decoded event
    _events: bytearray = field(default_factory=bytearray)  # not yet decoded, one after another
    _lengths: bytearray = field(default_factory=bytearray)  # the length of each, with the bit _ONE_DATA_BYTE
    _new_tempos: list[tuple[int, int]] = field(default_factory=list)  # (place in _lengths, microseconds per quarter note)

    def take_regular(self) -> bool:
        """Takes all regular events from here on, at most a block; False if there is none."""
        if not self._data_bytes:
            return False
        events: list[bytes] = _REGULAR[self._data_bytes].findall(self.chunk, self.position, self.position + _BLOCK)
        if events and not events[-1]:
            events.pop()
        if not events:
            return False
        lengths = bytes(map(len, events))
        start, self.position = self.position, self.position + int(np.frombuffer(lengths, dtype=np.uint8).sum())
        self._events += self.chunk[start : self.position]
        self._lengths += lengths if self._data_bytes == 2 else lengths.translate(_NOTED_ONE)
        self._data_bytes = 1 if self._data_bytes == 1 or events[-1][-2] > 127 else 2
        if len(self._lengths) > _BLOCK:
            self.decode()
        return True

    def take_odd(self) -> None:
        """Takes one event of any kind."""
        self.budget.spend(odd_events=1)
        start = self.position
        self._quantity()
        delta = bytes(self.chunk[start : self.position])
        status = self.chunk[self.position]
        if status >= 0xF0:
            self.position += 1
            self._take_system(status)
            self._append(delta + b"\0", one_data_byte=True)  # a stand-in: only the delta time matters
            return
        if status >= 0x80:
            self.position += 1
            delta += bytes([status])
            self._data_bytes = 1 if 0xC0 <= status < 0xE0 else 2
        if not self._data_bytes:
            raise _DamageError("begins with data that belong to no message")
        data = self._bytes(self._data_bytes)
        self.clipped += sum(byte > 127 for byte in data)
        self._append(delta + bytes(min(byte, 127) for byte in data), one_data_byte=self._data_bytes == 1)

    def _append(self, event: bytes, one_data_byte: bool) -> None:
        self._events += event
        self._lengths.append(len(event) | one_data_byte * _ONE_DATA_BYTE)

    def _take_system(self, status: int) -> None:
        kind = self._bytes(1)[0] if status == META else 0
        has_length = status in (META, 0xF0, 0xF7)
        data = self._bytes(self._quantity() if has_length else SYSTEM_DATA.get(status, 0))
        if status == META and kind == END_OF_TRACK:
            self.ended = True
        elif status == META and kind == TEMPO and len(data) >= 3:
            self._new_tempos.append((len(self._lengths), int.from_bytes(data[:3])))

    def _bytes(self, n: int) -> bytes:
        if self.position + n > len(self.chunk):
            raise IndexError
        self.position += n
        return bytes(self.chunk[self.position - n : self.position])

    def _quantity(self) -> int:
        """A variable-length quantity: seven bits a byte, four bytes at most."""
        value = 0
        for _ in range(4):
            byte = self.chunk[self.position]
            self.position += 1
            value = value << 7 | byte & 127
            if byte < 128:
                return value
        raise _DamageError("has a number of more than four bytes")

    def decode(self) -> None:
        """Moves the events that were cut apart into `ticks`, `messages` and `tempos`."""
        if not self._events:
            return
        raw = np.frombuffer(self._events, dtype=np.uint8)
        noted = np.frombuffer(self._lengths, dtype=np.uint8)
        length = (noted & ~np.uint8(_ONE_DATA_BYTE)).astype(np.int64)
        end = np.cumsum(length)
        third_last, second_last, last = raw[end - 3], raw[end - 2], raw[end - 1]  # of an event of two bytes the first means nothing
        one_data_byte = (second_last > 127) | (noted >= _ONE_DATA_BYTE)
        own_status = np.where(one_data_byte, second_last, third_last)  # under 128: none, it is the last byte of the delta time
        delta_length = length - 2 + one_data_byte - (own_status > 127)
        tick = self.tick + np.cumsum(_deltas(raw, end - length, delta_length))
        status = _running(own_status, self._status)
        is_note = (status >= NOTE_OFF) & (status < NOTE_ON + 16)
        is_sustain = (status >= CONTROL) & (status < CONTROL + 16) & (second_last == SUSTAIN)
        kept = (is_note | is_sustain) & ~one_data_byte
        message = np.stack([status[kept], second_last[kept], last[kept]], axis=1)
        message[(message[:, 0] >= NOTE_ON) & (message[:, 0] < NOTE_ON + 16) & (message[:, 2] == 0), 0] ^= NOTE_ON ^ NOTE_OFF
        self.budget.spend(events=len(message))
        self.ticks.append(tick[kept])
        self.messages.append(message)
        self.tempos += [(int(tick[place]), tempo) for place, tempo in self._new_tempos]
        self.tick, self._status = int(tick[-1]), int(status[-1])
        self._events, self._lengths, self._new_tempos = bytearray(), bytearray(), []


def _deltas(raw: Bytes, start: npt.NDArray[np.int64], length: npt.NDArray[np.int64]) -> Ticks:
    delta = (raw[start] & 127).astype(np.int64)
    for place in range(1, 4):
        longer = np.flatnonzero(length > place)
        if not len(longer):
            break
        delta[longer] = delta[longer] << 7 | raw[start[longer] + place] & 127
    return delta


def _running(own_status: Bytes, before: int) -> Bytes:
    """The status in force at each event: its own, or the last one."""
    place = np.maximum.accumulate(np.where(own_status > 127, np.arange(len(own_status)), -1))
    return np.where(place < 0, np.uint8(before), own_status[place])
