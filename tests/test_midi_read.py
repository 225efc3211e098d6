"""Reading Standard MIDI Files: byte by byte, and against a plain model of one event after another."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from datasets import giantmidi_files, maestro_files, needs_datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from midi_bytes import END_OF_TRACK, chunk, dump, pedals, quantity, read, rows, smf
from symusic.core import ScoreTick

from preludio.errors import MidiError, PreludioWarning
from preludio.midi import events, read_midi, write_midi
from preludio.performance import MAX_MS, STEP_MS, Performance, pack_notes

NOTE = "00 90 3c 40  0a 80 3c 00"  # C4 from 0 to 10
END = "00 ff 2f 00"


# --- bytes ------------------------------------------------------------------------------------------------------------------------


def test_a_small_file_byte_by_byte() -> None:
    data = dump("""
        4d 54 68 64  # MThd
        00 00 00 06  # six bytes follow
        00 00        # format 0
        00 01        # one track
        01 e0        # 480 ticks per quarter note

        4d 54 72 6b  # MTrk
        00 00 00 26  # 38 bytes follow
        00 ff 51 03 0f 42 40  # tempo 1,000,000 us per quarter note
        00 b0 40 7f  # pedal down
        00 90 3c 40  # C4 on at 0, velocity 64
        83 60 3e 50  # running status: D4 on after 480 ticks, velocity 80
        00 3c 00     # velocity 0: C4 off
        83 60 80 3e 40  # D4 off after another 480 ticks
        00 b0 40 3f  # pedal up: 63
        78 c0 00     # program change, 120 ticks later
        00 ff 2f 00  # end of track
    """)
    performance, warning = read(data)
    assert rows(performance) == [(0, 1000, 60, 64), (1000, 2000, 62, 80)]
    assert pedals(performance) == [[0, 2000]]
    assert warning == ""


def test_a_tempo_in_another_track_changes_inside_a_note() -> None:
    tempos = "00 ff 51 03 07 a1 20  60 ff 51 03 0f 42 40  00 ff 2f 00"  # 0.5 s a quarter note, from tick 96 on 1 s
    notes = "00 90 3c 40  81 40 80 3c 00  00 ff 2f 00"  # from tick 0 to 192
    expected = [(0, 1500, 60, 64)]
    assert rows(read(smf(tempos, notes, division=96))[0]) == expected
    assert rows(read(smf(notes, tempos, division=96))[0]) == expected


def test_of_several_tempos_at_one_tick_the_last_holds() -> None:
    tempos = "00 ff 51 03 0f 42 40  00 ff 51 03 07 a1 20"
    assert rows(read(smf(f"{tempos} {NOTE} {END}"))[0]) == [(0, 10, 60, 64)]


@pytest.mark.parametrize(
    ("division", "ms"),
    [
        (0xE800 | 40, 1042),  # -24: 24 frames of 40 ticks a second; 1,000 ticks are 1,041.67 ms
        (0xE700 | 40, 1000),  # -25: a tick is a millisecond
        (0xE300 | 40, 834),  # -29: 29.97 frames a second, 834.17 ms
        (0xE200 | 40, 833),  # -30: 833.33 ms
    ],
)
def test_smpte_ticks_are_parts_of_a_second_whatever_the_tempo_says(division: int, ms: int) -> None:
    track = f"00 ff 51 03 00 00 01  00 90 3c 40  {quantity(1000).hex()} 80 3c 00 {END}"
    assert read(smf(track, division=division)) == (Performance([(0, ms, 60, 64)]), "")


@pytest.mark.parametrize("division", [0, 0xE200, 0xFF01, 0x8001])
def test_a_division_without_meaning_is_refused(division: int) -> None:
    with pytest.raises(MidiError, match=r"MIDI data: its time division .*; export it again"):
        read_midi(smf(f"{NOTE} {END}", division=division))


def test_a_tempo_of_0_is_refused() -> None:
    with pytest.raises(MidiError, match="a tempo of 0 microseconds"):
        read_midi(smf(f"00 ff 51 03 00 00 00 {NOTE} {END}"))


def test_a_half_millisecond_is_rounded_up_and_never_summed() -> None:
    # 1,000 ticks per quarter note: a tick is half a millisecond. Ten notes, each three ticks after the last.
    track = b"".join(bytes([3, 0x90, 60, 1, 0, 0x80, 60, 0]) for _ in range(10)) + END_OF_TRACK
    assert [onset for onset, *_ in rows(read(smf(track, division=1000))[0])] == [2, 3, 5, 6, 8, 9, 11, 12, 14, 15]


def test_overlapping_equal_pitches_are_not_cut_and_notes_without_length_stay() -> None:
    track = """
        00 90 3c 01  # C4, velocity 1
        0a 90 3c 02  # C4 again at 10 while it sounds
        0a 80 3c 00  # the first ends at 20
        0a 80 3c 00  # the second at 30
        05 90 3e 03  # D4 at 35
        00 80 3e 00  # which ends at once
        00 ff 2f 00
    """
    assert read(smf(track)) == (Performance([(0, 20, 60, 1), (10, 30, 60, 2), (35, 35, 62, 3)]), "")


def test_a_repeated_key_may_be_struck_before_it_is_released_at_one_tick() -> None:
    track = "00 90 3c 01  0a 90 3c 02  00 80 3c 00  0a 80 3c 00  00 ff 2f 00"
    assert rows(read(smf(track))[0]) == [(0, 10, 60, 1), (10, 20, 60, 2)]


def test_one_key_in_two_tracks_or_channels_is_two_notes() -> None:
    first, second = "00 90 3c 01  0a 80 3c 00  00 ff 2f 00", "05 90 3c 02  0a 80 3c 00  00 ff 2f 00"
    assert rows(read(smf(first, second))[0]) == [(0, 10, 60, 1), (5, 15, 60, 2)]
    together = "00 90 3c 01  05 91 3c 02  05 80 3c 00  05 81 3c 00  00 ff 2f 00"
    assert rows(read(smf(together))[0]) == [(0, 10, 60, 1), (5, 15, 60, 2)]


def test_a_pedal_on_a_channel_without_notes_holds_the_whole_piano() -> None:
    pedal, notes = "05 b3 40 40  0f b3 40 00  00 ff 2f 00", f"{NOTE} {END}"
    assert pedals(read(smf(pedal, notes))[0]) == [[5, 20]]


def test_a_pedal_still_down_goes_up_with_the_last_event() -> None:
    assert pedals(read(smf(f"00 b0 40 7f {NOTE} 83 60 ff 2f 00"))[0]) == [[0, 10]]


def test_unclosed_notes_end_with_their_track() -> None:
    performance, warning = read(smf("00 90 3c 40  0a 90 3e 40  05 80 3e 40  05 ff 2f 00"))
    assert rows(performance) == [(0, 20, 60, 64), (10, 15, 62, 64)]
    assert warning == "MIDI data: 1 note without an end, closed at the end of the track"


def test_drums_are_left_out_and_it_is_said() -> None:
    performance, warning = read(smf(f"00 99 24 40  0a 89 24 00  00 b9 40 7f {NOTE} {END}"))
    assert performance == Performance([(10, 20, 60, 64)])
    assert warning == "MIDI data: 1 note on channel 10 (drums) left out"


def test_running_status_goes_on_after_meta_and_system_events() -> None:
    track = "00 90 3c 40  05 ff 01 02 61 62  05 3c 00  00 f0 02 01 f7  05 3e 01  05 3e 00  00 f8  00 40 02  01 40 00  00 ff 2f 00"
    assert rows(read(smf(track))[0]) == [(0, 10, 60, 64), (15, 20, 62, 1), (20, 21, 64, 2)]


def test_running_status_of_messages_with_one_data_byte() -> None:
    track = "00 90 3c 40  01 d0 10  01 20  01 30  00 ff 01 00  01 40  06 90 3c 00  00 c0 05  00 06  00 80 3c 00  00 ff 2f 00"
    assert read(smf(track)) == (Performance([(0, 10, 60, 64)]), "")


def test_data_bytes_over_127_are_taken_as_127() -> None:
    performance, warning = read(smf(f"00 90 3c c8  0a 3c 00  00 b0 40 ff  0a 40 00 {END}"))
    assert performance == Performance([(0, 10, 60, 127)], [(10, 20)])
    assert warning == "MIDI data: 2 data bytes over 127 taken as 127"


def test_riff_midi_is_unwrapped() -> None:
    inner = smf(f"{NOTE} {END}")
    riff = b"RIFF" + (len(inner) + 12).to_bytes(4, "little") + b"RMIDdata" + len(inner).to_bytes(4, "little") + inner
    assert read(riff) == read(inner)
    with pytest.raises(MidiError, match="not a Standard MIDI File"):
        read_midi(riff[:20])


def test_the_patterns_of_format_2_follow_one_another_each_with_its_own_tempo() -> None:
    slow = f"00 ff 51 03 0f 42 40 {NOTE} 0a ff 2f 00"  # twice as slow: the note ends at 20, the pattern at 40
    performance, warning = read(smf(slow, f"{NOTE} {END}", f"00 b0 40 7f {NOTE} {END}", kind=2))
    assert rows(performance) == [(0, 20, 60, 64), (40, 50, 60, 64), (50, 60, 60, 64)]
    assert pedals(performance) == [[50, 60]]
    assert warning == ""


def test_the_starts_of_patterns_do_not_gather_rounding() -> None:
    pattern = "00 90 3c 40  00 80 3c 40  03 ff 2f 00"  # 1.5 ms
    assert [onset for onset, *_ in rows(read(smf(*[pattern] * 5, kind=2, division=1000))[0])] == [0, 2, 3, 5, 6]


def test_other_chunks_and_bytes_after_the_end_are_passed_over() -> None:
    data = smf(f"{NOTE} {END} 00 90 40 40", f"{NOTE} {END}")
    strange = data[:14] + chunk(b"XFIH", b"MTrk") + data[14:] + b"\0\0 trailing"
    assert read(strange) == (Performance([(0, 10, 60, 64), (0, 10, 60, 64)]), "")


# --- files that lie ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 7, 200, 2**31, 2**32 - 1])
@pytest.mark.parametrize("place", [0, 1])
def test_a_wrong_track_length_loses_nothing(length: int, place: int) -> None:
    data = smf(f"{NOTE} {END}", f"{NOTE} {END}")
    at = 18 + place * 20
    performance, warning = read(data[:at] + length.to_bytes(4) + data[at + 4 :])
    assert rows(performance) == [(0, 10, 60, 64)] * 2
    assert warning == f"MIDI data: the length of track {place + 1} is wrong"


def test_a_track_length_that_spans_the_next_track_loses_nothing() -> None:
    data = smf(f"{NOTE} {END}", f"{NOTE} {END}")
    performance, warning = read(data[:18] + (32).to_bytes(4) + data[22:])
    assert len(performance) == 2
    assert "the length of track 1 is wrong" in warning


@pytest.mark.parametrize("length", [0, 5, 7, 100, 2**32 - 1])
def test_a_wrong_header_length_loses_nothing(length: int) -> None:
    data = smf(f"{NOTE} {END}")
    performance, warning = read(data[:4] + length.to_bytes(4) + data[8:])
    assert rows(performance) == [(0, 10, 60, 64)]
    assert "not where its header says" in warning


def test_a_longer_header_of_a_later_version_is_passed_over() -> None:
    data = smf(f"{NOTE} {END}")
    assert read(data[:4] + (8).to_bytes(4) + data[8:14] + b"\1\2" + data[14:]) == (Performance([(0, 10, 60, 64)]), "")


@pytest.mark.parametrize("said", [0, 3, 65_535])
def test_a_wrong_number_of_tracks_loses_nothing(said: int) -> None:
    performance, warning = read(smf(f"{NOTE} {END}", f"{NOTE} {END}", said=said))
    assert len(performance) == 2
    assert warning == f"MIDI data: it says {said} tracks and has 2"


def test_a_missing_end_of_track_is_said() -> None:
    performance, warning = read(smf(NOTE, f"{NOTE} {END}"))
    assert len(performance) == 2
    assert warning == "MIDI data: track 1 is cut off at byte 30: what came before is kept"


def test_damage_ends_its_track_only() -> None:
    too_long = "81 81 81 81 01 90 3e 40"  # a delta time of five bytes
    performance, warning = read(smf(f"{NOTE} {too_long} {END}", f"{NOTE} {END}"))
    assert len(performance) == 2
    assert "track 1 has a number of more than four bytes at byte 34" in warning
    performance, warning = read(smf(f"00 3c 40 {END}", f"{NOTE} {END}"))
    assert len(performance) == 1
    assert "track 1 begins with data that belong to no message" in warning


def test_an_unknown_format_is_read_as_1() -> None:
    performance, warning = read(smf(f"{NOTE} {END}", f"{NOTE} {END}", kind=7))
    assert len(performance) == 2
    assert warning == "MIDI data: format 7 is unknown and read as 1"


def test_many_repairs_are_one_short_line() -> None:
    _, warning = read(smf(*[NOTE] * 9))
    assert warning.endswith("and 4 more")
    assert "\n" not in warning


def test_a_file_without_notes_is_empty() -> None:
    assert read(smf(END)) == (Performance(), "")


# --- what cannot be read ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "the file is empty"),
        (b"ID3\x03 this is an mp3", "not a Standard MIDI File"),
        (b"MThd\0\0\0\6\0\0\0\1", "cut off inside its header"),
        (smf(), "it has no track"),
        (b"MThd" + bytes(16_000_000), "larger than 16 MB"),
    ],
)
def test_what_is_no_midi_is_one_line_with_a_remedy(data: bytes, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "song.mid"
    path.write_bytes(data)
    for source, name in ((data, "MIDI data"), (path, str(path)), (str(path), str(path))):
        with pytest.raises(MidiError) as caught:
            read_midi(source)
        text = str(caught.value)
        assert text.startswith(f"{name}: {fault}")
        assert ";" in text or ":" in text[len(name) + 1 :]
        assert "\n" not in text


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    for path, fault in (
        (tmp_path / "none.mid", "no such file"),
        (tmp_path, "a folder"),
        (tmp_path / ("x" * 300), "cannot be read"),
        (Path("a\0b"), "cannot be read"),
    ):
        with pytest.raises(MidiError) as caught:
            read_midi(path)
        assert str(caught.value).startswith(f"{path}: {fault}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mid")
    with pytest.raises(MidiError, match="not a file"):
        read_midi(tmp_path / "pipe.mid")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "secret.mid"
    path.write_bytes(smf(END))
    path.chmod(0)
    with pytest.raises(MidiError, match=r"cannot be read \(Permission denied\)"):
        read_midi(path)


def test_a_warning_names_the_file_and_points_to_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "song.mid"
    path.write_bytes(smf(NOTE))
    with pytest.warns(PreludioWarning, match="song.mid: track 1 is cut off") as caught:
        read_midi(path)
    assert caught[0].filename == __file__


# --- against a plain model --------------------------------------------------------------------------------------------------------


Row = tuple[int, int, int, int]


class Event(NamedTuple):
    delta: int
    message: bytes  # status, then data; meta and system events whole
    running: bool  # leave the status away if it is that of the last channel message


deltas = st.one_of(st.integers(0, 3), st.sampled_from([127, 128, 16_383, 16_384, 2_097_151, 2_097_152]))
channels = st.sampled_from([0, 0, 0, 1, 9, 15])
values = st.sampled_from([0, 1, 63, 64, 127])


def message(kind: int, *data: st.SearchStrategy[int]) -> st.SearchStrategy[bytes]:
    return st.builds(lambda channel, *rest: bytes([kind | channel, *rest]), channels, *data)


keys = st.sampled_from([60, 60, 64])
messages = st.one_of(
    message(0x90, keys, values),
    message(0x90, keys, values),
    message(0x80, keys, values),
    message(0xB0, st.just(64), values),
    message(0xB0, st.sampled_from([7, 123]), values),
    message(0xA0, keys, values),
    message(0xE0, values, values),
    message(0xC0, values),
    message(0xD0, values),
    st.sampled_from([1, 250_000, 500_000, 16_777_215]).map(lambda tempo: b"\xff\x51\x03" + tempo.to_bytes(3)),
    st.binary(max_size=5).map(lambda text: b"\xff\x01" + quantity(len(text)) + text),
    st.binary(max_size=5).map(lambda text: b"\xf0" + quantity(len(text)) + text),
    st.sampled_from([b"\xf8", b"\xf1\x00", b"\xf2\x00\x90"]),
)
event_lists = st.lists(st.builds(Event, deltas, messages, st.booleans()), max_size=40)
divisions = st.sampled_from([1, 24, 480, 500, 32_767])


def track_bytes(track: list[Event]) -> bytes:
    content, status = b"", -1
    for event in track:
        left_away = event.running and event.message[0] == status
        content += quantity(event.delta) + event.message[left_away:]
        status = event.message[0] if event.message[0] < 0xF0 else status
    return content + END_OF_TRACK


Timed = list[tuple[int, bytes]]  # (tick, message) of one track


def notes_of(track: Timed) -> list[Row]:
    """(onset, offset, pitch, velocity) in ticks."""
    notes, sounding = [], defaultdict[tuple[int, int], deque[tuple[int, int]]](deque)
    for tick, message in track:
        kind, channel, data = message[0] & 0xF0, message[0] & 15, message[1:]
        if kind not in (0x80, 0x90) or channel == 9:
            continue
        queue = sounding[channel, data[0]]
        if kind == 0x90 and data[1]:
            queue.append((tick, data[1]))
        elif queue:
            onset, velocity = queue.popleft()
            notes.append((onset, tick, data[0], velocity))
    end = track[-1][0] if track else 0
    return [*notes, *((onset, end, pitch, velocity) for (_, pitch), queue in sounding.items() for onset, velocity in queue)]


def pedals_of(events: Timed, last: int) -> list[tuple[int, int]]:
    """(down, up) in ticks of the events of one channel."""
    pedal, down = [], None
    for tick, (_, _, value) in sorted(events, key=lambda event: event[0]):
        if value >= 64 and down is None:
            down = tick
        elif value < 64 and down is not None:
            pedal.append((down, tick))
            down = None
    return pedal if down is None else [*pedal, (down, last)]


def clock(tracks: list[Timed], division: int) -> Callable[[int], int]:
    """Ticks -> milliseconds."""
    tempos = [(tick, int.from_bytes(message[3:])) for track in tracks for tick, message in track if message[:2] == b"\xff\x51"]

    def ms(tick: int) -> int:
        time, last, tempo = Fraction(0), 0, 500_000
        for at, new in sorted(tempos, key=lambda pair: pair[0]):
            if at > tick:
                break
            time, last, tempo = time + Fraction((at - last) * tempo, division), at, new
        return int((time + Fraction((tick - last) * tempo, division)) / 1000 + Fraction(1, 2))

    return ms


def model(tracks: list[list[Event]], division: int) -> Performance | None:
    """What the tracks play, one event after another in exact fractions; None if that lasts over 24 days."""
    timed = [list(zip(accumulate(event.delta for event in track), (event.message for event in track), strict=True)) for track in tracks]
    ms = clock(timed, division)
    notes = [note for track in timed for note in notes_of(track)]
    piano = [(t, m) for track in timed for t, m in track if m[0] < 0xA0 and m[0] & 15 != 9]
    moves = [(t, m) for track in timed for t, m in track if 0xB0 <= m[0] < 0xC0 and m[0] != 0xB9 and m[1] == 64]
    last = max((0, *(note[1] for note in notes), *(tick for tick, _ in piano), *(tick for tick, _ in moves)))
    pedal = [pair for channel in range(16) for pair in pedals_of([move for move in moves if move[1][0] & 15 == channel], last)]
    note_rows = [(ms(onset), ms(offset), *rest) for onset, offset, *rest in notes]
    if max((0, *(ms(up) for _, up in pedal), *(row[0] + STEP_MS for row in note_rows), *(row[1] for row in note_rows))) > MAX_MS:
        return None
    return Performance(note_rows, [(ms(down), ms(up)) for down, up in pedal])


@settings(deadline=None, max_examples=250)
@given(st.lists(event_lists, min_size=1, max_size=3), divisions, st.sampled_from([4, 7, 30, 1 << 16]), st.sampled_from([1, 20, 1_024]))
def test_reading_equals_the_model_wherever_blocks_end(tracks: list[list[Event]], division: int, block: int, worthwhile: int) -> None:
    data, expected = smf(*map(track_bytes, tracks), division=division), model(tracks, division)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(events, "_BLOCK", block)
        patch.setattr(events, "_WORTHWHILE", worthwhile)
        if expected is None:
            with pytest.raises(MidiError, match="24 days"):
                read(data)
        else:
            assert read(data)[0] == expected


# --- real music -------------------------------------------------------------------------------------------------------------------


def performance_by_symusic(data: bytes) -> Performance:
    """Another parser's notes; its ticks become milliseconds here, since its seconds are float32. One tempo only."""
    score = ScoreTick.from_midi(data)
    (tempo,) = {tempo.mspq for tempo in score.tempos}
    unit = 1000 * score.ticks_per_quarter
    columns = [track.notes.numpy() for track in score.tracks]
    onset, length, pitch, velocity = (np.concatenate([c[name] for c in columns]) for name in ("time", "duration", "pitch", "velocity"))
    onset_ms, offset_ms = ((tick.astype(np.int64) * tempo + unit // 2) // unit for tick in (onset, onset + length))
    return Performance(pack_notes(onset_ms, offset_ms, pitch, velocity))


@needs_datasets
def test_real_files_are_read_as_another_parser_reads_them_and_survive_writing() -> None:
    paths = [*maestro_files("validation"), *giantmidi_files()]
    assert len(paths) > 180
    for path in paths:
        performance = read_midi(path)
        assert Performance(performance.notes) == performance_by_symusic(path.read_bytes())
        assert read_midi(write_midi(performance)) == performance
