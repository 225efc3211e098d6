"""Decoding speed of the engines, batch 1: `python benchmarks/decoding.py [--sizes small base] [--repeats 5]`.

Per size: tokens per second of single steps at a context of 100 and of 2,000, and of a whole piece of 2,048 tokens; the time of a prompt
of 1,000 tokens; eight takes side by side. Random weights: the arithmetic does not care. Median, slowest and fastest repeat.
NumPy's own threads are used; set OPENBLAS_NUM_THREADS=1 for one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable

import numpy as np

from preludio.checkpoint import SIZES, Checkpoint, ModelConfig, array_shapes
from preludio.engine import ENGINES, Engine, open_engine
from preludio.tokens import VOCAB_SIZE

STEPS = 50
RNG = np.random.default_rng(0)


def random_checkpoint(config: ModelConfig) -> Checkpoint:
    arrays = {name: RNG.normal(0, 0.02, shape).astype(np.float32) for name, shape in array_shapes(config).items()}
    return Checkpoint(config, arrays, {})


def random_ids(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return RNG.integers(0, VOCAB_SIZE, shape)


def stepping(engine: Engine, context: int, batch: int = 1) -> Callable[[], float]:
    """Tokens per second of STEPS steps after a context."""
    session = engine.session(batch)
    session.feed(random_ids(batch, context - STEPS // 2))

    def run() -> float:
        began = time.perf_counter()
        for _ in range(STEPS):
            session.step(random_ids(batch))
        seconds = time.perf_counter() - began
        session.rewind(STEPS)
        return STEPS * batch / seconds

    return run


def whole_piece(engine: Engine) -> float:
    session = engine.session()
    began = time.perf_counter()
    for _ in range(2048):
        session.step(random_ids(1))
    return 2048 / (time.perf_counter() - began)


def prefill(engine: Engine) -> float:
    """Seconds for a prompt of 1,000 tokens."""
    began = time.perf_counter()
    engine.session().feed(random_ids(1, 1000))
    return time.perf_counter() - began


def measure(engine: Engine, repeats: int) -> dict[str, list[float]]:
    """Name -> the figure of each repeat; the kinds take turns, so that a slow moment hits all of them."""
    kinds: dict[str, Callable[[], float]] = {
        "tokens/s at context 100": stepping(engine, 100),
        "tokens/s at context 2,000": stepping(engine, 2000),
        "tokens/s of 8 takes at context 2,000": stepping(engine, 2000, batch=8),
        "tokens/s of a piece of 2,048": lambda: whole_piece(engine),
        "seconds for a prompt of 1,000": lambda: prefill(engine),
    }
    figures: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(repeats):
        for kind, run in kinds.items():
            figures[kind].append(run())
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["small", "base"])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    threads = os.environ.get("OPENBLAS_NUM_THREADS", f"all of {os.cpu_count()}")
    results = []
    for size in arguments.sizes:
        checkpoint = random_checkpoint(SIZES[size])
        for name in arguments.engines:
            for kind, values in measure(open_engine(checkpoint, name), arguments.repeats).items():
                results.append({"size": size, "engine": name, "kind": kind, "values": values})
    if arguments.json:
        print(json.dumps({"machine": platform.processor() or platform.machine(), "threads": threads, "results": results}))
        return
    print(f"{platform.machine()}, NumPy {np.__version__}, threads: {threads}, {arguments.repeats} repeats\n")
    print("| size | engine | what | median | slowest - fastest |\n|---|---|---|---|---|")
    for row in results:
        low, median, high = np.quantile(row["values"], [0, 0.5, 1])
        print(f"| {row['size']} | {row['engine']} | {row['kind']} | {median:.3g} | {low:.3g} - {high:.3g} |")


if __name__ == "__main__":
    main()
