"""What someone asks for, checked in one place."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

from preludio.errors import RequestError
from preludio.performance import Performance

MAX_SECONDS = 24 * 3600.0
MAX_VARIATIONS = 64  # each keeps a cache of its own


@dataclass(frozen=True)
class Request:
    """One composition, or several takes of it.

    Raises:
        RequestError: a value is out of range; the text names it and the range.
    """

    prompt: Performance | None = None  # what to go on from; None for a piece from nothing
    prompt_seconds: float | None = None  # go on from after so much of the prompt; None for all of it
    seconds: float = 60.0  # how much to compose, the prompt not counted; the piece ends at a rest soon after, or earlier at END
    seed: int = 0  # one seed, one piece
    variations: int = 1  # takes decoded side by side from one prompt; the first is the piece that one take alone would be
    temperature: float = 1.0  # 1 is what the model learned; lower is more careful and repeats itself more; 0 always takes the likeliest
    top_k: int = 0  # only the k likeliest events; 0 for all
    top_p: float = 1.0  # only the likeliest events that together have this probability (Holtzman et al. 2020); 1 for all
    min_p: float = 0.0  # only events at least this fraction as likely as the likeliest (Nguyen et al. 2024); 0 for all
    keep_silence: bool = False  # go on after the prompt's last silence, not where its sound ends

    def __post_init__(self) -> None:
        self._require(_is_number(self.seconds) and 0 < self.seconds <= MAX_SECONDS, "seconds", "over 0 and at most 86,400 (a day)")
        self._require(self.prompt is None or isinstance(self.prompt, Performance), "prompt", "a Performance")
        cut = self.prompt_seconds
        self._require(cut is None or (_is_number(cut) and cut > 0), "prompt_seconds", "over 0")
        self._require(_is_whole(self.seed) and 0 <= self.seed < 1 << 64, "seed", "a whole number from 0 to 2^64 - 1")
        self._require(_is_whole(self.variations) and 1 <= self.variations <= MAX_VARIATIONS, "variations", f"from 1 to {MAX_VARIATIONS}")
        self._require(_is_number(self.temperature) and 0 <= self.temperature <= 10, "temperature", "from 0 to 10")
        self._require(_is_whole(self.top_k) and self.top_k >= 0, "top_k", "0 (off) or more")
        self._require(_is_number(self.top_p) and 0 < self.top_p <= 1, "top_p", "over 0 and at most 1")
        self._require(_is_number(self.min_p) and 0 <= self.min_p <= 1, "min_p", "from 0 to 1")
        if self.prompt is None and cut is not None:
            raise RequestError("prompt_seconds says how much of a prompt to use, but there is none: name one (--prompt FILE)")
        if self.prompt is not None and not len(self.prompt):
            raise RequestError("the prompt has no notes: give a piano piece, or no prompt for a piece from nothing")

    def _require(self, good: bool, name: str, wanted: str) -> None:
        if not good:
            raise RequestError(f"{name} must be {wanted}, not {getattr(self, name)!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    try:
        operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return not isinstance(value, bool)
