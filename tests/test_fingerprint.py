"""Fingerprints as laws: what a performance may go through and still be known, and what must not be taken for it. Titles and the guard."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from datasets import GIANTMIDI, maestro_files, needs_datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import law, performances

from preludio.corpus.entry import Entry
from preludio.corpus.fingerprint import LANDMARK, chords, distinct, fingerprint
from preludio.corpus.matching import Index, compare, duplicates, pairs
from preludio.corpus.works import LeakDetector, same_title, work
from preludio.midi import read_midi
from preludio.performance import Performance, crop, pack_notes, quantise, stretch, transpose

few = settings(deadline=None, max_examples=25)
seeds = st.integers(0, 2**32 - 1)


def music(seed: int, n_chords: int = 600) -> Performance:
    """Chords of one to four notes on a random walk, a hand sometimes a little late; some 100 s, no two seeds alike."""
    random = np.random.default_rng(seed)
    size = random.integers(1, 5, n_chords)
    root = 60 + np.clip(np.cumsum(random.integers(-4, 5, n_chords)), -24, 24)
    onset = np.cumsum(random.choice([90, 180, 360], n_chords) + random.integers(-20, 20, n_chords))
    onset_ms = np.repeat(onset, size) + random.integers(0, 9, size.sum())
    pitch = np.repeat(root, size) + np.concatenate([random.permutation(12)[:n] for n in size])
    return Performance(pack_notes(onset_ms, onset_ms + 200, pitch, random.integers(30, 100, len(pitch))))


def jittered(performance: Performance, by_ms: int, seed: int) -> Performance:
    notes = performance.notes
    onset_ms = np.maximum(notes["onset_ms"] + np.random.default_rng(seed).integers(-by_ms, by_ms + 1, len(notes)), 0)
    return Performance(pack_notes(onset_ms, np.maximum(onset_ms, notes["offset_ms"]), notes["pitch"], notes["velocity"]))


def played_anew(performance: Performance, seed: int) -> Performance:
    """The same notes in another rhythm: each time span up to a fifth longer or shorter."""
    notes = performance.notes
    spans = np.diff(notes["onset_ms"], prepend=0) * np.random.default_rng(seed).uniform(0.8, 1.2, len(notes))
    onset_ms = np.cumsum(spans).astype(np.int64)
    return Performance(pack_notes(onset_ms, onset_ms + 200, notes["pitch"], notes["velocity"]))


# --- fingerprints -----------------------------------------------------------------------------------------------------------------


@few
@given(seed=seeds, semitones=st.integers(-20, 20))
def test_no_transposition_changes_a_fingerprint(seed: int, semitones: int) -> None:
    piece = music(seed)
    assert np.array_equal(fingerprint(transpose(piece, semitones)), fingerprint(piece))


@few
@given(seed=seeds, times=st.integers(2, 5))
def test_no_speed_changes_a_fingerprint_but_for_its_times(seed: int, times: int) -> None:
    piece = music(seed)
    slow, landmarks = fingerprint(stretch(piece, times)), fingerprint(piece)
    assert np.array_equal(slow[["hash", "chord"]], landmarks[["hash", "chord"]])
    assert np.array_equal(slow["onset_ms"], landmarks["onset_ms"] * times)


@law
@given(performance=performances(max_notes=40))
def test_anything_has_a_fingerprint(performance: Performance) -> None:
    landmarks = fingerprint(performance)
    assert landmarks.dtype == LANDMARK
    assert (np.diff(landmarks["hash"].astype(np.int64)) >= 0).all()
    assert len(distinct(landmarks)) == len(set(landmarks["hash"].tolist()))
    assert compare(landmarks, landmarks).in_order <= len(landmarks)
    assert not compare(landmarks, landmarks[:0]).same_work


@law
@given(performance=performances(min_notes=1, max_notes=40))
def test_chords_part_the_notes_in_order(performance: Performance) -> None:
    onset_ms, highest, lowest = chords(performance)
    assert (np.diff(onset_ms) > 0).all() or len(onset_ms) == 1
    assert (lowest <= highest).all()
    assert highest.max() == performance.notes["pitch"].max() and lowest.min() == performance.notes["pitch"].min()


def test_a_late_hand_is_in_the_chord() -> None:
    piece = Performance([(1000 * i + late, 1000 * i + 500, pitch, 64) for i in range(20) for late, pitch in ((0, 40), (12, 60), (30, 72))])
    onset_ms, highest, lowest = chords(piece)
    assert onset_ms.tolist() == [1000 * i for i in range(20)]
    assert set(highest) == {72} and set(lowest) == {40}
    assert not len(fingerprint(piece))  # one chord repeated says nothing


def test_the_same_landmarks_in_every_process() -> None:
    """Python's own `hash` is salted: a fingerprint must not rest on it. The figures are pinned, for what is stored must be found again."""
    program = "from test_fingerprint import *; print(fingerprint(music(7)).tobytes().hex())"
    path = os.pathsep.join(sys.path)
    printed = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {fingerprint(music(7)).tobytes().hex().encode() + os.linesep.encode()}
    assert fingerprint(music(7))[:3].tolist() == [(20675808, 335, 70777), (24607102, 5, 1741), (28048360, 368, 78381)]


# --- matching ---------------------------------------------------------------------------------------------------------------------


@few
@given(seed=seeds)
def test_a_piece_is_itself(seed: int) -> None:
    landmarks = fingerprint(music(seed))
    likeness = compare(landmarks, landmarks)
    assert likeness.containment == 1 and likeness.speed == 1 and likeness.steadiness > 0.95
    assert likeness.same_work and likeness.same_performance


@few
@given(seed=seeds, other=seeds)
def test_two_random_pieces_are_two_works(seed: int, other: int) -> None:
    likeness = compare(fingerprint(music(seed)), fingerprint(music(other)))
    assert likeness.same_work == (seed == other)


@few
@given(seed=seeds, start_s=st.integers(0, 60), seconds=st.integers(60, 80))
def test_an_excerpt_is_contained(seed: int, start_s: int, seconds: int) -> None:
    whole = music(seed)
    part = crop(whole, start_s * 1000, (start_s + seconds) * 1000)
    likeness = compare(fingerprint(part), fingerprint(whole))
    assert likeness.containment > 0.8 and likeness.same_performance


@few
@given(
    seed=seeds,
    factor=st.floats(0.7, 1.5),
    semitones=st.integers(-12, 12),
    by_ms=st.integers(0, 8),
)
def test_a_copy_is_known_at_any_speed_in_any_key_off_the_grid(seed: int, factor: float, semitones: int, by_ms: int) -> None:
    piece = music(seed)
    copy = quantise(jittered(stretch(transpose(piece, semitones), factor), by_ms, seed))
    likeness = compare(fingerprint(piece), fingerprint(copy))
    assert likeness.same_performance
    assert likeness.speed == pytest.approx(factor, rel=0.01)


@few
@given(seed=seeds)
def test_another_performance_is_the_same_work_only(seed: int) -> None:
    likeness = compare(fingerprint(music(seed)), fingerprint(played_anew(music(seed), seed)))
    assert likeness.same_work and not likeness.same_performance


@few
@given(seed=seeds, lost=st.floats(0, 0.1))
def test_likeness_is_symmetric(seed: int, lost: float) -> None:
    piece = music(seed)
    other = Performance(piece.notes[np.random.default_rng(seed).random(len(piece)) >= lost])
    there, back = compare(fingerprint(piece), fingerprint(other)), compare(fingerprint(other), fingerprint(piece))
    assert (there.containment, there.same_work, there.same_performance) == (back.containment, back.same_work, back.same_performance)
    assert there.speed == pytest.approx(1 / back.speed, rel=0.02)


def test_an_index_finds_what_comparing_all_finds() -> None:
    pieces = [music(seed) for seed in range(12)]
    pieces += [played_anew(pieces[0], 1), transpose(pieces[3], 4), crop(pieces[5], 20_000, 80_000), Performance()]
    landmarks = [fingerprint(piece) for piece in pieces]
    everything = {
        (one, other): compare(landmarks[one], landmarks[other]) for one in range(len(pieces)) for other in range(one + 1, len(pieces))
    }
    found = {(one, other): likeness for one, other, likeness in pairs(landmarks)}
    assert found == {pair: likeness for pair, likeness in everything.items() if likeness.same_work}
    assert set(found) == {(0, 12), (3, 13), (5, 14)}
    assert [piece for piece, _ in Index(landmarks[:12]).matches(landmarks[14])] == [5]
    assert not list(Index([]).matches(landmarks[0]))


def test_the_better_copy_is_kept() -> None:
    """A whole before its part, the trusted source before both; what is only the same work stays."""
    whole = music(1)
    landmarks = [fingerprint(piece) for piece in (crop(whole, 0, 70_000), whole, stretch(whole, 1.1), played_anew(whole, 2))]
    of = [copy and copy[0] for copy in duplicates(landmarks)]
    assert of == [1, None, 1, None]
    of = [copy and copy[0] for copy in duplicates(landmarks, ranks=[0, 1, 1, 1])]
    assert of == [None, 0, 0, None]


# --- titles -----------------------------------------------------------------------------------------------------------------------

SAME = [
    ("Frédéric Chopin", "Etude Op. 10 No. 12 in C Minor", "Frédéric Chopin", "Études, Op.10"),
    ("Franz Schubert", "Impromptu Op. 90 No. 4 in A-flat Major", "Franz Schubert", "Impromptus D899"),
    (
        "Johann Sebastian Bach",
        "Prelude and Fugue in A-flat Major, WTC I",
        "Johann Sebastian Bach",
        "Prelude and Fugue in A-flat major BWV862",
    ),
    ("Johann Sebastian Bach", "Prelude and Fugue in B-Moll, No. 22 WTKII", "Johann Sebastian Bach", "Prelude & Fugue BWV 891"),
    ("Ludwig van Beethoven", "Sonata No. 16", "Ludwig van Beethoven", "Piano Sonata No 16 Op 31 No 1"),
    ("Ludwig van Beethoven", "Sonata Op. 31, No. 3 in E-flat Major", "Beethoven", "Piano_Sonata_No_18_Op_31_No_3"),
    ("Claude Debussy", "SuiteBergamasque", "Claude Debussy", "Suite bergamasque"),
    ("Claude Debussy", "Pour le piano (Complete)", "Claude Debussy", "Pour le piano"),
    ("Franz Liszt", 'Concert Etude "Waldesrauschen"', "Franz Liszt", "2 Konzertetuden S 145"),
    ("Franz Liszt", "Rem. of Don Juan", "Franz Liszt", "Reminiscences de Don Juan S418"),
    ("Franz Liszt", "Hungarian Rhapsody No. 9", "Franz Liszt", "Hungarian Rhapsody No9 S244 9"),
    ("Franz Schubert / Franz Liszt", "Gretchen am Spinnrade", "Franz Liszt", "Gretchen am Spinnrade, S.558/8"),
    ("Joseph Haydn", "Sonata in C Minor, First Movement", "Joseph Haydn", "Keyboard Sonata in C minor Hob XVI 20"),
    ("Sergei Rachmaninoff", "Preludes Op. 23, Nos. 2, 4 and 5", "Sergei Rachmaninov", "Prelude Op. 23/4"),
    ("Alexander Scriabin", "Sonata No. 9", "Alexander Skrjabin", 'Sonata No. 9, Op. 68, "Black Mass"'),
]
DIFFERENT = [
    ("Frédéric Chopin", "Etude Op. 10 No. 12 in C Minor", "Frédéric Chopin", "Etude Op. 10 No. 4 in C-Sharp Minor"),
    ("Frédéric Chopin", "Sonata No. 3 in B Minor, Op. 58", "Johannes Brahms", "Sonata No. 3 in F Minor, Op. 5"),
    ("Franz Schubert", "Impromptu Op. 90 No. 4 in A-flat Major", "Franz Schubert", "Impromptu Op. 90 No. 3 in G-flat Major, D. 899"),
    ("Franz Schubert", "Impromptu Op. 142 No. 4 in F Minor, D. 935", "Franz Schubert", "Impromptu Op. 142 No. 1 in F Minor"),
    ("Ludwig van Beethoven", "Sonata No. 17 in D Minor, Op. 31 No. 2, 1st Movement", "Ludwig van Beethoven", "Sonata No. 16 Op. 31 No. 1"),
    ("Ludwig van Beethoven", "Sonata No. 3", "Ludwig van Beethoven", "Sonata No. 30 in E Major, Op. 109"),
    (
        "Johann Sebastian Bach",
        "Prelude and Fugue in A Minor, WTC I, BWV 865",
        "Johann Sebastian Bach",
        "Prelude and Fugue in A Minor, WTC II",
    ),
    ("Domenico Scarlatti", "Sonata in D Minor, K. 9", "Domenico Scarlatti", "Sonata in D Minor, K. 141"),
    ("Maurice Ravel", "Jeux d'eau", "Franz Liszt", "Le jeux d'eau a la Villa d'Este"),
    ("Claude Debussy", "Pour le piano (Complete)", "Claude Debussy", 'Etude "Pour les accords"'),
    ("Claude Debussy", "Preludes, Book II (Complete)", "Claude Debussy", "Prelude No. 6, Book I"),
    ("Franz Liszt", "Transcendental Etude No. 10 in F Minor", "Franz Liszt", 'Transcendental Etude No. 4 "Mazeppa"'),
]


@pytest.mark.parametrize("titles", SAME)
def test_one_work_by_its_title(titles: tuple[str, str, str, str]) -> None:
    one, other = work(*titles[:2]), work(*titles[2:])
    assert same_title(one, other) and same_title(other, one)
    assert same_title(one, work("", f"{titles[2]} {titles[3]}"))  # where nothing says which word is the composer


def test_a_book_has_every_prelude_of_it() -> None:
    assert same_title(work("Claude Debussy", 'Prelude No. 6, Book I, "Des pas sur la neige"'), work("Claude Debussy", "Preludes Livre 1"))


@pytest.mark.parametrize("titles", DIFFERENT)
def test_two_works_by_their_titles(titles: tuple[str, str, str, str]) -> None:
    one, other = work(*titles[:2]), work(*titles[2:])
    assert not same_title(one, other) and not same_title(other, one)


@law
@given(composer=st.text(max_size=30), title=st.text(max_size=60), other=st.text(max_size=60))
def test_any_text_is_a_title(composer: str, title: str, other: str) -> None:
    one, two = work(composer, title), work("", other)
    assert same_title(one, two) == same_title(two, one)


def test_the_guard_hears_and_reads() -> None:
    held_out = [
        (Entry("maestro", "a.midi", "validation", "Franz Liszt", "Mephisto Waltz"), fingerprint(music(1))),
        (Entry("maestro", "b.midi", "test", "Ludwig van Beethoven", "Rondo, Op. 129"), None),  # only its title is here
    ]
    guard = LeakDetector(held_out)
    renamed, named = Entry("folder", "x.mid", title="untitled"), Entry("folder", "y.mid", title="beethoven_rondo_op129")
    heard = guard.leaks(renamed, fingerprint(played_anew(music(1), 3)))
    assert [(leak.held_out.name, leak.by) for leak in heard] == [("a.midi", "music")]
    assert heard[0].similarity is not None and heard[0].similarity.same_work
    assert [(leak.held_out.name, leak.by) for leak in guard.leaks(named, None)] == [("b.midi", "title")]
    assert not guard.leaks(renamed, fingerprint(music(2)))


# --- real music -------------------------------------------------------------------------------------------------------------------


@needs_datasets
def test_movements_cut_from_a_transcription_are_parts_of_it() -> None:
    folder = GIANTMIDI / "midis"
    whole = fingerprint(read_midi(folder / "Chopin, Frédéric, Études, Op.10, g0hoN6_HDVU.mid"))
    for number in (9, 12):
        likeness = compare(whole, fingerprint(read_midi(folder / f"Chopin_Etudes_Op10_g0hoN6_HDVU_no_{number}_cut.mid")))
        assert likeness.containment > 0.9 and likeness.same_performance


@needs_datasets
def test_maestro_has_islamey_under_another_name() -> None:
    """The table calls tracks 6 and 7 of a recital of 2006 a nocturne of Chopin's. Track 7 is Balakirev's *Islamey*, as its music tells."""
    by_name = {path.name: path for path in maestro_files("validation")}
    recital = "MIDI-Unprocessed_19_R1_2006_01-07_ORIG_MID--AUDIO_19_R1_2006_{0:02}_Track{0:02}_wav.midi"
    islamey = "MIDI-Unprocessed_13_R1_2006_01-06_ORIG_MID--AUDIO_13_R1_2006_05_Track05_wav.midi"
    landmarks = [fingerprint(read_midi(by_name[name])) for name in (recital.format(6), recital.format(7), islamey)]
    assert [(one, other) for one, other, _ in pairs(landmarks)] == [(1, 2)]
    assert not compare(landmarks[1], landmarks[2]).same_performance
