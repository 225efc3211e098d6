"""What does relative attention buy? Five ways to tell a model the order of tokens, at one budget of parameters, tokens and seeds.

    python benchmarks/positions.py --data data --out runs/positions.jsonl          # each run a few minutes; stopped, it goes on
    python benchmarks/positions.py --out runs/positions.jsonl --picture docs/positions.svg

    generated           one embedding per distance and layer, made from fixed waves by a learned matrix (what ships)
    relative, shared    one learned embedding per distance and layer, shared by the heads
    relative, per head  one per distance, layer and head (Huang et al. 2018)
    rotary              queries and keys turned by their position (Su et al. 2021, base 10,000)
    sinusoidal          sines of the position added to the embeddings, scaled by one learned number (Vaswani et al. 2017)

All are trained on windows of 512 and scored on validation segments of 1,024: their first half lies inside what was trained, their second
beyond. The relative ones see the last 512 positions, as everywhere in Preludio; so does `rotary` in the rows marked "last 512", beside
rotary with all 1,024. The feed-forward's width makes the parameters equal to 0.1 %.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from preludio.checkpoint import ModelConfig
from preludio.corpus.shards import Shards
from preludio.model import Transformer, fused
from preludio.model.relations import States
from preludio.model.transformer import Layer
from preludio.tokens import PAD
from preludio.train.config import TrainConfig
from preludio.train.optimisers import Optimisers
from preludio.train.windows import Windows
from preludio.train.world import has_bfloat16

TRAINED, SCORED, BIN = 512, 1024, 64
SHAPE = ModelConfig(d_model=192, n_heads=3, n_layers=4, d_ff=768, window=TRAINED)
VARIANTS = ("relative, shared", "generated", "relative, per head", "rotary", "sinusoidal")
SEGMENTS, SEGMENTS_AT_A_TIME = 160, 8
TABLE = SHAPE.window * SHAPE.d_head  # numbers in one table of distances


def shape_of(variant: str) -> ModelConfig:
    """The feed-forward takes what the tables leave."""
    tables = {"relative, shared": 1, "relative, per head": SHAPE.n_heads}.get(variant, 0)
    width = SHAPE.d_ff + round((1 - tables) * TABLE / (2 * SHAPE.d_model))
    return dataclasses.replace(SHAPE, d_ff=width, relative_per_head=variant == "relative, per head")


def rotated(x: Tensor) -> Tensor:
    """(batch, head, time, d): each pair (i, i + d / 2) turned by its position times 10,000^(-2i/d)."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[2])[:, None] * 10_000 ** (-torch.arange(half) / half)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class LearnedLayer(Layer):
    """Attention whose distance table is itself the parameter, a row for each distance."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        del self.relative_by_wave
        table = torch.empty_like(self.relative)
        del self.relative
        self.relative = nn.Parameter(table)

    def _table(self) -> Tensor:
        return self.relative


class PlainLayer(Layer):
    """Attention without distances; turned or not. `sees` is how many last positions a query sees, or None for all."""

    def __init__(self, config: ModelConfig, turned: bool) -> None:
        super().__init__(config)
        del self.relative, self.relative_by_wave
        self.turned, self.sees = turned, None

    sees: int | None

    def _attend(self, x: Tensor) -> Tensor:
        batch, time, d = x.shape
        q, k, v = F.linear(x, self.qkv).view(batch, time, 3, self.n_heads, d // self.n_heads).permute(2, 0, 3, 1, 4)
        if self.turned:
            q, k = rotated(q), rotated(k)
        if self.sees is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            distance = torch.arange(time)[:, None] - torch.arange(time)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=(distance >= 0) & (distance < self.sees))
        return F.linear(mixed.transpose(1, 2).reshape(batch, time, d), self.attention_out)


class PlainTransformer(Transformer):
    """The same model with rotary or sinusoidal positions."""

    def __init__(self, config: ModelConfig, variant: str) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(PlainLayer(config, turned=variant == "rotary") for _ in range(config.n_layers))
        self.initialise()
        self.sine_scale = nn.Parameter(torch.tensor(0.02 * math.sqrt(2))) if variant == "sinusoidal" else None  # as loud as the embeddings

    def forward(self, ids: Tensor, states: States | None = None) -> Tensor:  # noqa: ARG002 - it has no relations
        x = F.embedding(ids, self.embedding + self.features @ self.embedding_by_feature)
        if self.sine_scale is not None:
            x = x + self.sine_scale * sines(ids.shape[1], x.shape[-1])
        for layer in self.layers:
            x = layer(x)
        return F.linear(F.rms_norm(x, self.norm.shape, self.norm, 1e-5), self.unembedding + self.features @ self.unembedding_by_feature)


def sines(time: int, d: int) -> Tensor:
    angle = torch.arange(time)[:, None] * 10_000 ** (-torch.arange(d // 2) / (d // 2))
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def model_of(variant: str) -> Transformer:
    config = shape_of(variant)
    if not variant.startswith("relative"):
        return Transformer(config) if variant == "generated" else PlainTransformer(config, variant)
    model = Transformer(config)
    model.layers = nn.ModuleList(LearnedLayer(config) for _ in range(config.n_layers))
    model.initialise()
    return model


def nll(model: nn.Module, batch: Tensor) -> Tensor:
    """Of each target, nats; 0 for PAD: (rows, length)."""
    with torch.autocast("cpu", torch.bfloat16) if has_bfloat16("cpu") else nullcontext():
        logits = model(batch[:, :-1])
    losses = F.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten(), ignore_index=PAD, reduction="none")
    return losses.view(len(batch), -1)


def trained(variant: str, seed: int, data: Shards, tokens: int) -> tuple[Transformer, float]:
    """The model after so many tokens, and its mean training loss over the last tenth."""
    torch.manual_seed(seed)
    model = model_of(variant)
    batch_tokens = 8192
    steps = tokens // batch_tokens
    config = TrainConfig(SHAPE, steps, batch_tokens, lengths=((TRAINED, 1.0),), decay_steps=steps // 2, seed=seed)
    optimisers, windows = Optimisers(model, config), Windows(data.splits["train"], seed, semitones=3)
    fused.build()
    losses = []
    for step in range(steps):
        optimisers.zero_grad()
        loss = nll(model, torch.from_numpy(windows.batch(step, batch_tokens // TRAINED, TRAINED))).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimisers.step(config.rate_at(step))
        losses.append(loss.item())
    return model, float(np.mean(losses[-max(1, steps // 10) :]))


@torch.no_grad()
def by_position(model: Transformer, data: Shards) -> list[float]:
    """Mean NLL of fixed random validation segments in bins of 64 positions: the first 8 inside what was trained, the rest beyond."""
    total, count = np.zeros(SCORED // BIN), np.zeros(SCORED // BIN)
    windows = Windows(data.splits["validation"], seed=1)
    for number in range(SEGMENTS // SEGMENTS_AT_A_TIME):
        batch = torch.from_numpy(windows.batch(number, SEGMENTS_AT_A_TIME, SCORED))
        total += nll(model, batch).double().sum(0).view(-1, BIN).sum(1).numpy()
        count += (batch[:, 1:] != PAD).double().sum(0).view(-1, BIN).sum(1).numpy()
    return [float(value) for value in total / count]


def scored(variant: str, model: Transformer, data: Shards) -> Iterator[tuple[str, list[float]]]:
    yield variant, by_position(model, data)
    if variant == "rotary":
        for layer in model.layers:
            assert isinstance(layer, PlainLayer)
            layer.sees = TRAINED
        yield f"rotary, last {TRAINED}", by_position(model, data)


def measure(arguments: argparse.Namespace) -> None:
    """Runs what is not in the file yet, seed after seed, so that each seed is a whole comparison."""
    data = Shards.open(arguments.data)
    done = {(row["variant"], row["seed"]) for row in rows(arguments.out)}
    for seed in range(arguments.seeds):
        for variant in VARIANTS:
            if (variant, seed) in done:
                continue
            began = time.monotonic()
            model, loss = trained(variant, seed, data, arguments.tokens)
            parameters = sum(p.numel() for p in model.parameters())
            about = {"seed": seed, "tokens": arguments.tokens, "parameters": parameters, "training": round(loss, 4)}
            for name, bins in scored(variant, model, data):
                row = {"variant": name, **about, "seconds": round(time.monotonic() - began), "bins": [round(value, 4) for value in bins]}
                with arguments.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(name, seed, inside(row), beyond(row), flush=True)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def inside(row: dict[str, Any]) -> float:
    return float(np.mean(row["bins"][: TRAINED // BIN]))


def beyond(row: dict[str, Any]) -> float:
    return float(np.mean(row["bins"][TRAINED // BIN :]))


def table(found: list[dict[str, Any]]) -> str:
    """Markdown: mean over seeds and their range, and the difference from the shared table seed by seed."""
    lines = [
        "| positions | parameters | inside 512 | 512 to 1,024 | against the shared table, inside | beyond |",
        "|---|---|---|---|---|---|",
    ]
    base = {row["seed"]: row for row in found if row["variant"] == VARIANTS[0]}
    for name in dict.fromkeys(row["variant"] for row in found):
        of = [row for row in found if row["variant"] == name and row["seed"] in base]
        cells = [spread([part(row) for row in of], "{:.3f}") for part in (inside, beyond)]
        cells += [spread([part(row) - part(base[row["seed"]]) for row in of], "{:+.3f}") for part in (inside, beyond)]
        lines.append(f"| {name} | {of[0]['parameters']:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(values: list[float], form: str) -> str:
    low, high = form.format(min(values)), form.format(max(values))
    return f"{form.format(float(np.mean(values)))} ({low} to {high})"


COLOURS = {
    "generated": "#111111",
    "relative, shared": "#a63d2f",
    "relative, per head": "#d98a4e",
    "rotary": "#22577a",
    "rotary, last 512": "#6aa3c2",
    "sinusoidal": "#6b7d3a",
}


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 380, 56, 150, 20, 44


class Axes:
    """Positions and nats -> places in the picture."""

    def __init__(self, lines: list[Any]) -> None:
        self.low = min(line.min() for line in lines) - 0.05
        self.high = min(max(line.max() for line in lines), 3.4) + 0.05

    def x(self, position: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * position / SCORED

    def y(self, nats: float) -> float:
        share: float = (self.high - min(nats, self.high)) / (self.high - self.low)
        return TOP + (HEIGHT - TOP - BOTTOM) * share


def grid(axes: Axes) -> Iterator[str]:
    for nats in np.arange(math.ceil(axes.low * 5) / 5, axes.high, 0.2):
        y = axes.y(nats)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd6c8"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{nats:.1f}</text>'
    for position in range(0, SCORED + 1, 256):
        yield f'<text x="{axes.x(position):.1f}" y="{HEIGHT - 24}" text-anchor="middle">{position:,}</text>'
    x = axes.x(TRAINED)
    yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#b9b09c" stroke-dasharray="3 4"/>'
    yield f'<text x="{x + 5:.1f}" y="{TOP + 12}">beyond what was trained</text>'
    middle = (WIDTH - RIGHT + LEFT) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">position in the segment, tokens (up: nats a token)</text>'


def picture(found: list[dict[str, Any]]) -> str:
    """NLL against the position in the segment, one line a variant, the mean over seeds."""
    means = {name: np.mean([row["bins"] for row in found if row["variant"] == name], axis=0) for name in COLOURS}
    axes = Axes(list(means.values()))
    parts = list(grid(axes))
    for number, (name, mean) in enumerate(means.items()):
        points = " ".join(f"{axes.x(BIN * (bin_number + 0.5)):.1f},{axes.y(nats):.1f}" for bin_number, nats in enumerate(mean))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{TOP + 30 + 18 * number}" fill="{COLOURS[name]}">{name}</text>')
    look = 'role="img" font-family="system-ui, sans-serif" font-size="12" fill="#3b362c"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {look}>'
    paper = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fdfcf8"/>'
    return f"{head}<title>Likelihood by position, four kinds of positions</title>{paper}{''.join(parts)}</svg>\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="what preludio prepare wrote; without it, only the table is made")
    parser.add_argument("--out", type=Path, required=True, help="one JSON row a run; runs that stand in it are not repeated")
    parser.add_argument("--tokens", type=int, default=4_096_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    if arguments.data:
        measure(arguments)
    print(table(rows(arguments.out)))
    if arguments.picture:
        arguments.picture.write_text(picture(rows(arguments.out)), encoding="utf-8")


if __name__ == "__main__":
    main()
