"""What the model's pieces are like beside real music: `python benchmarks/pieces.py --data path/to/maestro-v3.0.0 [--model small] [--n 16]`.

n pieces of a minute from nothing, beside n minutes from the middle of MAESTRO's validation performances: statistics of the notes, the
longest loop of keys, the longest wait, and how much of the music can be found in the training split: the share of its runs of 8, 16 and
24 strikes (intervals in order, whatever the key) that occur there. Real pieces share runs too: scales, arpeggios, trills. Median, and the
middle half.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.compose import Composer, Request
from preludio.corpus import encoded_split
from preludio.errors import PreludioWarning
from preludio.performance import Performance, crop
from preludio.tokens import decode

SECONDS = 60
RUNS = (8, 16, 24)
LONGEST_PERIOD = 64

Integers = npt.NDArray[np.int64]


def strikes(performance: Performance) -> Integers:
    """Pitches in the order of their onsets, chords from below."""
    return performance.notes["pitch"].astype(np.int64)


def run_hashes(pitches: Integers, length: int) -> Integers:
    """One number for each run of `length` strikes, the same in every key."""
    intervals = np.diff(pitches) + 128
    if len(intervals) < length - 1:
        return np.empty(0, dtype=np.int64)
    hashes = np.zeros(len(intervals) - length + 2, dtype=np.uint64)
    for place in range(length - 1):
        hashes = (hashes ^ intervals[place : place + len(hashes)].astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    return hashes.astype(np.int64)


def longest_loop(pitches: Integers) -> int:
    """The most strikes in a row that repeat those some period before."""
    longest = 0
    for period in range(1, min(LONGEST_PERIOD, len(pitches) - 1) + 1):
        breaks = np.flatnonzero(np.concatenate([[True], pitches[period:] != pitches[:-period], [True]]))
        longest = max(longest, int(np.diff(breaks).max()) - 1)
    return longest


def described(performance: Performance, known: dict[int, Integers]) -> dict[str, float]:
    """One piece in numbers."""
    notes, pitches = performance.notes, strikes(performance)
    onset_ms = notes["onset_ms"].astype(np.int64)
    length_ms = notes["offset_ms"] - onset_ms
    figures = {
        "notes a second": len(notes) / (performance.duration_ms / 1000),
        "lowest pitch": float(pitches.min()),
        "highest pitch": float(pitches.max()),
        "different pitches": float(len(np.unique(pitches))),
        "velocity, mean": float(notes["velocity"].mean()),
        "velocity, standard deviation": float(notes["velocity"].std()),
        "note length, median, ms": float(np.median(length_ms)),
        "notes over 10 s, %": float(100 * (length_ms > 10_000).mean()),
        "keys sounding at once, mean": float(length_ms.sum() / performance.duration_ms),
        "longest wait for a strike, s": float(np.diff(onset_ms).max() / 1000),
        "longest loop of keys, strikes": float(longest_loop(pitches)),
    }
    for length, hashes in known.items():
        mine = run_hashes(pitches, length)
        figures[f"runs of {length} strikes known from training, %"] = float(100 * np.isin(mine, hashes).mean()) if len(mine) else 0.0
    return figures


def minutes_of_music(maestro: Path, n: int) -> list[Performance]:
    """A minute from the middle of n validation performances, evenly chosen."""
    pieces = [decode(ids) for ids in encoded_split(maestro, "validation")]
    chosen = [pieces[number * len(pieces) // n] for number in range(n)]
    return [crop(piece, middle, middle + 1000 * SECONDS) for piece in chosen for middle in [piece.duration_ms // 2]]


def known_runs(maestro: Path) -> dict[int, Integers]:
    pitches = [strikes(decode(ids)) for ids in encoded_split(maestro, "train")]
    return {length: np.unique(np.concatenate([run_hashes(piece, length) for piece in pitches])) for length in RUNS}


def compose(model: str, n: int, **wishes: Any) -> list[Performance]:
    composer, pieces = Composer.from_pretrained(model), []
    for seed in range(n):
        pieces.append(composer.takes(Request(seconds=SECONDS, seed=seed, **wishes))[0].performance)
        print(f"\r{seed + 1} of {n} pieces", end="", file=sys.stderr)
    print(file=sys.stderr)
    return pieces


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
    known = known_runs(arguments.data)
    columns = [[described(piece, known) for piece in pieces] for pieces in (made, minutes_of_music(arguments.data, arguments.n))]
    print(f"\n{arguments.n} pieces each\n\n| | {arguments.model} | MAESTRO validation |\n|---|---|---|")
    for name in columns[0][0]:
        cells = [np.quantile([row[name] for row in column], [0.25, 0.5, 0.75]) for column in columns]
        print(f"| {name} | " + " | ".join(f"{median:.3g} ({low:.3g} - {high:.3g})" for low, median, high in cells) + " |")


if __name__ == "__main__":
    main()
