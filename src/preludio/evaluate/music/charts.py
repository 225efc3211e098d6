"""The page's pictures: small SVG charts with words for those who do not see them and figures under the pointer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.evaluate.figures import Estimate

Floats = npt.NDArray[np.float64]

WIDTH = 720
LABELS = 190  # px for the names of rows
RIGHT = 24
ROW, HEAD, AXIS = 20, 46, 34
SMALL_WIDTH, SMALL_HEIGHT = 320, 150
BINS = 24


class EstimateDot(NamedTuple):
    """A figure in a row: `kind` is a CSS class."""

    kind: str
    name: str
    estimate: Estimate


def dots(title: str, rows: Mapping[str, Sequence[EstimateDot]], scale: tuple[float, float], line: float | None = None) -> str:
    """Estimates as dots with intervals, one row a figure, all on one linear scale; what lies outside is drawn at its end.

    Args:
        line: where a rule is drawn, such as at a ratio of 1.
    """
    height = HEAD + ROW * len(rows) + AXIS
    shapes = [*_axis(scale, height - AXIS)]
    if line is not None:
        shapes.append(f'<line class="rule" x1="{_x(line, scale):.1f}" x2="{_x(line, scale):.1f}" y1="{HEAD - 8}" y2="{height - AXIS}"/>')
    for number, (name, marks) in enumerate(rows.items()):
        y = HEAD + ROW * number + ROW / 2
        shapes.append(f'<text class="row" x="{LABELS - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        shapes.extend(_dot(mark, y + 4 * (place - (len(marks) - 1) / 2), scale) for place, mark in enumerate(marks))
    kinds = {mark.kind: mark.name for marks in rows.values() for mark in marks}
    return _figure(title, f"{len(rows)} figures", [*_key(kinds), *shapes], WIDTH, height)


def _dot(mark: EstimateDot, y: float, scale: tuple[float, float]) -> str:
    value, low, high = mark.estimate
    if math.isnan(value):
        return ""
    about = f"{mark.name}: {value:.3f}" + ("" if low is None or high is None else f" ({low:.3f} to {high:.3f})")
    reach = ""
    if low is not None and high is not None:
        reach = f'<line x1="{_x(low, scale):.1f}" x2="{_x(high, scale):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return f'<g class="{mark.kind}"><title>{escape(about)}</title>{reach}<circle cx="{_x(value, scale):.1f}" cy="{y:.1f}" r="3.5"/></g>'


def _x(value: float, scale: tuple[float, float]) -> float:
    share = (min(max(value, scale[0]), scale[1]) - scale[0]) / (scale[1] - scale[0])
    return LABELS + share * (WIDTH - RIGHT - LABELS)


def _axis(scale: tuple[float, float], base: float) -> Iterator[str]:
    for number in range(6):
        value = scale[0] + number * (scale[1] - scale[0]) / 5
        x = _x(value, scale)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{HEAD - 8}" y2="{base}"/>'
        yield f'<text x="{x:.1f}" y="{base + 16}" text-anchor="middle">{value:.2g}</text>'


def _key(kinds: Mapping[str, str]) -> Iterator[str]:
    x = float(WIDTH - RIGHT)
    for kind, name in reversed(list(kinds.items())):
        yield f'<text class="{kind} key" x="{x:.0f}" y="18" text-anchor="end">{escape(name)}</text>'
        x -= 14 + 7.2 * len(name)


def distribution(title: str, unit: str, ours: Floats, real: Floats) -> str:
    """Two histograms on one scale, as shares of their sets; what lies far out counts in the last bin."""
    ours, real = ours[np.isfinite(ours)], real[np.isfinite(real)]
    if not len(ours) or not len(real):
        return ""
    both = np.concatenate([ours, real])
    low, high = float(both.min()), float(np.percentile(both, 99))
    if high <= low:
        high = low + 1.0
    edges = np.linspace(low, high, BINS + 1)
    shares = [np.histogram(np.minimum(part, high), edges)[0] / len(part) for part in (ours, real)]
    top = max(float(share.max()) for share in shares)
    shapes = [*_bars(shares[1], top, "real"), *_outline(shares[0], top), *_ends(low, high)]
    medians = f"median {_number(float(np.median(ours)))}, real {_number(float(np.median(real)))}"
    shapes.append(f'<text class="title" x="6" y="16">{escape(title)}{f", {escape(unit)}" if unit else ""}</text>')
    return _figure("", f"{title}: {medians}", [*shapes, f'<text x="6" y="32">{medians}</text>'], SMALL_WIDTH, SMALL_HEIGHT)


_TOP, _BASE = 40, SMALL_HEIGHT - 20


def _bars(shares: Floats, top: float, kind: str) -> Iterator[str]:
    width = (SMALL_WIDTH - 12) / BINS
    for number in np.flatnonzero(shares).tolist():
        height = (_BASE - _TOP) * float(shares[number]) / top
        yield f'<rect class="{kind}" x="{6 + number * width:.1f}" y="{_BASE - height:.1f}" width="{width - 1:.1f}" height="{height:.1f}"/>'


def _outline(shares: Floats, top: float) -> Iterator[str]:
    width = (SMALL_WIDTH - 12) / BINS
    heights = [_BASE - (_BASE - _TOP) * float(share) / top for share in shares]
    steps = " ".join(f"{6 + number * width:.1f},{y:.1f} {6 + (number + 1) * width:.1f},{y:.1f}" for number, y in enumerate(heights))
    yield f'<polyline class="ours outline" points="6,{_BASE} {steps} {SMALL_WIDTH - 6},{_BASE}"/>'


def _ends(low: float, high: float) -> Iterator[str]:
    yield f'<line class="grid" x1="6" x2="{SMALL_WIDTH - 6}" y1="{_BASE}" y2="{_BASE}"/>'
    yield f'<text x="6" y="{SMALL_HEIGHT - 5}">{_number(low)}</text>'
    yield f'<text x="{SMALL_WIDTH - 6}" y="{SMALL_HEIGHT - 5}" text-anchor="end">{_number(high)}</text>'


def _number(value: float) -> str:
    return f"{value:.3g}"


def _figure(title: str, about: str, shapes: Sequence[str], width: float, height: float) -> str:
    said = escape(": ".join(part for part in (title, about) if part))
    words = f'<text class="title" x="6" y="18">{escape(title)}</text>' if title else ""
    return f'<figure><svg viewBox="0 0 {width} {height}" role="img" aria-label="{said}">{words}{"".join(shapes)}</svg></figure>'


STYLE = """
svg { display: block; width: 100%; height: auto; fill: var(--quiet); font: 11.5px system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
svg .title { fill: var(--ink); font-size: 14px; font-weight: 600 } svg .row { fill: var(--ink) } svg .key { font-weight: 600 }
.grid { stroke: var(--grid) } .rule { stroke: var(--quiet); stroke-dasharray: 4 3 }
g.ours, text.ours { fill: var(--ours) } g.ours line { stroke: var(--ours) } .outline { fill: none; stroke: var(--ours); stroke-width: 1.8 }
g.second, text.second { fill: var(--second) } g.second line { stroke: var(--second) }
g.real, text.real { fill: var(--quiet) } g.real line { stroke: var(--quiet) } rect.real { fill: var(--grid) }
g line { stroke-width: 1.6; opacity: .55 }
"""
