"""Whatever the bytes: a performance or one `MidiError`, soon and in little memory."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from midi_bytes import END_OF_TRACK, chunk, mutated, quantity, read, rows, smf
from strategies import law

from preludio.errors import MidiError
from preludio.midi import write_midi
from preludio.performance import MAX_MS, Performance

Row = tuple[int, int, int, int]


def piece() -> tuple[list[bytes], list[Row]]:
    """The events of a track, and the notes in the order in which they end; the note-off of `notes[i]` is the i-th."""
    events, notes = [b"\0\xff\x03\x02ab", b"\0\xb0\x40\x7f"], []
    for i in range(12):
        events += [bytes([5, 0x90, 60 + i % 3, 1 + i]), bytes([0x81, 0x00, 0x80, 60 + i % 3, 0])]
        notes.append((5 * (i + 1) + 128 * i, 5 * (i + 1) + 128 * (i + 1), 60 + i % 3, 1 + i))
    return [*events, b"\0\xb0\x40\0", END_OF_TRACK], notes


def test_a_file_cut_off_at_any_byte_keeps_the_notes_that_were_complete() -> None:
    events, notes = piece()
    data = smf(b"".join(events))
    ends = [22 + len(b"".join(events[: i + 1])) for i, event in enumerate(events) if event[-3] == 0x80]
    assert len(ends) == len(notes)
    for cut in range(22, len(data)):
        performance, warning = read(data[:cut])
        complete = Counter(note for note, end in zip(notes, ends, strict=True) if end <= cut)
        assert not complete - Counter(rows(performance))
        assert len(performance) <= sum(complete.values()) + 1
        assert "is cut off" in warning


def test_a_file_of_several_tracks_cut_off_at_any_byte_keeps_the_tracks_before() -> None:
    nested = Performance([(i, 200 - i, 60, i + 1) for i in range(20)], [(3, 40)])
    data = write_midi(nested)
    second = data.index(b"MTrk", 20)
    for cut in range(len(data)):
        try:
            performance, warning = read(data[:cut])
        except MidiError:
            assert cut < 22
            continue
        assert warning
        if cut >= second:
            assert len(performance) >= 15


@law
@given(st.binary(max_size=200))
def test_any_bytes_in_a_track(content: bytes) -> None:
    try_to_read(chunk(b"MThd", b"\0\0\0\1\1\xf4") + chunk(b"MTrk", content))
    try_to_read(b"MThd" + content)


def test_mutated_files_are_read_or_refused() -> None:
    generator = random.Random(7)
    files = [write_midi(Performance([(i, 200 - i, 60, i + 1) for i in range(20)], [(3, 40)])), smf(b"".join(piece()[0]), kind=2)]
    for _ in range(3_000):
        try_to_read(mutated(generator.choice(files), generator))


def try_to_read(data: bytes) -> None:
    try:
        performance, _ = read(data)
    except MidiError as error:
        assert "\n" not in str(error)
    else:
        assert 0 <= performance.duration_ms <= MAX_MS


# --- memory and time --------------------------------------------------------------------------------------------------------------

LONG = quantity(2**28 - 1)
ON_OFF = b"\0\x90\x3c\x40\0\x80\x3c\x40"
N = 15_900_000  # bytes, just within the limit

HOSTILE: dict[str, Callable[[], bytes]] = {
    "tick counter beyond 2^32": lambda: smf((LONG + b"\x90\x3c\x40" + LONG + b"\x80\x3c\x40") * 20 + END_OF_TRACK, division=1),
    "a track that says 4 GB": lambda: smf()[:14] + b"MTrk\xff\xff\xff\xff" + ON_OFF,
    "a text that says 256 MB": lambda: smf(b"\0\xff\x01\xff\xff\xff\x7f"),
    "65,535 tracks promised": lambda: smf(ON_OFF + END_OF_TRACK, said=65_535),
    "2 million empty tracks": lambda: smf() + b"MTrk\0\0\0\0" * (N // 8),
    "2 million unknown chunks": lambda: smf() + b"ABCD\0\0\0\0" * (N // 8),
    "tracks that all reach to the end": lambda: smf() + b"".join(b"MTrk" + (N - 8 * i - 8).to_bytes(4) for i in range(N // 8)),
    "1,000 patterns": lambda: smf(*[ON_OFF + END_OF_TRACK] * 1_000, kind=2),
    "notes in running status": lambda: smf(b"\0\x90\x3c\x40" + b"\0\x3c\0\0\x3c\x40" * (N // 6)),
    "notes that never end": lambda: smf(b"\0\x90\x3c\x40" + b"\0\x3c\x40" * (N // 3)),
    "as many notes as are allowed": lambda: smf(ON_OFF * 1_000_000 + END_OF_TRACK),
    "nothing but other controllers": lambda: smf(b"\0\xb0\x07\x40" + b"\0\x07\x40" * (N // 3)),
    "nothing but pressure": lambda: smf(b"\0\xd0\x07" + b"\0\x07" * (N // 2)),
    "pressure and notes by turns": lambda: smf(b"\0\xd0\x07\0\x07\0\x90\x3c\x40" * (N // 9)),
    "nothing but texts": lambda: smf(b"\0\xff\x01\0" * (N // 4)),
    "nothing but tempos": lambda: smf(b"\1\xff\x51\x03\x01\0\0" * 100_000),
    "nothing but volumes": lambda: smf(b"\0\xb0\x07\x40" + b"\0\x07\x40" * 1_999_999),
    "nothing but programs": lambda: smf(b"\0\xc0\x07" + b"\0\x07" * 1_999_999),
    "notes that are doubled for ever": lambda: smf(b"\0\x90\x3c\x40" + b"\0\x3c\x40" * 1_999_999 + END_OF_TRACK),
    "notes of which every other one has no end": lambda: smf(b"\1\x90\x3c\x40" + b"\1\x3c\x40\1\x3c\x40\1\x3c\0" * 600_000),
    "all notes off after each note": lambda: smf(b"\0\x90\x3c\x40\1\xb0\x7b\0" * 1_000_000 + END_OF_TRACK),
    "all sound off under a pedal": lambda: smf(b"\0\xb0\x40\x7f" + b"\1\x78\0" * 1_999_999 + END_OF_TRACK),
    "volumes up and down under notes": lambda: smf(b"\1\xb0\x07\0\0\x90\x3c\x40\1\xb0\x07\1\1\x80\x3c\0" * 500_000 + END_OF_TRACK),
    "banks of drums and none": lambda: smf(b"\1\xb0\0\x78\0\x90\x3c\x40\1\xb0\0\0\1\x80\x3c\0" * 500_000 + END_OF_TRACK),
    "ends of track one after another": lambda: smf(END_OF_TRACK * (N // 4)),
    "ends of track between notes": lambda: smf((ON_OFF + END_OF_TRACK) * (N // 12)),
    "data over 127": lambda: smf(b"\0\x90\x3c\xff" * (N // 4)),
    "high bytes": lambda: smf(b"\0\x90\x3c\x40" + b"\xff" * N),
}

MEASURE = """
import pathlib, re, sys, time, warnings
warnings.simplefilter("ignore")
from preludio.errors import MidiError
from preludio.midi import read_midi

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024

read_midi(b"MThd\\0\\0\\0\\6\\0\\0\\0\\1\\0\\1MTrk\\0\\0\\0\\4\\0\\xff\\x2f\\0")  # loads what is loaded once
before, start = peak(), time.process_time()
try:
    result = f"{len(read_midi(sys.argv[1])):,} notes"
except MidiError as error:
    result = str(error)
print(time.process_time() - start, peak() - before, result)
"""


def measured(data: bytes, folder: Path) -> tuple[float, float, str]:
    """Seconds and MB that reading takes, and its result, in a process of its own."""
    path = folder / "hostile.mid"
    path.write_bytes(data)
    run = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True, timeout=60)
    seconds, megabytes, result = run.stdout.split(maxsplit=2)
    return float(seconds), float(megabytes), result


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux reports it")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_soon_and_in_little_memory(name: str, tmp_path: Path) -> None:
    seconds, megabytes, _ = measured(HOSTILE[name](), tmp_path)
    assert seconds < 5  # a second on an idle machine
    assert megabytes < 200, name
