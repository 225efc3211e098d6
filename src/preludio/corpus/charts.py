"""The report's pictures: histograms as inline SVG, with words for those who do not see them and figures under the pointer."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BASE = 4, 356, 44, 166  # of the plot
MAX_BINS = 40
LOWEST_KEY, HIGHEST_KEY = 21, 108
BLACK_KEYS = frozenset((1, 3, 6, 8, 10))
N_LOUDNESS = 16  # colours, as the piano rolls have them: from amber, soft, over red to purple
SOFTEST, LOUDEST = 20, 110  # velocities where they begin and end

_SOFT, _LOUD, _LOUD_ON_DARK = (0.80, 0.13, 78), (0.30, 0.15, -40), (0.62, 0.19, -40)

Numbers = npt.NDArray[np.int64]


def histogram(title: str, subtitle: str, values: npt.NDArray[np.float64]) -> str:
    """How many of the values lie in each of some round bins, and their median. What lies far out is in the last bin."""
    if not len(values):
        return ""
    median, most = float(np.median(values)), float(np.percentile(values, 99))
    least = float(values.min()) if values.min() >= 0.4 * median else 0.0
    width = _round_step(most - least)
    first = math.floor(least / width)
    n = max(math.ceil(most / width) - first, 1)
    count = np.bincount(np.clip(np.floor(values / width).astype(np.int64) - first, 0, n - 1), minlength=n)
    edges = [_short((first + number) * width) for number in range(n + 1)]
    labels = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    if values.max() > (first + n) * width:
        labels[-1] = f"{edges[-2]} and more"
    every = next(step for step in (1, 2, 5, 10, n) if n <= 8 * step)
    ticks = [(_x(number, n), edges[number]) for number in range(0, n + 1, every)]
    spread = f"from {_short(float(values.min()))} to {_short(float(values.max()))}"
    shapes = [*_bars(count, labels), _median(_x(median / width - first, n)), *_ticks(ticks)]
    return _chart(title, subtitle, f"median {_short(median)}", shapes, spread)


def keyboard(pitches: Numbers) -> str:
    """Notes of each pitch, over the keys; what lies beyond a piano's 88 counts as its last key."""
    count = pitches[LOWEST_KEY : HIGHEST_KEY + 1].copy()
    count[0] += pitches[:LOWEST_KEY].sum()
    count[-1] += pitches[HIGHEST_KEY + 1 :].sum()
    n = len(count)
    names = [_key_name(LOWEST_KEY + key) for key in range(n)]
    shapes = list(_bars(count, names))
    width = (RIGHT - LEFT) / n
    for key in range(n):
        kind = "black" if (LOWEST_KEY + key) % 12 in BLACK_KEYS else "white"
        shapes.append(f'<rect class="{kind}" x="{_x(key, n):.1f}" y="{BASE + 2}" width="{width - 0.5:.1f}" height="9"/>')
    ticks = [(_x(pitch - LOWEST_KEY + 0.5, n), f"C{pitch // 12 - 1}") for pitch in range(24, HIGHEST_KEY + 1, 12)]
    most = names[int(np.argmax(count))]
    return _chart("Pitch", "notes of each key", f"most: {most}", [*shapes, *_ticks(ticks, 10)])


def loudness(velocities: Numbers) -> str:
    """Notes of each velocity, in the colours of the piano rolls."""
    count = velocities[1:]
    classes = [f"v{min(N_LOUDNESS - 1, max(0, (v - SOFTEST) * N_LOUDNESS // (LOUDEST - SOFTEST)))}" for v in range(1, 128)]
    labels = [f"velocity {velocity}" for velocity in range(1, 128)]
    ticks = [(_x(velocity - 0.5, 127), str(velocity)) for velocity in (1, 20, 40, 60, 80, 100, 127)]
    total = int(count.sum())
    middle = int(np.searchsorted(np.cumsum(count), total / 2)) + 1
    marked = [*_bars(count, labels, classes), _median(_x(middle - 0.5, 127)), *_ticks(ticks)]
    return _chart("Velocity", "how hard the keys are struck", f"median {middle}", marked) if total else ""


# --- parts ------------------------------------------------------------------------------------------------------------------------


def _chart(title: str, subtitle: str, figure: str, shapes: Sequence[str], spread: str = "") -> str:
    said = ", ".join(part for part in (f"{title}: {subtitle}", figure, spread) if part)
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(said)}">'
    words = f'<text class="title" x="{LEFT}" y="16">{escape(title)}</text><text x="{LEFT}" y="32">{escape(subtitle)}</text>'
    words += f'<text class="figure" x="{RIGHT}" y="16" text-anchor="end">{escape(figure)}</text>'
    base = f'<line class="base" x1="{LEFT}" y1="{BASE}" x2="{RIGHT}" y2="{BASE}"/>'
    return f"<figure>{head}{words}{''.join(shapes)}{base}</svg></figure>"


def _bars(count: Numbers, labels: Sequence[str], classes: Sequence[str] | None = None) -> Iterator[str]:
    n, most = len(count), max(int(count.max()), 1)
    gap = 0.3 if n > 40 else 1.0
    width = (RIGHT - LEFT) / n - gap
    for number in np.flatnonzero(count).tolist():
        height = max((BASE - TOP) * int(count[number]) / most, 1.0)
        kind = classes[number] if classes else "bar"
        place = f'x="{_x(number, n) + gap / 2:.1f}" y="{BASE - height:.1f}" width="{width:.1f}" height="{height:.1f}"'
        yield f'<rect class="{kind}" {place}><title>{escape(labels[number])}: {int(count[number]):,}</title></rect>'


def _median(x: float) -> str:
    x = min(max(x, LEFT), RIGHT)
    return f'<line class="median" x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{BASE}"/>'


def _ticks(ticks: Sequence[tuple[float, str]], lower: int = 0) -> Iterator[str]:
    for x, label in ticks:
        anchor = "start" if x < LEFT + 12 else "end" if x > RIGHT - 12 else "middle"
        yield f'<text class="tick" x="{x:.1f}" y="{BASE + 17 + lower}" text-anchor="{anchor}">{escape(label)}</text>'


def _x(place: float, n: int) -> float:
    return LEFT + place * (RIGHT - LEFT) / n


def _key_name(pitch: int) -> str:
    return f"{('C', 'C♯', 'D', 'E♭', 'E', 'F', 'F♯', 'G', 'A♭', 'A', 'B♭', 'B')[pitch % 12]}{pitch // 12 - 1}"


def _round_step(span: float) -> float:
    """1, 2 or 5 times a power of ten, so that at most `MAX_BINS` make the span."""
    least = max(span, 1e-6) / (MAX_BINS - 2)
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least)


def _short(value: float) -> str:
    """Three digits at most: 0.25, 4.05, 12.5, 140."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _loudness_colours(loudest: tuple[float, float, float]) -> str:
    shares = [step / (N_LOUDNESS - 1) for step in range(N_LOUDNESS)]
    lch = [[a + (b - a) * share for a, b in zip(_SOFT, loudest, strict=True)] for share in shares]
    rules = (f".v{step} {{ fill: oklch({light:.3f} {chroma:.3f} {hue % 360:.1f}) }}" for step, (light, chroma, hue) in enumerate(lch))
    return " ".join(rules)


STYLE = f"""
.charts {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20.5rem), 1fr)); gap: 1rem }}
figure {{ margin: 0; padding: .75rem; background: var(--panel); border-radius: 8px }}
svg {{ display: block; width: 100%; height: auto; fill: var(--quiet); font-size: 11.5px }}
svg .title {{ fill: var(--ink); font-size: 15px; font-weight: 600 }}
svg .figure {{ fill: var(--mark); font-size: 13px }}
.bar {{ fill: var(--bar) }} .base {{ stroke: var(--quiet) }} .median {{ stroke: var(--mark); stroke-width: 1.5; stroke-dasharray: 4 3 }}
.white {{ fill: #fff; stroke: #8a8778; stroke-width: .3 }} .black {{ fill: #2b2b2f }}
{_loudness_colours(_LOUD)}
@media (prefers-color-scheme: dark) {{ {_loudness_colours(_LOUD_ON_DARK)} }}
"""
