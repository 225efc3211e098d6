"""How well fingerprints tell works and performances, on MAESTRO.

    python benchmarks/fingerprints.py --data ../shared/datasets --svg docs/fingerprints.svg

Prints the Markdown tables of `docs/corpus.md` and draws its histograms. Works by the table's composer and title: one spelling for two
performances makes a pair of one work, no surname in common a pair of different works; all other pairs (other spellings, other works
of one composer) are not counted. What the table itself has wrong was heard and is listed below as data (`NOT_ONE_WORK`, `ONE_WORK`).
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
import time
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from codec import machine
from histograms import Histogram, drawn

from preludio.corpus.entry import Entry
from preludio.corpus.fingerprint import Fingerprint, fingerprint
from preludio.corpus.matching import MIN_LANDMARKS, NO_SIMILARITY, SAME_PERFORMANCE, SAME_WORK, Index, Similarity, compare, pairs
from preludio.midi import read_midi
from preludio.performance import Performance, crop, pack_notes, quantise, stretch, transpose

Pair = tuple[int, int]
Pairs = dict[Pair, Similarity]
Floats = npt.NDArray[np.float64]

LEAST = 0.001  # evidence under this is one bar of the histogram

NOT_ONE_WORK = {  # one title, two works, as one hears; years and seconds
    "Johann Sebastian Bach: Prelude & Fugue": "2006, 452 s and 291 s: two preludes and fugues, neither named",
}
ONE_WORK = {  # (composer, start of the title, year): whose work it is. A pair with one of these is not a pair of different works
    ("Domenico Scarlatti", "Sonata in D Major, K. 576", 2009): "Mozart's K. 576",
    ("Frédéric Chopin", "Variations and Fugue in E-flat Major, Op. 35", 2009): "Beethoven's Op. 35",
    ("Frédéric Chopin", "Preludes, Book II, L 123, VI", 2015): "Debussy's *Général Lavine*",
    ("Frédéric Chopin", "Nocturne in Db", 2006): "track 7 is Balakirev's *Islamey*",
    ("Claude Debussy", "Barcarolle, Op. 60", 2015): "Chopin's Op. 60",
}


class Set(NamedTuple):
    """Files with their music."""

    entries: list[Entry]
    seconds: list[float]
    performances: list[Performance]
    fingerprints: list[Fingerprint]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with maestro-v3.0.0")
    parser.add_argument("--svg", type=Path, help="where to draw the histograms")
    parser.add_argument("--pieces", type=int, default=100, help="how many pieces are disguised")
    args = parser.parse_args()
    print(f"{machine()}\n")
    maestro = read(args.data / "maestro-v3.0.0", table(args.data / "maestro-v3.0.0"))
    found = print_speed(maestro)
    same, different = print_works(maestro)
    one_work = np.array([likeness.steadiness for likeness in found.values()])
    disguised = print_performances(maestro, one_work, args.pieces)
    if args.svg:
        args.svg.write_text(drawn("Fingerprints", histograms(same, different, disguised, one_work)), encoding="utf-8")
    return 0


# --- reading ----------------------------------------------------------------------------------------------------------------------


def table(folder: Path) -> list[Entry]:
    with (folder / "maestro-v3.0.0.csv").open(encoding="utf-8", newline="") as file:
        return [
            Entry("maestro", row["midi_filename"], row["split"], row["canonical_composer"], row["canonical_title"], int(row["year"]))
            for row in csv.DictReader(file)
        ]


def read(folder: Path, entries: list[Entry]) -> Set:
    here = [entry for entry in entries if (folder / entry.name).is_file()]
    performances = [read_midi(folder / entry.name) for entry in here]
    seconds = [float(piece.notes["offset_ms"].max() - piece.notes["onset_ms"][0]) / 1000 for piece in performances]
    return Set(here, seconds, performances, [fingerprint(performance) for performance in performances])


# --- speed ------------------------------------------------------------------------------------------------------------------------


def print_speed(maestro: Set) -> Pairs:
    """Returns every pair that the music says is of one work."""
    n, n_notes = len(maestro.entries), sum(map(len, maestro.performances))
    size = [landmarks.nbytes for landmarks in maestro.fingerprints]
    start = time.process_time()
    for performance in maestro.performances:
        fingerprint(performance)
    printed = time.process_time()
    found = {(one, other): likeness for one, other, likeness in pairs(maestro.fingerprints)}
    matched = time.process_time()
    print(f"| MAESTRO, {n:,} files, {n_notes:,} notes | CPU time of one core |\n|---|---|")
    print(f"| fingerprints | {printed - start:.2f} s, {1000 * (printed - start) / n:.2f} ms a piece |")
    print(f"| all pairs of one work ({len(found):,} found among {n * (n - 1) // 2:,}) | {matched - printed:.2f} s |")
    print(f"| kept for a piece: median / mean / most | {np.median(size):,.0f} / {np.mean(size):,.0f} / {max(size):,} bytes |\n")
    return found


# --- works ------------------------------------------------------------------------------------------------------------------------


def print_works(maestro: Set) -> tuple[Floats, Floats]:
    """Returns the evidence of pairs of one work and of different works."""
    same, noise, split = same_titles(maestro.entries)
    wrong = {place: key for place, entry in enumerate(maestro.entries) if (key := wrongly_named(entry))}
    likeness = all_likeness(maestro.fingerprints)
    people = [surnames(entry.composer) for entry in maestro.entries]
    different = {pair: like for pair, like in likeness.items() if not people[pair[0]] & people[pair[1]]}
    heard = {pair: like for pair, like in different.items() if wrong.keys() & set(pair)}
    clear = np.array([weight(like) for pair, like in different.items() if pair not in heard])
    n_different = sum(not one & other for one, other in combinations(people, 2)) - len(heard)
    evidence = np.array([weight(likeness.get(pair, NO_SIMILARITY)) for pair in same])
    print(f"{len(same):,} pairs of one title, {n_different:,} pairs without a common composer.")
    print(f"Left out as label noise: {noise} pairs under {len(split)} titles that one recital spreads over several files (movements,")
    print(f"parts), {len(NOT_ONE_WORK)} pair of two works under one title, and {len(wrong)} files under a wrong composer")
    print(f"({sum(like.same_work for like in heard.values())} pairs across composers that are one work).\n")
    print("| evidence | pairs of one work found | pairs of different works found | precision |\n|---|---|---|---|")
    for threshold in (0.2, 0.3, 0.4, 0.5, SAME_WORK, 0.8, 1.0, 2.0, 5.0):
        hits, false = int((evidence >= threshold).sum()), int((clear >= threshold).sum())
        mark = "**" if threshold == SAME_WORK else ""
        print(f"| {mark}{threshold:g}{mark} | {hits:,} ({100 * hits / len(same):.2f} %) | {false} | {100 * hits / (hits + false):.2f} % |")
    print("\nThe least alike of one title:\n")
    print_pairs(maestro, sorted(same, key=lambda pair: likeness.get(pair, NO_SIMILARITY).evidence)[:6], likeness)
    print("\nThe most alike of different composers:\n")
    ranked = sorted(different, key=lambda pair: -different[pair].evidence)
    print_pairs(maestro, [pair for pair in ranked if pair not in heard][:6], likeness)
    print("\nUnder a wrong composer, and what they were found to be:\n")
    for place, key in wrong.items():
        print(f"- {called(maestro, place)}: {ONE_WORK[key]}")
    print()
    return evidence, np.concatenate([clear, np.zeros(n_different - len(clear))])


def same_titles(entries: Sequence[Entry]) -> tuple[list[Pair], int, list[str]]:
    """Pairs of one title; how many are left out; the titles that one recital spreads over several files."""
    groups: dict[str, list[int]] = defaultdict(list)
    for place, entry in enumerate(entries):
        groups[plain(f"{entry.composer} {entry.title}")].append(place)
    split = [title for title, places in groups.items() if len({recital(entries[place]) for place in places}) < len(places)]
    noise = sum(len(groups[title]) * (len(groups[title]) - 1) // 2 for title in split)
    left_out = {plain(title) for title in NOT_ONE_WORK} | set(split)
    return [pair for title, places in groups.items() if title not in left_out for pair in combinations(places, 2)], noise, split


def recital(entry: Entry) -> str:
    """What files of one performer's appearance share: the name without the number of the track."""
    return re.sub(r"(_\d+_Track\d+_wav(--\d+)?|_wav(--\d+)?|--\d+|_\d+)$", "", entry.name.rpartition(".")[0])


def plain(text: str) -> str:
    return "".join(re.findall(r"[a-z0-9]", unicodedata.normalize("NFKD", text).lower()))


def surnames(composer: str) -> frozenset[str]:
    return frozenset(plain(part.split()[-1]) for part in composer.split("/"))


def wrongly_named(entry: Entry) -> tuple[str, str, int] | None:
    is_nocturne = "Nocturne" in entry.title and "Track07" not in entry.name
    named = (key for key in ONE_WORK if key[::2] == (entry.composer, entry.year) and entry.title.startswith(key[1]))
    return None if is_nocturne else next(named, None)


def weight(likeness: Similarity) -> float:
    return likeness.evidence if likeness.in_order >= MIN_LANDMARKS else 0.0


def all_likeness(fingerprints: Sequence[Fingerprint]) -> Pairs:
    """Of pairs that share enough to be drawn."""
    index = Index(fingerprints)
    return {
        (one, other): compare(landmarks, fingerprints[other])
        for one, landmarks in enumerate(fingerprints)
        for other in index.candidates(landmarks, LEAST)
        if other > one
    }


def print_pairs(maestro: Set, shown: Sequence[Pair], likeness: Pairs) -> None:
    print("| evidence | landmarks in order | share | one | other |\n|---|---|---|---|---|")
    for one, other in shown:
        like = likeness.get((one, other), NO_SIMILARITY)
        cells = [f"{like.evidence:.2f}", str(like.in_order), f"{100 * like.containment:.1f} %"]
        print(f"| {' | '.join([*cells, called(maestro, one), called(maestro, other)])} |")


def called(maestro: Set, place: int) -> str:
    entry = maestro.entries[place]
    return f"{entry.composer.split()[-1]}, {entry.title} ({entry.year}, {maestro.seconds[place]:.0f} s)"


# --- performances -----------------------------------------------------------------------------------------------------------------


def disguises(random: np.random.Generator) -> dict[str, Callable[[Performance], Performance]]:
    def higher(piece: Performance, semitones: int) -> Performance:
        return transpose(piece, semitones if int(piece.notes["pitch"].max()) + semitones <= 127 else -semitones)

    def cut(piece: Performance, length_ms: int) -> Performance:
        start_ms = int(random.integers(0, max(piece.duration_ms - length_ms, 1)))
        return crop(piece, start_ms, start_ms + length_ms)

    def changed(piece: Performance, moved_ms: int = 0, softer: float = 1.0, lost: float = 0.0) -> Performance:
        notes = piece.notes[random.random(len(piece)) >= lost]
        onset_ms = np.maximum(notes["onset_ms"] + random.integers(-moved_ms, moved_ms + 1, len(notes)), 0)
        velocity = np.maximum(notes["velocity"] * softer, 1).astype(np.int64)
        return Performance(pack_notes(onset_ms, np.maximum(onset_ms, notes["offset_ms"]), notes["pitch"], velocity), piece.pedals)

    return {
        "another name": lambda piece: piece,
        "transposed by 5 semitones": lambda piece: higher(piece, 5),
        "stretched by 1.05": lambda piece: stretch(piece, 1.05),
        "stretched by 0.8": lambda piece: stretch(piece, 0.8),
        "stretched by 1.5": lambda piece: stretch(piece, 1.5),
        "cut to 50 %": lambda piece: cut(piece, piece.duration_ms // 2),
        "cut to 60 s": lambda piece: cut(piece, 60_000),
        "cut to 30 s": lambda piece: cut(piece, 30_000),
        "velocities times 0.6": lambda piece: changed(piece, softer=0.6),
        "on the grid of 10 ms": quantise,
        "onsets moved by up to 10 ms": lambda piece: changed(piece, moved_ms=10),
        "onsets moved by up to 20 ms": lambda piece: changed(piece, moved_ms=20),
        "10 % of the notes lost": lambda piece: changed(piece, lost=0.1),
        "50 %, 3 semitones, 0.93, softer, 10 ms": lambda piece: changed(
            stretch(higher(cut(piece, piece.duration_ms // 2), 3), 0.93), moved_ms=10, softer=0.7
        ),
    }


def print_performances(maestro: Set, one_work: Floats, n_pieces: int) -> Floats:
    """Returns the steadiness of disguised copies."""
    random = np.random.default_rng(1)
    chosen = random.permutation(len(maestro.entries))[:n_pieces]
    print(f"| disguise, {n_pieces} pieces | same work | same performance | steadiness, least / 5th in 100 / median |\n|---|---|---|---|")
    everything = []
    for name, disguise in disguises(random).items():
        likeness = [compare(maestro.fingerprints[place], fingerprint(disguise(maestro.performances[place]))) for place in chosen]
        steady = np.array([like.steadiness for like in likeness])
        everything.append(steady)
        counts = f"{sum(like.same_work for like in likeness)} | {sum(like.same_performance for like in likeness)}"
        print(f"| {name} | {counts} | {steady.min():.2f} / {np.percentile(steady, 5):.2f} / {np.median(steady):.2f} |")
    false = int((one_work >= SAME_PERFORMANCE).sum())
    spread = " / ".join(f"{value:.2f}" for value in np.percentile(one_work, [50, 95, 99, 100]))
    print(
        f"\nMAESTRO's own {len(one_work):,} pairs of one work: {false} taken for one performance; steadiness, median / 95th / 99th / most:"
    )
    print(f"{spread}.\n")
    return np.concatenate(everything)


# --- the picture ------------------------------------------------------------------------------------------------------------------


def histograms(same: Floats, different: Floats, disguised: Floats, one_work: Floats) -> list[Histogram]:
    works = {f"different composers ({len(different):,} pairs)": different, f"one title ({len(same):,} pairs)": same}
    return [
        Histogram(
            f"Evidence that two files are of one work, logarithmic; all below {LEAST} at the left",
            {name: np.log10(np.maximum(values, LEAST)) for name, values in works.items()},
            np.linspace(-3, 3.5, 53),
            float(np.log10(SAME_WORK)),
            {float(power): f"{10.0**power:g}" for power in range(-3, 4)},
        ),
        Histogram(
            "Steadiness of two files of one work",
            {f"two performances ({len(one_work):,} pairs)": one_work, f"one performance, disguised ({len(disguised):,})": disguised},
            np.linspace(0, 1, 41),
            SAME_PERFORMANCE,
            {tenth / 10: f"{tenth / 10:g}" for tenth in range(0, 11, 2)},
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
