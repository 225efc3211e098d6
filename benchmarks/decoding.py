"""Decoding speed on a quiet machine: the tables and the picture of docs/engine.md.

    python benchmarks/decoding.py --out runs/decoding                                        # all of it, a quarter of an hour
    python benchmarks/decoding.py --out runs/decoding --for 100                              # as much as fits; the next call goes on
    python benchmarks/decoding.py --out runs/decoding --only choosing "native:int8" --again  # some of it, measured anew
    python benchmarks/decoding.py --out runs/decoding --table --picture docs/decoding.svg    # what was found so far

Each measurement is a JSON line in a file of `--out`, repeat after repeat, so that a slow moment hits all; what stands there is not
measured again. `--list` names the measurements. The parts:

    playing       everybody plays a piece of 2,048, as in `preludio bench`: events a second, the share of what memory allows
    instructions  what each instruction set gives
    pages         the same without huge pages
    choosing      what grammar, rules and draw cost beside the engine's step in int8 (choosing.py): music by the bundled model, whose
                  weights are set into those of `--size`, the rest zeros
    cold          how soon a new process has opened a model, has its first note, its piece

Medians, and in brackets the slowest and fastest repeat.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import choosing
import numpy as np

from preludio import checkpoint
from preludio.bench import Candidate, Row, RunMeasurement, list_candidates, measure_run, picture, table
from preludio.bench.candidates import PADDED, WHOLE_PREFIX
from preludio.bench.decoders import Decoder, EngineDecoder, random_checkpoint
from preludio.bench.measure import PIECES, Figure
from preludio.checkpoint import SIZES
from preludio.engine.native import PRECISIONS, NativeEngine
from preludio.engine.native.library import library

Found = dict[str, Any]

N = PIECES[-1]
TAKES = 8
INSTRUCTIONS = ("plain", "avx2", "avx2vnni", "avx512")
SHORT = 512  # events of the piece that tells instruction sets apart
NO_HUGE_PAGES = 41  # PR_SET_THP_DISABLE
MOMENTS = ("imports and opening the model", "from there to the first note", "all but Python", "all")

COLD = """
import json, time
began = time.perf_counter()
import preludio
composer = preludio.Composer.from_pretrained()
opened = time.perf_counter()
next(composer.stream(preludio.Request(seconds=60, seed=SEED)))
first = time.perf_counter()
preludio.write_midi(composer.compose(seconds=60, seed=SEED), FILE)
print(json.dumps([opened - began, first - opened, time.perf_counter() - began]))
"""


class Measurement(NamedTuple):
    part: str
    name: str
    take: Callable[[int], Found]  # the number of the repeat -> what was found

    @property
    def label(self) -> str:
        return f"{self.part}: {self.name}"


def main() -> None:
    arguments = parsed()
    if arguments.without_huge_pages:
        ctypes.CDLL(None).prctl(NO_HUGE_PAGES, 1, 0, 0, 0)
        print(json.dumps([piece_speed(arguments.size, "int8", threads) for threads in (1, arguments.threads)]))
        return
    records = Records(arguments.out, arguments.size)
    measurements = list(plan(arguments))
    chosen = [one for one in measurements if not arguments.only or any(part in one.label for part in arguments.only)]
    if arguments.list:
        print("\n".join(f"{len(records.of(one))} of {arguments.repeats}  {one.label}" for one in chosen))
    elif not arguments.table:
        measure(chosen, records, arguments)
    if arguments.table or not arguments.list:
        report(measurements, records, arguments)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/decoding"), help="a folder for what is found (runs/decoding)")
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="what has one of these in its name")
    parser.add_argument("--again", action="store_true", help="forget what was found for these before")
    parser.add_argument("--for", type=float, dest="seconds", default=float("inf"), metavar="SECONDS", help="begin nothing after so long")
    parser.add_argument("--list", action="store_true", help="name the measurements, and how often each was taken")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--without-huge-pages", action="store_true", help=argparse.SUPPRESS)  # for the child that measures this
    return parser.parse_args()


class Records:
    """What was found: a JSON line for each measurement and repeat."""

    def __init__(self, folder: Path, size: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._size = folder, size
        self._lines: dict[str, list[Found]] = defaultdict(list)
        for path in sorted(folder.glob(f"{size}-*.jsonl")):
            for line in map(json.loads, path.read_text().splitlines()):
                self._lines[line["label"]].append(line)

    def of(self, measurement: Measurement) -> list[Found]:
        return self._lines[measurement.label]

    def add(self, measurement: Measurement, found: Found) -> None:
        line = {"label": measurement.label, "when": time.strftime("%F %T"), "machine": machine(), **found}
        self.of(measurement).append(line)
        with self._path(measurement.part).open("a") as file:
            file.write(json.dumps(line) + "\n")

    def forget(self, measurements: Sequence[Measurement]) -> None:
        for one in measurements:
            self.of(one).clear()
        for part in {one.part for one in measurements}:
            kept = [line for label, lines in self._lines.items() if label.startswith(f"{part}: ") for line in lines]
            self._path(part).write_text("".join(json.dumps(line) + "\n" for line in kept))

    def machines(self) -> set[str]:
        return {line["machine"] for lines in self._lines.values() for line in lines}

    def _path(self, part: str) -> Path:
        return self._folder / f"{self._size}-{part}.jsonl"


def machine() -> str:
    processors = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in processors if line.startswith("model name")), platform.processor())
    return f"{model}, {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, NumPy {np.__version__}"


def plan(arguments: argparse.Namespace) -> Iterator[Measurement]:
    for guest in guests(arguments):
        yield Measurement("playing", seat(guest), functools.partial(played, functools.cache(functools.partial(arrived, guest))))
    for name, precision, threads in instruction_sets(arguments.threads):
        yield Measurement(
            "instructions",
            f"{name}, {precision}, {threads} threads",
            functools.partial(short_piece, arguments.size, precision, threads, name),
        )
    yield Measurement("pages", "no huge ones", functools.partial(without_huge_pages, arguments))
    engine = functools.cache(lambda: NativeEngine(choosing.widened(checkpoint.load(), SIZES[arguments.size]), "int8", arguments.threads))
    for name, wish in choosing.WISHES.items():
        yield Measurement("choosing", name, functools.partial(choosing.chosen_and_stepped, engine, wish))
    yield Measurement("cold", "compose 60 seconds", cold)


def measure(chosen: Sequence[Measurement], records: Records, arguments: argparse.Namespace) -> None:
    """Repeat after repeat, what is not there yet."""
    began = time.monotonic()
    if arguments.again:
        records.forget(chosen)
    for repeat in range(arguments.repeats):
        for one in chosen:
            if len(records.of(one)) > repeat:
                continue
            if time.monotonic() - began > arguments.seconds:
                print(f"{arguments.seconds:g} seconds are over: the same command goes on from here", file=sys.stderr)
                return
            records.add(one, one.take(repeat))
            print(f"{time.monotonic() - began:4.0f} s  {one.label}", file=sys.stderr, flush=True)


# --- playing ------------------------------------------------------------------------------------------------------------------------


def guests(arguments: argparse.Namespace) -> list[Candidate]:
    return list_candidates(SIZES[arguments.size], arguments.threads, TAKES, others=True)


def seat(guest: Candidate) -> str:
    return f"{guest.name}, {guest.threads} threads, {guest.batch} takes"


def arrived(guest: Candidate) -> Decoder:
    """Its first steps are not counted: they wake threads and touch memory for the first time."""
    player = guest.build()
    player.decode(16)
    return player


def played(player: Callable[[], Decoder], _: int) -> Found:
    found = measure_run(player(), N)
    return {**found._asdict(), "seconds": found.seconds.round(7).tolist()}


def rows(measurements: Sequence[Measurement], records: Records, arguments: argparse.Namespace) -> list[Row]:
    """Of those who have played."""
    found = []
    by_name = {one.name: records.of(one) for one in measurements if one.part == "playing"}
    for guest in guests(arguments):
        row = Row(guest.name, guest.threads, guest.batch)
        for line in by_name[seat(guest)]:
            step_bytes, read = ({int(context): number for context, number in line[key].items()} for key in ("step_bytes", "read"))
            row.add(RunMeasurement(np.array(line["seconds"]), line["prompt_seconds"], step_bytes, read))
        found += [row] if row.runs else []
    return found


def ratios(found: Sequence[Row], threads: int) -> Iterator[str]:
    """int8 beside each of the others, over a whole piece."""
    ours = next((row for row in found if (row.name, row.threads, row.batch) == ("native:int8", threads, 1)), None)
    for row in found if ours else []:
        if ours and (row.name in (WHOLE_PREFIX, PADDED) or row.name.startswith(("transformers", "ONNX"))) and row.threads == threads:
            times = ", ".join(f"{ours.piece(n).median / row.piece(n).median:,.1f} of {n:,}" for n in PIECES)
            yield f"native:int8 is so many times as fast as {row.name} over a piece: {times}"


# --- instructions, pages ------------------------------------------------------------------------------------------------------------


def instruction_sets(threads: int) -> list[tuple[str, str, int]]:
    here = [name for name in INSTRUCTIONS if library().has_instructions(name.encode())]
    return [(name, precision, count) for name in here for count in (1, threads) for precision in PRECISIONS]


def piece_speed(size: str, precision: str, threads: int, instructions: str = "", n: int = SHORT) -> float:
    """Events a second over a piece of n."""
    player = EngineDecoder(NativeEngine(random_checkpoint(SIZES[size]), precision, threads, instructions), threads)
    player.decode(16)
    return n / float(player.decode(n).sum())


def short_piece(size: str, precision: str, threads: int, instructions: str, _: int) -> Found:
    return {"events_a_second": piece_speed(size, precision, threads, instructions)}


def without_huge_pages(arguments: argparse.Namespace, _: int) -> Found:
    """In a process of its own."""
    command = [sys.executable, __file__, "--size", arguments.size, "--threads", str(arguments.threads), "--without-huge-pages"]
    return {"events_a_second": json.loads(subprocess.run(command, capture_output=True, check=True).stdout)}


# --- cold, and the report -----------------------------------------------------------------------------------------------------------


def cold(repeat: int) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        program = COLD.replace("SEED", str(repeat)).replace("FILE", repr(f"{folder}/piece.mid"))
        began = time.perf_counter()
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return dict(zip(MOMENTS, [*json.loads(ran.stdout), time.perf_counter() - began], strict=True))


def report(measurements: Sequence[Measurement], records: Records, arguments: argparse.Namespace) -> None:
    if len(records.machines()) > 1:
        print(f"These were taken on different machines, and do not belong together: {'; '.join(sorted(records.machines()))}\n")
    found = rows(measurements, records, arguments)
    if found:
        print(f"{records.machines().pop()}, {arguments.size}\n\n{table(found, N)}\n")
        print("\n".join([*ratios(found, arguments.threads), *reading(found)]))
    print("\n".join(["", *instruction_table(measurements, records, arguments.threads), ""]))
    print("\n".join(choosing.table({one.name: records.of(one) for one in measurements if one.part == "choosing"})))
    for line_of in (records.of(one) for one in measurements if one.part == "cold"):
        for moment in MOMENTS if line_of else ():
            print(f"\n{moment}: {shown([1000 * line[moment] for line in line_of])} ms", end="")
    print()
    if arguments.picture and found:
        arguments.picture.write_text(picture(found, N, f"Decoding speed, {arguments.size}"), encoding="utf-8")


def reading(found: Sequence[Row]) -> Iterator[str]:
    for row in found:
        for context, rates in row.read.items():
            rate, n_bytes = np.median(rates) / 1e9, row.step_bytes[context] / 1e6
            yield f"{row.name}, {row.threads} thread(s), context {context:,}: {n_bytes:.1f} MB a step, read at {rate:.1f} GB/s"


def instruction_table(measurements: Sequence[Measurement], records: Records, threads: int) -> Iterator[str]:
    yield f"| a piece of {SHORT} | {' | '.join(PRECISIONS)} |"
    yield "|---" * (1 + len(PRECISIONS)) + "|"
    by_name = {one.name: [line["events_a_second"] for line in records.of(one)] for one in measurements if one.part == "instructions"}
    for name in dict.fromkeys(name for name, _, _ in instruction_sets(threads)):
        for count in (1, threads):
            cells = [shown(by_name[f"{name}, {precision}, {count} threads"]) for precision in PRECISIONS]
            yield f"| {name}, {count} thread(s) | {' | '.join(cells)} |"
    [pages] = [records.of(one) for one in measurements if one.part == "pages"]
    for place, count in enumerate((1, threads)):
        yield f"| without huge pages, {count} thread(s) | | | {shown([line['events_a_second'][place] for line in pages])} |"


def shown(values: Sequence[float]) -> str:
    if not values:
        return ""
    figure = Figure.of(values)
    return f"{figure.median:,.0f} ({figure.low:,.0f} - {figure.high:,.0f})"


if __name__ == "__main__":
    main()
