"""How much is composed and compared, and how it is composed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from preludio.errors import RequestError
from preludio.sampling_options import SamplingOptions


@dataclass(frozen=True)
class Settings:
    """Sizes of one measurement. Equal settings, model and data give equal figures.

    Raises:
        RequestError: a value is out of range.
    """

    prompts: int = 64  # excerpts of held-out performances that the model continues
    takes: int = 3  # continuations of each prompt, each with a seed of its own
    pieces: int = 64  # from nothing
    long_pieces: int = 8  # from nothing, for what changes within a piece; 0 leaves that out
    seconds: float = 60.0  # of each piece and of each continuation
    prompt_seconds: float = 15.0
    long_seconds: float = 240.0
    seed: int = 0
    sampling: SamplingOptions = field(default_factory=SamplingOptions)

    def __post_init__(self) -> None:
        self._require("prompts", self.prompts, 2, 10_000)
        self._require("takes", self.takes, 1, 64)
        self._require("pieces", self.pieces, 2, 10_000)
        self._require("long_pieces", self.long_pieces, 0, 10_000)
        self._require("seconds", self.seconds, 8, 3600)
        self._require("prompt_seconds", self.prompt_seconds, 1, 3600)
        self._require("long_seconds", self.long_seconds, 20, 4 * 3600)
        self._require("seed", self.seed, 0, (1 << 63) - 1)

    @staticmethod
    def _require(name: str, value: float, least: float, most: float) -> None:
        if not least <= value <= most:
            raise RequestError(f"{name.replace('_', ' ')} must be from {least:,} to {most:,}, not {value:,}")

    @property
    def milliseconds(self) -> int:
        """Of each piece."""
        return round(1000 * self.seconds)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
