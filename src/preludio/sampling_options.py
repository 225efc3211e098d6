"""How an event is drawn from the model's probabilities: one definition of each option, for Python, the command line, the studio and C.

`preludio.engine` hands the values to C in the order of these fields; a test compares it with the layout that the C library reports.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from preludio.errors import RequestError


class Limits(NamedTuple):
    """What an option may be, and what it does."""

    low: float
    high: float
    above: bool  # `low` itself is out of range
    text: str

    def contain(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def in_words(self) -> str:
        return f"over {self.low:g} and at most {self.high:g}" if self.above else f"from {self.low:g} to {self.high:g}"


def _option(default: Any, low: float, high: float, text: str, *, above: bool = False) -> Any:
    return field(default=default, metadata={"limits": Limits(low, high, above, text)})


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """Applied in the order temperature, strike_top_p, min_p, top_k, top_p.

    Raises:
        RequestError: a value is out of range; the text names it and the range.
    """

    temperature: float = _option(
        1.0, 0, 10, "Divides the logits: under 1 the likelier events become likelier still, over 1 less so; 0 always takes the likeliest."
    )
    top_p: float = _option(
        1.0, 0, 1, "Draw among the likeliest events that together have this probability; 1 for all (Holtzman et al. 2020).", above=True
    )
    min_p: float = _option(
        0.0, 0, 1, "Leave out events less than this many times as likely as the likeliest; 0 for none (Nguyen et al. 2024)."
    )
    strike_top_p: float = _option(
        0.95, 0, 1, "Top-p among note-ons alone: surer keys; when notes come and how long they last stays as it is. 1 for all.", above=True
    )
    top_k: int = _option(0, 0, 1 << 31, "Draw among so many likeliest events; 0 for all.")

    def __post_init__(self) -> None:
        for option in dataclasses.fields(SamplingOptions):
            value, limits = getattr(self, option.name), limits_of(option.name)
            whole = isinstance(option.default, int)
            if not (is_whole(value) if whole else is_number(value)) or not limits.contain(value):
                raise RequestError(f"{option.name} must be {'a whole number ' if whole else ''}{limits.in_words()}, not {value!r}")


_LIMITS: dict[str, Limits] = {each.name: each.metadata["limits"] for each in dataclasses.fields(SamplingOptions)}


OPTION_NAMES: tuple[str, ...] = tuple(_LIMITS)


def limits_of(name: str) -> Limits:
    """Return what the option of that name may be."""
    return _LIMITS[name]


def is_number(value: object) -> bool:
    """Whether it is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: object) -> bool:
    """Whether it is an integer of any type, and no truth value."""
    try:
        operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return not isinstance(value, bool)
