"""The laws of `Performance` and of the functions on it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import law, note_rows, performances, sustained_performances, times_ms

from preludio.errors import PerformanceError
from preludio.performance import (
    MAX_MS,
    NOTE,
    STEP_MS,
    Performance,
    crop,
    end_of_sound_ms,
    join,
    pack_notes,
    quantise,
    shift,
    sounding_until_ms,
    stretch,
    sustain,
    transpose,
)


def rows(performance: Performance) -> list[tuple[int, int, int, int]]:
    notes: list[tuple[int, int, int, int]] = performance.notes.tolist()
    return notes


def pedal_rows_of(performance: Performance) -> list[list[int]]:
    pedals: list[list[int]] = performance.pedals.tolist()
    return pedals


# --- the type ---------------------------------------------------------------------------------------------------------------------


@law
@given(st.lists(note_rows(), max_size=12), st.randoms(use_true_random=False))
def test_the_order_in_which_notes_are_given_does_not_matter(notes: list[Any], random: Any) -> None:
    shuffled = random.sample(notes, len(notes))
    assert Performance(notes) == Performance(shuffled)
    assert rows(Performance(notes)) == sorted(notes, key=lambda n: (n[0], n[2], n[1], n[3]))


@law
@given(st.lists(st.tuples(times_ms, times_ms).map(sorted), max_size=8))
def test_pedals_are_sorted_and_joined_where_they_overlap(pedals: list[list[int]]) -> None:
    merged = pedal_rows_of(Performance((), pedals))
    down = {ms for begin, end in pedals for ms in range(begin, end)}
    assert {ms for begin, end in merged for ms in range(begin, end)} == down
    assert all(begin < end for begin, end in merged)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(merged))
    ends, begins = ({pedal[place] for pedal in pedals if pedal[0] < pedal[1]} for place in (1, 0))
    inside = {ms for begin, end in pedals for ms in range(begin + 1, end)}  # where a pedal is down before and after
    assert {earlier[1] for earlier, later in pairwise(merged) if earlier[1] == later[0]} == (ends & begins) - inside


def test_pedals_overlap_touch_nest_and_vanish() -> None:
    """Touching pedals were joined; but notation programs lift and press the pedal at one instant, and that damps."""
    assert pedal_rows_of(Performance((), [(5, 9), (0, 5)])) == [[0, 5], [5, 9]]
    assert pedal_rows_of(Performance((), [(5, 9), (0, 5), (4, 6)])) == [[0, 9]]
    assert pedal_rows_of(Performance((), [(0, 20), (3, 4), (10, 30)])) == [[0, 30]]
    assert pedal_rows_of(Performance((), [(3, 3)])) == []


@law
@given(performances())
def test_copies_are_equal_and_have_the_same_hash(performance: Performance) -> None:
    for twin in (
        Performance(performance.notes, performance.pedals),
        Performance(rows(performance), pedal_rows_of(performance)),
        Performance(list(performance.notes), list(performance.pedals)),  # records, as a filter over `notes` gives them
        copy.deepcopy(performance),
        pickle.loads(pickle.dumps(performance)),
    ):
        assert twin == performance
        assert hash(twin) == hash(performance)


def test_what_differs_is_not_equal() -> None:
    performance = Performance([(0, 10, 60, 64)], [(0, 10)])
    for other in (Performance(), Performance([(0, 10, 60, 64)]), Performance([(0, 10, 60, 65)], [(0, 10)]), "performance", None):
        assert performance != other


@pytest.mark.parametrize("duplicate", [lambda p: p, copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p)), quantise])
def test_a_performance_is_frozen(duplicate: Callable[[Performance], Performance]) -> None:
    performance = duplicate(Performance([(0, 10, 60, 64)], [(0, 10)]))
    with pytest.raises(ValueError, match="read-only"):
        performance.notes["pitch"] = 61
    with pytest.raises(ValueError, match="read-only"):
        performance.pedals[0, 1] = 5
    with pytest.raises(AttributeError, match="frozen"):
        performance.notes = performance.notes.copy()
    with pytest.raises(AttributeError, match="frozen"):
        del performance.pedals


def test_a_performance_does_not_change_with_the_array_it_was_made_from() -> None:
    notes, pedals = np.array([(0, 10, 60, 64)], dtype=NOTE), np.array([[0, 10]], dtype=np.int32)
    performance = Performance(notes, pedals)
    notes["pitch"], pedals[:] = 61, 7
    assert rows(performance) == [(0, 10, 60, 64)]
    assert pedal_rows_of(performance) == [[0, 10]]


def test_length_duration_and_text() -> None:
    assert len(Performance()) == 0
    assert Performance().duration_ms == 0
    performance = Performance([(0, 900, 60, 64), (100, 300, 62, 64)], [(0, 2500)])
    assert performance.duration_ms == 2500
    assert repr(performance) == "Performance(2 notes, 1 pedals, 2.5 s)"


BAD_NOTES: dict[str, Any] = {
    "half a millisecond": [(0.5, 10, 60, 64)],
    "floats, though whole": np.array([[0.0, 10.0, 60.0, 64.0]]),
    "not a number": [(float("nan"), 10, 60, 64)],
    "infinity": np.array([[0, np.inf, 60, 64]]),
    "text": "abcd",
    "numbers as text": [("0", "10", "60", "64")],
    "truth values": [(True, True, True, True)],
    "complex numbers": [(1j, 10, 60, 64)],
    "none": None,
    "a number": 5,
    "a hole": [(0, 10, 60, None)],
    "a mapping": {"onset_ms": 0},
    "one row too few brackets": [0, 10, 60, 64],
    "too few columns": [(0, 10, 60)],
    "too many columns": [(0, 10, 60, 64, 1)],
    "rows of unequal length": [(0, 10, 60), (0, 10, 60, 64)],
    "three dimensions": np.ones((2, 2, 4), dtype=np.int64),
    "notes in two dimensions": np.ones((2, 2), dtype=NOTE),
    "another record": np.zeros(2, dtype=[("a", "i4"), ("b", "i4")]),
    "before the beginning": [(-1, 10, 60, 64)],
    "ends before it begins": [(10, 9, 60, 64)],
    "pitch 128": [(0, 10, 128, 64)],
    "pitch 200 in a note array": pack_notes([0], [10], [200], [64]),
    "negative pitch": [(0, 10, -1, 64)],
    "velocity 0": [(0, 10, 60, 0)],
    "velocity 128": [(0, 10, 60, 128)],
    "velocity 200 in a note array": pack_notes([0], [10], [60], [200]),
    "beyond 24 days": [(0, MAX_MS + 1, 60, 64)],
    "begins without a step of room": [(MAX_MS - STEP_MS + 1, MAX_MS, 60, 64)],
    "beyond 32 bits": [(0, 2**32 + 10, 60, 64)],
    "beyond 63 bits": np.array([[0, 2**63 + 10, 60, 64]], dtype=np.uint64),
    "beyond 64 bits": [(0, 2**70, 60, 64)],
}


@pytest.mark.parametrize("notes", BAD_NOTES.values(), ids=BAD_NOTES.keys())
def test_bad_notes_are_refused_in_one_line(notes: Any) -> None:
    with pytest.raises(PerformanceError) as caught:
        Performance(notes)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) > 10


BAD_PEDALS: dict[str, Any] = {
    "half a millisecond": [(0.5, 1)],
    "not a number": [(float("nan"), 1)],
    "text": "ab",
    "none": None,
    "a number": 3,
    "one row too few brackets": [0, 1],
    "three columns": [(0, 1, 2)],
    "rows of unequal length": [(0, 1), (2,)],
    "before the beginning": [(-1, 2)],
    "up before down": [(3, 1)],
    "beyond 24 days": [(0, MAX_MS + 1)],
    "beyond 64 bits": [(0, 2**70)],
}


@pytest.mark.parametrize("pedals", BAD_PEDALS.values(), ids=BAD_PEDALS.keys())
def test_bad_pedals_are_refused_in_one_line(pedals: Any) -> None:
    with pytest.raises(PerformanceError) as caught:
        Performance((), pedals)
    assert "\n" not in str(caught.value)


# --- the pedal --------------------------------------------------------------------------------------------------------------------


class Piano:
    """Moves its dampers event by event. A key is up when all notes that struck it have ended, and answers for its latest strike."""

    def __init__(self) -> None:
        self.pedal = False
        self.struck: dict[int, list[int]] = {}  # pitch -> its notes so far
        self.ended: set[int] = set()  # notes
        self.caught: dict[int, int] = {}  # pitch -> the note that only the pedal holds
        self.silent_ms: dict[int, int] = {}  # note -> when it falls silent

    def end(self, pitch: int, note: int, now_ms: int, *, catches: bool) -> None:
        self.ended.add(note)
        for place, other in enumerate(self.struck[pitch]):
            if other not in self.silent_ms and self.ended.issuperset(self.struck[pitch][: place + 1]):
                self.silent_ms[other] = now_ms
                if other == self.struck[pitch][-1] and catches:
                    self.caught[pitch] = other

    def pedal_up(self, now_ms: int) -> None:
        self.pedal = False
        self.silent_ms |= dict.fromkeys(self.caught.values(), now_ms)
        self.caught.clear()

    def key_down(self, pitch: int, note: int, now_ms: int) -> None:
        if pitch in self.caught:
            self.silent_ms[self.caught.pop(pitch)] = now_ms
        self.struck.setdefault(pitch, []).append(note)


def played_on_a_piano(performance: Performance) -> Performance:
    """At one instant keys go up, then the pedal moves, up before down, then keys go down."""
    notes, pedals, piano = rows(performance), pedal_rows_of(performance), Piano()
    for now_ms in sorted({ms for note in notes for ms in note[:2]} | {ms for pedal in pedals for ms in pedal}):
        pedal_was_down = piano.pedal
        for number, (onset_ms, offset_ms, pitch, _) in enumerate(notes):
            if onset_ms < offset_ms == now_ms:
                piano.end(pitch, number, now_ms, catches=piano.pedal)
        is_lifted = any(now_ms == up_ms for _, up_ms in pedals)
        if is_lifted:
            piano.pedal_up(now_ms)
        if any(now_ms == down_ms for down_ms, _ in pedals):
            piano.pedal = True
        for number, (onset_ms, offset_ms, pitch, _) in enumerate(notes):
            if onset_ms == now_ms:
                piano.key_down(pitch, number, now_ms)
                if offset_ms == now_ms:  # no length: caught by a pedal that is down all through this instant
                    piano.end(pitch, number, now_ms, catches=pedal_was_down and piano.pedal and not is_lifted)
    assert not piano.caught, "each pedal of a Performance goes up"
    return Performance([(note[0], piano.silent_ms[number], *note[2:]) for number, note in enumerate(notes)])


@law
@given(performances(max_notes=15, max_pedals=8))
def test_sustain_equals_the_piano_event_by_event(performance: Performance) -> None:
    assert sustain(performance) == played_on_a_piano(performance)


@law
@given(performances())
def test_sustain_only_lengthens_and_is_idempotent(performance: Performance) -> None:
    sounding = sustain(performance)
    assert sustain(sounding) == sounding
    assert len(sounding.pedals) == 0
    before, after = (
        sorted((onset, pitch, velocity, offset) for onset, offset, pitch, velocity in rows(p)) for p in (performance, sounding)
    )
    assert [note[:3] for note in before] == [note[:3] for note in after]
    assert all(key_up <= end for (*_, key_up), (*_, end) in zip(before, after, strict=True))
    assert sounding.duration_ms <= performance.duration_ms


# (notes, pedals) -> the offsets after `sustain`; every note is middle C unless said
SUSTAIN_CASES: dict[str, tuple[list[Any], list[Any], list[int]]] = {
    "caught by the pedal": ([(0, 100, 60, 64)], [(50, 300)], [300]),
    "sounds already at pedal-down, released later": ([(0, 100, 60, 64)], [(99, 300)], [300]),
    "released at the instant of pedal-down": ([(0, 100, 60, 64)], [(100, 300)], [100]),
    "released before pedal-down": ([(0, 100, 60, 64)], [(101, 300)], [100]),
    "released at the instant of pedal-up": ([(0, 100, 60, 64)], [(50, 100)], [100]),
    "released after pedal-up": ([(0, 100, 60, 64)], [(50, 80)], [100]),
    "held through a pedal into the next": ([(0, 100, 60, 64)], [(10, 50), (90, 300)], [300]),
    "struck again under the pedal": ([(0, 100, 60, 64), (200, 250, 60, 64)], [(50, 300)], [200, 300]),
    "struck again at the instant of release": ([(0, 100, 60, 64), (100, 150, 60, 64)], [(50, 300)], [100, 300]),
    "struck again at pedal-up": ([(0, 100, 60, 64), (300, 400, 60, 64)], [(50, 300)], [300, 400]),
    "struck again after pedal-up": ([(0, 100, 60, 64), (350, 400, 60, 64)], [(50, 300)], [300, 400]),
    "another key struck": ([(0, 100, 60, 64), (200, 250, 61, 64)], [(50, 300)], [300, 300]),
    "begun at pedal-down": ([(50, 100, 60, 64)], [(50, 300)], [300]),
    "the last pedal, nothing after it": ([(0, 10, 60, 64), (20, 30, 62, 64)], [(5, 9), (25, 5000)], [10, 5000]),
    "no pedal": ([(0, 100, 60, 64)], [], [100]),
    "a pedal alone": ([], [(0, 100)], []),
    "overlapped on its own key, which goes up with the last": ([(0, 100, 60, 64), (50, 80, 60, 64)], [(90, 300)], [100, 300]),
    "held by one hand, struck by the other": ([(0, 2000, 60, 64), (500, 750, 60, 64)], [], [2000, 2000]),
    "lifted and pressed again at one instant": ([(0, 100, 60, 64)], [(50, 300), (300, 900)], [300]),
    "released as the pedal is changed": ([(0, 300, 60, 64)], [(50, 300), (300, 900)], [300]),
    "released after the pedal is changed": ([(0, 301, 60, 64)], [(50, 300), (300, 900)], [900]),
}


@pytest.mark.parametrize(("notes", "pedals", "ends"), SUSTAIN_CASES.values(), ids=SUSTAIN_CASES.keys())
def test_sustain_case(notes: list[Any], pedals: list[Any], ends: list[int]) -> None:
    assert sustain(Performance(notes, pedals)).notes["offset_ms"].tolist() == ends


@law
@given(performances())
def test_the_end_of_sound_is_that_of_the_last_key_or_of_what_the_pedal_holds(performance: Performance) -> None:
    end_ms = end_of_sound_ms(performance)
    ends = [
        max(offset, min(until, onset + 12_000 - (min(max(pitch, 21), 108) - 21) * 8_000 // 87))
        for (onset, offset, pitch, _), until in zip(rows(performance), sounding_until_ms(performance).tolist(), strict=True)
    ]
    assert end_ms == max(ends, default=0)
    assert end_ms <= performance.duration_ms


def test_a_pedal_long_after_the_music_does_not_move_its_end() -> None:
    assert end_of_sound_ms(Performance([(0, 500, 21, 64)], [(0, 60_000)])) == 12_000
    assert end_of_sound_ms(Performance([(0, 500, 108, 64)], [(0, 60_000)])) == 4_000
    assert end_of_sound_ms(Performance([(0, 500, 21, 64)], [(600, 60_000)])) == 500
    assert end_of_sound_ms(Performance([(0, 30_000, 60, 64)])) == 30_000  # a key that is held is music
    assert end_of_sound_ms(Performance((), [(0, 60_000)])) == 0


# --- the grid ---------------------------------------------------------------------------------------------------------------------


def nearest_step_ms(ms: int) -> int:
    return (ms + 5) // 10 * 10


@law
@given(performances())
def test_quantise_is_idempotent_and_stays_on_the_grid(performance: Performance) -> None:
    once = quantise(performance)
    assert quantise(once) == once
    assert all(onset % STEP_MS == 0 == offset % STEP_MS for onset, offset, _, _ in rows(once))
    assert all(ms % STEP_MS == 0 for pedal in pedal_rows_of(once) for ms in pedal)


@law
@given(performances())
def test_quantise_loses_and_invents_nothing(performance: Performance) -> None:
    strikes: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for onset, offset, pitch, velocity in rows(performance):
        strikes.setdefault((nearest_step_ms(onset), pitch), []).append((nearest_step_ms(offset), velocity))
    grid = {(onset, pitch): (offset, velocity) for onset, offset, pitch, velocity in rows(quantise(performance))}
    assert grid.keys() == strikes.keys()
    assert len(grid) == len(quantise(performance))
    for (onset, pitch), (offset, velocity) in grid.items():
        later = [other for other, key in strikes if key == pitch and other > onset]
        latest = max(end for (other, key), same in strikes.items() if key == pitch and other <= onset for end, _ in same)
        assert offset == min([max(latest, onset + STEP_MS), *later])
        assert offset >= onset + STEP_MS
        assert abs(velocity - max(loudness for _, loudness in strikes[onset, pitch])) <= 2


@law
@given(performances(max_notes=15), st.randoms(use_true_random=False))
def test_who_ends_which_note_of_a_shared_key_does_not_matter(performance: Performance, random: Any) -> None:
    """Left hand holds a key, right hand repeats it: in two tracks the repeat's end cut the held note, in one track it did not.

    The key sounds as long as more strikes than ends have come, so any pairing of ends with earlier strikes is one piece on the grid.
    """
    free: dict[int, list[int]] = {}
    for _, offset, pitch, _ in rows(performance):
        free.setdefault(pitch, []).append(offset)
    other = []
    for onset, _, pitch, velocity in sorted(rows(performance), reverse=True):  # the latest strikes have the fewest ends to choose from
        end = random.choice([offset for offset in free[pitch] if offset >= onset])
        free[pitch].remove(end)
        other.append((onset, end, pitch, velocity))
    repaired = Performance(other, performance.pedals)
    assert quantise(sustain(repaired)) == quantise(sustain(performance))
    assert quantise(repaired) == quantise(performance)


@law
@given(performances(min_notes=1), st.integers(0, 40_000_000))
def test_no_onset_moves_by_more_than_5_ms_however_late(performance: Performance, by_ms: int) -> None:
    late = shift(performance, by_ms)
    grid = {(onset, pitch) for onset, _, pitch, _ in rows(quantise(late))}
    for onset, _, pitch, _ in rows(late):
        assert any((onset + error, pitch) in grid for error in range(-4, 6))


def test_quantise_merges_cuts_and_lengthens() -> None:
    assert rows(quantise(Performance([(0, 50, 60, 10), (4, 30, 60, 100)]))) == [(0, 50, 60, 102)]  # one step: later end, greater velocity
    assert rows(quantise(Performance([(0, 50, 60, 64), (5, 30, 60, 64)]))) == [(0, 10, 60, 66), (10, 50, 60, 66)]  # two steps
    assert rows(quantise(Performance([(7, 7, 60, 1)]))) == [(10, 20, 60, 2)]
    assert rows(quantise(Performance([(0, 90, 60, 127), (40, 60, 60, 127)]))) == [(0, 40, 60, 126), (40, 90, 60, 126)]


def test_the_last_step_of_24_days() -> None:
    """A note in the last 13 ms once ended before it began: its rounded end was cut at the limit."""
    last = Performance([(MAX_MS - STEP_MS, MAX_MS - STEP_MS, 60, 64), (0, MAX_MS, 61, 64)], [(MAX_MS - 6, MAX_MS)])
    assert rows(quantise(sustain(last))) == [(0, MAX_MS, 61, 66), (MAX_MS - STEP_MS, MAX_MS, 60, 66)]
    assert quantise(quantise(last)) == quantise(last)


# --- transpose, stretch, shift, crop, join ----------------------------------------------------------------------------------------


@law
@given(performances(min_notes=1), st.integers(-130, 130))
def test_transpose_moves_pitches_there_and_back_or_refuses(performance: Performance, semitones: int) -> None:
    moved = [pitch + semitones for _, _, pitch, _ in rows(performance)]
    if min(moved) < 0 or max(moved) > 127:
        with pytest.raises(PerformanceError, match=f"by {semitones} semitones"):
            transpose(performance, semitones)
    else:
        assert sorted(transpose(performance, semitones).notes["pitch"].tolist()) == sorted(moved)
        assert transpose(transpose(performance, semitones), -semitones) == performance
        assert sustain(transpose(performance, semitones)) == transpose(sustain(performance), semitones)
        assert quantise(transpose(performance, semitones)) == transpose(quantise(performance), semitones)


@law
@given(performances(), st.one_of(st.sampled_from([0.5, 0.95, 0.975, 1.0, 1.025, 1.05, 2.0]), st.floats(0.01, 100)))
def test_stretch_multiplies_times_and_keeps_everything_else(performance: Performance, factor: float) -> None:
    slower = stretch(performance, factor)
    assert sorted(pitch for _, _, pitch, _ in rows(slower)) == sorted(pitch for _, _, pitch, _ in rows(performance))
    assert sorted(slower.notes["onset_ms"]) == sorted(int(onset * factor + 0.5) for onset in performance.notes["onset_ms"])
    assert sorted(slower.notes["offset_ms"]) == sorted(int(offset * factor + 0.5) for offset in performance.notes["offset_ms"])
    assert stretch(performance, 1) == performance


@law
@given(performances(), st.integers(1, 5))
def test_stretching_by_a_whole_number_commutes_with_the_pedal(performance: Performance, factor: int) -> None:
    assert sustain(stretch(performance, factor)) == stretch(sustain(performance), factor)


@law
@given(performances(min_notes=1), st.integers(-30_000, 30_000))
def test_shift_moves_there_and_back_or_refuses(performance: Performance, by_ms: int) -> None:
    begin_ms = min([*performance.notes["onset_ms"].tolist(), *performance.pedals[:, 0].tolist()])
    if begin_ms + by_ms < 0:
        with pytest.raises(PerformanceError, match="out of the piece"):
            shift(performance, by_ms)
    else:
        moved = shift(performance, by_ms)
        assert moved.duration_ms == performance.duration_ms + by_ms
        assert shift(moved, -by_ms) == performance
        assert sustain(moved) == shift(sustain(performance), by_ms)


@law
@given(performances(), times_ms, times_ms)
def test_crop_is_what_lies_between(performance: Performance, one_ms: int, other_ms: int) -> None:
    start_ms, end_ms = sorted((one_ms, other_ms))
    part = crop(performance, start_ms, end_ms)
    expected = [
        (max(onset, start_ms) - start_ms, min(offset, end_ms) - start_ms, pitch, velocity)
        for onset, offset, pitch, velocity in rows(performance)
        if start_ms < end_ms and onset < end_ms and (offset > start_ms or onset >= start_ms)
    ]
    assert part == Performance(expected, np.clip(performance.pedals, start_ms, end_ms) - start_ms)
    assert part.duration_ms <= end_ms - start_ms


@law
@given(sustained_performances(), times_ms, times_ms)
def test_a_crop_sounds_as_the_piece_did_at_every_instant(performance: Performance, one_ms: int, other_ms: int) -> None:
    start_ms, end_ms = sorted((one_ms, other_ms))

    def sounding(piece: Performance, at_ms: int) -> list[tuple[int, int]]:
        return sorted((pitch, velocity) for onset, offset, pitch, velocity in rows(piece) if onset <= at_ms < offset)

    part = crop(performance, start_ms, end_ms)
    for at_ms in range(start_ms, end_ms, max(1, (end_ms - start_ms) // 40)):
        assert sounding(part, at_ms - start_ms) == sounding(performance, at_ms)


@law
@given(performances(), st.tuples(times_ms, times_ms).map(sorted), st.tuples(times_ms, times_ms).map(sorted))
def test_a_crop_of_a_crop_is_a_crop(performance: Performance, outer: list[int], inner: list[int]) -> None:
    """Cropping to nothing once left the held notes there, without length, in one order of the crops and not in the other."""
    (a, b), (c, d) = outer, inner
    if a + c < b:  # beyond the outer crop's end there is nothing, which is no crop of the piece
        assert crop(crop(performance, a, b), c, d) == crop(performance, a + c, min(a + d, b))
    assert crop(performance, a, a) == Performance()
    assert crop(performance, 0, None) == performance
    assert crop(crop(performance, a), c) == crop(performance, a + c)


@law
@given(sustained_performances(), times_ms)
def test_two_crops_join_to_the_piece_cut_once(performance: Performance, at_ms: int) -> None:
    whole = join([crop(performance, 0, at_ms), shift(crop(performance, at_ms), at_ms)])
    cut = []
    for onset, offset, pitch, velocity in rows(performance):
        ends = [at_ms, offset] if onset < at_ms < offset else [offset]
        cut += [(begin, end, pitch, velocity) for begin, end in pairwise([onset, *ends])]
    assert whole == Performance(cut)


@law
@given(performances(), performances(), performances())
def test_join_is_a_union(a: Performance, b: Performance, c: Performance) -> None:
    assert join([a, b]) == join([b, a])
    assert join([a, b, c]) == join([join([a, b]), c])
    assert join([a]) == join([a, Performance()]) == a
    assert join([]) == Performance()
    assert len(join([a, b])) == len(a) + len(b)
    assert join([a, b]).duration_ms == max(a.duration_ms, b.duration_ms)


BAD_REQUESTS: dict[str, Callable[[Performance], Performance]] = {
    "transpose out of range": lambda p: transpose(p, 68),
    "transpose far out of range": lambda p: transpose(p, -(2**70)),
    "transpose by a quarter tone": lambda p: transpose(p, 0.5),  # type: ignore[arg-type]
    "stretch by nothing": lambda p: stretch(p, 0),
    "stretch backwards": lambda p: stretch(p, -1),
    "stretch by not-a-number": lambda p: stretch(p, float("nan")),
    "stretch without end": lambda p: stretch(p, float("inf")),
    "stretch beyond 24 days": lambda p: stretch(p, 1e9),
    "shift before the beginning": lambda p: shift(p, -11),
    "shift only the pedal before the beginning": lambda p: shift(Performance((), p.pedals), -6),
    "shift beyond 24 days": lambda p: shift(p, MAX_MS),
    "shift beyond 64 bits": lambda p: shift(p, 2**70),
    "shift by half a millisecond": lambda p: shift(p, 0.5),  # type: ignore[arg-type]
    "crop backwards": lambda p: crop(p, 5, 3),
    "crop from before the beginning": lambda p: crop(p, -1),
    "crop from half a millisecond": lambda p: crop(p, 0.5),  # type: ignore[arg-type]
    "crop to text": lambda p: crop(p, 0, "1 s"),  # type: ignore[arg-type]
    "crop from beyond 24 days": lambda p: crop(p, 2**70),
}


@pytest.mark.parametrize("request_", BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_bad_requests_are_refused_in_one_line(request_: Callable[[Performance], Performance]) -> None:
    with pytest.raises(PerformanceError) as caught:
        request_(Performance([(10, 100, 60, 64)], [(5, 200)]))
    assert "\n" not in str(caught.value)


def test_the_empty_piece_goes_through_everything() -> None:
    empty = Performance()
    assert sustain(empty) == quantise(empty) == transpose(empty, 99) == stretch(empty, 3) == empty
    assert shift(empty, -5) == crop(empty, 7) == join([empty]) == empty
