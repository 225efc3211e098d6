"""A training curve as SVG: nats a token against tokens seen, light or dark as the reader's system is; readable with 10 rows or 100,000."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

LogRow = dict[str, Any]
Numbers = npt.NDArray[np.float64]

WIDTH, HEIGHT = 900, 420
LEFT, RIGHT, TOP, BASE = 56, 884, 58, 372  # of the plot
MAX_POINTS = 300  # of the drawn line: each is the mean of the rows that fall to it
FALL_SHARE = 0.02  # of the run: the steep fall at its very beginning may leave the picture at the top
LABEL_WIDTH = 45
MAX_STAGES = 6  # changes of the window's length that are marked

STYLE = """
.curve { --paper: #fcfbf8; --ink: #22242a; --quiet: #62646d; --grid: #dcd8cc; --train: #c2563b; --validation: #2f5f9e }
@media (prefers-color-scheme: dark) {
  .curve { --paper: #17181c; --ink: #edebe4; --quiet: #a6a7ae; --grid: #3a3c43; --train: #e5805f; --validation: #8fb8ee } }
.curve { fill: var(--quiet); font: 12.5px system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
.curve .paper { fill: var(--paper) } .curve .title { fill: var(--ink); font-size: 16px; font-weight: 600 }
.curve .grid { stroke: var(--grid) } .curve .stage { stroke: var(--quiet); stroke-dasharray: 2 5; opacity: .7 }
.curve .each { fill: none; stroke: var(--train); stroke-width: 1; opacity: .28 }
.curve .train { fill: none; stroke: var(--train); stroke-width: 2; stroke-linejoin: round }
.curve .validation { fill: none; stroke: var(--validation); stroke-width: 1.5; opacity: .6 } .curve .dot { fill: var(--validation) }
.curve text.train { fill: var(--train); stroke: none } .curve text.validation { fill: var(--validation); stroke: none; opacity: 1 }
"""


def curve_svg(rows: Sequence[LogRow], title: str = "Training curve") -> str:
    """The picture. Rows hold "tokens", most of them "loss", some "validation"; "length" marks where windows grow."""
    losses = _column(rows, "loss")
    validations = _column(rows, "validation")
    if not len(losses):
        return _document(title, "no step was done yet", [f'<text x="{LEFT}" y="{TOP + 30}">No step was done yet.</text>'])
    means = running_mean(losses)
    axes = Axes(losses, validations)
    label = f"nats a token over {_count(losses[-1, 0])} tokens, at the end {means[-1, 1]:.3f}"
    label += f"; validation {validations[-1, 1]:.3f}" if len(validations) else ""
    shapes = [*_grid(axes), *_stages(rows, axes), _line("each", losses, axes) if len(losses) <= 4 * MAX_POINTS else ""]
    shapes += [_line("train", means, axes), _line("validation", validations, axes), *_dots(validations, axes), *_key(means, validations)]
    return _document(title, label, shapes)


def running_mean(points: Numbers) -> Numbers:
    """Points (n, 2) -> at most MOST_POINTS, each the mean of its neighbours on both sides; few rows are averaged over fewer."""
    n = min(len(points), MAX_POINTS)
    reach = max(1, len(points) // 40)  # to either side
    centres = np.unique(np.linspace(0, len(points) - 1, n).round().astype(int))
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(points, axis=0)])
    near = np.minimum(reach, np.minimum(centres, len(points) - 1 - centres))  # as far on the one side as on the other: nothing shifts
    means = (sums[centres + near + 1] - sums[centres - near]) / (2 * near + 1)[:, None]
    return np.stack([points[centres, 0], means[:, 1]], axis=1)


class Axes:
    """Tokens and nats -> places in the picture."""

    def __init__(self, losses: Numbers, validations: Numbers) -> None:
        self.most_tokens = float(max(1.0, losses[-1, 0], *validations[-1:, 0].tolist()))
        settled = losses[min(len(losses) - 1, math.ceil(FALL_SHARE * len(losses))) :, 1]
        shown = np.concatenate([settled, validations[:, 1]])
        self.step: float = _round_step(float(shown.max() - shown.min()) / 5)
        self.low = self.step * math.floor(float(shown.min()) / self.step)
        self.high = max(self.low + self.step, self.step * math.ceil(float(shown.max()) / self.step))

    def x(self, tokens: float) -> float:
        return LEFT + (RIGHT - LEFT) * tokens / self.most_tokens

    def y(self, nats: float) -> float:
        return BASE - (BASE - TOP) * (min(nats, self.high) - self.low) / (self.high - self.low)


def _column(rows: Sequence[LogRow], name: str) -> Numbers:
    points = [(row["tokens"], row[name]) for row in rows if name in row and math.isfinite(row[name])]
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _round_step(least: float) -> float:
    """The next of 1, 2, 5, 10 ... times a power of ten."""
    if least <= 0:
        return 0.1
    power = math.pow(10, math.floor(math.log10(least)))
    return power * next(factor for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= 0.999 * least)


def _count(tokens: float) -> str:
    """22912345 -> "22.9 M"."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if tokens >= size:
            return f"{tokens / size:.3g}{unit}"
    return f"{tokens:.0f}"


def _grid(axes: Axes) -> Iterator[str]:
    for number in range(round((axes.high - axes.low) / axes.step) + 1):
        nats = axes.low + number * axes.step
        y = axes.y(nats)
        yield f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{nats:.{max(0, -math.floor(math.log10(axes.step) + 1e-9))}f}</text>'
    step = _round_step(axes.most_tokens / 8)
    for number in range(int(axes.most_tokens / step) + 1):
        yield f'<text x="{axes.x(number * step):.1f}" y="{BASE + 20}" text-anchor="middle">{_count(number * step)}</text>'
    yield f'<text x="{(LEFT + RIGHT) / 2}" y="{BASE + 40}" text-anchor="middle">tokens seen</text>'


def _stages(rows: Sequence[LogRow], axes: Axes) -> Iterator[str]:
    """A rule where each window length begins."""
    known = [row for row in rows if "length" in row]
    starts = known[:1] + [after for before, after in itertools.pairwise(known) if before["length"] != after["length"]]
    for row in starts[:MAX_STAGES] if len(starts) > 1 else ():
        x = axes.x(row["tokens"] if row is not starts[0] else 0)
        yield f'<line class="stage" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BASE}"/>'
        place = f'x="{x + 5:.1f}"' if x < RIGHT - LABEL_WIDTH else f'x="{x - 5:.1f}" text-anchor="end"'
        words = "windows of " if row is starts[0] else ""
        yield f'<text {place} y="{TOP + 12}">{words}{row["length"]:,}</text>'


def _line(kind: str, points: Numbers, axes: Axes) -> str:
    """Begins where the steep fall at the start enters the picture."""
    inside = points[np.maximum.accumulate(points[:, 1] <= axes.high)] if len(points) else points
    places = " ".join(f"{axes.x(tokens):.1f},{axes.y(nats):.1f}" for tokens, nats in inside.tolist())
    return f'<polyline class="{kind}" points="{places}"/>'


def _dots(validations: Numbers, axes: Axes) -> Iterator[str]:
    every = max(1, len(validations) // MAX_POINTS)
    for tokens, nats in validations[::-every].tolist():
        about = f"<title>{_count(tokens)} tokens: {nats:.4f}</title>"
        yield f'<circle class="dot" cx="{axes.x(tokens):.1f}" cy="{axes.y(nats):.1f}" r="3">{about}</circle>'


def _key(means: Numbers, validations: Numbers) -> Iterator[str]:
    yield f'<text class="train" x="{RIGHT}" y="24" text-anchor="end">training, mean of neighbouring steps: {means[-1, 1]:.3f}</text>'
    if len(validations):
        last, best = validations[-1, 1], validations[:, 1].min()
        yield f'<text class="validation" x="{RIGHT}" y="42" text-anchor="end">quick validation: {last:.3f}, lowest {best:.3f}</text>'


def _document(title: str, label: str, shapes: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" class="curve" role="img" aria-label="{title}: {label}">'
    paper = f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>'
    words = f'<text class="title" x="{LEFT}" y="26">{title}</text><text x="{LEFT}" y="44">nats a token</text>'
    return f"{head}<style>{STYLE}</style>{paper}{words}{''.join(shapes)}</svg>\n"
