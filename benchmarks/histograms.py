"""Histograms as SVG: panels one above another, in each a few sets of values on one scale and the threshold that parts them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

WIDTH, PANEL, LEFT = 760, 255, 30
COLOURS = ("#7a8ca3", "#d9622b", "#3f8f5b")


class Histogram(NamedTuple):
    """One panel. Bars are shares of a set, so that half a million values do not hide a thousand; their height is the root of the share, so
    that one in a thousand is still seen."""

    title: str
    sets: dict[str, npt.NDArray[np.float64]]
    edges: npt.NDArray[np.float64]
    threshold: float
    ticks: dict[float, str]


def drawn(title: str, panels: Sequence[Histogram]) -> str:
    height = PANEL * len(panels) + 10
    said = "; ".join(f"{panel.title}: {' and '.join(panel.sets)}" for panel in panels)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-labelledby="title said">',
        f'<title id="title">{title}</title>',
        f'<desc id="said">{said}</desc>',
        "<style>text{font:12px system-ui,Helvetica,Arial,sans-serif;fill:#444}.title{font-weight:600}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for number, panel in enumerate(panels):
        lines += _panel(panel, 30 + PANEL * number)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _panel(panel: Histogram, top: int) -> Iterator[str]:
    low, high = float(panel.edges[0]), float(panel.edges[-1])
    across, tall = WIDTH - 2 * LEFT, PANEL - 90
    base = top + 30 + tall

    def x(value: float) -> str:
        return f"{LEFT + across * (value - low) / (high - low):.1f}"

    yield f'<text class="title" x="{LEFT}" y="{top}">{panel.title}</text>'
    for number, (name, values) in enumerate(panel.sets.items()):
        fill = f'fill="{COLOURS[number]}" fill-opacity=".65"'
        bars = np.sqrt(np.histogram(values, panel.edges)[0] / len(values)) * tall
        corners = zip(panel.edges[:-1].tolist(), panel.edges[1:].tolist(), bars.tolist(), strict=True)
        shapes = (f"M{x(begin)} {base}V{base - bar:.1f}H{x(end)}V{base}z" for begin, end, bar in corners if bar)
        yield f'<path {fill} d="{"".join(shapes)}"/>'
        legend = LEFT + 250 * number
        yield f'<rect x="{legend}" y="{top + 10}" width="12" height="12" {fill}/><text x="{legend + 18}" y="{top + 20}">{name}</text>'
    yield f'<path stroke="#222" stroke-dasharray="4 3" d="M{x(panel.threshold)} {top + 28}V{base}"/>'
    yield f'<path stroke="#999" d="M{LEFT} {base}h{across}"/>'
    for value, label in panel.ticks.items():
        yield f'<text x="{x(value)}" y="{base + 16}" text-anchor="middle">{label}</text>'
