"""What controllers and programs say of the notes of their channel: percussion, muted, another instrument; and the pedal.

A controller or program counts from its tick on, in whatever track it stands; of several at one tick the last in the file does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.errors import MidiError
from preludio.midi.chunks import MidiFile
from preludio.midi.events import (
    ALL_SOUND_OFF,
    BANK,
    CONTROL,
    EXPRESSION,
    MAX_EVENTS,
    NOTE_ON,
    NOTES_OFF,
    PROGRAM,
    RESET_CONTROLLERS,
    SOFT,
    SOSTENUTO,
    SUSTAIN,
    VOLUME,
    Events,
    joined,
)
from preludio.midi.instruments import FIRST_OTHER, INSTRUMENTS
from preludio.midi.pairing import Notes
from preludio.midi.plain import Bytes, Ticks

DRUMS = 9  # channel 10 counted from 1: General MIDI's percussion
DRUM_BANKS = (120, 127)  # bank select MSB: General MIDI Level 2's rhythm channel, and XG's drum kits
PEDAL_DOWN = 64  # CC64: 0-63 is up, 64-127 is down (MIDI 1.0, "Controller Numbers")
FULL = 127  # of the expression controller, and where it stands at first (MIDI 1.0, RP-015)
MOST_NAMES = 8  # of instruments, in one line

_Flags = npt.NDArray[np.bool_]
_NEVER = np.iinfo(np.int64).max


class Timeline(NamedTuple):
    """The values of a setting, each from its tick on."""

    tick: Ticks
    value: npt.NDArray[np.int64]

    def at(self, tick: Ticks, before: int) -> npt.NDArray[np.int64]:
        """The value at each tick, `before` where there is none yet."""
        return np.append(self.value, before)[np.searchsorted(self.tick, tick, side="right") - 1]  # place -1 is the last


def count(n: int, what: str) -> str:
    """2, "note" -> "2 notes"."""
    return f"{n:,} {what}{'s' * (n != 1)}"


def controls_of(parts: Sequence[Events]) -> Events:
    """The controllers and programs of tracks that begin together, in the order of time; at one tick, in the order of the file."""
    controls = joined([events.at(np.flatnonzero(events.status >= CONTROL)) for events in parts])
    if (controls.tick[1:] < controls.tick[:-1]).any():
        controls = controls.at(np.argsort(controls.tick, kind="stable"))
    return controls


def controllers(controls: Events, *numbers: int) -> _Flags:
    """Which of the events are of these controllers."""
    chosen = np.zeros(256, dtype=bool)
    chosen[list(numbers)] = True
    return chosen[controls.key] & (controls.status < PROGRAM)


def _channels(status: Bytes) -> list[int]:
    """The channels of these events, each once. (`np.unique` takes seconds for millions.)"""
    numbers: list[int] = np.flatnonzero(np.bincount(status & 15)).tolist()
    return numbers


def _timeline(controls: Events, kind: int, channel: int, key: int | None = None) -> Timeline:
    chosen = controls.status == kind | channel
    if key is not None:
        chosen &= controls.key == key
    return Timeline(controls.tick[chosen], controls.value[chosen].astype(np.int64))


# --- percussion -------------------------------------------------------------------------------------------------------------------


def without_percussion(parts: Sequence[Events], controls: Events, file: MidiFile) -> tuple[list[Events], Events]:
    """The note-ons and note-offs of each track, and the controllers, without channel 10 and channels with a bank of drums; it is said."""
    is_bank = controllers(controls, BANK) & np.isin(controls.value, DRUM_BANKS)
    banks = {number: _timeline(controls, CONTROL, number, BANK) for number in _channels(controls.status[is_bank])}
    notes = []
    n_drums = np.zeros(16, dtype=np.int64)
    for events in parts:
        here = events.at(np.flatnonzero(events.status < CONTROL))
        drums = _is_percussion(here, banks)
        if drums.any():
            # An off may belong to a note from before the bank was chosen; where it does not, it finds no note and is dropped.
            drums &= here.status >= NOTE_ON
            n_drums += np.bincount(here.status[drums] & 15, minlength=16)
            here = here.at(~drums)
        notes.append(here)
    for channel in np.flatnonzero(n_drums).tolist():
        how = "drums" if channel == DRUMS else "drums, by its bank"
        n = int(n_drums[channel])
        file.repaired("drums", f"{count(n, 'note')} on channel {channel + 1} ({how}) left out", n)
    drums = _is_percussion(controls, banks)
    return notes, controls.at(~drums) if drums.any() else controls


def _is_percussion(events: Events, banks: dict[int, Timeline]) -> _Flags:
    channel = events.status & 15
    drums: _Flags = channel == DRUMS
    for number, bank in banks.items():
        here = np.flatnonzero(channel == number)
        drums[here] |= np.isin(bank.at(events.tick[here], before=0), DRUM_BANKS)
    return drums


def silenced_at(controls: Events) -> dict[int, Ticks]:
    """For each channel the ticks at which controllers 120 and 123-127 end all its notes, rising."""
    chosen = controllers(controls, *NOTES_OFF)
    status, tick = controls.status[chosen], controls.tick[chosen]
    return {number: _each_once(tick[status & 15 == number]) for number in _channels(status)}


def _each_once(rising: Ticks) -> Ticks:
    unique: Ticks = rising[np.diff(rising, prepend=-1) > 0]
    return unique


# --- muted, and other instruments -------------------------------------------------------------------------------------------------


def without_muted(notes: Notes, controls: Events, file: MidiFile) -> Notes:
    """Without the notes during all of which their channel has volume or expression 0; all of them, if all are so. It is said."""
    silent = controllers(controls, VOLUME, EXPRESSION) & (controls.value == 0)
    muted = np.zeros(len(notes.onset), dtype=bool)
    for number in _channels(controls.status[silent]):
        here = np.flatnonzero(notes.channel == number)
        muted[here] = _audible_from(controls, number, notes.onset[here]) >= notes.offset[here]
    n = int(np.count_nonzero(muted))
    if n and n == len(muted):
        file.repaired("all_muted", "all of it is muted in the file (volume 0), and read all the same", n)
    elif n:
        channels = ", ".join(str(number + 1) for number in _channels(notes.channel[muted]))
        file.repaired("muted", f"{count(n, 'note')} muted in the file (volume 0, channel {channels}) left out", n)
        return notes.at(~muted)
    return notes


def _audible_from(controls: Events, channel: int, tick: Ticks) -> Ticks:
    """For each tick when the channel can be heard again, -1 where it can be heard."""
    volume = _timeline(controls, CONTROL, channel, VOLUME)
    chosen = controllers(controls, EXPRESSION, RESET_CONTROLLERS) & (controls.status & 15 == channel)
    reset = controls.key[chosen] == RESET_CONTROLLERS
    expression = Timeline(controls.tick[chosen], np.where(reset, FULL, controls.value[chosen].astype(np.int64)))
    changes = _each_once(np.sort(np.concatenate([volume.tick, expression.tick])))
    heard = (volume.at(changes, before=FULL) > 0) & (expression.at(changes, before=FULL) > 0)
    from_then_on = np.minimum.accumulate(np.append(np.where(heard, changes, _NEVER), _NEVER)[::-1])[::-1]
    place = np.searchsorted(changes, tick, side="right") - 1
    again: Ticks = np.where((place < 0) | heard[place], np.int64(-1), from_then_on[place])
    return again


def say_instruments(notes: Notes, controls: Events, file: MidiFile) -> None:
    """Names the instruments that are read as piano, the one with the most notes first."""
    is_other = (controls.status >= PROGRAM) & (controls.value >= FIRST_OTHER)
    n_notes = np.zeros(128, dtype=np.int64)
    for number in _channels(controls.status[is_other]):
        onset = notes.onset[notes.channel == number]
        n_notes += np.bincount(_timeline(controls, PROGRAM, number).at(onset, before=0), minlength=128)
    programs = FIRST_OTHER + np.argsort(-n_notes[FIRST_OTHER:], kind="stable")
    names = tuple(INSTRUMENTS[program] for program in programs.tolist() if n_notes[program])
    if names:
        more = [f"{len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
        text = f"{count(len(names), 'other instrument')} read as piano: {', '.join([*names[:MOST_NAMES], *more])}"
        file.repaired("instruments", text, len(names), names)


# --- pedals -----------------------------------------------------------------------------------------------------------------------


class PedalTicks(NamedTuple):
    """(n, 2) ticks at which the pedals go down and up, channel after channel; and which of them the file never lifts."""

    moves: Ticks
    unlifted: _Flags


def pedal(controls: Events, end_tick: int) -> PedalTicks:
    """The sustain pedal; what is never lifted goes up at `end_tick`.

    Reset of all controllers lifts it; all sound off is as if it were lifted and pressed again at once.
    """
    events = controls.at(np.flatnonzero(controllers(controls, SUSTAIN, RESET_CONTROLLERS, ALL_SOUND_OFF)))
    statuses = np.flatnonzero(np.bincount(events.status)).tolist()
    moves = [_moves(*_positions(events.at(events.status == status) if len(statuses) > 1 else events)) for status in statuses]
    if sum(map(len, moves)) > MAX_EVENTS:  # each all sound off is two
        raise MidiError(f"more than {MAX_EVENTS:,} pedal moves; split the file")
    unlifted = [np.arange(-(-len(ticks) // 2)) >= len(ticks) // 2 for ticks in moves]
    pairs = [(np.append(ticks, end_tick) if len(ticks) % 2 else ticks).reshape(-1, 2) for ticks in moves]
    if len(pairs) == 1:
        return PedalTicks(pairs[0], unlifted[0])
    return PedalTicks(np.concatenate([np.empty((0, 2), np.int64), *pairs]), np.concatenate([np.empty(0, bool), *unlifted]))


def _positions(events: Events) -> tuple[Ticks, Bytes]:
    """When one channel's sustain pedal is moved, and where to."""
    value = events.value * (events.key != RESET_CONTROLLERS)
    cut = events.key == ALL_SOUND_OFF
    if not cut.any():
        return events.tick, value
    place = np.maximum.accumulate(np.where(cut, -1, np.arange(len(cut))))  # of the last position before
    value = np.where(place < 0, np.uint8(0), value[place])
    cut &= value >= PEDAL_DOWN
    twice = np.repeat(np.arange(len(cut)), 1 + cut)
    first = np.append(twice[:-1] == twice[1:], False)
    return events.tick[twice], np.where(first, np.uint8(0), value[twice])


def _moves(tick: Ticks, value: Bytes) -> Ticks:
    """Down, up, down, up ..."""
    down = value >= PEDAL_DOWN
    changes: Ticks = tick[down != np.concatenate([[False], down[:-1]])]
    return changes


def say_other_pedals(controls: Events, file: MidiFile) -> None:
    """Counts how often the pedals that are left out are pressed."""
    for kind, name, number in (("sostenuto", "the sostenuto pedal", SOSTENUTO), ("soft", "the soft pedal", SOFT)):
        moved = controllers(controls, number) & (controls.value >= PEDAL_DOWN)
        n = 0
        for channel in _channels(controls.status[moved]):
            timeline = _timeline(controls, CONTROL, channel, number)
            n += -(-len(_moves(timeline.tick, timeline.value.astype(np.uint8))) // 2)
        if n:
            file.repaired(kind, f"{name} left out, which is pressed {count(n, 'time')}", n)
