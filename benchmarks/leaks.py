"""How well the leak guard and the search for duplicates do on the GiantMIDI sample and on MAESTRO itself.

    python benchmarks/leaks.py --data ../shared/datasets

Prints the lists and tables of `docs/corpus.md`. Which works of the sample are held out was checked by hand against MAESTRO's table. The
rules for titles were written with both tables in view, so titles are also held against music: what the music of two MAESTRO files
says, and what their titles say.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

from codec import machine
from fingerprints import Set, read, table

from preludio.corpus.entry import Entry
from preludio.corpus.giantmidi import parse_name
from preludio.corpus.matching import Index, pairs
from preludio.corpus.works import LeakDetector, same_title, work

HELD_OUT_WORKS = {  # of the GiantMIDI sample, checked by hand against the table: file -> the split that holds the work out
    **dict.fromkeys(
        [
            "Bach_Prelude_and_Fugue_in_A-flat", "Bach_Prelude_and_Fugue_in_F-sharp", "Bach_Prelude_and_Fugue_in_G-sharp", "Beethoven_",
            "Brahms_Johannes_Piano_Sonata_No2", "Chopin_Etudes_Op10", "Chopin_Polonaise", "Debussy_Estampes", "Debussy_Pour_le_piano",
            "Debussy_Preludes_Livre_1", "Debussy_Suite_bergamasque", "Haydn_", "Liszt_2_Konzertetuden", "Liszt_Hungarian_Rhapsody_No9",
            "Liszt_Reminiscences_de_Don_Juan", "Scarlatti_", "Schubert_", "Schumann_Robert_Toccata", "Scriabin_op_42",
        ],
        "test",
    ),
    "Chopin, Frédéric, Études, Op.10": "validation and test",
    "Liszt, Franz, Hungarian Rhapsody No.2": "validation",
    "Handel, George Frideric, Air in E major": "",
    "Ravel, Maurice, Jeux d'eau": "",
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with maestro-v3.0.0 and giantmidi-piano-sample")
    args = parser.parse_args()
    everything = table(args.data / "maestro-v3.0.0")
    maestro = read(args.data / "maestro-v3.0.0", everything)
    names = sorted((args.data / "giantmidi-piano-sample" / "midis").glob("*.mid"))
    giantmidi = read(names[0].parent, [Entry("giantmidi", path.name, None, *parse_name(path.stem)) for path in names])
    heard = dict(zip((entry.name for entry in maestro.entries), maestro.fingerprints, strict=True))
    guard = LeakDetector([(entry, heard.get(entry.name)) for entry in everything if entry.split != "train"])
    print(f"{machine()}\n")
    print_guard(giantmidi, guard)
    print_duplicates(maestro, giantmidi)
    print_own_leaks(maestro, guard)
    print_titles(maestro)
    return 0


def print_guard(giantmidi: Set, guard: LeakDetector) -> None:
    counts: Counter[str] = Counter()
    for entry, landmarks in zip(giantmidi.entries, giantmidi.fingerprints, strict=True):
        by = {leak.by for leak in guard.leaks(entry, landmarks)}
        truth = next(split for start, split in HELD_OUT_WORKS.items() if entry.name.startswith(start))
        counts.update([f"truth: {bool(truth)}", f"music: {'music' in by}", f"title: {'title' in by}", f"caught: {bool(by)}"])
        counts["validation"] += "validation" in truth
        if bool(truth) != bool(by):
            print(f"- {entry.name}: held out by {truth or 'none'}, caught by {', '.join(sorted(by)) or 'neither'}")
    print("| GiantMIDI sample | files |\n|---|---|")
    print(f"| works of the validation or test split, checked by hand | {counts['truth: True']} of {len(giantmidi.entries)} |")
    print(f"| caught by music (of the {counts['validation']} whose music is here; the test split's is not) | {counts['music: True']} |")
    print(f"| caught by title | {counts['title: True']} |\n| caught by either | {counts['caught: True']} |\n")


def print_duplicates(maestro: Set, giantmidi: Set) -> None:
    copies = [(one, other) for one, other, like in pairs(giantmidi.fingerprints) if like.same_performance]
    across = Index(maestro.fingerprints)
    found = [[like.same_performance for _, like in across.matches(landmarks)] for landmarks in giantmidi.fingerprints]
    n_across = sum(any(flags) for flags in found)
    print(f"Duplicates: {len(copies)} within the sample, {n_across} across the two sets ({sum(map(bool, found))} files share a work):\n")
    for one, other in copies:
        print(f"- `{giantmidi.entries[other].name}` is part of `{giantmidi.entries[one].name}`")


def print_own_leaks(maestro: Set, guard: LeakDetector) -> None:
    """What the guard says of MAESTRO's own training split."""
    titles: dict[str, Counter[str]] = defaultdict(Counter)
    by_music = 0
    for entry, landmarks in zip(maestro.entries, maestro.fingerprints, strict=True):
        leaks = guard.leaks(entry, landmarks) if entry.split == "train" else []
        by_music += any(leak.by == "music" for leak in leaks)
        if leaks:
            titles[f"{entry.composer}, {entry.title}"][f"{leaks[0].held_out.title} ({leaks[0].held_out.split})"] += 1
    print(f"\nMAESTRO's training split: {by_music} files by music, {sum(count.total() for count in titles.values())} by title:\n")
    for title, held_out in titles.items():
        print(f"- {title}: {', '.join(f'{name} x {n}' for name, n in held_out.items())}")
    print()


def print_titles(maestro: Set) -> None:
    """What titles say where music says one work, and where it says two of one composer."""
    works = [work(entry.composer, entry.title) for entry in maestro.entries]
    same_music = {(one, other) for one, other, _ in pairs(maestro.fingerprints)}
    counts: Counter[tuple[bool, bool]] = Counter()
    for one, other in combinations(range(len(works)), 2):
        if works[one].people & works[other].people:
            counts[(one, other) in same_music, same_title(works[one], works[other])] += 1
    print("| pairs of one composer | titles: one work | titles: two works |\n|---|---|---|")
    for music, name in ((True, "music: one work"), (False, "music: two works, or two movements of one")):
        print(f"| {name} | {counts[music, True]:,} | {counts[music, False]:,} |")


if __name__ == "__main__":
    sys.exit(main())
