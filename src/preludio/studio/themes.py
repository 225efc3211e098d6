"""Eight beginnings to go on from, written out from works in the public domain: readable tables, and how they become notes.

A voice is a line of "PITCH:BEATS", chords joined by "+", "-" for a rest. A voice is played at one strength, swelling a little towards the
middle of each phrase, as a hand does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from preludio.performance import Performance

STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ALTERED = {"": 0, "#": 1, "b": -1}


class Voice(NamedTuple):
    """What one hand plays."""

    line: str
    velocity: int
    legato: float = 0.98  # how much of its time a note sounds


@dataclass(frozen=True)
class Theme:
    """The beginning of a work, so many beats a minute."""

    name: str  # its id
    composer: str
    title: str
    year: int
    bpm: float
    voices: tuple[Voice, ...]
    phrase_beats: float = 12


def performance(theme: Theme) -> Performance:
    """As notes, without pedal."""
    return Performance([note for voice in theme.voices for note in _played(voice, theme)])


def _played(voice: Voice, theme: Theme) -> list[tuple[int, int, int, int]]:
    notes, beat, beat_ms = [], 0.0, 60_000 / theme.bpm
    for event in voice.line.split():
        names, _, length = event.partition(":")
        beats = float(length)
        swell = 8 * math.sin(math.pi * (beat % theme.phrase_beats) / theme.phrase_beats)
        onset_ms, sounding_ms = round(beat * beat_ms), round(beats * beat_ms * voice.legato)
        pitches = [] if names == "-" else [pitch_of(name) for name in names.split("+")]
        notes += [(onset_ms, onset_ms + sounding_ms, pitch, round(voice.velocity + swell)) for pitch in pitches]
        beat += beats
    return notes


def pitch_of(name: str) -> int:
    """ "C4" -> 60."""
    match = re.fullmatch(r"([A-G])([#b]?)(\d)", name)
    assert match, f"no such note: {name}"
    step, altered, octave = match.groups()
    return 12 * (int(octave) + 1) + STEPS[step] + ALTERED[altered]


def _each(length: float, names: str) -> str:
    """The same length for several notes."""
    return " ".join(f"{name}:{length}" for name in names.split())


def _bars(count: int, chord: str, length: float = 0.5) -> str:
    return " ".join([f"{chord}:{length}"] * count)


# Bach's bars are five notes, n1 and n2 held under n3 n4 n5 n3 n4 n5, each bar's figure twice.
_BACH = """C4 E4 G4 C5 E5|C4 D4 A4 D5 F5|B3 D4 G4 D5 F5|C4 E4 G4 C5 E5|C4 E4 A4 E5 A5|C4 D4 F#4 A4 D5|B3 D4 G4 D5 G5|B3 C4 E4 G4 C5"""
_FIGURES = [bar.split() for bar in _BACH.split("|") for _ in range(2)]

BACH = Theme(
    "bach",
    "Johann Sebastian Bach",
    "Prelude in C major, BWV 846",
    1722,
    66,
    (
        Voice(" ".join(f"-:.5 {_each(0.25, ' '.join(2 * n[2:]))}" for n in _FIGURES), 58),
        Voice(" ".join(f"{n[0]}:2" for n in _FIGURES), 54),
        Voice(" ".join(f"-:.25 {n[1]}:1.75" for n in _FIGURES), 50),
    ),
    8,
)

PETZOLD = Theme(
    "petzold",
    "Christian Petzold",
    "Minuet in G major, BWV Anh. 114",
    1725,
    122,
    (
        Voice(
            """D5:1 G4:.5 A4:.5 B4:.5 C5:.5 D5:1 G4:1 G4:1 E5:1 C5:.5 D5:.5 E5:.5 F#5:.5 G5:1 G4:1 G4:1
            C5:1 D5:.5 C5:.5 B4:.5 A4:.5 B4:1 C5:.5 B4:.5 A4:.5 G4:.5 F#4:1 G4:.5 A4:.5 B4:.5 G4:.5 A4:3""",
            66,
            0.9,
        ),
        Voice("G3+B3+D4:2 A3:1 B3:3 C4:3 B3:3 A3:3 G3:3 D4:1 B3:1 G3:1 D4:1 D3:.5 C4:.5 B3:.5 A3:.5", 54, 0.9),
    ),
)

_ALBERTI = "C4 G4 E4 G4 C4 G4 E4 G4|D4 G4 F4 G4 C4 G4 E4 G4|C4 A4 F4 A4 C4 G4 E4 G4|B3 G4 D4 G4 C4 G4 E4 G4"

MOZART = Theme(
    "mozart",
    "Wolfgang Amadeus Mozart",
    "Sonata in C major, K. 545",
    1788,
    126,
    (
        Voice("C5:2 E5:1 G5:1 B4:1.5 C5:.25 D5:.25 C5:1 -:1 A5:2 G5:1 C6:1 G5:1 F5:.5 E5:.25 F5:.25 E5:1 -:1", 70, 0.95),
        Voice(" ".join(_each(0.5, bar) for bar in _ALBERTI.split("|")), 48, 0.95),
    ),
    8,
)

BEETHOVEN = Theme(
    "beethoven",
    "Ludwig van Beethoven",
    "Für Elise, WoO 59",
    1810,
    126,
    (
        Voice(
            f"""{_each(0.5, "E5 D#5 E5 D#5 E5 B4 D5 C5")} A4:1 -:.5 {_each(0.5, "C4 E4 A4")} B4:1 -:.5 {_each(0.5, "E4 G#4 B4")}
            C5:1 -:.5 {_each(0.5, "E4 E5 D#5 E5 D#5 E5 B4 D5 C5")} A4:1 -:.5 {_each(0.5, "C4 E4 A4")}
            B4:1 -:.5 {_each(0.5, "E4 C5 B4")} A4:2""",
            60,
        ),
        Voice(
            """-:4 A2:.5 E3:.5 A3:.5 -:1.5 E2:.5 E3:.5 G#3:.5 -:1.5 A2:.5 E3:.5 A3:.5 -:4.5
            A2:.5 E3:.5 A3:.5 -:1.5 E2:.5 E3:.5 G#3:.5 -:1.5 A2:.5 E3:.5 A3:1""",
            50,
            1.6,
        ),
    ),
    12,
)

CHOPIN = Theme(
    "chopin",
    "Frédéric Chopin",
    "Prelude in E minor, Op. 28 No. 4",
    1839,
    60,
    (
        Voice("B3:.75 B4:.25 B4:3 C5:1 B4:3 C5:1 B4:3 C5:1 B4:3 Bb4:1 A4:3 B4:1 A4:3 B4:1 A4:2", 62, 1.0),
        Voice(
            "-:1 "
            + " ".join(
                _bars(count, chord)
                for count, chord in (
                    (8, "G3+B3+E4"),
                    (4, "F#3+A3+E4"),
                    (4, "F#3+A3+D#4"),
                    (4, "F3+A3+D#4"),
                    (2, "F3+A3+D4"),
                    (2, "F3+G#3+D4"),
                    (4, "E3+G#3+D4"),
                    (2, "E3+G3+D4"),
                    (2, "E3+G3+C#4"),
                    (4, "E3+G3+C4"),
                    (4, "E3+F#3+C4"),
                    (4, "E3+F#3+C4"),
                    (4, "D#3+F#3+C4"),
                    (4, "D3+F#3+C4"),
                )
            ),
            40,
            0.95,
        ),
    ),
    16,
)

GRIEG = Theme(
    "grieg",
    "Edvard Grieg",
    "In the Hall of the Mountain King, Op. 46 No. 4",
    1875,
    138,
    (
        Voice(
            f"""{_each(0.5, "B2 C#3 D3 E3 F#3 D3")} F#3:1 F3:.5 C#3:.5 F3:1 E3:.5 C3:.5 E3:1
            {_each(0.5, "B2 C#3 D3 E3 F#3 D3 F#3 B3 A3 F#3 D3 F#3")} A3:2
            {_each(0.5, "F#3 G#3 A#3 B3 C#4 A#3")} C#4:1 D4:.5 A#3:.5 D4:1 C#4:.5 A#3:.5 C#4:1
            {_each(0.5, "F#3 G#3 A#3 B3 C#4 A#3")} C#4:1 D4:.5 A#3:.5 D4:1 C#4:2""",
            50,
            0.5,
        ),
        Voice(f"{_each(1, 'B1 F#2 ' * 8)} {_each(1, 'F#1 C#2 ' * 8)}", 40, 0.4),
    ),
    16,
)

SATIE = Theme(
    "satie",
    "Erik Satie",
    "Gymnopédie No. 1",
    1888,
    76,
    (
        Voice("-:13 F#5:1 A5:1 G5:1 F#5:1 C#5:1 B4:1 C#5:1 D5:1 A4:3 F#4:12", 58, 1.0),
        Voice("G2:3 D2:3 " * 6, 42, 1.0),
        Voice("-:1 B3+D4+F#4:2 -:1 A3+C#4+F#4:2 " * 6, 38, 1.0),
    ),
)


def _octaves(line: str) -> str:
    """Each note with the one an octave above."""
    return re.sub(r"([A-G][#b]?)(\d):", lambda note: f"{note[1]}{note[2]}+{note[1]}{int(note[2]) + 1}:", line)


JOPLIN = Theme(
    "joplin",
    "Scott Joplin",
    "The Entertainer",
    1902,
    76,
    (
        Voice(
            f"""{_octaves("D5:.25 E5:.25 C5:.25 A4:.5 B4:.25 G4:.5 D4:.25 E4:.25 C4:.25 A3:.5 B3:.25 G3:.5")}
            -:2 -:1 G4+B4+D5+G5:.5 D4:.25 D#4:.25 E4:.25 C5:.5 E4:.25 C5:.5 E4:.25 C5:1.25 -:.25
            {_octaves("C5:.25 D5:.25 D#5:.25 E5:.25 C5:.25 D5:.25 E5:.5 B4:.25 D5:.5 C5:1")}""",
            70,
            0.92,
        ),
        Voice(
            f"""-:4 {_octaves("D2:.25 E2:.25 C2:.25 A1:.5 B1:.25 A1:.25 Ab1:.25 G1:.5")} -:.5 G1+G2:.5 -:.5
            C2+C3:.5 G3+C4+E4:.5 Bb1+Bb2:.5 G3+C4+E4:.5 A1+A2:.5 A3+C4+F4:.5 G1+G2:.5 G3+C4+E4:.5
            G1+G2:.5 G3+C4+E4:.5 G1+G2:.5 F3+G3+B3:.5 C2+C3:.5 E3+G3+C4:.5""",
            58,
            0.8,
        ),
    ),
    8,
)

THEMES: dict[str, Theme] = {theme.name: theme for theme in (BACH, PETZOLD, MOZART, BEETHOVEN, CHOPIN, GRIEG, SATIE, JOPLIN)}
