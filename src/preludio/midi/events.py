"""The bytes of one track -> its notes, the controllers and programs that matter to a piano, with absolute ticks, and its tempos.

An event is `delta [status] data` (SMF, "MTrk chunks"): a delta time of one to four bytes, a status byte unless it is the last one
again (running status), one or two data bytes below 128. Nearly all bytes of a real file are such *regular* events: a regular
expression cuts them apart and NumPy decodes them, thousands at a time. What the expression stops at is an *odd* event (meta,
system exclusive, a data byte over 127, damage), read alone in plain Python.

Most regular events have two data bytes, and long runs of them are cut apart by counting, many times as fast (`plain`). That is tried
first and changes nothing but the time: a `Budget` of 0 `vain_bytes` does without.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.errors import MidiError
from preludio.midi.plain import Bytes, Ticks, plain_run

MAX_EVENTS = 2_000_000
"""Notes, controllers and programs of a file: MAESTRO, with its dense pedalling, reaches that in over 17 hours. Bounds the memory."""

MAX_ODD_EVENTS = 100_000
"""Meta, system and faulty events of a file: they cost microseconds each. Scores with a lyric on every note have some thousands."""

_BLOCK = 1 << 16  # bytes cut apart at a time: bounds the memory of the pieces
_WORTHWHILE = 1_024  # bytes: fewer are cut apart sooner than NumPy's functions are called
_LONGEST = 8  # bytes of a regular event: delta time, status, two data

NOTE_OFF, NOTE_ON, CONTROL, PROGRAM = 0x80, 0x90, 0xB0, 0xC0
BANK, VOLUME, EXPRESSION, SUSTAIN, SOSTENUTO, SOFT = 0, 7, 11, 64, 66, 67  # controllers (MIDI 1.0, "Controller Numbers")
ALL_SOUND_OFF, RESET_CONTROLLERS, ALL_NOTES_OFF = 120, 121, 123
NOTES_OFF = (ALL_SOUND_OFF, *range(ALL_NOTES_OFF, 128))  # 124-127 choose omni and mono modes, and end all notes too
_KEPT_CONTROLLERS = np.isin(np.arange(256), [BANK, VOLUME, EXPRESSION, SUSTAIN, SOSTENUTO, SOFT, RESET_CONTROLLERS, *NOTES_OFF])
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
_ONE_DATA_BYTE = 0x80  # set in the noted length of events that may have one data byte without a status: their bytes do not show it
_NOTED_ONE = bytes(length | _ONE_DATA_BYTE for length in range(256))  # a table for bytes.translate
_PLACEHOLDER = b"\xff"  # no data byte: the event only carries the delta time of a meta or system event


@dataclass
class Budget:
    """What the tracks of one file may still cost."""

    events: int = MAX_EVENTS
    odd_events: int = MAX_ODD_EVENTS
    vain_bytes: int = 4 * _BLOCK  # that a search for plain events may look at and not take; each byte taken earns one more

    def spend(self, events: int = 0, odd_events: int = 0) -> None:
        self.events -= events
        self.odd_events -= odd_events
        if self.events < 0:
            raise MidiError(f"more than {MAX_EVENTS:,} notes and controllers; split the file")
        if self.odd_events < 0:
            raise MidiError(f"more than {MAX_ODD_EVENTS:,} texts, tempos and faulty events; export it again without them")


class Events(NamedTuple):
    """Notes, controllers and programs in the order of the file: columns of equal length."""

    tick: Ticks  # from the track's beginning, never falling
    status: Bytes  # a note-on of velocity 0 has become a note-off
    key: Bytes  # pitch, or number of the controller; of a program change any number
    value: Bytes  # velocity, position of the controller, or program

    def at(self, chosen: npt.NDArray[Any]) -> Events:
        return Events(*(column[chosen] for column in self))


_NO_EVENTS = Events(np.empty(0, np.int64), *(np.empty(0, np.uint8) for _ in range(3)))


@dataclass
class Track:
    """What a track holds of a piano piece."""

    events: Events
    tempos: list[tuple[int, int]]  # (tick, microseconds per quarter note)
    end_tick: int  # of the end-of-track event, or of the last readable one
    size: int  # bytes read
    fault: str  # why reading stopped, empty at a proper end of track
    whole: bool  # no event is cut off at the end
    clipped: int  # data bytes that were over 127


class _DamageError(Exception):
    """The bytes make no sense from here on."""

    def __init__(self, fault: str = "is cut off") -> None:
        super().__init__(fault)


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
    reader.decode()
    whole = not fault or reader.odd_begins == len(chunk)
    return Track(joined(reader.parts), reader.tempos, reader.tick, reader.position, fault, whole, reader.clipped)


def joined(parts: Sequence[Events]) -> Events:
    """One after another."""
    return Events(*(np.concatenate(columns) for columns in zip(_NO_EVENTS, *parts, strict=True)))


@dataclass
class _TrackReader:
    chunk: memoryview
    budget: Budget
    position: int = 0
    ended: bool = False
    clipped: int = 0
    odd_begins: int = 0  # where the last odd event began
    tempos: list[tuple[int, int]] = field(default_factory=list)
    tick: int = 0  # of the last decoded event
    parts: list[Events] = field(default_factory=list)
    _plain_until: int = -1  # where the last search for plain events ended: none follows at once
    _data_bytes: int = 0  # of an event without status; 0: there was no status yet
    _status: int = 0  # running status after the last decoded event
    _events: bytearray = field(default_factory=bytearray)  # not yet decoded, one after another
    _lengths: bytearray = field(default_factory=bytearray)  # the length of each, with the bit _ONE_DATA_BYTE
    _new_tempos: list[tuple[int, int]] = field(default_factory=list)  # (place in _lengths, microseconds per quarter note)

    def take_regular(self) -> bool:
        """Takes regular events from here on, as many as one of two ways finds; False if there is none."""
        return self._take_plain() or self._take_cut()

    def _take_plain(self) -> bool:
        """Takes all plain events from here on, if they are likely to be many; False if it took none."""
        start = self.position
        if not self._data_bytes or start == self._plain_until or not self._plain_is_likely():
            return False
        self.decode()
        while self._plain_is_likely() and self._take_plain_block():
            pass
        self._plain_until = self.position
        return self.position > start

    def _plain_is_likely(self) -> bool:
        return self.budget.vain_bytes > 0 and len(self.chunk) - self.position >= _WORTHWHILE

    def _take_plain_block(self) -> bool:
        """Whether all of a block was plain, but for an event that the block's end may cut."""
        block = np.frombuffer(self.chunk[self.position : self.position + _BLOCK], dtype=np.uint8)
        run = plain_run(block, self._status)
        self.budget.vain_bytes += 2 * run.size - len(block)
        if run.size:
            tick = np.cumsum(run.delta)
            tick += self.tick
            self._keep(Events(tick, run.status, run.first, run.second))
            self.position, self.tick, self._status = self.position + run.size, int(tick[-1]), int(run.status[-1])
            self._data_bytes = 2
        return run.size > max(len(block) - _LONGEST, 0)

    def _take_cut(self) -> bool:
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
        start = self.odd_begins = self.position
        ticks = self._quantity()
        delta = bytes(self.chunk[start : self.position])
        status = self._peek()
        if status >= 0xF0:
            self._take_system(delta, ticks)
            return
        if status >= 0x80:
            self.position += 1
            delta += bytes([status])
            self._data_bytes = 1 if 0xC0 <= status < 0xE0 else 2
        if not self._data_bytes:
            raise _DamageError("begins with data that belong to no message")
        data = self._bytes(self._data_bytes)
        self.clipped += sum(byte > 127 for byte in data)
        if self._events or self._data_bytes == 2 or status & 0xF0 == PROGRAM:
            self._append(delta + bytes(min(byte, 127) for byte in data), one_data_byte=self._data_bytes == 1)
        else:
            self.tick += ticks
            self._status = status if status >= 0x80 else self._status

    def _append(self, event: bytes, one_data_byte: bool) -> None:
        self._events += event
        self._lengths.append(len(event) | one_data_byte * _ONE_DATA_BYTE)

    def _take_system(self, delta: bytes, ticks: int) -> None:
        """Takes a meta or system event that comes `ticks` after the last event, or as bytes `delta`."""
        status = self._bytes(1)[0]
        kind = self._bytes(1)[0] if status == META else 0
        has_length = status in (META, 0xF0, 0xF7)
        data = self._bytes(self._quantity() if has_length else SYSTEM_DATA.get(status, 0))
        self.ended = status == META and kind == END_OF_TRACK
        tempo = [int.from_bytes(data[:3])] if status == META and kind == TEMPO and len(data) >= 3 else []
        if self._events:
            self._new_tempos += [(len(self._lengths), number) for number in tempo]
            self._append(delta + _PLACEHOLDER, one_data_byte=True)
        else:
            self.tick += ticks
            self.tempos += [(self.tick, number) for number in tempo]

    def _bytes(self, n: int) -> bytes:
        if self.position + n > len(self.chunk):
            raise _DamageError
        self.position += n
        return bytes(self.chunk[self.position - n : self.position])

    def _peek(self) -> int:
        if self.position >= len(self.chunk):
            raise _DamageError
        return self.chunk[self.position]

    def _quantity(self) -> int:
        """A variable-length quantity: seven bits a byte, four bytes at most."""
        value = 0
        for _ in range(4):
            byte = self._peek()
            self.position += 1
            value = value << 7 | byte & 127
            if byte < 128:
                return value
        raise _DamageError("has a number of more than four bytes")

    def decode(self) -> None:
        """Moves the events that were cut apart into `parts` and `tempos`."""
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
        self.tempos += [(int(tick[place]), tempo) for place, tempo in self._new_tempos]
        counts = ~one_data_byte | (status & 0xF0 == PROGRAM) & (last < 128)
        self._keep(Events(tick, np.where(counts, status, np.uint8(0)), second_last, last))
        self.tick, self._status = int(tick[-1]), int(status[-1])
        self._events, self._lengths, self._new_tempos = bytearray(), bytearray(), []

    def _keep(self, events: Events) -> None:
        """Of the events those that matter to a piano."""
        kind = events.status & 0xF0
        kept = (kind == NOTE_ON) | (kind == NOTE_OFF) | (kind == CONTROL) & _KEPT_CONTROLLERS[events.key] | (kind == PROGRAM)
        silent = (kind == NOTE_ON) & (events.value == 0)
        events = events._replace(status=events.status - (NOTE_ON - NOTE_OFF) * silent.view(np.uint8))
        self.parts.append(events if kept.all() else events.at(np.flatnonzero(kept)))
        self.budget.spend(events=len(self.parts[-1].tick))


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
