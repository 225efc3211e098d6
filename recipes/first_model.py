"""Trains the first bundled model on MAESTRO's training split, with one plain loop, for a given time on the CPU.

    python recipes/first_model.py --data path/to/maestro-v3.0.0 --out runs/first --minutes 120

Random windows inside a piece (some begin at its START), transposed by -3 ... +3 semitones; 512 tokens at first, 2,048 at last,
because short sequences teach more per second; Muon (Jordan et al. 2024) for the matrices, AdamW for the rest; the learning rate is
constant for the first half, then falls linearly to 0. Progress is measured in time, so the schedule always completes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preludio import checkpoint
from preludio.corpus import encoded_split
from preludio.model import Transformer
from preludio.tokens import END, PAD, START, TIME_SHIFT

Piece = npt.NDArray[np.uint16]
BATCH_TOKENS = 8192
LENGTHS = ((0.6, 512), (0.85, 1024), (1.0, 2048))  # (until this progress, window length)
MUON_RATE, ADAM_RATE = 0.02, 2e-3
MAX_SEMITONES = 3
SAVE_EVERY_SECONDS = 300


def load_split(maestro: Path, split: str, cache: Path) -> list[Piece]:
    """The pieces of one official split, each START, its ids, END; kept in `cache` so that a second start is quick."""
    if not cache.exists():
        pieces = list(encoded_split(maestro, split))
        np.savez(cache, ids=np.concatenate(pieces), lengths=[len(piece) for piece in pieces])
    with np.load(cache, allow_pickle=False) as stored:
        ids, ends = stored["ids"], np.cumsum(stored["lengths"])
    return [np.concatenate([[START], piece, [END]]).astype(np.uint16) for piece in np.split(ids, ends[:-1])]


def windows(pieces: list[Piece], rng: np.random.Generator, n: int, length: int) -> Tensor:
    """n random windows of `length + 1` ids, each within one piece, filled up with PAD: (n, length + 1), int64."""
    lengths = np.array([len(piece) for piece in pieces])
    batch = np.full((n, length + 1), PAD, dtype=np.int64)
    for row, which in enumerate(rng.choice(len(pieces), size=n, p=lengths / lengths.sum())):
        last = max(0, len(pieces[which]) - length - 1)
        start = max(0, int(rng.integers(-length // 4, last + 1)))  # a piece's beginning is met more often than its middle
        window = pieces[which][start : start + length + 1]
        batch[row, : len(window)] = transposed(window, int(rng.integers(-MAX_SEMITONES, MAX_SEMITONES + 1)))
    return torch.from_numpy(batch)


def transposed(ids: Piece, semitones: int) -> npt.NDArray[np.int64]:
    """The ids moved by `semitones`, or as they are if a key would leave the keyboard."""
    wide = ids.astype(np.int64)
    keys = wide < TIME_SHIFT
    pitch = wide[keys] % 128 + semitones
    if len(pitch) and (pitch.min() < 0 or pitch.max() > 127):
        return wide
    wide[keys] += semitones
    return wide


def loss_of(model: Transformer, batch: Tensor) -> Tensor:
    """Mean NLL in nats over the tokens that are not PAD."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(batch[:, :-1])
    return F.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten(), ignore_index=PAD)


def optimisers(model: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for what multiplies the residual stream, AdamW for tables and gains."""
    named = dict(model.named_parameters())
    matrices = {name for name in named if name.endswith(("qkv", "attention_out", "feed_forward_in", "feed_forward_out"))}
    return [
        torch.optim.Muon([named[name] for name in matrices], lr=MUON_RATE, weight_decay=0.0),
        torch.optim.AdamW([named[name] for name in named if name not in matrices], lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def rate(progress: float) -> float:
    """Share of the full learning rate: 1 for the first half, then linearly to 0."""
    return min(1.0, 2 * (1 - progress))


def progress_until(seconds: float) -> Iterator[float]:
    """0 ... 1, by the clock."""
    start = time.monotonic()
    while (now := time.monotonic() - start) < seconds:
        yield now / seconds


def train(model: Transformer, pieces: list[Piece], held_out: list[Piece], out: Path, arguments: argparse.Namespace) -> None:
    rng, quick_rng = np.random.default_rng(arguments.seed), np.random.default_rng(1)
    quick = [windows(held_out, quick_rng, 4, 2048) for _ in range(4)]  # a glance at the validation split, not the protocol
    steps = optimisers(model)
    began, saved, tokens, losses = time.monotonic(), time.monotonic(), 0, []
    with (out / "log.jsonl").open("a") as log:
        for step, progress in enumerate(progress_until(60 * arguments.minutes)):
            length = next(length for until, length in LENGTHS if progress < until)
            for optimiser, full_rate in zip(steps, (MUON_RATE, ADAM_RATE), strict=True):
                optimiser.param_groups[0]["lr"] = full_rate * rate(progress) * min(1.0, (step + 1) / 100)
                optimiser.zero_grad()
            batch = windows(pieces, rng, BATCH_TOKENS // length, length)
            loss = loss_of(model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimiser in steps:
                optimiser.step()
            tokens += int((batch[:, 1:] != PAD).sum())
            losses.append(loss.item())
            if step % 50 == 49:
                row = {"step": step + 1, "tokens": tokens, "loss": float(np.mean(losses)), "length": length, "progress": progress}
                row |= {"seconds": time.monotonic() - began, "tokens_per_second": tokens / (time.monotonic() - began)}
                losses = []
                if time.monotonic() - saved > SAVE_EVERY_SECONDS:
                    saved = time.monotonic()
                    row["validation"] = quick_look(model, quick)
                    checkpoint.save(out, model.to_checkpoint(tokens=tokens))
                report(row, log)
        row = {"step": step + 1, "tokens": tokens, "validation": quick_look(model, quick), "seconds": time.monotonic() - began}
        report(row, log)
    checkpoint.save(out, model.to_checkpoint(tokens=tokens))


@torch.no_grad()
def quick_look(model: Transformer, batches: list[Tensor]) -> float:
    return float(np.mean([loss_of(model, batch).item() for batch in batches]))


def report(row: dict[str, Any], log: Any) -> None:
    line = json.dumps({key: round(value, 4) for key, value in row.items()})
    print(line, flush=True)
    log.write(line + "\n")
    log.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of MAESTRO v3.0.0")
    parser.add_argument("--out", type=Path, required=True, help="where the weights and the log go")
    parser.add_argument("--size", choices=checkpoint.SIZES, default="small")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    pieces, held_out = (load_split(arguments.data, split, arguments.out / f"{split}.npz") for split in ("train", "validation"))
    torch.manual_seed(arguments.seed)
    train(Transformer(checkpoint.SIZES[arguments.size]), pieces, held_out, arguments.out, arguments)


if __name__ == "__main__":
    main()
