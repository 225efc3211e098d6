"""Reading Standard MIDI Files: byte by byte, and against a plain model of one event after another."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from datasets import giantmidi_files, maestro_files, needs_datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from midi_bytes import END_OF_TRACK, chunk, dump, pedals, quantity, read, rows, smf
from strategies import law
from symusic.core import ScoreTick

import preludio
from preludio.errors import MidiError, PreludioWarning
from preludio.midi import KINDS, REMARKS, events, read_and_repair, read_midi, write_midi
from preludio.performance import MAX_MS, STEP_MS, Performance, pack_notes, quantise, sustain
from preludio.tokens import encode

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


def test_a_pedal_that_is_never_lifted_rings_to_the_end_of_the_file() -> None:
    """The final chord of many files: its pedal went up with the last event, so the chord was damped at once, and nothing was said."""
    performance, warning = read(smf(f"00 b0 40 7f {NOTE} 83 60 ff 2f 00"))
    assert pedals(performance) == [[0, 490]]
    assert warning == "MIDI data: the pedal is never lifted, taken as lifted at the end of the file"
    longer = smf("00 b0 40 7f 00 ff 2f 00", f"{NOTE} 83 60 ff 2f 00")  # the pedal acts on the whole piano, whatever track ends last
    assert pedals(read(longer)[0]) == [[0, 490]]


def test_what_has_no_end_does_not_ring_for_minutes_after_the_music() -> None:
    performance, warning = read(smf(f"00 b0 40 7f 00 90 3e 40 {NOTE} 83 ff 7f ff 2f 00"))  # the track ends 65 s later
    assert rows(performance) == [(0, 10, 60, 64), (0, 15_010, 62, 64)]
    assert pedals(performance) == [[0, 15_010]]
    assert "1 note without an end, closed 15 s after the last event" in warning
    assert "the pedal is never lifted, taken as lifted 15 s after the last event" in warning


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
    assert warning == "MIDI data: the pedal is never lifted, taken as lifted at the end of the file"


def test_the_starts_of_patterns_do_not_gather_rounding() -> None:
    pattern = "00 90 3c 40  00 80 3c 40  03 ff 2f 00"  # 1.5 ms
    assert [onset for onset, *_ in rows(read(smf(*[pattern] * 5, kind=2, division=1000))[0])] == [0, 2, 3, 5, 6]


def test_other_chunks_and_bytes_after_the_last_track_are_passed_over() -> None:
    data = smf(f"{NOTE} {END}", f"{NOTE} {END}")
    strange = data[:14] + chunk(b"XFIH", b"MTrk") + data[14:] + b"\0\0 trailing"
    assert read(strange) == (Performance([(0, 10, 60, 64), (0, 10, 60, 64)]), "")


def test_a_track_is_read_on_after_an_end_in_its_middle() -> None:
    """What followed was lost without a word: other readers go on to the end of the chunk, as its length says."""
    tempo = "00 ff 51 03 0f 42 40"  # twice as slow from there on
    performance, warning = read(smf(f"{NOTE} {END} {tempo} {NOTE} {END} {NOTE} {END}", f"{NOTE} {END}"))
    assert rows(performance) == [(0, 10, 60, 64), (0, 10, 60, 64), (10, 30, 60, 64), (30, 50, 60, 64)]
    assert warning == "MIDI data: track 1 was read on after an end-of-track event in its middle"


def test_a_track_that_goes_on_without_a_second_end_is_read_on_too() -> None:
    performance, warning = read(smf(f"{NOTE} {END} {NOTE}", f"{NOTE} {END}"))
    assert rows(performance) == [(0, 10, 60, 64), (0, 10, 60, 64), (10, 20, 60, 64)]
    assert "read on" in warning


@pytest.mark.parametrize("garbage", ["00", "00 00 00", "00 3c 40", "00 90 3c", "ff ff ff ff ff", "00 90 3c 40 0a 80 3c"])
def test_bytes_after_the_end_of_a_track_that_are_no_events_are_left_out_and_it_is_said(garbage: str) -> None:
    performance, warning = read(smf(f"{NOTE} {END} {garbage}", f"{NOTE} {END}"))
    assert rows(performance) == [(0, 10, 60, 64)] * 2
    assert warning == f"MIDI data: track 1 has {len(dump(garbage))} bytes after its end, left out"


# --- ends that are missing, channels that say more --------------------------------------------------------------------------------


def test_a_strike_without_an_end_is_ended_by_the_next_strike_of_its_key() -> None:
    """Two note-ons and one note-off: the off was taken for the first, and the second rang to the end of the track."""
    performance, warning = read(smf("00 90 3c 01  0a 90 3c 02  0a 80 3c 00  00 90 3e 03  83 60 80 3e 00 00 ff 2f 00"))
    assert rows(performance) == [(0, 10, 60, 1), (10, 20, 60, 2), (20, 500, 62, 3)]
    assert warning == "MIDI data: 1 note without an end, closed when the key is struck again"


def test_one_missing_end_does_not_shift_all_later_ones() -> None:
    """First in, first out gave each later note the end of the one before it."""
    repeated = "".join("05 90 3c 40  05 80 3c 00" for _ in range(3))
    performance, _ = read(smf(f"00 90 3c 40 {repeated} 32 ff 2f 00"))
    assert rows(performance) == [(0, 5, 60, 64), (5, 10, 60, 64), (15, 20, 60, 64), (25, 30, 60, 64)]


def test_a_doubled_strike_with_one_end_is_one_note() -> None:
    """A unison of two voices, written as two note-ons on one tick and one note-off: the double rang to the end of the track."""
    performance, warning = read(smf("00 90 3c 50  00 90 3c 40  00 90 3c 30  0a 80 3c 00  83 60 ff 2f 00"))
    assert rows(performance) == [(0, 10, 60, 0x50)]
    assert warning == "MIDI data: 2 notes struck twice at once with one end, read as one"
    ended = read(smf("00 90 3c 40  00 90 3c 40  0a 80 3c 00  00 80 3c 00  00 ff 2f 00"))
    assert ended == (Performance([(0, 10, 60, 64)] * 2), "")  # each has its end


@pytest.mark.parametrize("number", [120, 123, 124, 125, 126, 127])
def test_all_notes_off_ends_the_notes_of_its_channel_in_every_track(number: int) -> None:
    notes = "00 90 3c 40  00 91 3e 40  14 80 3c 00  00 90 3c 40  0a 80 3c 00  00 81 3e 00 00 ff 2f 00"
    performance, warning = read(smf(notes, f"0a b0 {number:02x} 00  00 ff 2f 00"))
    assert rows(performance) == [(0, 10, 60, 64), (0, 30, 62, 64), (20, 30, 60, 64)]
    assert warning == ""


def test_a_note_that_all_notes_off_ends_is_not_without_an_end() -> None:
    performance, warning = read(smf("00 90 3c 40  0a b0 7b 00  00 90 3c 40  0a b0 78 00  83 60 ff 2f 00"))
    assert (rows(performance), warning) == ([(0, 10, 60, 64), (10, 20, 60, 64)], "")


def test_all_sound_off_damps_what_the_pedal_holds_and_leaves_the_pedal_down() -> None:
    performance, _ = read(smf(f"00 b0 40 7f {NOTE} 0a b0 78 00  0a 90 3e 40  0a 80 3e 00  0a b0 40 00 {END}"))
    assert pedals(performance) == [[0, 20], [20, 50]]
    assert rows(sustain(performance)) == [(0, 20, 60, 64), (30, 50, 62, 64)]
    assert pedals(read(smf(f"00 b0 78 00  05 b0 40 7f  05 b0 40 00 {END}"))[0]) == [[5, 10]]


def test_reset_all_controllers_lifts_the_pedal() -> None:
    """The pedal stayed down for the whole file: sequencers reset at a song's beginning and end."""
    assert read(smf(f"00 b0 40 7f  0a b0 79 00 {NOTE} {END}"))[0].pedals.tolist() == [[0, 10]]


@pytest.mark.parametrize("change", ["00 b0 40 00  00 b0 40 7f", "00 b0 40 00  01 b0 40 7f", "01 b0 40 3f  00 b0 40 40"])
@pytest.mark.parametrize("division", [480, 500, 3_000, 20_000])
def test_a_pedal_changed_within_a_tick_or_a_millisecond_damps(change: str, division: int) -> None:
    """Notation programs lift and press the pedal within a tick at each barline; rounded to milliseconds the two were one pedal, and over
    half of the notes rang for seconds too long, the sooner the faster the music."""
    two_seconds = quantity(4 * division).hex()
    half_a_second, rest = quantity(division).hex(), quantity(3 * division).hex()
    note = f"00 90 30 40  {half_a_second} 80 30 00"
    track = f"00 b0 40 7f {note} {rest} b0 07 64 {change} {two_seconds} b0 40 00 {END}"
    performance, warning = read(smf(track, division=division))
    assert len(performance.pedals) == 2
    lifted = int(performance.pedals[0, 1])
    assert abs(lifted - 2000) <= 12  # ten ticks and one, of 1 ms each at most
    assert 0 <= int(performance.pedals[1, 0]) - lifted <= 2
    assert rows(sustain(performance))[0][1] == lifted
    assert read(write_midi(performance)) == (performance, "")
    assert warning == ""


def test_all_sound_off_ends_a_note_from_before_the_bank_of_drums() -> None:
    """The controller was left out with the drums that the channel had by then, and the note rang to the end of the track."""
    data = smf(f"00 90 3c 40  0a b0 00 78  00 b0 78 00  83 60 b1 40 00 {END}")
    assert read(data)[0].notes["offset_ms"].tolist() == [10]


def test_a_channel_with_a_bank_of_drums_is_left_out_as_channel_10() -> None:
    """General MIDI Level 2 (bank 120) and XG (127) put drums on any channel; they became piano notes."""
    drums = "00 91 24 40  0a 81 24 00"
    for bank in ("78", "7f"):
        performance, warning = read(smf(f"00 b1 00 {bank}  00 c1 00 {drums} 00 b1 40 7f {NOTE} {END}"))
        assert performance == Performance([(10, 20, 60, 64)])
        assert warning == "MIDI data: 1 note on channel 2 (drums, by its bank) left out"
    assert len(read(smf(f"00 b1 00 79 {drums} {END}"))[0]) == 1  # a melodic bank
    assert rows(read(smf(f"{NOTE} 05 b0 00 7f 00 90 3d 40 00 80 3d 00 05 b0 00 00 {NOTE} {END}"))[0]) == [(0, 10, 60, 64), (20, 30, 60, 64)]
    assert len(read(smf(f"{drums} {END}", f"00 b1 00 7f {END}"))[0]) == 0  # chosen in another track


def test_other_instruments_are_read_as_piano_and_named() -> None:
    """An orchestra became a piano without a word."""
    violin, flute, piano = "00 c0 28 00 90 3c 40 0a 80 3c 00", "00 c1 49 00 91 3e 40 00 91 40 40 0a 81 3e 00 00 81 40 00", "00 c2 01"
    performance, warning = read(smf(f"{violin} {END}", f"{flute} {piano} {END}"))
    assert len(performance) == 3
    assert warning == "MIDI data: 2 other instruments read as piano: Flute, Violin"
    assert read(smf(f"00 c0 28 {END}"))[1] == ""  # without notes
    assert read(smf(f"00 c0 28 00 c0 00 {NOTE} {END}"))[1] == ""
    assert "Flute" in read(smf(f"00 ff 01 01 61 00 c0 01 00 49 00 ff 01 01 62 {NOTE} {END}"))[1]  # in running status, beside texts
    many = "".join(f"00 c0 {program:02x} {NOTE}" for program in range(6, 20))
    assert read(smf(f"{many} {END}"))[1].endswith("Marimba, Xylophone, 6 more")


@pytest.mark.parametrize("controller", ["07", "0b"])
def test_a_part_that_is_muted_in_the_file_is_left_out_and_it_is_said(controller: str) -> None:
    """Sequencers save a muted part with volume 0; it sounded at full loudness."""
    performance, warning = read(smf(f"00 b1 {controller} 00  00 91 3c 40  0a 81 3c 00 {NOTE} {END}"))
    assert performance == Performance([(10, 20, 60, 64)])
    assert warning == "MIDI data: 1 note muted in the file (volume 0, channel 2) left out"
    swelled = f"00 b0 {controller} 00  00 90 3c 40  05 b0 {controller} 40  05 80 3c 00 {END}"
    assert len(read(smf(swelled))[0]) == 1  # it can be heard at last
    faded = f"00 90 3c 40  05 b0 {controller} 00  05 80 3c 00  00 90 3e 40  0a 80 3e 00 {END}"
    assert rows(read(smf(faded))[0]) == [(0, 10, 60, 64)]
    all_of_it, warning = read(smf(f"00 b0 {controller} 00 {NOTE} {END}"))
    assert len(all_of_it) == 1
    assert warning == "MIDI data: all of it is muted in the file (volume 0), and read all the same"


def test_reset_all_controllers_raises_the_expression_and_not_the_volume() -> None:
    assert len(read(smf(f"00 90 40 40 00 80 40 40 00 b0 0b 00  00 b0 79 00 {NOTE} {END}"))[0]) == 2
    assert len(read(smf(f"00 90 40 40 00 80 40 40 01 b0 07 00  00 b0 79 00 {NOTE} {END}"))[0]) == 1


def test_pedals_that_are_left_out_are_counted() -> None:
    soft = "00 b0 43 7f 01 b0 43 50 01 b0 43 00 01 b0 43 40"
    performance, warning = read(smf(f"{soft} 00 b1 42 7f 00 b2 42 10 {NOTE} {END}"))
    assert performance == Performance([(3, 13, 60, 64)])
    assert warning == (
        "MIDI data: the sostenuto pedal left out, which is pressed 1 time; the soft pedal left out, which is pressed 2 times"
    )


def test_long_silences_are_said() -> None:
    minutes = quantity(28 * 60_000).hex()
    performance, warning = read(smf(f"{minutes} 90 3c 40 0a 80 3c 00 {minutes} 90 3c 40 0a 80 3c 00 {END}"))
    assert [onset for onset, *_ in rows(performance)] == [1_680_000, 3_360_010]
    assert warning == "MIDI data: 2 long silences, the longest 1,680.0 s, from 0.0 s on"


def test_what_lasts_after_the_last_sound_is_said() -> None:
    _, warning = read(smf(f"00 b0 40 7f {NOTE} {quantity(60_000).hex()} b0 40 00 {END}"))
    assert warning == "MIDI data: nothing sounds after 8.4 s, but the pedal is lifted at 60.0 s"


@pytest.mark.parametrize("before", [b"\r\n", bytes([0, 9]) + b"piece.mid".ljust(126, b"\0"), b"a mail about MThd\n\n", b" " * 1_024])
def test_bytes_before_the_header_are_passed_over_and_it_is_said(before: bytes) -> None:
    """A MacBinary header of 128 bytes, a blank line: such files were refused."""
    performance, warning = read(before + smf(f"{NOTE} {END}"))
    assert rows(performance) == [(0, 10, 60, 64)]
    assert warning == f"MIDI data: its header begins after {len(before):,} other bytes"
    with pytest.raises(MidiError, match="not a Standard MIDI File"):
        read(bytes(1_025) + smf(f"{NOTE} {END}"))


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
    message(0xB0, st.sampled_from([0, 7, 11, 66, 67, 120, 121, 123, 127]), values),
    message(0xB0, st.sampled_from([0, 7, 11]), st.sampled_from([0, 120, 127])),
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
Value = Callable[[int], int]  # of a setting at a tick
NEVER = 1 << 62


def setting(events: Timed, channel: int, numbers: dict[int, int | None], before: int) -> Value:
    """Of a channel's controllers, by number: what each sets the value to, None for what it says. The last one at a tick holds."""
    changes = [
        (tick, value if numbers[message[1]] is None else numbers[message[1]])
        for tick, message in sorted(events, key=lambda event: event[0])
        if message[0] == 0xB0 | channel and message[1] in numbers
        for value in [message[2]]
    ]
    return lambda tick: next((int(value or 0) for at, value in reversed(changes) if at <= tick), before)


class Channels:
    """What the controllers of all tracks say."""

    def __init__(self, tracks: list[Timed]) -> None:
        events = [event for track in tracks for event in track]
        self.ticks = sorted({tick for tick, _ in events})
        self.banks = [setting(events, number, {0: None}, 0) for number in range(16)]
        self.volumes = [setting(events, number, {7: None}, 127) for number in range(16)]
        self.expressions = [setting(events, number, {11: None, 121: 127}, 127) for number in range(16)]
        self.silences = [{t for t, m in events if m[0] == 0xB0 | c and m[1] in (120, 123, 127)} for c in range(16)]

    def drums(self, channel: int, tick: int) -> bool:
        return channel == 9 or self.banks[channel](tick) in (120, 127)

    def muted(self, channel: int, onset: int, offset: int) -> bool:
        ticks = [onset, *(tick for tick in self.ticks if onset < tick < offset)]
        return not any(self.volumes[channel](tick) and self.expressions[channel](tick) for tick in ticks)


class Struck(NamedTuple):
    onset: int
    offset: int
    pitch: int
    velocity: int
    channel: int
    unclosed: bool


def notes_of(track: Timed, channels: Channels) -> list[Struck]:
    """Key by key, one event after another: strikes wait for their offs; those that none is left for end with the next strike."""
    notes = []
    end = track[-1][0] if track else 0
    strikes = [(tick, m) for tick, m in track if 0x80 <= m[0] < 0xA0 and m[0] & 15 != 9]
    for channel, pitch in sorted({(m[0] & 15, m[1]) for _, m in strikes}):
        silences = sorted(channels.silences[channel])
        for begin, stop in pairwise([-1, *silences, NEVER]):
            part = []
            for tick, m in strikes:
                is_on = m[0] >= 0x90 and m[2] > 0
                inside = begin <= tick < stop if is_on else begin < tick <= stop
                if (m[0] & 15, m[1]) == (channel, pitch) and inside and not (is_on and channels.drums(channel, tick)):
                    part.append((tick, m[2] if is_on else 0))
            notes += [Struck(*note[:2], pitch, note[2], channel, note[3]) for note in ended(part, stop, end)]
    return notes


def ended(events: list[tuple[int, int]], stop: int, end: int) -> list[tuple[int, int, int, bool]]:
    """(onset, offset, velocity, unclosed) of the (tick, velocity or 0) of one key."""
    sounding: list[int] = []  # as brackets: a note-off closes the latest strike, which leaves those open that none is left for
    for place, (_, velocity) in enumerate(events):
        if velocity:
            sounding.append(place)
        elif sounding:
            sounding.pop()
    open_strikes = set(sounding)
    waiting: list[tuple[int, int]] = []
    notes, carried = [], 0
    for place, (tick, velocity) in enumerate(events):
        if not velocity:
            if waiting:
                onset, loudness = waiting.pop(0)
                notes.append((onset, tick, loudness, False))
            continue
        velocity, carried = max(velocity, carried), 0
        if place not in open_strikes:
            waiting.append((tick, velocity))
            continue
        following = next((at for at, other in events[place + 1 :] if other), None)
        if following == tick:
            carried = velocity
        elif following is not None:
            notes.append((tick, following, velocity, False))
        else:
            notes.append((tick, min(stop, end), velocity, stop > end))
    return notes


def pedals_of(events: Timed, last: int) -> list[tuple[int, int, bool]]:
    """(down, up, never lifted) in ticks of the events of one channel."""
    pedal, down = [], None
    for tick, (_, number, value) in sorted(events, key=lambda event: event[0]):
        value = 0 if number == 121 else value
        if number == 120:
            if down is not None:
                pedal.append((down, tick, False))
                down = tick
        elif value >= 64 and down is None:
            down = tick
        elif value < 64 and down is not None:
            pedal.append((down, tick, False))
            down = None
    return pedal if down is None else [*pedal, (down, last, True)]


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
    ms, channels = clock(timed, division), Channels(timed)
    notes = [note for track in timed for note in notes_of(track, channels)]
    heard = [note for note in notes if not channels.muted(note.channel, note.onset, note.offset)]
    notes = heard or notes
    moves = [(t, m) for track in timed for t, m in track if 0xB0 <= m[0] < 0xC0 and m[1] in (64, 120, 121)]
    moves = [(t, m) for t, m in moves if not channels.drums(m[0] & 15, t)]
    end = max((0, *(note.offset for note in notes), *(track[-1][0] for track in timed if track)))
    pedal = [one for channel in range(16) for one in pedals_of([move for move in moves if move[1][0] & 15 == channel], end)]
    ends = [*(note.offset for note in notes if not note.unclosed), *(up for _, up, endless in pedal if not endless)]
    latest = ms(max([0, *(note.onset for note in notes), *(down for down, *_ in pedal), *ends])) + 15_000
    if ms(max([0, *(note.offset for note in notes), *(up for _, up, _ in pedal)])) > MAX_MS:
        return None
    note_rows = [
        (ms(note.onset), min(ms(note.offset), latest) if note.unclosed else ms(note.offset), note.pitch, note.velocity) for note in notes
    ]
    if any(row[0] + STEP_MS > MAX_MS for row in note_rows):
        return None
    return Performance(note_rows, [(ms(down), min(ms(up), latest) if endless else ms(up)) for down, up, endless in pedal])


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


# --- one key in several tracks ----------------------------------------------------------------------------------------------------

layouts = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60), st.sampled_from([60, 60, 62]), st.integers(0, 3)), max_size=14)


@law
@given(layouts, st.lists(st.tuples(st.integers(0, 80), st.integers(1, 40)), max_size=3))
def test_the_layout_of_tracks_and_channels_does_not_change_what_sounds(notes: list[Row], pedal: list[tuple[int, int]]) -> None:
    """(onset, length, pitch, voice): a track for each voice, a channel for each, or all in one: struck and sounding alike."""

    def file(track_of: Callable[[int], int], channel_of: Callable[[int], int]) -> bytes:
        events = [[(10 * down, 1, 0xB0, 64, 127) for down, _ in pedal] + [(10 * (down + n), 1, 0xB0, 64, 0) for down, n in pedal]]
        for track in range(4):
            here = [note for note in notes if track_of(note[3]) == track]
            ons = [(10 * onset, 2, 0x90 | channel_of(voice), pitch, 64) for onset, _, pitch, voice in here]
            events.append([*ons, *((10 * (onset + n), 0, 0x80 | channel_of(voice), pitch, 0) for onset, n, pitch, voice in here)])
        return smf(*(timed(sorted(track)) for track in events))

    def timed(track: list[tuple[int, ...]]) -> bytes:
        deltas = [after[0] - before[0] for before, after in pairwise([(0,), *track])]
        return b"".join(quantity(delta) + bytes(event[2:]) for delta, event in zip(deltas, track, strict=True)) + END_OF_TRACK

    alone = encode(read(file(lambda _: 0, lambda _: 0))[0]).tolist()
    assert encode(read(file(lambda voice: voice, lambda _: 0))[0]).tolist() == alone
    assert encode(read(file(lambda voice: voice, lambda voice: voice))[0]).tolist() == alone
    assert encode(read(file(lambda voice: voice // 2, lambda voice: voice % 2))[0]).tolist() == alone


def test_a_held_key_that_another_track_repeats_is_struck_twice_and_held() -> None:
    held, repeated = "00 90 3c 50  8f 50 80 3c 00  00 ff 2f 00", "83 74 90 3c 50  81 7a 80 3c 00  00 ff 2f 00"
    performance = read(smf(held, repeated))[0]
    assert rows(performance) == [(0, 2000, 60, 80), (500, 750, 60, 80)]
    assert rows(quantise(sustain(performance))) == [(0, 500, 60, 82), (500, 2000, 60, 82)]


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
        performance, repairs = read_and_repair(path)
        assert {repair.kind for repair in repairs} <= set(REMARKS)
        assert Performance(performance.notes) == performance_by_symusic(path.read_bytes())
        assert read_midi(write_midi(performance)) == performance


def test_the_page_has_a_sentence_for_each_kind_of_repair_in_each_language() -> None:
    folder = Path(preludio.__file__).parent / "studio" / "static" / "lang"
    for language in ("en", "es"):
        sentences = json.loads((folder / f"{language}.json").read_text(encoding="utf-8"))
        assert {f"r_{kind}{n}" for kind in KINDS for n in "1N"} <= sentences.keys()
