"""How far one set of pieces resembles another, feature by feature (Yang and Lerch 2020, *On the evaluation of generative models in music*).

Two samples of numbers, smoothed by Gaussian kernels (Scott's rule): the overlap area (OA) is the integral of the lesser of the two
densities, 1 for samples that cannot be told apart; the divergence (KL) is that of the first from the second, in nats, after a
ten-thousandth of each density's mass was spread evenly so that it is finite.

`Comparison` applies this as the paper does, to a feature that is a vector for each piece: the samples are the Euclidean distances between
the pieces of the reference (intra-set), and those from each piece of the reference to each of the other set (inter-set).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

GRID = 512  # points of a density
REACH = 4.0  # bandwidths beyond the outermost distance
FLOOR = 1e-4  # of a density's mass is spread evenly before a divergence is taken, so that it is finite


class Overlap(NamedTuple):
    """OA from 0 to 1, KL in nats, at least 0."""

    area: float
    divergence: float


def distances(one: Floats, other: Floats) -> Floats:
    """Features (n, d) and (m, d) -> Euclidean distances (n, m)."""
    return np.asarray(np.sqrt(((one[:, None] - other[None]) ** 2).sum(axis=-1)))


class Comparison:
    """A reference and another set by one feature; resampled without computing the distances again."""

    def __init__(self, reference: Floats, other: Floats) -> None:
        """Features (n, d), n >= 2, and (m, d), m >= 1."""
        n = len(reference)
        above = np.triu_indices(n, 1)
        self._pairs = above
        self._intra, self._inter = distances(reference, reference)[above], distances(reference, other).ravel()

    def overlap(self, reference_weights: Floats | None = None, other_weights: Floats | None = None) -> Overlap:
        """
        Args:
            reference_weights, other_weights: how often each piece counts, (n,) and (m,); None for once each. A piece's distance to itself
                never counts.
        """
        if reference_weights is None or other_weights is None:
            return overlap(self._intra, self._inter)
        rows, columns = self._pairs
        intra = reference_weights[rows] * reference_weights[columns]
        return overlap(self._intra, self._inter, intra, np.outer(reference_weights, other_weights).ravel())


def overlap(one: Floats, other: Floats, one_weights: Floats | None = None, other_weights: Floats | None = None) -> Overlap:
    """Of two samples of numbers; `area` is symmetric, `divergence` is that of `one` from `other`."""
    samples = [_Sample.of(one, one_weights), _Sample.of(other, other_weights)]
    low = min(sample.low for sample in samples)
    high = max(sample.high for sample in samples)
    if high <= low:  # all numbers are the same one
        return Overlap(1.0, 0.0)
    p, q = (sample.density(low, high) for sample in samples)
    area = float(np.minimum(p, q).sum())
    p, q = ((1 - FLOOR) * density + FLOOR / GRID for density in (p, q))
    return Overlap(min(area, 1.0), max(float((p * np.log(p / q)).sum()), 0.0))


class _Sample(NamedTuple):
    values: Floats
    weights: Floats
    bandwidth: float

    @classmethod
    def of(cls, values: Floats, weights: Floats | None) -> _Sample:
        """Scott's rule: deviation times n^(-1/5), n the effective number (Kish)."""
        weights = np.ones(len(values)) if weights is None else weights
        weights = weights / weights.sum()
        mean = float(weights @ values)
        deviation = float(np.sqrt(weights @ (values - mean) ** 2))
        return cls(values, weights, deviation * float((weights**2).sum()) ** 0.2)

    @property
    def low(self) -> float:
        return float(self.values.min()) - REACH * self.bandwidth

    @property
    def high(self) -> float:
        return float(self.values.max()) + REACH * self.bandwidth

    def density(self, low: float, high: float) -> Floats:
        """On GRID points from low to high, as shares of the whole: values are put on the two nearest points, then spread by the kernel.

        A kernel narrower than a grid step (all values alike) is left out.
        """
        step = (high - low) / (GRID - 1)
        place = (self.values - low) / step
        first = np.minimum(place.astype(np.int64), GRID - 2)
        right = np.clip(place - first, 0.0, 1.0)  # but for rounding, it is
        mass = np.bincount(first, self.weights * (1 - right), GRID) + np.bincount(first + 1, self.weights * right, GRID)
        width = self.bandwidth / step
        if width < 0.5:
            return np.asarray(mass)
        reach = min(int(np.ceil(REACH * width)), GRID - 1)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
        spread = np.convolve(mass, kernel / kernel.sum(), mode="full")[reach : reach + GRID]
        return np.asarray(spread / spread.sum())
