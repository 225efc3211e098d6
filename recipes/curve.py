"""Draws a training log: `python recipes/curve.py runs/first/log.jsonl docs/first-model.svg`.

The loss of each 50 steps against the tokens seen, the validation glances as dots, a rule where the windows grow longer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 380, 56, 24, 20, 44
TICKS = (2.0, 2.25, 2.5, 2.75, 3.0, 3.25, 3.5)

Row = dict[str, Any]


class Axes:
    """Tokens and nats -> places in the picture."""

    def __init__(self, most_tokens: float) -> None:
        self.most_tokens = most_tokens

    def x(self, tokens: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * tokens / self.most_tokens

    def y(self, nats: float) -> float:
        nats = min(max(nats, TICKS[0]), TICKS[-1])
        return TOP + (HEIGHT - TOP - BOTTOM) * (TICKS[-1] - nats) / (TICKS[-1] - TICKS[0])


def grid(axes: Axes) -> list[str]:
    lines = []
    for nats in TICKS:
        y = axes.y(nats)
        lines.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd6c8"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{nats:g}</text>')
    ticks = range(0, int(axes.most_tokens / 1e6) + 1, 5)
    lines += [f'<text x="{axes.x(n * 1e6):.1f}" y="{HEIGHT - 22}" text-anchor="middle">{n}</text>' for n in ticks]
    lines.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 5}" text-anchor="middle">million tokens</text>')
    return lines


def stages(rows: list[Row], axes: Axes) -> list[str]:
    """A rule where each window length begins."""
    lines, before = [], None
    for row in rows:
        if "length" in row and row["length"] != before:
            before, x = row["length"], axes.x(row["tokens"])
            lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#b9b09c" stroke-dasharray="3 4"/>')
            lines.append(f'<text x="{x + 5:.1f}" y="{TOP + 12}">windows of {before:,}</text>')
    return lines


def drawn(rows: list[Row]) -> str:
    axes = Axes(max(row["tokens"] for row in rows))
    points = " ".join(f"{axes.x(row['tokens']):.1f},{axes.y(row['loss']):.1f}" for row in rows if "loss" in row)
    dots = [(axes.x(row["tokens"]), axes.y(row["validation"])) for row in rows if "validation" in row]
    key = (f'<text x="{WIDTH - RIGHT}" y="{TOP + 34}" text-anchor="end" fill="#a63d2f">training, its own windows</text>'
           f'<text x="{WIDTH - RIGHT}" y="{TOP + 50}" text-anchor="end" fill="#22577a">validation, 16 windows of 2,048</text>')  # fmt: skip
    body = [
        *grid(axes),
        *stages(rows, axes),
        f'<polyline points="{points}" fill="none" stroke="#a63d2f" stroke-width="1.6"/>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="#22577a"/>' for x, y in dots),
        key,
    ]
    look = 'role="img" font-family="system-ui, sans-serif" font-size="12" fill="#3b362c"'
    head = "<title>Training curve: nats per token against tokens seen</title>"
    paper = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fdfcf8"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {look}>{head}{paper}{"".join(body)}</svg>\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.log.read_text(encoding="utf-8").splitlines()]
    arguments.picture.write_text(drawn(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
