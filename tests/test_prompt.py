"""Where a prompt is cut, what the model hears of it, what is held: for any performance and any cut."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import giantmidi_files, maestro_files, needs_datasets
from hypothesis import assume, example, given
from hypothesis import strategies as st
from strategies import law, performances, times_ms

from preludio.compose.prompt import Prompt, prepare
from preludio.errors import RequestError
from preludio.midi import read_midi
from preludio.performance import MAX_MS, NOTE, STEP_MS, Performance, end_of_sound_ms, quantise, sustain, to_steps
from preludio.tokens import END, START, Grammar, encode

WINDOW = 2048

cuts = st.one_of(st.none(), times_ms.filter(bool).map(lambda ms: ms / 1000), st.floats(0.001, 30))


def prepared(performance: Performance, seconds: float | None, window: int = WINDOW) -> Prompt:
    """Skips the draws whose cut lies before the first note."""
    try:
        return prepare(performance, seconds, window)
    except RequestError:
        assume(False)
        raise


def heard(prompt: Prompt) -> Grammar:
    """The grammar after the context; each id must be allowed."""
    grammar = Grammar()
    for token in prompt.context[prompt.context != START].tolist():
        assert grammar.allowed()[token]
        grammar.push(token)
    return grammar


def cut_at(performance: Performance, seconds: float | None) -> int:
    """The asked cut in steps, by its definition: rounded to the grid, at the end at most."""
    heard = Performance(performance.notes, np.minimum(performance.pedals, end_of_sound_ms(performance)))
    end = quantise(sustain(heard)).duration_ms // STEP_MS
    return end if seconds is None else min(end, round(min(seconds, 1e6) * 1000 / STEP_MS))


strikes_of_one_key = Performance([(0, 1000, 60, 64), (1000, 2000, 62, 64), (1000, 1500, 60, 90)])


@law
@given(performances(min_notes=1), cuts)
@example(strikes_of_one_key, 1.0).via("held notes that begin at the very cut were held before they began")
@example(Performance([(0, 900, 60, 9), (0, 500, 60, 99), (4, 800, 60, 50)]), 0.3)
@example(Performance([(0, 5000, 60, 64), (1000, 2000, 60, 64)]), 1.5)
@example(Performance([(0, 100, 60, 64), (500, 510, 61, 64)], [(50, 4000)]), 2.0)
def test_the_context_stands_where_the_held_notes_are_held(performance: Performance, seconds: float | None) -> None:
    prompt = prepared(performance, seconds)
    grammar = heard(prompt)
    assert prompt.context[0] == START
    assert set(grammar.sounding) == set(prompt.held)
    assert grammar.step == prompt.cut_step <= cut_at(performance, seconds)


@law
@given(performances(min_notes=1), cuts)
@example(strikes_of_one_key, 1.0)
def test_no_note_that_has_begun_is_lost_or_invented(performance: Performance, seconds: float | None) -> None:
    """Duplicates of a held note were lost: two notes of one key with one onset count as two."""
    prompt = prepared(performance, seconds)
    begun = performance.notes[to_steps(performance.notes["onset_ms"]) < cut_at(performance, seconds)]
    held = [(onset_ms, pitch, velocity) for pitch, (onset_ms, velocity) in prompt.held.items()]
    ours = [(int(note["onset_ms"]), int(note["pitch"]), int(note["velocity"])) for note in prompt.kept.notes] + held
    assert sorted(ours) == sorted((int(n["onset_ms"]), int(n["pitch"]), int(n["velocity"])) for n in begun)


@law
@given(performances(min_notes=1), cuts)
def test_what_is_kept_is_what_was_played(performance: Performance, seconds: float | None) -> None:
    """To the millisecond, unless it goes on past the cut; the pedal too."""
    prompt = prepared(performance, seconds)
    cut_ms = prompt.cut_step * STEP_MS
    sources = {tuple(note.tolist()) for note in performance.notes}
    for note in prompt.kept.notes.tolist():
        longer = {source for source in sources if (source[0], *source[2:]) == (note[0], *note[2:]) and source[1] > note[1]}
        assert note in sources or (note[1] == max(cut_ms, note[0]) and longer)
    expected = Performance((), np.minimum(performance.pedals, cut_ms)).pedals
    assert prompt.kept.pedals.tolist() == expected.tolist()


@law
@given(performances(min_notes=1))
def test_a_whole_prompt_is_heard_whole(performance: Performance) -> None:
    prompt = prepare(performance, None, WINDOW)
    heard_ms = end_of_sound_ms(performance)
    assert prompt.context.tolist() == [START, *encode(Performance(performance.notes, np.minimum(performance.pedals, heard_ms))).tolist()]
    assert not prompt.held
    assert heard(prompt).allowed()[END]


@law
@given(performances(min_notes=1), cuts)
@example(Performance([(0, 30_000, 60, 64), (900, 1000, 64, 64)]), 25.0)
def test_a_held_note_is_held_to_within_a_second_of_the_cut(performance: Performance, seconds: float | None) -> None:
    """25 s of a note that is held for 30, last event at 1 s: the music went on at 1 s, with the note cut there."""
    prompt = prepared(performance, seconds)
    if prompt.held:
        assert 0 <= cut_at(performance, seconds) - prompt.cut_step < 1000 // STEP_MS


def test_a_cut_in_whole_seconds_of_a_held_note_is_exact() -> None:
    prompt = prepare(Performance([(0, 30_000, 60, 64), (900, 1000, 64, 64)]), 25.0, WINDOW)
    assert (prompt.cut_step, prompt.held) == (2500, {60: (0, 64)})
    assert heard(prompt).step == 2500


TRAILING_PEDAL = Performance([(0, 500, 60, 64)], [(0, 60_000)])


def test_music_goes_on_where_it_ends_and_not_where_its_pedal_goes_up() -> None:
    """A note under a pedal that is lifted after a minute: the music went on after a minute of silence."""
    for seconds in (None, 50.0):
        prompt = prepare(TRAILING_PEDAL, seconds, WINDOW)
        assert prompt.cut_step == 841  # when middle C has died away
        assert prompt.kept.pedals.tolist() == [[0, 8410]]
    silent = Performance([(0, 500, 60, 64)], [(600, 60_000)])  # it holds nothing
    assert prepare(silent, None, WINDOW).cut_step == 50


def test_silence_is_kept_if_that_is_asked() -> None:
    assert prepare(TRAILING_PEDAL, None, WINDOW, keep_silence=True).cut_step == 6000
    assert prepare(TRAILING_PEDAL, 50.0, WINDOW, keep_silence=True).cut_step == 5000
    silent = Performance([(0, 500, 60, 64)], [(600, 60_000)])
    prompt = prepare(silent, None, WINDOW, keep_silence=True)
    assert prompt.cut_step == 5950  # whole seconds after the last event
    assert heard(prompt).step == 5950
    rest = Performance([(0, 500, 60, 64), (90_000, 90_500, 60, 64)])
    assert prepare(rest, 60.0, WINDOW, keep_silence=True).cut_step == 5950
    long = Performance([(100 * n, 100 * n + 50, 60, 64) for n in range(2000)], [(199_960, 3_000_000)])
    prompt = prepare(long, None, WINDOW, keep_silence=True)
    assert prompt.cut_step == 299_995
    assert len(prompt.context) <= WINDOW


@law
@given(performances(min_notes=1), cuts)
def test_what_is_heard_is_a_beginning_of_the_piece(performance: Performance, seconds: float | None) -> None:
    """All of the piece's events up to the last one before the cut: the canonical ids of it, but for the order of the last step's."""
    prompt = prepared(performance, seconds)
    whole = encode(performance).tolist()
    context = prompt.context[1:].tolist()
    assert whole[: len(context)] == context


def monster(seed: int, n: int) -> Performance:
    """Thousands of strikes, most keys down for long, whole clusters on one step."""
    rng = np.random.default_rng(seed)
    onset = np.sort(rng.integers(0, 60, n)) * rng.choice([10, 200, 1500])
    notes = np.empty(n, dtype=NOTE)
    notes["onset_ms"], notes["pitch"], notes["velocity"] = onset, rng.integers(0, 128, n), rng.integers(1, 128, n)
    notes["offset_ms"] = onset + rng.integers(1, 60_000, n)
    return Performance(notes, [(0, 100_000)] if seed % 2 else ())


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("window", [768, 1024, 2048])
def test_a_monstrous_prompt_fits_the_window(seed: int, window: int) -> None:
    performance = monster(seed, 4000)
    for seconds in (None, 0.35, 5.0, 31.7):
        if not (to_steps(performance.notes["onset_ms"]) < cut_at(performance, seconds)).any():
            continue
        prompt = prepare(performance, seconds, window)
        assert len(prompt.context) <= window
        assert set(heard(prompt).sounding) == set(prompt.held)


@pytest.mark.parametrize("window", [1, 2, 24, 100, 500])
def test_a_window_too_small_for_any_model_still_works(window: int) -> None:
    for seed in range(6):
        for seconds in (None, 20.0):
            prompt = prepare(monster(seed, 300), seconds, window)
            assert len(prompt.context)
            assert set(heard(prompt).sounding) == set(prompt.held)


def test_a_long_prompt_keeps_its_last_part_with_what_is_held() -> None:
    pedal_point = (500, 200_000, 24, 80)
    tune = [(1000 + 100 * n, 1090 + 100 * n, 60 + n % 12, 64) for n in range(1900)]
    prompt = prepare(Performance([pedal_point, *tune]), 150.0, WINDOW)
    grammar = heard(prompt)
    assert prompt.held.keys() == grammar.sounding.keys() >= {24}
    assert prompt.held[24] == (500, 80)
    assert START not in prompt.context
    assert WINDOW - 400 <= len(prompt.context) <= WINDOW
    assert prompt.cut_step == 14999  # the last event before 150 s
    assert len(prompt.kept) + len(prompt.held) == 1 + 1490


def test_long_silence_before_the_cut_is_left_to_the_model() -> None:
    prompt = prepare(Performance([(100, 200, 60, 64), (90_000, 91_000, 60, 64)]), 60.0, WINDOW)
    assert prompt.cut_step == 20


def test_seconds_are_rounded_not_cut() -> None:
    """8.03 * 1000 is 8029.999...: a cut at 8.03 s fell on 8.02 s."""
    performance = Performance([(0, 100, 60, 64), (8020, 9000, 62, 64)])
    assert prepare(performance, 8.03, WINDOW).held == {62: (8020, 64)}


@pytest.mark.parametrize(("performance", "seconds"), [(Performance([(5000, 6000, 60, 64)]), 3.0), (Performance([(0, 9, 60, 1)]), 0.001)])
def test_a_cut_before_the_first_note_is_refused(performance: Performance, seconds: float) -> None:
    with pytest.raises(RequestError, match=r"no notes in its first .* its music begins at"):
        prepare(performance, seconds, WINDOW)


def test_seconds_beyond_all_numbers_mean_the_whole() -> None:
    performance = Performance([(0, 500, 60, 64)])
    huge, whole = prepare(performance, 1e308, WINDOW), prepare(performance, None, WINDOW)
    assert huge.context.tolist() == whole.context.tolist()
    assert huge.kept == whole.kept


def test_a_prompt_near_the_end_of_time_is_refused_before_anything_is_composed() -> None:
    with pytest.raises(RequestError, match="22 days"):
        prepare(Performance([(0, 500, 60, 64), (MAX_MS - 1000, MAX_MS - 10, 60, 64)]), None, WINDOW)


@needs_datasets
def test_real_performances_at_many_cuts() -> None:
    for path in [*maestro_files("validation")[::40], *giantmidi_files()[::20]]:
        performance = read_midi(path)
        first = float(performance.notes["onset_ms"][0]) / 1000
        for seconds in (first + 0.5, first + 7.77, first + 61.234, None):
            prompt = prepare(performance, seconds, WINDOW)
            assert set(heard(prompt).sounding) == set(prompt.held)
            assert len(prompt.context) <= WINDOW
