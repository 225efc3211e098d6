"""The codec beside `midi-neural-processor`: speed on one core, and what a round trip does to each note.

    pip install midi-neural-processor
    python benchmarks/codec.py --data ../shared/datasets

Prints the Markdown tables of `docs/codec.md`. Reading the files is not timed.

The truth is `sustain(performance)`: how long each note sounds, the pedal resolved. Each system's notes are matched to it key by key,
in order of time, so that the whole costs least: a pair costs the distance of its onsets, a note left alone on either side 250 ms. So the
matching stays right where a note was lost or invented before. A system that drifts is matched with its drift taken off (followed
through blocks of 100 notes: the lag that most of them share), lest it lose its notes; the errors are then measured with the drift in.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib
import io
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.midi import read_midi
from preludio.performance import Performance, sustain
from preludio.tokens import decode, encode

ALONE_MS = 250.0  # what the matching pays for a note without a partner: half a second apart, drift taken off, are two notes
DRIFT_NOTES = 100  # in a block that has one drift
DRIFT_MS = 1_000.0  # the most by which the drift changes from block to block
TOO_SHORT_MS = 100

Floats = npt.NDArray[np.float64]


class Sound(NamedTuple):
    """Notes as columns; times in milliseconds, not necessarily whole."""

    onset: Floats
    offset: Floats
    pitch: npt.NDArray[np.int64]
    velocity: npt.NDArray[np.int64]


class Errors(NamedTuple):
    """Of the matched notes of one or more files; `length` is signed: negative where a note became too short."""

    onset: Floats
    offset: Floats
    velocity: Floats
    length: Floats
    n_truth: int
    n_lost: int
    n_invented: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with maestro-v3.0.0 and giantmidi-piano-sample")
    parser.add_argument("--repeats", type=int, default=7, help="how often the speed is measured")
    parser.add_argument("--limit", type=int, help="only so many files of each set, to try it out")
    parser.add_argument("--skip", choices=["speed", "errors"], help="leave one half out")
    args = parser.parse_args()
    train, validation = (maestro_files(args.data, split)[: args.limit] for split in ("train", "validation"))
    giantmidi = sorted((args.data / "giantmidi-piano-sample" / "midis").glob("*.mid"))[: args.limit]
    print(f"{machine()}\n")
    if args.skip != "speed":
        print_speed([read_midi(path) for path in (*train, *validation)], args.repeats)
    if args.skip != "errors":
        print_errors({"MAESTRO validation": validation, "GiantMIDI sample": giantmidi})
    return 0


def maestro_files(data: Path, split: str) -> list[Path]:
    folder = data / "maestro-v3.0.0"
    with (folder / "maestro-v3.0.0.csv").open(encoding="utf-8", newline="") as file:
        return [folder / row["midi_filename"] for row in csv.DictReader(file) if row["split"] == split]


def machine() -> str:
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":")[1].strip() for line in flags.splitlines() if line.startswith("model name")), platform.processor())
    return (
        f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.system()}"
    )


# --- speed ------------------------------------------------------------------------------------------------------------------------


def print_speed(performances: Sequence[Performance], repeats: int) -> None:
    n_notes = sum(map(len, performances))
    ids = [encode(performance) for performance in performances]
    n_tokens = sum(map(len, ids))
    print(f"{len(performances)} files, {n_notes:,} notes, {n_tokens:,} tokens; {repeats} runs over all, CPU time of one core\n")
    print("| | million notes/s, median (slowest - fastest) | million tokens/s, median |\n|---|---|---|")
    for name, function, inputs in (("`encode`", encode, performances), ("`decode`", decode, ids)):
        seconds = [cpu_seconds(function, inputs) for _ in range(repeats)]
        speeds = [n_notes / 1e6 / second for second in (statistics.median(seconds), max(seconds), min(seconds))]
        print(f"| {name} | {speeds[0]:.2f} ({speeds[1]:.2f} - {speeds[2]:.2f}) | {n_tokens / 1e6 / statistics.median(seconds):.1f} |")
    print()


def cpu_seconds(function: Callable[[Any], object], inputs: Iterable[Any]) -> float:
    """CPU time, not wall time: what other processes take does not count against the codec."""
    start = time.process_time()
    for item in inputs:
        function(item)
    return time.process_time() - start


# --- errors -----------------------------------------------------------------------------------------------------------------------


def preludio_round_trip(path: Path) -> Sound:
    return sound(decode(encode(read_midi(path))))


def midi_neural_processor_round_trip(path: Path) -> Sound:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # pretty_midi's, about packages of its own
        processor = importlib.import_module("midi_neural_processor.processor")

        notes = processor.decode_midi(processor.encode_midi(str(path))).instruments[0].notes
    onset, offset, pitch, velocity = np.array([(note.start, note.end, note.pitch, note.velocity) for note in notes]).T
    return Sound(onset * 1000, offset * 1000, pitch.astype(np.int64), velocity.astype(np.int64))


SYSTEMS: dict[str, Callable[[Path], Sound]] = {
    "preludio": preludio_round_trip,
    "midi-neural-processor": midi_neural_processor_round_trip,
}


def sound(performance: Performance) -> Sound:
    notes = performance.notes
    return Sound(
        notes["onset_ms"].astype(np.float64),
        notes["offset_ms"].astype(np.float64),
        notes["pitch"].astype(np.int64),
        notes["velocity"].astype(np.int64),
    )


def print_errors(sets: dict[str, list[Path]]) -> None:
    measured = {name: {path: errors_of_file(path) for path in paths} for name, paths in sets.items()}
    print("| files | system | onset, ms | offset, ms | velocity | velocity over 3 off | over 100 ms too short | lost | invented |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, by_file in measured.items():
        for system in SYSTEMS:
            errors = together([both[system] for both in by_file.values()])
            print(f"| {name} ({len(by_file)} files, {errors.n_truth:,} notes) | {system} | {row(errors)} |")
    print("\nErrors are median / worst over all matched notes. The worst files:\n")
    print("| files | system | worst onset, ms | worst offset, ms | highest median onset, ms | most lost |\n|---|---|---|---|---|---|")
    for name, by_file in measured.items():
        for system in SYSTEMS:
            print(f"| {name} | {system} | {worst_files({path: both[system] for path, both in by_file.items()})} |")


def row(errors: Errors) -> str:
    spreads = (f"{np.median(error):.1f} / {error.max():,.0f}" for error in (errors.onset, errors.offset, errors.velocity))
    wrong_bin, too_short = 100 * np.mean(errors.velocity > 3), 100 * np.mean(errors.length < -TOO_SHORT_MS)
    lost, invented = (f"{count:,} ({100 * count / errors.n_truth:.2f} %)" for count in (errors.n_lost, errors.n_invented))
    return " | ".join([*spreads, f"{wrong_bin:.1f} %", f"{too_short:.1f} %", lost, invented])


def worst_files(by_file: dict[Path, Errors]) -> str:
    measures: list[Callable[[Errors], float]] = [
        lambda errors: float(errors.onset.max()),
        lambda errors: float(errors.offset.max()),
        lambda errors: float(np.median(errors.onset)),
        lambda errors: errors.n_lost,
    ]
    cells = []
    for measure in measures:
        path = max(by_file, key=lambda path: measure(by_file[path]))
        cells.append(f"{measure(by_file[path]):,.0f} (`{short(path.stem)}`)" if measure(by_file[path]) else "0")
    return " | ".join(cells)


def short(stem: str) -> str:
    return stem if len(stem) <= 40 else f"{stem[:18]}…{stem[-21:]}"


def errors_of_file(path: Path) -> dict[str, Errors]:
    print(path.stem, file=sys.stderr)
    truth = sound(sustain(read_midi(path)))
    return {name: compare(truth, round_trip(path)) for name, round_trip in SYSTEMS.items()}


def compare(truth: Sound, heard: Sound) -> Errors:
    pairs = matched(truth, heard)
    a, b = picked(truth, pairs[:, 0]), picked(heard, pairs[:, 1])
    return Errors(
        np.abs(a.onset - b.onset),
        np.abs(a.offset - b.offset),
        np.abs(a.velocity - b.velocity).astype(np.float64),
        (b.offset - b.onset) - (a.offset - a.onset),
        len(truth.onset),
        len(truth.onset) - len(pairs),
        len(heard.onset) - len(pairs),
    )


def picked(notes: Sound, places: npt.NDArray[np.intp]) -> Sound:
    return Sound(notes.onset[places], notes.offset[places], notes.pitch[places], notes.velocity[places])


def together(parts: Sequence[Errors]) -> Errors:
    columns = list(zip(*parts, strict=True))
    onset, offset, velocity, length = (np.concatenate(column) for column in columns[:4])
    return Errors(onset, offset, velocity, length, *(sum(column) for column in columns[4:]))


def matched(truth: Sound, heard: Sound) -> npt.NDArray[np.intp]:
    """Pairs of places (in truth, in heard) of notes that are the same note."""
    expected = truth._replace(onset=truth.onset + drift(truth, heard))
    pairs = [np.empty((0, 2), dtype=np.intp)]
    for pitch in np.unique(truth.pitch):
        here, there = (notes_of_key(notes, pitch) for notes in (truth, heard))
        if len(there):
            i, j = aligned(expected.onset[here], heard.onset[there])
            pairs.append(np.stack([here[i], there[j]], axis=1))
    return np.concatenate(pairs)


def drift(truth: Sound, heard: Sound) -> Floats:
    """How late a system is at each true note, followed from block to block: the lag that most notes of a block have to one of their key."""
    at_ms, lags = [truth.onset.min()], [0.0]
    for block in np.array_split(np.argsort(truth.onset), -(-len(truth.onset) // DRIFT_NOTES)):
        middle_ms = truth.onset[block] + lags[-1]
        near = np.flatnonzero((heard.onset > middle_ms.min() - DRIFT_MS) & (heard.onset < middle_ms.max() + DRIFT_MS))
        late_ms = heard.onset[near] - truth.onset[block][:, None]  # (note of the block, note near it)
        same = (heard.pitch[near] == truth.pitch[block][:, None]) & (np.abs(late_ms - lags[-1]) < DRIFT_MS)
        if same.any():
            at_ms.append(np.median(truth.onset[block]))
            lags.append(most_common(np.sort(late_ms[same])))
    return np.interp(truth.onset, at_ms, lags)


def most_common(rising: Floats, within_ms: float = 30.0) -> float:
    """The middle of the densest place."""
    first, last = np.searchsorted(rising, rising - within_ms), np.searchsorted(rising, rising + within_ms)
    densest = np.argmax(last - first)
    return float(np.median(rising[first[densest] : last[densest]]))


def notes_of_key(notes: Sound, pitch: int) -> npt.NDArray[np.intp]:
    places = np.flatnonzero(notes.pitch == pitch)
    return places[np.lexsort((notes.offset[places], notes.onset[places]))]


def aligned(a: Floats, b: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The order-keeping matching of two rising rows that costs least: |a - b| for a pair, `ALONE_MS` for each left alone."""
    if len(a) == len(b) and np.abs(a - b).sum() < 2 * ALONE_MS:  # any other matching leaves at least one of each alone
        return np.arange(len(a)), np.arange(len(b))
    run_ms = ALONE_MS * np.arange(len(b) + 1)
    cost = np.empty((len(a) + 1, len(b) + 1))
    cost[0] = run_ms
    for i, onset in enumerate(a):
        best = cost[i] + ALONE_MS
        best[1:] = np.minimum(best[1:], cost[i, :-1] + np.abs(b - onset))
        cost[i + 1] = np.minimum.accumulate(best - run_ms) + run_ms  # leaving any run of b alone
    return traced_back(a, b, cost)


def traced_back(a: Floats, b: Floats, cost: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    i, j, pairs = len(a), len(b), []
    while i and j:
        if np.isclose(cost[i, j], cost[i - 1, j - 1] + abs(a[i - 1] - b[j - 1]), rtol=0, atol=1e-6):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif np.isclose(cost[i, j], cost[i - 1, j] + ALONE_MS, rtol=0, atol=1e-6):
            i -= 1
        else:
            j -= 1
    places = np.array(pairs[::-1], dtype=np.intp).reshape(-1, 2)
    return places[:, 0], places[:, 1]


if __name__ == "__main__":
    sys.exit(main())
