"""Reading MIDI: ours beside symusic's parser, the fastest: `python benchmarks/midi.py --data path/to/maestro-v3.0.0 [--repeats 3]`.

First how long all files of the train and validation splits take on one core, from bytes in memory, in CPU time. symusic stops at ticks and
tracks; ours goes on to milliseconds, the tempo map, the pedal and a checked Performance. Then what each makes of three small files that
are valid or nearly so.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from symusic.core import ScoreTick

from preludio.corpus import midi_files
from preludio.errors import PreludioWarning
from preludio.midi import read_midi


def smf(*tracks: bytes, division: int = 480) -> bytes:
    """A format-1 file at the default tempo: one tick of 480 is 1.04 ms."""
    header = b"MThd" + (6).to_bytes(4, "big") + (1).to_bytes(2, "big") + len(tracks).to_bytes(2, "big") + division.to_bytes(2, "big")
    return header + b"".join(b"MTrk" + len(track).to_bytes(4, "big") + track for track in tracks)


END = b"\x00\xff\x2f\x00"
NOTE = b"\x00\x90\x3c\x40" + b"\x60\x80\x3c\x00"  # middle C for 96 ticks
ODD_FILES = {
    "a pedal in a track of its own, on a channel without notes": smf(NOTE + END, b"\x00\xb1\x40\x7f" + b"\x87\x40\xb1\x40\x00" + END),
    "a note that never ends (its track does, 960 ticks later)": smf(b"\x00\x90\x3c\x40" + b"\x87\x40\xff\x2f\x00"),
    "a data byte over 127": smf(b"\x00\x90\x3c\xc0" + b"\x60\x80\x3c\x00" + END),
}


def seconds_of(read: Callable[[bytes], object], files: list[bytes]) -> float:
    began = time.process_time()
    for data in files:
        read(data)
    return time.process_time() - began


def by_symusic(data: bytes) -> str:
    try:
        score = ScoreTick.from_midi(data)
    except Exception as error:
        return f"refused: {type(error).__name__}"
    notes, pedals = sum(len(track.notes) for track in score.tracks), sum(len(track.pedals) for track in score.tracks)
    return f"{notes} notes, {pedals} pedals"


def by_us(data: bytes) -> str:
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        performance = read_midi(data)
    said = f"; says: {notes[0].message}" if notes else ""
    return f"{len(performance)} notes, {len(performance.pedals)} pedals, {performance.duration_ms / 1000:.2f} s{said}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of MAESTRO v3.0.0")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", PreludioWarning)
    files = [(arguments.data / name).read_bytes() for split in ("train", "validation") for name in midi_files(arguments.data, split)]
    print(f"{len(files):,} files, {sum(map(len, files)) / 1e6:.1f} MB, {arguments.repeats} repeats\n")
    print("| reader | CPU seconds, median | fastest - slowest |\n|---|---|---|")
    for name, read in (("preludio.read_midi", read_midi), ("symusic", ScoreTick.from_midi)):
        runs = [seconds_of(read, files) for _ in range(arguments.repeats)]
        print(f"| {name} | {statistics.median(runs):.2f} | {min(runs):.2f} - {max(runs):.2f} |")
    print("\n| file | symusic | preludio |\n|---|---|---|")
    for what, data in ODD_FILES.items():
        print(f"| {what} | {by_symusic(data)} | {by_us(data)} |")


if __name__ == "__main__":
    main()
