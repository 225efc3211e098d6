"""The run as a table and as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from preludio.bench.measure import CONTEXTS, PIECES, Figure, Row

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 560, 24, 372
COLOURS = ("#7b2d8b", "#c0392b", "#e08e0b", "#2471a3", "#148f77", "#717d7e", "#34495e", "#a04000")
POINTS = 64  # of a curve


def table(rows: Sequence[Row], n: int) -> str:
    """Markdown: events a second, the median and in brackets the slowest and fastest repeat."""
    pieces = [length for length in PIECES if length <= n]
    contexts = [context for context in CONTEXTS if context < n]
    heads = ["engine", "threads", "takes", *(f"a piece of {length:,}" for length in pieces)]
    heads += [f"at context {context:,}" for context in contexts] + [f"share of the limit at {context:,}" for context in contexts]
    heads += ["a prompt of 1,000"]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        cells = [row.name, str(row.threads), str(row.batch), *(_speed(row.piece(length)) for length in pieces)]
        cells += [_speed(row.at(context)) for context in contexts] + [_share(row.share(context)) for context in contexts]
        lines.append([*cells, f"{np.median(row.prompts):.2f} s" if row.prompts else ""])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _speed(figure: Figure) -> str:
    digits = 0 if figure.median >= 20 else 2
    return f"{figure.median:,.{digits}f} ({figure.low:,.{digits}f} - {figure.high:,.{digits}f})"


def _share(figure: Figure | None) -> str:
    return "" if figure is None else f"{100 * figure.median:.0f} % ({100 * figure.low:.0f} - {100 * figure.high:.0f})"


def picture(rows: Sequence[Row], n: int, title: str) -> str:
    """SVG: events a second against the context, on a logarithmic scale, one take at a time."""
    rows = sorted((row for row in rows if row.batch == 1), key=lambda row: -row.at(n - 1).median)
    curves = [_curve(row, n) for row in rows]
    low = 10 ** math.floor(math.log10(min(min(speeds) for _, speeds in curves)))
    high = 10 ** math.ceil(math.log10(max(max(speeds) for _, speeds in curves)))
    shapes = [*_grid(low, high, n)]
    last = math.inf
    for (contexts, speeds), row, number in zip(curves, rows, range(len(rows)), strict=True):
        points = " ".join(f"{_x(c, n):.1f},{_y(s, low, high):.1f}" for c, s in zip(contexts, speeds, strict=True))
        colour = COLOURS[number % len(COLOURS)]
        shapes.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        last = _y(speeds[-1], low, high) if last is math.inf else max(_y(speeds[-1], low, high), last + 15)
        name = f"{row.name}, {row.threads} thread{'s' * (row.threads > 1)}"
        shapes.append(f'<text x="{RIGHT + 8}" y="{last + 4:.1f}" fill="{colour}">{escape(name)}</text>')
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" role="img">\n'
        f'<title>{escape(title)}</title>\n<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _curve(row: Row, n: int) -> tuple[list[float], list[float]]:
    """Context, and events a second there: the median over all repeats of a stretch of events."""
    seconds = np.median(np.stack(row.runs), axis=0)
    stretches = np.array_split(np.arange(n), min(POINTS, n))
    return [float(np.mean(places)) for places in stretches], [1 / float(np.median(seconds[places])) for places in stretches]


def _grid(low: float, high: float, n: int) -> list[str]:
    shapes = []
    for exponent in range(round(math.log10(low)), round(math.log10(high)) + 1):
        y = _y(10.0**exponent, low, high)
        shapes.append(f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        shapes.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{10.0**exponent:,g}</text>')
    shapes += [
        f'<text x="{_x(context, n):.1f}" y="{BOTTOM + 18}" text-anchor="middle" fill="#555">{context:,}</text>'
        for context in range(0, n + 1, 512)
    ]
    middle = (LEFT + RIGHT) / 2
    shapes.append(f'<text x="{middle}" y="{BOTTOM + 38}" text-anchor="middle" fill="#555">context (events before)</text>')
    shapes.append(f'<text x="{LEFT - 56}" y="{TOP - 8}" fill="#555">events a second</text>')
    return shapes


def _x(context: float, n: int) -> float:
    return LEFT + (RIGHT - LEFT) * context / n


def _y(speed: float, low: float, high: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * math.log(speed / low) / math.log(high / low)
