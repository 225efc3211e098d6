"""Preparing training data: `python benchmarks/corpus.py --data path/to/datasets [--sample 40] [--repeats 3] [--processes N]`.

The folder holds maestro-v3.0.0 and giantmidi-piano-sample. Five tables: MAESTRO from MIDI to shards; what each stage costs a file; the same
files through midi-neural-processor (`pip install midi-neural-processor`), side by side; random windows read from the shards; and what the
report says of MAESTRO and GiantMIDI together, beside the published figures.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from preludio.corpus.clean import RULES, clean
from preludio.corpus.decide import Choice, decide
from preludio.corpus.entry import Entry, Source
from preludio.corpus.examine import HELD_OUT, Examination
from preludio.corpus.fingerprint import fingerprint
from preludio.corpus.prepare import Options, Prepared, prepare
from preludio.corpus.shards import SPLITS, Encoded, Shards, write_shards
from preludio.corpus.sources import open_source
from preludio.errors import PreludioWarning
from preludio.tokens import encode
from preludio.train.windows import Windows

PUBLISHED_FILES = {"train": 962, "validation": 137, "test": 177}  # maestro-v3.0.0's table
HERE_NOTES = {"train": 5_659_328, "validation": 639_425}  # as the project's notes have them; 7.04 million in all three splits
WINDOW = 2048


class Clock:
    """Wall and CPU seconds, of this process and of those that it started and that have ended."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        wall, cpu = time.perf_counter(), _cpu()
        try:
            yield
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu += _cpu() - cpu


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def cores() -> int:
    return len(os.sched_getaffinity(0))


def clocked(work: Callable[[], object]) -> Clock:
    clock = Clock()
    with clock.running():
        work()
    return clock


def whole(maestro: Path, scratch: Path, processes: int, repeats: int) -> None:
    """MAESTRO from MIDI to shards, report and all."""
    print(f"## MAESTRO's 1,099 files from MIDI to shards, default options ({cores()} cores)\n")
    print("| processes | wall s, median (fastest) | CPU s, median (least) | peak of this process / of a worker, MB |\n|---|---|---|---|")
    for n in sorted({1, processes}):
        runs = [clocked(lambda n=n, k=k: prepare([maestro], scratch / f"whole-{n}-{k}", processes=n)) for k in range(repeats)]  # type: ignore[misc]
        walls, cpus = [run.wall for run in runs], [run.cpu for run in runs]
        memory = [resource.getrusage(who).ru_maxrss / 1e3 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        times = " | ".join(f"{statistics.median(row):.2f} ({min(row):.2f})" for row in (walls, cpus))
        print(f"| {n} | {times} | {memory[0]:.0f} / {memory[1]:.0f} |", flush=True)


def stages(maestro: Path, scratch: Path) -> None:
    """CPU time of each stage, in one process, and what it costs a file."""
    source = open_source(maestro)
    here = [entry for entry in source.entries() if entry.split != "test"]
    clocks = {name: Clock() for name in ("read MIDI", "clean (training split only)", "encode", "fingerprint")}
    for entry in here:
        _one(source, entry, clocks)
    examination = Examination([source], Options().rules, scratch / "stages")
    clocks["all of it, with batches saved"] = clocked(lambda: list(examination.run(1)))
    facts, landmarks = zip(*examination.light(), strict=True)
    clocks["decide (duplicates, leaks)"] = clocked(lambda: decide(facts, landmarks, Choice()))
    verdicts = decide(facts, landmarks, Choice())
    pieces = (
        Encoded(verdict.split, "maestro", one.facts.entry.name, "", "", one.facts.n_notes, one.ids)
        for one, verdict in zip(examination.results(), verdicts, strict=True)
        if verdict.split
    )
    clocks["write shards"] = clocked(lambda: write_shards(scratch / "shards", pieces, {}))
    print("\n## CPU time of each stage, one process\n\n| stage | CPU s | ms a file |\n|---|---|---|")
    for name, clock in clocks.items():
        print(f"| {name} | {clock.cpu:.2f} | {1000 * clock.cpu / len(here):.2f} |")
    size = sum(path.stat().st_size for path in examination.folder.iterdir())
    marks = sum(one.nbytes for one in landmarks)
    print(f"\nOn the disk meanwhile {size / len(here) / 1e3:.0f} KB a file; fingerprints in memory {marks / len(here) / 1e3:.1f} KB.")


def _one(source: Source, entry: Entry, clocks: dict[str, Clock]) -> None:
    read, cleaning, encoding, marking = clocks.values()
    with read.running():
        performance = source.read(entry)
    with cleaning.running():
        cleaned = performance if entry.split in HELD_OUT else clean(performance, RULES).performance
    assert cleaned is not None
    with encoding.running():
        encode(cleaned)
    with marking.running():
        fingerprint(cleaned)


def side_by_side(maestro: Path, scratch: Path, n: int, repeats: int) -> None:
    """A random sample through midi-neural-processor's `encode_midi` and through ours by turns, file by file, in one process."""
    print(f"\n## {n} random files beside midi-neural-processor (seed 0)\n")
    try:
        processor = importlib.import_module("midi_neural_processor.processor")
    except ImportError:
        print("Skipped: pip install midi-neural-processor")
        return
    source = _sample(maestro, scratch / "sample", n)
    entries = source.entries()
    ways: dict[str, Callable[[Entry], object]] = {
        "midi-neural-processor": lambda entry: processor.encode_midi(str(scratch / "sample" / entry.name)),
        "preludio": lambda entry: encode(source.read(entry)),
    }
    for way in ways.values():
        way(entries[0])  # loads what is loaded once
    cpu = {name: np.zeros(n) for name in ways}
    for place, entry in enumerate(entries):
        for name, way in ways.items():
            runs = [clocked(lambda: way(entry)).cpu for _ in range(repeats)]  # noqa: B023
            cpu[name][place] = statistics.median(runs)
    theirs, ours = cpu.values()
    print("| from the path of a MIDI file to ids | CPU s | ms a file |\n|---|---|---|")
    for name, seconds in cpu.items():
        print(f"| {name} | {seconds.sum():.2f} | {1000 * seconds.mean():.2f} |")
    least, middle, most = np.quantile(theirs / ours, [0, 0.5, 1])
    print(f"\n**{theirs.sum() / ours.sum():.0f} times as fast** in all; file by file {least:.0f} to {most:.0f} times, median {middle:.0f}.")
    print(f"Each file by turns, median of {repeats} runs.")
    everything = clocked(lambda: prepare([scratch / "sample"], scratch / "sample-out", processes=1))
    print(f"`preludio prepare` with cleaning, fingerprints, shards and report: {everything.cpu:.2f} s for the same files.")


def _sample(maestro: Path, folder: Path, n: int) -> Source:
    """A folder with links to random files of the splits that are here."""
    here = [entry.name for entry in open_source(maestro).entries() if entry.split != "test"]
    folder.mkdir()
    for number, place in enumerate(np.random.default_rng(0).choice(len(here), n, replace=False)):
        (folder / f"{number:03}.mid").symlink_to((maestro / here[place]).resolve())
    return open_source(folder)


def draw(drawn: Windows, batch: int, calls: int) -> None:
    """So many batches, one after the other."""
    for step in range(calls):
        drawn.batch(step, batch, WINDOW)


def windows(out: Path, repeats: int) -> None:
    """Random windows of 2,048 tokens from the training split."""
    split = Shards.open(out).splits["train"]
    print(f"\n## Random windows of {WINDOW:,} tokens from {len(split.ids):,}\n")
    print("| windows at a time | windows a second, median |\n|---|---|")
    drawn = Windows(split, seed=0)
    drawn.batch(0, 1000, WINDOW)  # the file is in memory now, as after a training run's first minutes
    for batch in (1, 16, 256):
        calls = max(4_000 // batch, 10)
        runs = [clocked(functools.partial(draw, drawn, batch, calls)) for _ in range(repeats)]
        print(f"| {batch:,} | {statistics.median(batch * calls / run.wall for run in runs):,.0f} |")


def report(datasets: Path, scratch: Path, processes: int) -> None:
    """MAESTRO and the GiantMIDI sample in one run."""
    sources = [datasets / "maestro-v3.0.0", datasets / "giantmidi-piano-sample"]
    result = prepare(sources, scratch / "both", processes=processes)
    rows = list(zip(result.facts, result.verdicts, strict=True))
    print("\n## MAESTRO and the GiantMIDI sample in one run\n")
    print("| MAESTRO | files in its table | here | kept | notes | expected |\n|---|---|---|---|---|---|")
    for split in SPLITS:
        ours = [(one, verdict) for one, verdict in rows if one.entry.source == "maestro" and one.entry.split == split]
        here = [one for one, _ in ours if not one.fault.startswith("missing")]
        kept = [one for one, verdict in ours if verdict.split]
        expected = f"{PUBLISHED_FILES[split]} files, {HERE_NOTES.get(split, 0):,} notes here"
        print(f"| {split} | {len(ours)} | {len(here)} | {len(kept)} | {sum(one.n_notes for one in kept):,} | {expected} |")
    print("\n| source | files | kept | duplicate | leak | unusable |\n|---|---|---|---|---|---|")
    for name in ("maestro", "giantmidi"):
        kinds = [verdict.kind or "kept" for one, verdict in rows if one.entry.source == name]
        print(f"| {name} | {len(kinds)} | {' | '.join(str(kinds.count(kind)) for kind in ('kept', 'duplicate', 'leak', 'unusable'))} |")
    _leaks(result)


def _leaks(result: Prepared) -> None:
    reasons = [verdict.reason for verdict in result.verdicts if verdict.kind == "leak"]
    by = {name: sum(f"by its {name}:" in reason for reason in reasons) for name in ("music", "title")}
    kept = [one.entry.name for one, v in zip(result.facts, result.verdicts, strict=True) if v.split and one.entry.source == "giantmidi"]
    print(f"\nLeaks known by their music {by['music']}, by their title alone {by['title']}.")
    print(f"Of GiantMIDI there remains: {'; '.join(kept) or 'nothing'}.")


def main(arguments: Sequence[str] | None = None) -> None:
    parser: Any = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of maestro-v3.0.0 and giantmidi-piano-sample")
    parser.add_argument("--sample", type=int, default=40, help="files for midi-neural-processor, which takes a second each")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, default=cores())
    asked = parser.parse_args(arguments)
    warnings.simplefilter("ignore", PreludioWarning)
    maestro = asked.data / "maestro-v3.0.0"
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        whole(maestro, scratch, asked.processes, asked.repeats)
        stages(maestro, scratch)
        side_by_side(maestro, scratch, asked.sample, asked.repeats)
        windows(scratch / "whole-1-0", asked.repeats)
        report(asked.data, scratch, asked.processes)


if __name__ == "__main__":
    main()
