"""Note-ons and note-offs -> notes in ticks: which note-off ends which note, and what becomes of a note that none ends."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.midi.events import NOTE_ON, Events
from preludio.midi.plain import Bytes, Ticks

_Flags = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.int64]
_NEVER = np.iinfo(np.int64).max


class Notes(NamedTuple):
    """Notes in ticks, in any order; columns of equal length."""

    onset: Ticks
    offset: Ticks
    channel: npt.NDArray[Any]
    pitch: Bytes
    velocity: Bytes
    unclosed: _Flags  # it has no end in the file and got that of its track

    def at(self, chosen: _Flags) -> Notes:
        columns: list[Any] = [column[chosen] for column in self]
        return Notes(*columns)


class Paired(NamedTuple):
    """The notes of one track, and how many had no note-off but a next strike of their key."""

    notes: Notes
    n_restruck: int = 0  # ended by that strike
    n_doubled: int = 0  # on the same tick as that strike: the two are one note


def paired(events: Events, end_tick: int, silenced: dict[int, Ticks]) -> Paired:
    """The notes of one track.

    On each key of each channel, note-offs end notes first in, first out; a note-off that finds no sounding note is dropped. A note-on
    that no note-off is left for ends when its key is struck again (on the same tick the two are one note, as loud as the louder), else
    when all notes of its channel end, else at `end_tick`. What begins before such an end of all notes never lasts beyond it.

    Args:
        events: the track's note-ons and note-offs.
        silenced: when all notes of a channel end, as `channels.silenced_at` gives it.
    """
    key = (events.status & 15).astype(np.uint16) << 7 | events.key  # 16 bits: NumPy sorts them by radix
    group, last_tick = _split(events, key, silenced) if silenced else (key, None)
    order = np.argsort(group, kind="stable")
    events, group = events.at(order), group[order]
    is_on = events.status >= NOTE_ON
    if _by_turns(is_on, group):
        return Paired(_notes(events, events.tick[1::2], slice(None, None, 2), np.zeros(len(group) // 2, dtype=bool)))
    return _paired(events, group.astype(np.int64), _NEVER if last_tick is None else last_tick[order], end_tick)


def _split(events: Events, key: npt.NDArray[Any], silenced: dict[int, Ticks]) -> tuple[_Numbers, Ticks]:
    """Keys told apart before and after each end of all notes of their channel, and when that is for each event.

    A note-on at the very tick comes after it, a note-off before: it belongs to a note that ends there in any case.
    """
    part, last_tick = np.zeros(len(key), dtype=np.int64), np.full(len(key), _NEVER)
    for channel, ticks in silenced.items():
        for is_on, side in ((True, "right"), (False, "left")):
            here = np.flatnonzero((events.status & 15 == channel) & ((events.status >= NOTE_ON) == is_on))
            part[here] = np.searchsorted(ticks, events.tick[here], side=side)  # type: ignore[call-overload]
            last_tick[here] = np.append(ticks, _NEVER)[part[here]]
    group = np.unique(key * (part.max(initial=0) + 1) + part, return_inverse=True)[1]  # small numbers: they are counted
    return group, last_tick


def _by_turns(is_on: _Flags, group: npt.NDArray[np.integer]) -> bool:
    """Whether every key is struck and released by turns, as in the plainest music; sorted by group."""
    return not (len(group) % 2 or not is_on[::2].all() or is_on[1::2].any() or (group[::2] != group[1::2]).any())


def _notes(events: Events, offset: Ticks, strikes: slice | _Flags, unclosed: _Flags) -> Notes:
    status, key, velocity = events.status[strikes], events.key[strikes], events.value[strikes]
    return Notes(events.tick[strikes], offset, status & 15, key, velocity, unclosed)


def _paired(events: Events, group: _Numbers, last_tick: Ticks | int, end_tick: int) -> Paired:
    """The same of any events, sorted by group."""
    is_on = events.status >= NOTE_ON
    orphan = _orphans(is_on, group)
    left = _left_over(is_on, orphan, group)
    offset = np.minimum(np.broadcast_to(last_tick, len(group)), end_tick)
    offset[is_on & ~left] = events.tick[~is_on & ~orphan]  # each group has as many of the one as of the other
    again = _next_strike(is_on, group)
    restruck = left & (again >= 0)
    offset[restruck] = events.tick[again[restruck]]
    doubled = restruck & (offset == events.tick)
    unclosed = left & ~restruck & (last_tick > end_tick)
    kept = is_on & ~doubled
    notes = _notes(_loudest(events, is_on, doubled), offset[kept], kept, unclosed[kept])
    return Paired(notes, int(np.count_nonzero(restruck & ~doubled)), int(np.count_nonzero(doubled)))


def _orphans(is_on: _Flags, group: _Numbers) -> _Flags:
    """Which note-offs find no sounding note of their group.

    The balance of ons and offs of a group reaches a new lowest value below 0 at just these.
    """
    counts = np.bincount(group)
    first = (np.cumsum(counts) - counts)[group]  # where each group begins
    starts = first == np.arange(len(group))
    below = np.cumsum(np.where(is_on, 1, -1))
    below -= np.where(first > 0, below[first - 1], 0)
    del first  # a hostile file has two million events: each array less counts
    np.minimum(below, 0, out=below)
    low = group * (-2 * (len(group) + 1))  # each group far below the one before: one running minimum serves all
    below += low
    lowest_before = np.empty_like(below)
    np.minimum.accumulate(below[:-1], out=lowest_before[1:])
    np.copyto(lowest_before, low, where=starts)
    return below < lowest_before


def _left_over(is_on: _Flags, orphan: _Flags, group: _Numbers) -> _Flags:
    """Which note-ons no note-off is left for: after them the balance of their group never falls below what they made it.

    Between two such strikes, and after the last, ons and offs are in balance. So a key of which one note-off is missing goes on well.
    """
    above = np.cumsum(np.where(is_on, 1, np.where(orphan, 0, -1)))
    above += group * (2 * (len(group) + 1))  # each group far above the one before
    lowest_after = np.empty_like(above)
    lowest_after[-1] = _NEVER
    np.minimum.accumulate(above[:0:-1], out=lowest_after[-2::-1])
    return is_on & (above <= lowest_after)


def _next_strike(is_on: _Flags, group: _Numbers) -> npt.NDArray[np.int32]:
    """For each note-on the place of the next one of its group, else -1."""
    strikes = np.flatnonzero(is_on)
    following = np.full(len(group), -1, dtype=np.int32)
    following[strikes[:-1]] = np.where(group[strikes[1:]] == group[strikes[:-1]], strikes[1:], -1)
    return following


def _loudest(events: Events, is_on: _Flags, doubled: _Flags) -> Events:
    """Each strike that others double made as loud as the loudest of them; the others come right before it."""
    if not doubled.any():
        return events
    strikes = np.flatnonzero(is_on)
    stays = np.where(doubled[strikes], len(strikes), np.arange(len(strikes), dtype=np.int32))
    stays = np.minimum.accumulate(stays[::-1])[::-1]  # for each strike the number of the one that it doubles
    value = events.value.copy()
    np.maximum.at(value, strikes[stays], events.value[strikes])
    return events._replace(value=value)
