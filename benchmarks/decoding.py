"""Decoding speed on a quiet machine: `python benchmarks/decoding.py [--repeats 3] [--picture docs/decoding.svg]`, some minutes.

Prints the tables of docs/engine.md: `preludio bench` for `base`; what each part of the native engine gives; what choosing an event costs
beside its step; how soon a piece begins and is there. Medians, and in brackets the slowest and fastest repeat.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from preludio.bench import Bench, everyone, picture, table
from preludio.bench.measure import Figure
from preludio.bench.players import EnginePlayer, random_checkpoint
from preludio.checkpoint import SIZES
from preludio.compose import Composer, Request
from preludio.compose import composer as composing
from preludio.compose.take import Note, Take
from preludio.engine.native import PRECISIONS, NativeEngine
from preludio.engine.native.library import library

INSTRUCTIONS = ("plain", "avx2", "avx2vnni", "avx512")
NO_HUGE_PAGES = 41  # PR_SET_THP_DISABLE

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--alone", action="store_true", help="without transformers and PyTorch")
    parser.add_argument("--without-huge-pages", action="store_true", help=argparse.SUPPRESS)  # for the child that measures this
    arguments = parser.parse_args()
    if arguments.without_huge_pages:
        ctypes.CDLL(None).prctl(NO_HUGE_PAGES, 1, 0, 0, 0)
        print(json.dumps([piece_speed(arguments.size, "int8", threads) for threads in (1, arguments.threads)]))
        return
    print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, NumPy {np.__version__}\n")
    everybody(arguments)
    parts(arguments)
    choosing(arguments)
    cold(arguments.repeats)


def everybody(arguments: argparse.Namespace) -> None:
    bench = Bench(list(everyone(SIZES[arguments.size], arguments.threads, 8, others=not arguments.alone)))
    for _ in range(arguments.repeats):
        bench.repeat(lambda: print(".", end="", file=sys.stderr, flush=True))
    print(file=sys.stderr)
    print(table(bench.rows, bench.n), "\n")
    for row in bench.rows:
        for context, rates in row.read.items():
            rate, n_bytes = np.median(rates) / 1e9, row.step_bytes[context] / 1e6
            print(f"{row.name}, {row.threads} thread(s), context {context:,}: {n_bytes:.1f} MB a step, read at {rate:.1f} GB/s")
    if arguments.picture:
        arguments.picture.write_text(picture(bench.rows, bench.n, f"Decoding speed, {arguments.size}"), encoding="utf-8")


def piece_speed(size: str, precision: str, threads: int, instructions: str = "", n: int = 512) -> float:
    """Events a second over a piece of n."""
    engine = NativeEngine(random_checkpoint(SIZES[size]), precision, threads, instructions)
    return n / float(EnginePlayer(engine, threads).play(n).sum())


def speeds(arguments: argparse.Namespace, *how: str | int) -> Figure:
    return Figure.of([piece_speed(arguments.size, *how) for _ in range(arguments.repeats)])  # type: ignore[arg-type]


def parts(arguments: argparse.Namespace) -> None:
    """A piece of 512 for each instruction set; and without huge pages, in a process of its own."""
    print("\n| a piece of 512 | float32 | bfloat16 | int8 |\n|---|---|---|---|")
    for name in (name for name in INSTRUCTIONS if library().has_instructions(name.encode())):
        for threads in (1, arguments.threads):
            found = [speeds(arguments, precision, threads, name) for precision in PRECISIONS]
            print(f"| {name}, {threads} thread(s) | {' | '.join(shown(figure) for figure in found)} |")
    command = [sys.executable, __file__, "--size", arguments.size, "--threads", str(arguments.threads), "--without-huge-pages"]
    ran = [json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(arguments.repeats)]
    for threads, found in zip((1, arguments.threads), np.transpose(ran), strict=True):
        print(f"| without huge pages, {threads} thread(s) | | | {shown(Figure.of(found.tolist()))} |")


def shown(figure: Figure) -> str:
    return f"{figure.median:,.0f} ({figure.low:,.0f} - {figure.high:,.0f})"


class TimedTake(Take):
    """Notes how long each choice and its consequences took."""

    seconds: list[float]

    def choose(self, logits: np.ndarray) -> int:
        began = time.perf_counter()
        token = super().choose(logits)
        self.seconds.append(time.perf_counter() - began)
        return token

    def push(self, token: int) -> list[Note]:
        began = time.perf_counter()
        ended = super().push(token)
        self.seconds[-1] += time.perf_counter() - began
        return ended


def choosing(arguments: argparse.Namespace) -> None:
    """Music by the bundled model, chosen event by event; the share is of the time a step of `--size` takes in int8."""
    engine = NativeEngine(random_checkpoint(SIZES[arguments.size]), "int8", arguments.threads)
    step = float(np.median(EnginePlayer(engine, arguments.threads).play(1024)))
    composer = Composer.from_pretrained()
    vars(composing)["Take"] = TimedTake
    try:
        for wish in (Request(seconds=60), Request(seconds=60, top_p=0.95), Request(seconds=60, min_p=0.05, temperature=1.1)):
            TimedTake.seconds = []
            composer.takes(wish)
            chosen = float(np.median(TimedTake.seconds))
            n, mean = len(TimedTake.seconds), float(np.mean(TimedTake.seconds))
            print(f"\nchoosing with temperature {wish.temperature}, top_p {wish.top_p}, min_p {wish.min_p}, {n:,} events:")
            print(f"median {1e6 * chosen:.1f} us, mean {1e6 * mean:.1f} us, {100 * chosen / step:.1f} % of a step ({1e6 * step:.0f} us)")
    finally:
        vars(composing)["Take"] = Take


def cold(repeats: int) -> None:
    runs = []
    for seed in range(max(3, repeats)):
        with tempfile.TemporaryDirectory() as folder:
            program = COLD.replace("SEED", str(seed)).replace("FILE", repr(f"{folder}/piece.mid"))
            began = time.perf_counter()
            ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        runs.append([*json.loads(ran.stdout), time.perf_counter() - began])
    for name, values in zip(
        ("imports and opening the model", "from there to the first note", "all but Python", "all"), np.transpose(runs), strict=True
    ):
        figure = Figure.of(values.tolist())
        print(f"\n{name}: {1000 * figure.median:.0f} ms ({1000 * figure.low:.0f} - {1000 * figure.high:.0f})")


if __name__ == "__main__":
    main()
