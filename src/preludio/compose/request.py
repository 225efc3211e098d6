"""What someone asks for, checked in one place."""

from __future__ import annotations

from dataclasses import dataclass

from preludio.errors import RequestError
from preludio.performance import Performance
from preludio.sampling_options import SamplingOptions, is_number, is_whole

MAX_SECONDS = 24 * 3600.0
MAX_VARIATIONS = 64  # each keeps a cache of its own


@dataclass(frozen=True)
class Request(SamplingOptions):
    """One composition, or several takes of it; the options of sampling are keywords.

    Raises:
        RequestError: a value is out of range; the text names it and the range.
    """

    prompt: Performance | None = None  # what to go on from; None for a piece from nothing
    prompt_seconds: float | None = None  # go on from after so much of the prompt; None for all of it
    seconds: float = 60.0  # how much to compose, the prompt not counted; the piece ends at a rest soon after, or earlier at END
    seed: int = 0  # one seed, one piece
    variations: int = 1  # takes decoded side by side from one prompt; the first is the piece that one take alone would be
    keep_silence: bool = False  # go on after the prompt's last silence, not where its sound ends

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(is_number(self.seconds) and 0 < self.seconds <= MAX_SECONDS, "seconds", "over 0 and at most 86,400 (a day)")
        self._require(self.prompt is None or isinstance(self.prompt, Performance), "prompt", "a Performance")
        cut = self.prompt_seconds
        self._require(cut is None or (is_number(cut) and cut > 0), "prompt_seconds", "over 0")
        self._require(is_whole(self.seed) and 0 <= self.seed < 1 << 64, "seed", "a whole number from 0 to 2^64 - 1")
        self._require(is_whole(self.variations) and 1 <= self.variations <= MAX_VARIATIONS, "variations", f"from 1 to {MAX_VARIATIONS}")
        if self.prompt is None and cut is not None:
            raise RequestError("prompt_seconds says how much of a prompt to use, but there is none: name one (--prompt FILE)")
        if self.prompt is not None and not len(self.prompt):
            raise RequestError("the prompt has no notes: give a piano piece, or no prompt for a piece from nothing")

    def _require(self, good: bool, name: str, wanted: str) -> None:
        if not good:
            raise RequestError(f"{name} must be {wanted}, not {getattr(self, name)!r}")
