"""Cutting events apart by counting: what one event after another gives, soon."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from datasets import giantmidi_files, maestro_files, needs_datasets
from hypothesis import example, given
from hypothesis import strategies as st
from midi_bytes import END_OF_TRACK, mutated, quantity, read, smf
from strategies import law

from preludio.errors import MidiError
from preludio.midi import chunks, events
from preludio.midi.plain import Bytes, plain_run

# --- a run ------------------------------------------------------------------------------------------------------------------------


class Plain(NamedTuple):
    delta: bytes  # one to four bytes
    own: int  # its status byte; 0 if it has none
    first: int
    second: int

    @property
    def bytes(self) -> bytes:
        return self.delta + bytes([self.own] * (self.own > 0)) + bytes([self.first, self.second])


deltas = st.one_of(
    st.integers(0, 300).map(quantity), st.integers(0, 2**28 - 1).map(quantity), st.sampled_from([b"\x80\x80\x80\x00", b"\x80\x05"])
)
statuses = st.sampled_from([0, 0, 0, 0x80, 0x90, 0x9F, 0xA3, 0xB0, 0xBF, 0xE0, 0xEF])
plain_events = st.builds(Plain, deltas, statuses, st.integers(0, 127), st.integers(0, 127))
odd_events = st.sampled_from(
    [
        *(b"\0\xc0\x05", b"\0\xdf\x05\0\x06", b"\0\xff\x51\x03\x07\xa1\x20", b"\0\xf0\x02\1\2", b"\0\xf8", END_OF_TRACK),
        *(b"\0\x90\x3c\x80", b"\0\x90\x80\x3c", b"\0\x3c\x80", b"\0\x90\x90\x3c\x40", b"\0\xb0\xc0\x05\x06"),
        *(b"\x80\x80\x80\x80\x00\x90\x3c\x40", b"\xff" * 9),
    ]
)
cut_off = st.sampled_from([b"", b"\0", b"\x81", b"\0\x90", b"\0\x90\x3c", b"\0\x3c", b"\x81\x82\x83\x04\xe0\x7f"])
what_follows = st.one_of(cut_off, st.tuples(odd_events, st.binary(max_size=20)).map(b"".join))


@law
@given(st.lists(plain_events, max_size=40), what_follows, st.sampled_from([0x80, 0xB0, 0xE7, 0xC0, 0]))
@example([], b"\x81", 0x90)
def test_a_run_ends_before_the_first_event_that_is_not_plain(expected: list[Plain], follows: bytes, status: int) -> None:
    """Without a running status of two data bytes only an event of its own status can begin it."""
    before = b"".join(event.bytes for event in expected)
    if expected and not expected[0].own and status in (0xC0, 0):
        assert plain_run(np.frombuffer(before + follows, dtype=np.uint8), status).size == 0
        return
    run = plain_run(np.frombuffer(before + follows, dtype=np.uint8), status)
    assert run.size == len(before)
    assert run.delta.tolist() == [number(event.delta) for event in expected]
    assert list(zip(run.first.tolist(), run.second.tolist(), strict=True)) == [event[2:] for event in expected]
    for event, in_force in zip(expected, run.status.tolist(), strict=True):
        status = event.own or status
        assert in_force == status


def number(delta: bytes) -> int:
    value = 0
    for byte in delta:
        value = value << 7 | byte & 127
    return value


likely_bytes = st.sampled_from([0, 0, 1, 60, 64, 127, 0x80, 0x81, 0x90, 0xB0, 0xC0, 0xFF])


@law
@given(st.one_of(st.binary(max_size=60), st.lists(likely_bytes, max_size=60).map(bytes)))
def test_any_bytes_are_cut_as_the_expression_cuts_them(data: bytes) -> None:
    plain = [event for event in events._REGULAR[2].findall(data) if event]
    n_plain = next((n for n, event in enumerate(plain) if len(event) > 2 and 0xC0 <= event[-2] < 0xE0), len(plain))
    assert plain_run(np.frombuffer(data, dtype=np.uint8), 0x90).size == len(b"".join(plain[:n_plain]))


# --- files: with counting and without -----------------------------------------------------------------------------------------------


def result(data: bytes) -> object:
    """What reading gives, or the text of its refusal."""
    try:
        return read(data)
    except MidiError as error:
        return str(error)


def require_same_without_counting(files: Sequence[bytes]) -> None:
    with_counting = [result(data) for data in files]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "Budget", partial(events.Budget, vain_bytes=0))
        assert [number for number, data in enumerate(files) if result(data) != with_counting[number]] == []


@needs_datasets
def test_real_files_are_read_by_counting_and_the_same_without(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [path.read_bytes() for path in (*maestro_files("validation"), *maestro_files("train")[::10], *giantmidi_files())]
    counted = []

    def noted(block: Bytes, status: int) -> object:
        run = plain_run(block, status)
        counted.append(run.size)
        return run

    monkeypatch.setattr(events, "plain_run", noted)
    require_same_without_counting(files)
    assert sum(counted) > 0.99 * sum(map(len, files))


@needs_datasets
def test_damaged_real_files_are_read_the_same_without_counting() -> None:
    """An early version met a block that ended inside its first event with an IndexError, which was taken for the end of the file."""
    generator = random.Random(11)
    files = [path.read_bytes() for path in (*maestro_files("validation")[::4], *giantmidi_files()[::4])]
    damaged = [mutated(generator.choice(files)[: generator.choice([600, 3_000, 20_000])], generator) for _ in range(1_200)]
    require_same_without_counting([*damaged, *(mutated(data, generator) for data in files)])


def test_a_search_in_vain_is_not_repeated_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text before every note of a long track: counting would look at the same bytes again and again."""
    looked_at = []

    def noted(block: Bytes, status: int) -> object:
        looked_at.append(len(block))
        return plain_run(block, status)

    monkeypatch.setattr(events, "plain_run", noted)
    data = smf(b"\0\x90\x3c\x40" + b"\0\xff\x01\0\0\x80\x3c\x40\0\x90\x3c\x40" * 40_000 + END_OF_TRACK)
    performance, _ = read(data)
    assert len(performance) == 40_001
    assert sum(looked_at) < 3 * len(data)
