"""Writing Standard MIDI Files: what is written is read back the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from midi_bytes import dump, read
from strategies import law, performances, pitches, velocities
from symusic.core import ScoreTick

from preludio.errors import MidiError, OutputError
from preludio.midi import MAX_EVENTS, read_and_repair, read_midi, write_midi
from preludio.performance import MAX_MS, STEP_MS, Performance, pack_notes

any_ms = st.one_of(st.integers(0, 50), st.sampled_from([127, 128, 16_384, 2**28 - 1, 2**28, 2**29 + 7, MAX_MS - 1, MAX_MS]))
any_interval = st.tuples(any_ms, any_ms).map(sorted)
far_notes = st.builds(
    lambda times, pitch, velocity: (min(times[0], MAX_MS - STEP_MS), times[1], pitch, velocity), any_interval, pitches, velocities
)
far_performances = st.builds(Performance, st.lists(far_notes, max_size=12), st.lists(any_interval, max_size=5))


@law
@given(st.one_of(performances(max_notes=30), far_performances))
def test_what_is_written_is_read_back_and_nothing_is_repaired(performance: Performance) -> None:
    again, repairs = read_and_repair(write_midi(performance))
    assert again == performance
    assert {repair.kind for repair in repairs} <= {"silence", "tail"}  # which are there


@pytest.mark.parametrize("depth", [2, 9, 10, 15, 16, 31])
def test_notes_of_one_key_inside_one_another_come_back(depth: int) -> None:
    nested = Performance([(i, 200 - i, 60, i + 1) for i in range(depth)], [(3, 40), (50, 300)])
    data = write_midi(nested)
    assert read(data) == (nested, "")
    assert int.from_bytes(data[10:12]) == -(-depth // 15)  # 15 channels a track: channel 10 is for drums


def test_the_bytes_are_these() -> None:
    performance = Performance([(0, 500, 60, 64), (100, 400, 60, 70), (500, 500, 60, 1), (500, 1000, 60, 2)], [(500, 1000)])
    assert write_midi(performance) == dump("""
        4d 54 68 64 00 00 00 06   # MThd
        00 00 00 01 01 f4         # format 0, one track, 500 ticks per quarter note
        4d 54 72 6b 00 00 00 54   # MTrk, 84 bytes
        00 ff 51 03 07 a1 20      # 500,000 us per quarter note: a tick is a millisecond
        00 ff 58 04 04 02 18 08   # 4/4
        00 ff 03 05 50 69 61 6e 6f  # track name "Piano"
        00 c0 00                  # channel 1: acoustic grand piano
        00 c1 00                  # channel 2, for the note inside the first one
        00 90 3c 40               # 0 ms: C4 on
        64 91 3c 46               # 100 ms: C4 on again
        82 2c 81 3c 40            # 400 ms: the second one off
        64 80 3c 40               # 500 ms: offs first
        00 b0 40 7f  00 b1 40 7f  # then the pedal
        00 90 3c 01  00 80 3c 40  # then notes without length
        00 90 3c 02               # then ons
        83 74 80 3c 40            # 1000 ms
        00 b0 40 00  00 b1 40 00  # pedal up
        00 ff 2f 00               # end of track
    """)


def test_a_pedal_lifted_and_pressed_at_one_instant_is_written_up_before_down() -> None:
    """Down came before up: read back, the second pedal was gone."""
    changed = Performance([(0, 500, 48, 80)], [(0, 2000), (2000, 4000)])
    data = write_midi(changed)
    assert data.index(bytes.fromhex("b04000")) < data.index(bytes.fromhex("00b0407f"), 60)
    assert read(data) == (changed, "")


def test_an_empty_performance() -> None:
    assert read(write_midi(Performance())) == (Performance(), "")


@law
@given(performances())
def test_another_parser_reads_the_same_notes(performance: Performance) -> None:
    score = ScoreTick.from_midi(write_midi(performance))
    assert score.ticks_per_quarter == 500
    notes = [(note.time, note.time + note.duration, note.pitch, note.velocity) for track in score.tracks for note in track.notes]
    assert Performance(notes) == Performance(performance.notes)


def test_a_path_gets_the_same_bytes(tmp_path: Path) -> None:
    performance = Performance([(0, 500, 60, 64)])
    for path in (tmp_path / "a.mid", str(tmp_path / "b.mid")):
        data = write_midi(performance, path)
        assert Path(path).read_bytes() == data == write_midi(performance)
        assert read_midi(path) == performance
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mid", "b.mid"]


def test_a_path_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for path in (tmp_path, tmp_path / "file" / "a.mid"):
        with pytest.raises(OutputError) as caught:
            write_midi(Performance(), path)
        assert str(path) in str(caught.value)
        assert ";" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "kept"


def test_what_could_not_be_read_back_is_not_written() -> None:
    n = MAX_EVENTS // 2 + 1
    too_many = Performance(pack_notes(np.arange(n), np.arange(n) + 1, np.full(n, 60), np.full(n, 64)))
    with pytest.raises(MidiError, match="more than 2,000,000 note and pedal events; write it in parts"):
        write_midi(too_many)
