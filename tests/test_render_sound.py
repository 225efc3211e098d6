"""The laws of the sound: pitch, loudness, silence, pedal, peaks, files."""

from __future__ import annotations

import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preludio.errors import OutputError, RequestError
from preludio.performance import Performance
from preludio.render import SAMPLE_RATE, blocks, synthesise, write, write_wav
from preludio.render.grand import FOLDER, LENGTHS_SECONDS, Grand, amplitude, bundled
from preludio.render.limiter import AHEAD, CEILING_DB, HOP, limited
from preludio.render.resample import resample, semitones_to_speed
from preludio.render.sound import MAX_NOTES, TAIL_SECONDS, damper_seconds, key_of

Wave = npt.NDArray[np.float32]


def one(pitch: int, velocity: int = 80, ms: int = 900) -> Performance:
    return Performance([(0, ms, pitch, velocity)])


def db(sound: Wave) -> float:
    return float(10 * np.log10(np.mean(np.square(sound, dtype=np.float64)) + 1e-20))


def part(sound: Wave, from_s: float, to_s: float) -> Wave:
    return sound[round(from_s * SAMPLE_RATE) : round(to_s * SAMPLE_RATE)]


def cents_off(sound: Wave, hz: float, search_cents: float = 60) -> float:
    """How far the strongest partial within `search_cents` of `hz` is from it."""
    n = 2**19
    windowed = sound * np.hanning(len(sound))[:, None]
    power = (np.abs(np.fft.rfft(windowed, n, axis=0)) ** 2).sum(axis=1)
    cents = 1200 * np.log2(np.fft.rfftfreq(n, 1 / SAMPLE_RATE).clip(1e-3) / hz)
    near = np.flatnonzero(np.abs(cents) < search_cents)
    return float(cents[near[np.argmax(power[near])]])


def test_a4_sounds_at_440_hz_and_nothing_is_stronger() -> None:
    sound = synthesise(one(69))[: SAMPLE_RATE - 10_000]
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound))[:, None], 2**19, axis=0)).sum(axis=1)
    assert abs(1200 * np.log2(np.argmax(power) * SAMPLE_RATE / 2**19 / 440)) < 5
    assert abs(cents_off(sound, 440)) < 5


@pytest.mark.parametrize("pitch", range(21, 109))
def test_every_key_sounds_at_its_pitch(pitch: int) -> None:
    """A grand's octaves are stretched: a few cents in the middle, up to a third of a semitone at the ends of the keyboard."""
    partial = 4 if pitch < 40 else 1  # the lowest strings have hardly any fundamental
    off = cents_off(part(synthesise(one(pitch)), 0.02, 0.9), partial * 440 * 2 ** ((pitch - 69) / 12))
    assert abs(off) < (8 if 45 <= pitch <= 80 else 40)


def test_the_keys_between_the_recorded_ones_are_a_semitone_away() -> None:
    for recorded in (36, 60, 84):
        frequency = [
            cents_off(part(synthesise(one(recorded + step)), 0.02, 0.9), 440 * 2 ** ((recorded - 69) / 12), 130) for step in (-1, 0, 1)
        ]
        assert np.allclose(np.diff(frequency), 100, atol=2)


def test_a_semitone_is_a_semitone() -> None:
    for semitones in (-1, 0, 1):
        assert 12 * np.log2(float(semitones_to_speed(semitones))) == pytest.approx(semitones, abs=0.0001)


@pytest.mark.parametrize("semitones", [-1, 1])
def test_resampling_keeps_tones_and_makes_no_others(semitones: int) -> None:
    seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for hz in (100.0, 1000.0, 15_000.0):
        tone = np.repeat(np.sin(2 * np.pi * hz * seconds)[:, None], 2, axis=1).astype(np.float32)
        moved = resample(tone, semitones_to_speed(semitones))[2000:-2000, 0]
        expected = hz * float(semitones_to_speed(semitones))
        basis = np.stack([trig(2 * np.pi * expected * (np.arange(len(moved)) + 2000) / SAMPLE_RATE) for trig in (np.sin, np.cos)], axis=1)
        rest = moved - basis @ np.linalg.lstsq(basis, moved, rcond=None)[0]
        assert db(rest) - db(moved) < -90


def test_what_would_alias_is_left_out() -> None:
    tone = np.repeat(np.sin(2 * np.pi * 21_900 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)[:, None], 2, axis=1).astype(np.float32)
    assert db(resample(tone, semitones_to_speed(1))[2000:-2000]) < -60


def test_the_law_of_velocity_spans_40_db() -> None:
    assert amplitude(127) == pytest.approx(1)
    assert amplitude(1) == pytest.approx(0.01)


@pytest.mark.parametrize("pitch", [22, 36, 48, 60, 72, 84, 96, 107])
def test_louder_velocities_are_louder_evenly(pitch: int) -> None:
    """Also across the places where one recorded strength gives way to the next."""
    levels = [db(part(synthesise(one(pitch, velocity, 300)), 0, 0.3)) for velocity in (*range(1, 127, 7), 127)]
    steps = np.diff(levels)
    assert steps.min() > 0
    assert steps.max() < 8
    assert 36 < levels[-1] - levels[0] < 44


def test_soft_notes_are_darker() -> None:
    def centre(velocity: int) -> float:
        sound = part(synthesise(one(60, velocity)), 0, 0.5)
        power = (np.abs(np.fft.rfft(sound, axis=0)) ** 2).sum(axis=1)[:20_000]
        return float((power * np.arange(len(power))).sum() / power.sum())

    assert centre(10) < centre(60) < centre(120)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 800), st.integers(0, 127), st.integers(1, 127)), max_size=120))
def test_nothing_clips_whatever_is_struck(rows: list[tuple[int, int, int, int]]) -> None:
    sound = synthesise(Performance([(onset, onset + ms, pitch, velocity) for onset, ms, pitch, velocity in rows]))
    assert np.isfinite(sound).all()
    assert np.abs(sound).max(initial=0) <= 10 ** (CEILING_DB / 20)


def test_all_88_keys_at_once_stay_within_the_ceiling() -> None:
    peak = np.abs(synthesise(Performance([(10, 1500, pitch, 127) for pitch in range(21, 109)]))).max()
    assert 0.8 < peak <= 10 ** (CEILING_DB / 20)


def test_a_soft_piece_stays_soft() -> None:
    """No normalisation: the same velocity is equally loud in a soft and in a loud piece."""
    soft, loud = Performance([(0, 500, 60, 20)]), Performance([(0, 500, 60, 20), (2500, 3000, 60, 110)])
    assert np.abs(synthesise(soft)).max() < 0.05
    assert np.array_equal(part(synthesise(soft), 0, 1.5), part(synthesise(loud), 0, 1.5))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 8), min_size=1, max_size=60), st.integers(1, 20))
def test_the_limiter_holds_its_ceiling_in_blocks_of_any_size(peaks: list[float], hops: int) -> None:
    rough = np.random.default_rng(1).uniform(-1, 1, (len(peaks), HOP, 2)) * np.array(peaks)[:, None, None]
    sound = rough.reshape(-1, 2).astype(np.float32)
    whole = np.concatenate(list(limited([sound])))
    cut = np.concatenate(list(limited(sound[start : start + hops * HOP] for start in range(0, len(sound), hops * HOP))))
    assert np.abs(whole).max() <= 10 ** (CEILING_DB / 20)
    assert len(whole) == len(sound)
    np.testing.assert_allclose(cut, whole, rtol=1e-6, atol=1e-7)
    if max(peaks) < 0.89:
        assert np.array_equal(whole, sound)


def test_the_limiter_lets_go() -> None:
    sound = np.full((SAMPLE_RATE // HOP * HOP * 3, 2), 0.5, dtype=np.float32)
    sound[HOP * 50 : HOP * 51] = 4
    turned = np.concatenate(list(limited([sound])))
    assert np.array_equal(turned[: (50 - 2 * AHEAD) * HOP], sound[: (50 - 2 * AHEAD) * HOP])
    assert turned[51 * HOP, 0] < 0.2
    assert np.array_equal(turned[-HOP:], sound[-HOP:])


@pytest.mark.parametrize("pitch", [24, 48, 60, 72, 86])
def test_silence_after_the_damper(pitch: int) -> None:
    sound = synthesise(Performance([(0, 500, pitch, 100), (3000, 3500, pitch, 100)]))
    assert db(part(sound, 0.1, 0.4)) > -40
    assert np.abs(part(sound, 2.0, 2.99)).max() < 10 ** (-60 / 20)


def test_the_damper_takes_longer_in_the_bass_and_is_absent_at_the_top() -> None:
    def fall(pitch: int) -> float:
        sound = synthesise(one(pitch, 90, 400))
        return db(part(sound, 0.3, 0.4)) - db(part(sound, 0.5, 0.6))

    assert 5 < fall(24) < fall(42) < fall(60)
    assert damper_seconds(24) > damper_seconds(60) > damper_seconds(89)
    for pitch, undamped in ((84, False), (95, True)):
        short, long = (part(synthesise(one(pitch, 90, ms)), 0.6, 0.8) for ms in (400, 2000))
        assert (db(short - long) < db(long) - 3) == undamped  # what is left is the key's noise


def test_the_pedal_holds_the_sound_until_it_goes_up() -> None:
    notes = [(0, 200, 60, 80)]
    dry, wet = synthesise(Performance(notes)), synthesise(Performance(notes, [(100, 2000)]))
    assert db(part(wet, 1.5, 1.9)) > -52 > -80 > db(part(dry, 1.0, 1.4))
    assert np.abs(part(wet, 2.9, 3.4)).max() < 1e-3
    held = synthesise(Performance([(0, 2000, 60, 80)]))
    np.testing.assert_allclose(part(wet, 0.8, 1.9), part(held, 0.8, 1.9), atol=1e-6)  # but for the key's own noise


def test_a_key_struck_again_stops_its_old_sound() -> None:
    once = synthesise(Performance([(1000, 1500, 48, 60)]))
    twice = synthesise(Performance([(0, 1500, 48, 120), (1000, 1500, 48, 60)]))
    np.testing.assert_allclose(part(twice, 1.2, 1.4), part(once, 1.2, 1.4), atol=1e-6)


def test_releases_are_heard_softly() -> None:
    """Nothing else sounds from a top key whose recording has ended while it was held."""
    sound = synthesise(Performance([(0, 9000, 105, 100)]))
    noise = np.abs(part(sound, 9.0, 9.4)).max()
    assert np.abs(part(sound, 8.0, 8.9)).max() == 0
    assert 10 ** (-60 / 20) < noise < 10 ** (-35 / 20)


def test_both_ears_hear_something_of_their_own() -> None:
    sound = part(synthesise(one(60)), 0, 1)
    left, right = sound.T
    assert abs(db(left) - db(right)) < 6
    assert np.corrcoef(left, right)[0, 1] < 0.95


def test_one_performance_gives_one_sound_whatever_was_played_before() -> None:
    piece = Performance([(0, 3000, 61, 50), (100, 200, 61 + 12, 70), (500, 900, 62, 90)], [(0, 2500)])
    first = synthesise(piece)
    synthesise(Performance([(0, 12_000, 61, 50)]))
    assert np.array_equal(synthesise(piece), first)
    bundled.cache_clear()
    assert np.array_equal(synthesise(piece), first)


def test_a_longer_decoding_begins_like_a_shorter_one() -> None:
    grand = Grand()
    shorter, longer = (grand.strike(77, 61, seconds * SAMPLE_RATE - 5000) for seconds in LENGTHS_SECONDS[:2])
    assert len(shorter) < len(longer)
    assert np.array_equal(shorter, longer[: len(shorter)])


def test_notes_across_the_borders_of_blocks_are_whole() -> None:
    """Six seconds are worked on at a time; a note moved across the border sounds the same."""
    early, late = (synthesise(Performance([(ms, ms + 2000, 60, 80)])) for ms in (0, 5000))
    np.testing.assert_allclose(late[5 * SAMPLE_RATE :][: 3 * SAMPLE_RATE], early[: 3 * SAMPLE_RATE], atol=1e-6)


def test_the_sound_lasts_as_long_as_the_music_and_its_tail() -> None:
    for piece, ms in ((one(60, ms=700), 700), (Performance([(0, 100, 60, 64)], [(50, 4000)]), 4000), (Performance(), 0)):
        sound = synthesise(piece)
        assert 0 <= len(sound) / SAMPLE_RATE - (ms / 1000 + TAIL_SECONDS) < 0.002
        assert sound.shape[1] == 2
        assert sound.dtype == np.float32
        assert np.abs(sound[-1]).max() < 1e-6


def test_keys_beyond_the_keyboard_sound_an_octave_inside() -> None:
    assert [key_of(pitch) for pitch in (0, 9, 20, 21, 108, 109, 120, 127)] == [24, 21, 32, 21, 108, 97, 108, 103]
    assert all(21 <= key_of(pitch) <= 108 for pitch in range(128))


def test_strikes_of_one_key_at_one_instant_are_one() -> None:
    assert np.array_equal(synthesise(Performance([(0, 300, 60, 80)] * 2))[:9000], synthesise(Performance([(0, 300, 60, 80)]))[:9000])


def test_progress_goes_up_to_one() -> None:
    seen: list[float] = []
    synthesise(Performance([(0, 100, 60, 60), (14_000, 15_000, 60, 60)]), progress=seen.append)
    assert all(a < b for a, b in pairwise(seen))
    assert seen[-1] == 1


@pytest.mark.parametrize("piece", [Performance([(0, 10, 60, 60), (2**31 - 2000, 2**31 - 1500, 60, 60)])])
def test_days_of_silence_are_refused_in_one_line(piece: Performance) -> None:
    with pytest.raises(RequestError, match=r"hours; sound is made for at most 3: crop"):
        blocks(piece)


def test_too_many_notes_are_refused_in_one_line() -> None:
    n = MAX_NOTES + 1
    times = np.arange(n)
    with pytest.raises(RequestError, match=r"300,001 notes"):
        blocks(Performance(np.stack([times, times + 1, times % 128, times % 127 + 1], axis=1)))


def test_the_wav_file_is_what_it_says(tmp_path: Path) -> None:
    piece = Performance([(0, 400, 60, 80), (200, 600, 67, 90)])
    write(piece, tmp_path / "piece.wav")
    with wave.open(str(tmp_path / "piece.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, SAMPLE_RATE)
        stored = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    np.testing.assert_allclose(stored / 32767, synthesise(piece), atol=1.6 / 32767)


def test_the_wav_file_is_the_same_each_time(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        write_wav(one(64), tmp_path / name)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError("No space left on device")])
def test_a_file_cut_short_is_not_left_behind(tmp_path: Path, failure: BaseException) -> None:
    def stop(_: float) -> None:
        raise failure

    (tmp_path / "piece.wav").write_bytes(b"the old one")
    with pytest.raises((KeyboardInterrupt, OutputError)):
        write_wav(one(60), tmp_path / "piece.wav", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["piece.wav"]
    assert (tmp_path / "piece.wav").read_bytes() == b"the old one"


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder"):
        write_wav(one(60), tmp_path)


def test_the_piano_is_small_and_names_its_maker() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 15_000_000
    words = (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for needed in ("Alexander Holm", "Salamander Grand Piano", "CC BY 3.0", "creativecommons.org/licenses/by/3.0", "What was changed"):
        assert needed in words
    assert len(Grand().layers) >= 2


def test_the_sound_ends_with_the_music_and_not_with_its_pedal() -> None:
    """One note under a pedal of a minute made a minute of sound, most of it silence."""
    under_pedal = synthesise(Performance([(0, 500, 60, 80)], [(0, 60_000)]))
    held = synthesise(Performance([(0, 60_000, 60, 80)]))
    assert len(under_pedal) == len(held) < 15 * SAMPLE_RATE
    assert len(synthesise(Performance([(0, 500, 60, 80)]))) < 3 * SAMPLE_RATE
