"""Likelihood on MAESTRO by the papers' protocol: `python benchmarks/likelihood.py --data path/to/maestro-v3.0.0 [--model small]`.

Each performance of the split, from its start, is cut into segments of 2,048 tokens that do not overlap, the rest as a segment of its own.
The context is empty at each segment's start; a segment's first token is not scored. No augmentation; START and END take no part. The sum of
-log p over all scored tokens is divided by their number: nats per token. Beside it nats per note and bits per second of music, and a 95 %
bootstrap interval over performances. float32.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from preludio import checkpoint
from preludio.corpus import encoded_split, midi_files
from preludio.model import Transformer
from preludio.tokens import NOTE_OFF, TIME_SHIFT, VELOCITY

SEGMENT = 2048
BATCH = 4


class Score(NamedTuple):
    """One performance: its NLL and what it is divided by."""

    nats: float
    tokens: int
    notes: int
    seconds: float


def score(model: Transformer, ids: npt.NDArray[np.uint16]) -> Score:
    """The segments of one performance."""
    whole = len(ids) // SEGMENT * SEGMENT
    segments = torch.from_numpy(ids[:whole].astype(np.int64)).view(-1, SEGMENT)
    batches = [segments[first : first + BATCH] for first in range(0, len(segments), BATCH)]
    if len(ids) - whole > 1:
        batches.append(torch.from_numpy(ids[whole:].astype(np.int64))[None])
    nats = sum(negative_log_likelihood(model, batch) for batch in batches)
    tokens = sum(batch.numel() - len(batch) for batch in batches)
    shifts = ids[(ids >= TIME_SHIFT) & (ids < VELOCITY)].astype(np.int64) - TIME_SHIFT + 1
    return Score(nats, tokens, int((ids < NOTE_OFF).sum()), float(shifts.sum()) / 100)


@torch.inference_mode()
def negative_log_likelihood(model: Transformer, ids: torch.Tensor) -> float:
    """ids (batch, time) -> the sum of -log p in nats of all but the first of each row."""
    logits = model(ids[:, :-1])
    return float(F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum"))


def interval(scores: list[Score], resamples: int = 2000) -> tuple[float, float]:
    """95 % of nats per token when performances are drawn anew."""
    nats, tokens = np.array([(one.nats, one.tokens) for one in scores]).T
    drawn = np.random.default_rng(0).integers(0, len(scores), (resamples, len(scores)))
    low, high = np.quantile(nats[drawn].sum(axis=1) / tokens[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def summary(scores: list[Score]) -> dict[str, float | int | list[float]]:
    nats, tokens, notes, seconds = (sum(column) for column in zip(*scores, strict=True))
    return {
        "performances": len(scores),
        "scored_tokens": tokens,
        "nats_per_token": round(nats / tokens, 4),
        "interval_95": [round(end, 4) for end in interval(scores)],
        "nats_per_note": round(nats / notes, 4),
        "bits_per_second": round(nats / np.log(2) / seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of MAESTRO v3.0.0")
    parser.add_argument("--model", default=checkpoint.DEFAULT_MODEL)
    parser.add_argument("--split", default="validation")
    arguments = parser.parse_args()
    model = Transformer.from_checkpoint(checkpoint.load(arguments.model))
    scores, began, n = [], time.monotonic(), len(midi_files(arguments.data, arguments.split))
    for ids in encoded_split(arguments.data, arguments.split):
        scores.append(score(model, ids))
        print(f"\r{len(scores)} of {n} performances, {time.monotonic() - began:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    print(json.dumps({"model": arguments.model, "split": arguments.split} | summary(scores), indent=2))


if __name__ == "__main__":
    main()
