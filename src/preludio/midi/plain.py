"""Plain events cut apart by counting, thousands at a time.

A *plain* event is `delta [status] data data`: a channel message of two data bytes (SMF, "MTrk chunks"), and so is nearly every event of a
performance. Each has three bytes below 128 exactly, the last one of its delta time and its data. So the *low* bytes of a run, three by
three, are its events, and a *high* byte is known by the number of low ones before it: 3k, it belongs to the delta time of event k; 3k + 1,
it is that event's status; 3k + 2, the run has ended before event k.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ticks = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

MAX_DELTA_BYTES = 4  # SMF, "Conventions": no variable-length quantity is longer

_IN_DELTA, _IS_STATUS, _MISPLACED = range(3)
_OF_TWO_DATA_BYTES = np.array([0x80 <= byte < 0xC0 or 0xE0 <= byte < 0xF0 for byte in range(256)])


class PlainRun(NamedTuple):
    """Plain events: columns of equal length, among them the status in force at each; and how many bytes they take."""

    delta: Ticks
    status: Bytes
    first: Bytes
    second: Bytes
    size: int


class _High(NamedTuple):
    """The bytes over 127: which event each belongs to, what it is there, and its value."""

    event: Ticks
    place: Ticks
    value: Bytes


def plain_run(block: Bytes, status: int) -> PlainRun:
    """As many whole plain events as `block` begins with; `status` is the running status before it, 0 if there is none."""
    is_high = block > 127
    at = np.flatnonzero(is_high)
    low = block.take(np.flatnonzero(~is_high))  # quicker than block[~is_high]
    low_before = at - np.arange(len(at))
    event = low_before // 3
    high = _High(event, low_before - 3 * event, block[at])
    n = _first_odd(high, len(low) // 3)
    if not _OF_TWO_DATA_BYTES[status] and _IS_STATUS not in high.place[event == 0]:
        n = 0
    n_high = int(np.searchsorted(event, n))
    high = _High(event[:n_high], high.place[:n_high], high.value[:n_high])
    delta, first, second = low[: 3 * n].reshape(n, 3).T
    return PlainRun(_whole_delta(delta, high), _in_force(high, status, n), first.copy(), second.copy(), 3 * n + n_high)


def _first_odd(high: _High, n: int) -> int:
    """The first of `n` events that is not plain, as its high bytes tell; `n` if all are."""
    event, place, value = high
    odd = place == _MISPLACED
    odd |= (place == _IS_STATUS) & ~_OF_TWO_DATA_BYTES[value]
    odd[1:] |= (place[1:] == _IS_STATUS) & (place[:-1] == _IS_STATUS) & (event[1:] == event[:-1])  # a second status
    most = MAX_DELTA_BYTES - 1
    odd[most:] |= (place[most:] == _IN_DELTA) & (event[most:] == event[:-most])
    return min(n, int(event[odd.argmax()])) if odd.any() else n


def _whole_delta(last: Bytes, high: _High) -> Ticks:
    """Delta times from their last bytes and, where they are longer, the high ones before."""
    delta = last.astype(np.int64)
    of_delta = high.place == _IN_DELTA
    event, bits = high.event[of_delta], (high.value[of_delta] & 127).astype(np.int64)
    follows = event[1:] == event[:-1]  # another high byte of the same delta time
    n_after = np.zeros(len(event), dtype=np.int64)
    n_after[:-1] += follows
    n_after[:-2] += follows[:-1] & follows[1:]
    for n in range(MAX_DELTA_BYTES - 1):
        chosen = n_after == n
        delta[event[chosen]] += bits[chosen] << 7 * (n + 1)
    return delta


def _in_force(high: _High, before: int, n: int) -> Bytes:
    """The status of each of `n` events: its own, or the last one."""
    own = high.place == _IS_STATUS
    begins = np.concatenate([[0], high.event[own], [n]])
    return np.repeat(np.concatenate([np.array([before], np.uint8), high.value[own]]), np.diff(begins))
