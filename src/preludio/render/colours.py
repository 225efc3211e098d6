"""Colours of the piano roll, made in OKLCH (Ottosson 2020), where equal steps look equal.

Both velocity ramps fall evenly in lightness from soft to loud, so they order rightly for every kind of colour vision and in grey print;
they differ in hue and in chroma: the prompt is slate, what was composed runs from amber over red to purple.
"""

from __future__ import annotations

import math

PAPER = "#fcfbf8"
PANEL = "#f5f3ec"
PROMPT_PANEL = "#e6eaf0"
INK = "#22242a"
QUIET_INK = "#6d6f78"
GRID = "#e2dfd5"
OCTAVE = "#cdc9bc"
MIDDLE_C = "#a39e8f"
PEDAL = "#a9b8a2"
DIVIDER = "#2f5f9e"

N_STEPS = 16
SOFTEST, LOUDEST = 20, 110  # velocities where the ramp begins and ends: what lies beyond is rare


def oklch(lightness: float, chroma: float, hue_degrees: float) -> str:
    """An OKLCH colour as "#rrggbb"; what sRGB does not hold is clipped."""
    a, b = chroma * math.cos(math.radians(hue_degrees)), chroma * math.sin(math.radians(hue_degrees))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _gamma(min(1.0, max(0.0, value)))):02x}" for value in linear)


def _gamma(linear: float) -> float:
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


def _ramp(light: tuple[float, float, float], dark: tuple[float, float, float]) -> tuple[str, ...]:
    """`N_STEPS` colours on a straight line between two (lightness, chroma, hue)."""
    shares = [step / (N_STEPS - 1) for step in range(N_STEPS)]
    return tuple(oklch(*(a + (b - a) * share for a, b in zip(light, dark, strict=True))) for share in shares)


COMPOSED = _ramp((0.80, 0.13, 78), (0.30, 0.15, -40))
PROMPT = _ramp((0.77, 0.03, 250), (0.27, 0.05, 262))
COMPOSED_RING = _ramp((0.92, 0.04, 78), (0.82, 0.05, -20))
PROMPT_RING = _ramp((0.86, 0.012, 250), (0.76, 0.025, 262))
"""What the pedal or the piano's own ringing adds to a note: the same hues, pale."""


def step_of(velocity: int) -> int:
    """Velocity 1-127 -> place on a ramp."""
    share = (velocity - SOFTEST) / (LOUDEST - SOFTEST)
    return min(N_STEPS - 1, max(0, int(share * N_STEPS)))
