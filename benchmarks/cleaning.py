"""What the cleaning rules do to MAESTRO and the GiantMIDI sample, and how far the rules' thresholds are from real performances.

    python benchmarks/cleaning.py --data ../shared/datasets

Prints the Markdown tables of `docs/corpus.md`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from codec import machine, maestro_files

from preludio.corpus.clean import RULES, clean
from preludio.midi import read_midi
from preludio.performance import Performance


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with maestro-v3.0.0 and giantmidi-piano-sample")
    args = parser.parse_args()
    maestro = [path for split in ("train", "validation") for path in maestro_files(args.data, split)]
    giantmidi = sorted((args.data / "giantmidi-piano-sample" / "midis").glob("*.mid"))
    sets = {name: [read_midi(path) for path in paths] for name, paths in (("MAESTRO", maestro), ("GiantMIDI", giantmidi))}
    print(f"{machine()}\n")
    start = time.process_time()
    for performance in sets["MAESTRO"]:
        clean(performance)
    print(f"MAESTRO cleaned in {time.process_time() - start:.2f} s of one core.\n")
    print_cleaning(sets)
    return 0


def print_cleaning(sets: dict[str, list[Performance]]) -> None:
    outcomes = {name: [clean(performance) for performance in files] for name, files in sets.items()}
    print(f"| rule | thresholds | {' | '.join(sets)} |\n|---|---|---|---|")
    for rule in RULES:
        limits = ", ".join(f"`{key}={value}`" for key, value in vars(rule).items() if key != "name")
        touched = [sum(any(reason.startswith(rule.name) for reason in one.reasons) for one in outcomes[name]) for name in sets]
        print(f"| {rule.name} | {limits} | {' | '.join(f'{n} files' for n in touched)} |")
    for name, files in sets.items():
        hours = [sum(piece.duration_ms for piece in files) / 3.6e6]
        hours.append(hours[0] - sum(one.performance.duration_ms for one in outcomes[name] if one.performance) / 3.6e6)
        refused = sum(one.performance is None for one in outcomes[name])
        print(f"\n{name}: {len(files):,} files, {refused} refused, {hours[1]:.2f} of {hours[0]:.2f} hours trimmed.")
    print(f"\n| the file with the least or most | {' | '.join(sets)} |\n|---|---|---|")
    for measure, (of, extreme) in MEASURES.items():
        print(f"| {measure} | " + " | ".join(f"{extreme(map(of, files)):,.3g}" for files in sets.values()) + " |")


def densest(piece: Performance) -> int:
    onset_ms = piece.notes["onset_ms"]
    return int(np.max(np.searchsorted(onset_ms, onset_ms + 10_000) - np.arange(len(onset_ms))))


def most_frequent(piece: Performance) -> float:
    return float(np.bincount(piece.notes["velocity"]).max() / len(piece))


MEASURES: dict[str, tuple[Callable[[Performance], float], Callable[[Iterable[float]], float]]] = {
    "seconds, least": (lambda piece: piece.duration_ms / 1000, min),
    "notes, least": (len, min),
    "different velocities, least": (lambda piece: len(np.unique(piece.notes["velocity"])), min),
    "share of the most frequent velocity, most": (most_frequent, max),
    "notes in ten seconds, most": (densest, max),
    "lowest key": (lambda piece: int(piece.notes["pitch"].min()), min),
    "highest key": (lambda piece: int(piece.notes["pitch"].max()), max),
    "seconds before the first note, most": (lambda piece: float(piece.notes["onset_ms"][0]) / 1000, max),
}


if __name__ == "__main__":
    sys.exit(main())
