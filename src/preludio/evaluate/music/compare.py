"""Composed pieces beside real ones: figures and overlaps, each with the interval in which it would lie if other pieces were drawn.

Two things are reported by overlap. By *values*: one number a piece, the densities of the two sets compared directly; this is the project's
headline, since its figures are easy to name and sets of real music reach about .9. By *distances*: Yang and Lerch's relative measure, where
the distances within the reference are compared with those to the other set; it also takes histograms, and is kinder (real halves: .96).

Sets have the same size wherever overlaps are compared: the smaller a set, the less it overlaps with anything. So the figure to stand beside
ours is that of two halves of real music of that size, `reachable`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.evaluate.figures import Estimate
from preludio.evaluate.music.features import FIGURES, HISTOGRAMS, TAILS, Figure, NoteColumns
from preludio.evaluate.music.overlap import Comparison, Overlap, overlap
from preludio.evaluate.music.structure import STRUCTURE

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
ProgressCallback = Callable[[float], None]

ALL_FIGURES: tuple[Figure, ...] = (*FIGURES, *TAILS, *STRUCTURE)
OVERLAP_DRAWS = 50  # their deviation gives the interval
MEAN_DRAWS = 2000  # their quantiles do
SPLITS = 20  # of real music into halves
Z = 1.96  # deviations to either side hold 95 %


class PieceSets(NamedTuple):
    """What is compared.

    ours: takes; each holds one piece for each piece of the reference if `paired` (continuations of the same prompts), else any.
    reference, second: real music, the second of other performances.
    """

    ours: Sequence[Sequence[NoteColumns]]
    reference: Sequence[NoteColumns]
    second: Sequence[NoteColumns]
    paired: bool


class FigurePair(NamedTuple):
    """A figure of our pieces and of real ones, means over pieces; ours over theirs, and ours less theirs."""

    ours: Estimate
    real: Estimate
    ratio: Estimate
    difference: Estimate

    def to_json(self) -> dict[str, Any]:
        return {name: estimate.to_json() for name, estimate in self._asdict().items()}


class OverlapEstimate(NamedTuple):
    """Overlap with real music, and that of two halves of real music."""

    area: Estimate
    reachable_area: Estimate
    divergence: Estimate
    reachable_divergence: Estimate

    def to_json(self) -> dict[str, Any]:
        return {name: estimate.to_json() for name, estimate in self._asdict().items()}


@dataclass(frozen=True)
class ComparisonResult:
    """One kind of pieces beside real ones.

    Attributes:
        n_ours, n_real: pieces.
        values: name of the figure -> overlap by values; "mean" for the mean of all.
        distances: name of the figure or histogram -> overlap by distances; "mean" likewise.
        figures: name -> means.
        each: name -> (figures of each of our pieces, of each real one), for pictures.
    """

    n_ours: int
    n_real: int
    values: Mapping[str, OverlapEstimate]
    distances: Mapping[str, OverlapEstimate]
    figures: Mapping[str, FigurePair]
    each: Mapping[str, tuple[Floats, Floats]]

    def to_json(self) -> dict[str, Any]:
        return {
            "pieces": self.n_ours,
            "real_pieces": self.n_real,
            "overlap_of_values": {name: one.to_json() for name, one in self.values.items()},
            "overlap_of_distances": {name: one.to_json() for name, one in self.distances.items()},
            "figures": {name: one.to_json() for name, one in self.figures.items()},
        }


def compare(sets: PieceSets, seed: int, progress: ProgressCallback | None = None, draws: int | None = None) -> ComparisonResult:
    """All figures and overlaps.

    Args:
        progress: called with the share that is done.
        draws: of the bootstrap of each overlap; None for OVERLAP_DRAWS.
    """
    each = {figure.name: _of_each(sets, figure) for figure in ALL_FIGURES}
    n = OVERLAP_DRAWS if draws is None else draws
    values, distances = _Overlaps.of(sets, _by_values, seed, n), _Overlaps.of(sets, _by_distances, seed, n)
    by_value = values.likenesses([figure.name for figure in FIGURES], _part(progress, 0.0, 0.3))
    by_distance = distances.likenesses(list(distances.reference), _part(progress, 0.3, 0.7))
    figures = {name: figure_pair(_by_prompt(ours, sets), real, seed) for name, (ours, real) in each.items()}
    return ComparisonResult(sum(map(len, sets.ours)), len(sets.reference), by_value, by_distance, figures, each)


def _part(progress: ProgressCallback | None, begin: float, length: float) -> ProgressCallback | None:
    return None if progress is None else lambda share: progress(begin + length * share)


def _of_each(sets: PieceSets, figure: Figure) -> tuple[Floats, Floats]:
    ours = [figure.of(piece) for take in sets.ours for piece in take]
    return np.array(ours), np.array([figure.of(piece) for piece in sets.reference])


def _by_prompt(ours: Floats, sets: PieceSets) -> Floats:
    """Takes of one prompt are not independent: their mean stands for them, and prompts are drawn."""
    return ours.reshape(len(sets.ours), -1).mean(axis=0) if sets.paired else ours


# --- overlaps ---------------------------------------------------------------------------------------------------------------------


_Compare = Callable[[Floats, Floats], Callable[[Floats, Floats], Overlap]]
"""(reference, other) -> (weights of the reference, weights of the other) -> their overlap."""


def _by_values(reference: Floats, other: Floats) -> Callable[[Floats, Floats], Overlap]:
    return lambda weights, other_weights: overlap(reference[:, 0], other[:, 0], weights, other_weights)


def _by_distances(reference: Floats, other: Floats) -> Callable[[Floats, Floats], Overlap]:
    return Comparison(reference, other).overlap


@dataclass(frozen=True)
class _Overlaps:
    """Features of sets of equal size: name -> (piece, dimension); of ours, for each take. And how they are compared."""

    ours: Sequence[Mapping[str, Floats]]
    reference: Mapping[str, Floats]
    second: Mapping[str, Floats]
    paired: bool
    by: _Compare
    seed: int
    draws: int

    @classmethod
    def of(cls, sets: PieceSets, by: _Compare, seed: int, draws: int) -> _Overlaps:
        n = min(len(sets.reference), len(sets.second), *map(len, sets.ours))
        ours = [_features(take[:n]) for take in sets.ours]
        return cls(ours, _features(sets.reference[:n]), _features(sets.second[:n]), sets.paired, by, seed, draws)

    def likenesses(self, names: Sequence[str], progress: ProgressCallback | None) -> dict[str, OverlapEstimate]:
        found: dict[str, tuple[Floats, Floats]] = {}
        for number, name in enumerate(names):
            found[name] = self._ours(name), self._halves(name)
            if progress is not None:
                progress((number + 1) / len(names))
        ours, halves = (np.mean([both[place] for both in found.values()], axis=0) for place in (0, 1))
        return {name: _likeness(*both) for name, both in {"mean": (ours, halves), **found}.items()}

    def _ours(self, name: str) -> Floats:
        """The overlap, then that of each bootstrap draw: (1 + draws, 2).

        Pieces that answer to no particular reference are held against both halves of real music.
        """
        references = [self.reference[name]] if self.paired else [self.reference[name], self.second[name]]
        measures = [self.by(reference, take[name]) for reference in references for take in self.ours]
        n = len(references[0])
        rng = np.random.default_rng([self.seed, 1])
        rows = [np.mean([measure(np.ones(n), np.ones(n)) for measure in measures], axis=0)]
        for _ in range(self.draws):
            reference = _counts(rng, n)
            ours = reference if self.paired else _counts(rng, n)
            rows.append(np.mean([measure(reference, ours) for measure in measures], axis=0))
        return np.array(rows)

    def _halves(self, name: str) -> Floats:
        """The same of two halves of real music: the mean of some splits, then draws, each of a split of its own."""
        real = np.concatenate([self.reference[name], self.second[name]])
        n = len(real) // 2
        rng = np.random.default_rng([self.seed, 2])

        def split() -> Callable[[Floats, Floats], Overlap]:
            order = rng.permutation(len(real))
            return self.by(real[order[:n]], real[order[n : 2 * n]])

        rows = [np.mean([split()(np.ones(n), np.ones(n)) for _ in range(SPLITS)], axis=0)]
        rows += [np.array(split()(_counts(rng, n), _counts(rng, n))) for _ in range(self.draws)]
        return np.array(rows)


def _features(pieces: Sequence[NoteColumns]) -> dict[str, Floats]:
    found = {figure.name: np.array([[figure.of(one)] for one in pieces]) for figure in FIGURES}
    return found | {name: np.array([of(one) for one in pieces]) for name, of in HISTOGRAMS.items()}


def _likeness(ours: Floats, halves: Floats) -> OverlapEstimate:
    areas, divergences = ([_by_deviation(rows[:, column], most) for rows in (ours, halves)] for column, most in enumerate((1.0, math.inf)))
    return OverlapEstimate(areas[0], areas[1], divergences[0], divergences[1])


def _by_deviation(rows: Floats, most: float) -> Estimate:
    """A value and its draws -> the value and 1.96 deviations to either side, from 0 to `most`.

    Not the draws' quantiles: a draw has fewer different pieces, overlaps less, and its quantiles lie below the value.
    """
    reach = Z * float(rows[1:].std())
    return Estimate(float(rows[0]), max(0.0, float(rows[0]) - reach), min(most, float(rows[0]) + reach))


def _counts(rng: np.random.Generator, n: int) -> Floats:
    """How often each of n pieces comes when n are drawn; at least two different ones, since a set has distances."""
    while True:
        counts = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        if np.count_nonzero(counts) > 1 or n < 2:
            return counts


# --- means ------------------------------------------------------------------------------------------------------------------------


def figure_pair(ours: Floats, real: Floats, seed: int, *, paired: bool = False) -> FigurePair:
    """Means over pieces, those left out whose figure is no number (a return at a lag that the piece is too short for).

    Args:
        paired: both are of the same pieces (two quarters of each), which are drawn together.
    """
    ours, real = ours[np.isfinite(ours)], real[np.isfinite(real)]
    drawn = [_drawn_means(ours, [seed, 0]), _drawn_means(real, [seed, 0 if paired else 1])]
    means = [float(values.mean()) if len(values) else math.nan for values in (ours, real)]
    first, second = (_by_quantiles(mean, draws) for mean, draws in zip(means, drawn, strict=True))
    return FigurePair(first, second, _ratio(means, drawn), _by_quantiles(means[0] - means[1], drawn[0] - drawn[1]))


def _ratio(means: Sequence[float], drawn: Sequence[Floats]) -> Estimate:
    """The first over the second; not a number unless both are of one sign that says something: neither below 0, the second above."""
    if not (means[0] >= 0 and means[1] > 0):
        return Estimate(math.nan, None, None)
    return _by_quantiles(means[0] / means[1], drawn[0] / np.where(drawn[1] > 0, drawn[1], np.nan))


def _drawn_means(values: Floats, seed: Sequence[int]) -> Floats:
    n = len(values)
    if n < 2:
        return np.full(MEAN_DRAWS, values.mean() if n else math.nan)
    return np.asarray(values[np.random.default_rng(seed).integers(0, n, (MEAN_DRAWS, n))].mean(axis=1))


def _by_quantiles(value: float, draws: Floats) -> Estimate:
    draws = draws[np.isfinite(draws)]
    if math.isnan(value) or not len(draws) or draws.min() == draws.max():
        return Estimate(value, None, None)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Estimate(value, float(low), float(high))
