"""The run: everybody plays a piece in turn, so that a slow moment of the machine hits all of them; and memory is read in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from preludio.bench.decoders import Decoder, EngineDecoder, Seconds
from preludio.engine.native import MemoryReader, available

CONTEXTS = (100, 2000)
AROUND = 48  # events before and after a context whose median step counts there
PIECES = (512, 1024, 2048)


class Figure(NamedTuple):
    """A median over the repeats, and the slowest and fastest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        low, median, high = np.quantile(values, [0, 0.5, 1])
        return cls(float(median), float(low), float(high))


class RunMeasurement(NamedTuple):
    """What one player did in one repeat."""

    seconds: Seconds  # of each event
    prompt_seconds: float | None
    step_bytes: dict[int, int]  # that a step at a context must read
    read: dict[int, float]  # bytes a second, reading as many


def measure_run(decoder: Decoder, n: int) -> RunMeasurement:
    """A piece of n events; of our own engines also how fast memory is read, and, with one sequence, a prompt."""
    seconds = decoder.decode(n)
    if not isinstance(decoder, EngineDecoder):
        return RunMeasurement(seconds, None, {}, {})
    step_bytes = {context: decoder.step_bytes(context) or 0 for context in CONTEXTS if context < n}
    read = {context: read_rate(n_bytes, decoder.threads) for context, n_bytes in step_bytes.items() if n_bytes}
    return RunMeasurement(seconds, decoder.prompt_seconds() if decoder.batch == 1 else None, step_bytes if read else {}, read)


@dataclass
class Row:
    """What one player did in all repeats."""

    name: str
    threads: int
    batch: int
    runs: list[Seconds] = field(default_factory=list)  # seconds of each event
    prompts: list[float] = field(default_factory=list)  # seconds
    read: dict[int, list[float]] = field(default_factory=dict)  # context -> bytes a second, reading as many as a step there must
    step_bytes: dict[int, int] = field(default_factory=dict)

    def add(self, measurement: RunMeasurement) -> None:
        self.runs.append(measurement.seconds)
        self.step_bytes |= measurement.step_bytes
        if measurement.prompt_seconds is not None:
            self.prompts.append(measurement.prompt_seconds)
        for context, rate in measurement.read.items():
            self.read.setdefault(context, []).append(rate)

    def piece(self, n: int) -> Figure:
        """Events a second over a whole piece."""
        return Figure.of([self.batch * n / float(run[:n].sum()) for run in self.runs])

    def at(self, context: int) -> Figure:
        """Events a second there."""
        return Figure.of([self.batch / self._step(run, context) for run in self.runs])

    def share(self, context: int) -> Figure | None:
        """Of what memory allows: bytes that a step must read, by how fast they can be read, by how long it took."""
        if context not in self.read:
            return None
        n_bytes = self.step_bytes[context]
        return Figure.of([n_bytes / rate / self._step(run, context) for run, rate in zip(self.runs, self.read[context], strict=True)])

    def to_json(self) -> dict[str, Any]:
        n = len(self.runs[0])
        return {
            "engine": self.name,
            "threads": self.threads,
            "takes": self.batch,
            "events_a_second": {length: self.piece(length)._asdict() for length in PIECES if length <= n}
            | {f"at {context}": self.at(context)._asdict() for context in CONTEXTS if context < n},
            "prompt_seconds": self.prompts,
            "step_bytes": self.step_bytes,
            "read_bytes_a_second": self.read,
        }

    @staticmethod
    def _step(run: Seconds, context: int) -> float:
        return float(np.median(run[max(0, context - AROUND) : context + AROUND]))


class Bench:
    """Players, and what they have done so far."""

    def __init__(self, decoders: Sequence[Decoder], n: int = PIECES[-1]) -> None:
        self.n = n
        self._decoders = decoders
        self.rows = [Row(decoder.name, decoder.threads, decoder.batch) for decoder in decoders]

    def repeat(self, done: Callable[[], None] = lambda: None) -> None:
        """Everybody once; `done` is called after each."""
        for decoder, row in zip(self._decoders, self.rows, strict=True):
            row.add(measure_run(decoder, self.n))
            done()


def read_rate(n_bytes: int, threads: int, seconds: float = 0.1) -> float:
    """Bytes a second that so many threads read of a set of that size, again and again: the median of some tries."""
    assert available()
    reading = MemoryReader(n_bytes)
    rates: list[float] = []
    began = time.perf_counter()
    while len(rates) < 5 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        n = reading.run(threads)
        rates.append(n / (time.perf_counter() - start))
    return float(np.median(rates))
