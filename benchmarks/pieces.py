"""What the model's pieces are like beside real music: `python benchmarks/pieces.py --data path/to/maestro-v3.0.0 [--model small] [--n 16]`.

n pieces of a minute from nothing, beside n minutes from the middle of MAESTRO's validation performances: statistics of the notes, the
longest loop of keys, the longest wait, and how much of the music can be found in the training split: the share of its runs of 8, 16 and
24 strikes (intervals in order, whatever the key) that occur there. Real pieces share runs too: scales, arpeggios, trills. Median, and the
middle half. Then how far the pitches and velocities of all pieces together are from those of the whole validation split.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from preludio.compose import Composer, Request
from preludio.corpus import encoded_split
from preludio.errors import PreludioWarning
from preludio.evaluate import KnownRuns, Statistics, distance, histogram
from preludio.performance import Performance, crop
from preludio.tokens import decode

SECONDS = 60


def minutes_of_music(pieces: list[Performance], n: int) -> list[Performance]:
    """A minute from the middle of n performances, evenly chosen."""
    chosen = [pieces[number * len(pieces) // n] for number in range(n)]
    return [crop(piece, middle, middle + 1000 * SECONDS) for piece in chosen for middle in [piece.duration_ms // 2]]


def compose(model: str, n: int, **wishes: Any) -> list[Performance]:
    composer, pieces = Composer.from_pretrained(model), []
    for seed in range(n):
        pieces.append(composer.takes(Request(seconds=SECONDS, seed=seed, **wishes))[0].performance)
        print(f"\r{seed + 1} of {n} pieces", end="", file=sys.stderr)
    print(file=sys.stderr)
    return pieces


def described(performance: Performance, known: KnownRuns) -> dict[str, float]:
    """One piece in numbers."""
    shares = {f"runs of {length} strikes known from training": share for length, share in known.shares(performance).items()}
    return {name.replace("_", " "): float(value) for name, value in asdict(Statistics.of(performance)).items()} | shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of MAESTRO v3.0.0")
    parser.add_argument("--model", default="small")
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-p", type=float, default=0.95)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", PreludioWarning)
    made = compose(arguments.model, arguments.n, temperature=arguments.temperature, top_p=arguments.top_p)
    known = KnownRuns.of(decode(ids) for ids in encoded_split(arguments.data, "train"))
    validation = [decode(ids) for ids in encoded_split(arguments.data, "validation")]
    sets = made, minutes_of_music(validation, arguments.n)
    columns = [[described(piece, known) for piece in pieces] for pieces in sets]
    print(f"\n{arguments.n} pieces each\n\n| | {arguments.model} | MAESTRO validation |\n|---|---|---|")
    for name in columns[0][0]:
        cells = [np.quantile([row[name] for row in column], [0.25, 0.5, 0.75]) for column in columns]
        print(f"| {name} | " + " | ".join(f"{median:.3g} ({low:.3g} - {high:.3g})" for low, median, high in cells) + " |")
    for field in ("pitch", "velocity"):
        distances = [distance(histogram(pieces, field), histogram(validation, field)) for pieces in sets]
        print(f"| {field} histogram, distance from the split's | " + " | ".join(f"{one:.3f}" for one in distances) + " |")


if __name__ == "__main__":
    main()
