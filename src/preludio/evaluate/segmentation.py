"""Which tokens of a piece are predicted from which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from preludio.errors import RequestError


class ScoredSpan(NamedTuple):
    """One pass: the model sees ids[start : stop] and nothing before; its predictions of ids[first : stop] count."""

    start: int
    stop: int
    first: int


@dataclass(frozen=True)
class Segmentation:
    """How a piece is cut into passes. Every token but the piece's first, or each segment's first, counts once.

    With a stride as long as the window: segments that do not overlap, as in the papers. With a shorter one, a sliding context: each
    pass begins a stride later, and only what no pass before has predicted counts, so that every token has at least `window - stride`
    tokens of context, or all that the piece has.
    """

    window: int = 2048
    stride: int = 2048

    def __post_init__(self) -> None:
        if not 2 <= self.window <= 1 << 20:
            raise RequestError(f"a segment of {self.window:,} tokens cannot be scored: choose 2 to {1 << 20:,}")
        if not 1 <= self.stride <= self.window:
            raise RequestError(f"a stride of {self.stride:,} tokens leaves some out or nothing to do: choose 1 to {self.window:,}")

    @property
    def slides(self) -> bool:
        return self.stride < self.window

    def spans(self, n_tokens: int) -> Iterator[ScoredSpan]:
        """The passes over a piece of so many tokens, in order; passes that would predict nothing are left out."""
        scored = 0
        for start in range(0, n_tokens, self.stride):
            stop = min(start + self.window, n_tokens)
            first = max(start + 1, scored)  # a pass's first token has nothing to be predicted from
            if first < stop:
                yield ScoredSpan(start, stop, first)
            scored = stop
            if stop == n_tokens:
                return

    def to_text(self) -> str:
        if self.slides:
            return f"context of at least {self.window - self.stride:,} tokens where the piece has them (windows of {self.window:,})"
        return f"segments of {self.window:,} tokens, empty context at each start, their first token not scored"


PAPER_SEGMENTATION = Segmentation()
"""Segments of 2,048 that do not overlap, the rest as a segment of its own: what the published figures are computed by."""
