"""Sums of each performance -> nats a token, nats a note, bits a second, each with a bootstrap interval over performances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.errors import RequestError
from preludio.evaluate.segmentation import Segmentation

KINDS = ("note-on", "note-off", "time-shift", "velocity")
CONVENTIONS = "START, END and PAD take no part; probabilities are normalised over all 391 ids"
RESAMPLES = 2000
LEVEL = 0.95

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Estimate(NamedTuple):
    """A figure, and the interval in which 95 % of it lie when performances are drawn anew; None where there is only one.

    What does not exist, such as nats a note of music without notes, is not a number.
    """

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        return f"{self.value:.5g}" if self.low is None else f"{self.value:.5g} ({self.low:.5g} - {self.high:.5g})"

    def to_json(self) -> dict[str, float | None]:
        """None for what is not a number, which JSON lacks."""
        return {name: None if number is None or math.isnan(number) else round(number, 6) for name, number in self._asdict().items()}


class PieceSums(NamedTuple):
    """One performance: what it is, and the sums over its scored tokens by kind and by the length of their context.

    nats, tokens: (kind, bin); bin b holds contexts of 2^b ... 2^(b+1) - 1 tokens.
    grammar_nats: (1,), over all of them, with p renormalised over what the grammar allows; not a number where that was not
        computed, infinite where the music breaks the grammar.
    """

    name: str
    n_notes: int
    seconds: float
    nats: Floats
    tokens: Integers
    grammar_nats: Floats

    @classmethod
    def empty(cls, name: str, n_notes: int, seconds: float, window: int) -> PieceSums:
        shape = len(KINDS), (window - 1).bit_length()
        return cls(name, n_notes, seconds, np.zeros(shape), np.zeros(shape, dtype=np.int64), np.zeros(1))

    def add(self, kinds: Integers, context: Integers, nats: npt.NDArray[np.floating[Any]]) -> None:
        """Counts tokens in: their kinds, how many tokens of context (at least 1) each had, and their negative log-likelihoods."""
        n_bins = self.nats.shape[1]
        cell = kinds * n_bins + np.frexp(context)[1] - 1  # frexp: context = m * 2^e with 1/2 <= m < 1
        self.nats.ravel()[:] += np.bincount(cell, weights=nats.astype(np.float64), minlength=self.nats.size)
        self.tokens.ravel()[:] += np.bincount(cell, minlength=self.tokens.size)

    def add_with_grammar(self, nats: npt.NDArray[np.floating[Any]] | None) -> None:
        """Add the same tokens' figures with the grammar, or that there are none."""
        self.grammar_nats[0] += math.nan if nats is None else nats.astype(np.float64).sum()


@dataclass(frozen=True)
class Likelihood:
    """What a model makes of some performances by one cut.

    Attributes:
        cut: how they were cut.
        names: of the performances.
        notes, seconds: (piece,) of music in each, whether scored or not: what holds whatever the tokens are.
        nats, tokens: (piece, kind, bin) sums over scored tokens; see `PieceSums`.
        grammar_nats: (piece,) sums of the same tokens with the grammar.
    """

    cut: Segmentation
    names: tuple[str, ...]
    notes: Integers
    seconds: Floats
    nats: Floats
    tokens: Integers
    grammar_nats: Floats

    @classmethod
    def of(cls, cut: Segmentation, sums: Sequence[PieceSums]) -> Likelihood:
        shape = 0, len(KINDS), (cut.window - 1).bit_length()
        return cls(
            cut,
            names=tuple(one.name for one in sums),
            notes=np.array([one.n_notes for one in sums], dtype=np.int64),
            seconds=np.array([one.seconds for one in sums], dtype=np.float64),
            nats=np.concatenate([np.zeros(shape), *(one.nats[None] for one in sums)]),
            tokens=np.concatenate([np.zeros(shape, dtype=np.int64), *(one.tokens[None] for one in sums)]),
            grammar_nats=np.array([one.grammar_nats[0] for one in sums], dtype=np.float64),
        )

    @property
    def n_tokens(self) -> int:
        """How many tokens were scored."""
        return int(self.tokens.sum())

    @property
    def nats_per_token(self) -> Estimate:
        return self._ratio(self._piece_nats, self.tokens.sum(axis=(1, 2)))

    @property
    def nats_per_token_with_grammar(self) -> Estimate:
        """The same with p renormalised over what the grammar allows; not a number where it is not known or the music breaks the grammar.

        What stands beside the papers is the plain figure: they mask nothing.
        """
        if not np.isfinite(self.grammar_nats).all():
            return Estimate(math.nan, None, None)
        return self._ratio(self.grammar_nats, self.tokens.sum(axis=(1, 2)))

    @property
    def nats_per_note(self) -> Estimate:
        return self._ratio(self._piece_nats, self.notes)

    @property
    def bits_per_second(self) -> Estimate:
        """Of music."""
        return self._ratio(self._piece_nats / math.log(2), self.seconds)

    @cached_property
    def by_kind(self) -> dict[str, Estimate]:
        """Nats per token of each kind of event that there is."""
        nats, tokens = self.nats.sum(axis=2), self.tokens.sum(axis=2)
        return {kind: self._ratio(nats[:, k], tokens[:, k]) for k, kind in enumerate(KINDS) if tokens[:, k].any()}

    @property
    def share_of_tokens(self) -> dict[str, float]:
        return _shares(self.tokens)

    @property
    def share_of_nats(self) -> dict[str, float]:
        return _shares(self.nats)

    @cached_property
    def by_context(self) -> dict[tuple[int, int], Estimate]:
        """Nats per token by the number of tokens that it was predicted from, least and most: (1, 1), (2, 3), (4, 7) ..."""
        nats, tokens = self.nats.sum(axis=1), self.tokens.sum(axis=1)
        bins = [(b, (1 << b, min((2 << b) - 1, self.cut.window - 1))) for b in range(nats.shape[1])]
        return {ends: self._ratio(nats[:, b], tokens[:, b]) for b, ends in bins if tokens[:, b].any()}

    def to_json(self) -> dict[str, Any]:
        """All figures, rounded to six places."""
        return {
            "window": self.cut.window,
            "stride": self.cut.stride,
            "conventions": f"{self.cut.to_text()}; {CONVENTIONS}",
            "scored_tokens": self.n_tokens,
            "nats_per_token": self.nats_per_token.to_json(),
            "nats_per_token_with_grammar": self.nats_per_token_with_grammar.to_json(),
            "nats_per_note": self.nats_per_note.to_json(),
            "bits_per_second": self.bits_per_second.to_json(),
            "by_kind": {kind: self._kind_json(kind, estimate) for kind, estimate in self.by_kind.items()},
            "by_context": [{"from": least, "to": most} | one.to_json() for (least, most), one in self.by_context.items()],
        }

    def _kind_json(self, kind: str, estimate: Estimate) -> dict[str, float | None]:
        shares = {"share_of_tokens": self.share_of_tokens[kind], "share_of_nats": self.share_of_nats[kind]}
        return estimate.to_json() | {name: round(share, 6) for name, share in shares.items()}

    @property
    def _piece_nats(self) -> Floats:
        total: Floats = self.nats.sum(axis=(1, 2))
        return total

    @cached_property
    def _drawn(self) -> npt.NDArray[np.uint16]:
        """How often each performance comes in each resample: (resample, piece). One draw for all figures, always the same."""
        n = len(self.names)
        rng = np.random.default_rng(0)
        drawn = np.empty((RESAMPLES, n), dtype=np.uint16)
        for row in drawn:
            row[:] = np.bincount(rng.integers(0, n, n), minlength=n)
        return drawn

    def difference(self, other: Likelihood) -> Estimate:
        """Nats a token more than `other` has on the same performances, drawn in pairs.

        Raises:
            RequestError: the other one is of other performances.
        """
        if self.names != other.names:
            raise RequestError("likelihoods of other performances cannot be compared in pairs: evaluate both on the same ones")
        ours, theirs = ((one._piece_nats, one.tokens.sum(axis=(1, 2))) for one in (self, other))
        drawn = [_over(row @ ours[0], row @ ours[1]) - _over(row @ theirs[0], row @ theirs[1]) for row in self._drawn]
        return self._estimate(_over(*(part.sum() for part in ours)) - _over(*(part.sum() for part in theirs)), drawn)

    def _ratio(self, over: npt.NDArray[Any], under: npt.NDArray[Any]) -> Estimate:
        """Sum over sum; a draw that has nothing of it says nothing."""
        if not under.any():
            return Estimate(math.nan, None, None)
        drawn = [(row @ over, row @ under) for row in self._drawn]
        return self._estimate(_over(over.sum(), under.sum()), [_over(*parts) for parts in drawn if parts[1] > 0])

    def _estimate(self, value: float, drawn: Sequence[float]) -> Estimate:
        """The percentile interval (Efron 1979)."""
        if len(self.names) < 2:
            return Estimate(value, None, None)
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Estimate(value, float(low), float(high))


def _over(nats: Any, parts: Any) -> float:
    return float(nats / parts)


def _shares(sums: npt.NDArray[Any]) -> dict[str, float]:
    by_kind = sums.sum(axis=(0, 2))
    return {kind: float(part / by_kind.sum()) for kind, part in zip(KINDS, by_kind, strict=True)}
