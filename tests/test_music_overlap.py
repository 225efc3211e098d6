"""Overlaps: the laws of a distance between distributions, and what they say of sets that are alike or not."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from music import played
from strategies import law

from preludio.evaluate.music.compare import PieceSets, compare, figure_pair
from preludio.evaluate.music.features import NoteColumns
from preludio.evaluate.music.overlap import Comparison, distances, overlap
from preludio.performance import Performance, crop, quantise, sustain

Floats = npt.NDArray[np.float64]

samples = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=30).map(lambda row: np.array(row, dtype=np.float64))


@law
@given(samples)
def test_a_sample_overlaps_with_itself_wholly(sample: Floats) -> None:
    assert overlap(sample, sample) == pytest.approx((1.0, 0.0), abs=1e-9)


@law
@given(samples, samples)
def test_areas_are_symmetric_and_divergences_not_negative(one: Floats, other: Floats) -> None:
    found, turned = overlap(one, other), overlap(other, one)
    assert 0 <= found.area <= 1
    assert found.area == pytest.approx(turned.area, abs=1e-9)
    assert found.divergence >= 0
    assert math.isfinite(found.divergence)


@law
@given(samples, samples, st.floats(-50, 50), st.sampled_from([0.25, 1.0, 8.0]))
def test_neither_unit_nor_origin_matters(one: Floats, other: Floats, origin: float, unit: float) -> None:
    if max(np.ptp(one), np.ptp(other)) < 1e-3:  # then rounding decides
        return
    assert overlap(one * unit + origin, other * unit + origin) == pytest.approx(overlap(one, other), abs=1e-3)


def test_two_normal_samples_overlap_as_theory_says() -> None:
    """Of two normal densities d deviations apart, 2 Phi(-d / 2); kernels widen them a little."""
    rng = np.random.default_rng(0)
    for apart in (0.0, 1.0, 2.0, 4.0):
        expected = 2 * 0.5 * math.erfc(apart / 2 / math.sqrt(2))
        found = overlap(rng.normal(0, 1, 4000), rng.normal(apart, 1, 4000))
        assert found.area == pytest.approx(expected, abs=0.04)
        if apart < 4:  # further out, the even part of the densities shortens the divergence
            assert found.divergence == pytest.approx(apart**2 / 2, rel=0.15, abs=0.02)


def test_weights_count_pieces() -> None:
    """A weight of 0 takes a number out; equal weights change nothing."""
    rng = np.random.default_rng(1)
    one, other = rng.normal(0, 1, 40), rng.normal(1, 2, 30)
    assert overlap(one, other, np.full(40, 3.0), np.full(30, 0.5)) == pytest.approx(overlap(one, other), abs=1e-9)
    half = np.repeat([1.0, 0.0], 20)
    assert overlap(one, other, half, np.ones(30)).area == pytest.approx(overlap(one[:20], other).area, abs=5e-3)


@law
@given(st.integers(2, 12), st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_distances_are_what_a_slow_loop_finds(n: int, m: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(n, d)), rng.normal(size=(m, d))
    expected = [[math.dist(a, b) for b in other] for a in one]
    np.testing.assert_allclose(distances(one, other), expected)


def test_by_distances_a_set_is_like_another_of_its_kind_and_unlike_a_shifted_one() -> None:
    rng = np.random.default_rng(2)
    one, same, shifted, narrow = (rng.normal(at, wide, (64, 3)) for at, wide in ((0, 1), (0, 1), (3, 1), (0, 0.1)))
    assert Comparison(one, one).overlap().area > 0.95
    alike, apart = Comparison(one, same).overlap(), Comparison(one, shifted).overlap()
    assert alike.area > 0.9 > 0.5 > apart.area
    assert apart.divergence > 10 * alike.divergence
    assert Comparison(one, narrow).overlap().area < alike.area  # pieces that are all the same one


# --- sets of pieces ---------------------------------------------------------------------------------------------------------------


def pieces(works: range, faster: float = 1.0) -> list[NoteColumns]:
    found = []
    for work in works:
        notes = crop(quantise(sustain(played(work))), 0, 15_000).notes.tolist()
        found.append(
            NoteColumns.of(quantise(Performance([(int(on / faster), int(off / faster), key, touch) for on, off, key, touch in notes])))
        )
    return found


def test_music_of_one_kind_reaches_what_real_halves_reach_and_other_music_does_not() -> None:
    reference, second, like = pieces(range(12)), pieces(range(12, 24)), pieces(range(24, 36))
    alike = compare(PieceSets([like], reference, second, paired=False), seed=0, draws=4)
    assert alike.values["mean"].area.value == pytest.approx(alike.values["mean"].reachable_area.value, abs=0.08)
    assert alike.figures["notes a second"].ratio.value == pytest.approx(1, abs=0.15)
    hurried = compare(PieceSets([pieces(range(24, 36), faster=3.0)], reference, second, paired=False), seed=0, draws=4)
    assert hurried.values["notes a second"].area.value < 0.1
    assert hurried.values["mean"].area.value < alike.values["mean"].area.value - 0.1
    assert hurried.distances["mean"].area.value < alike.distances["mean"].area.value - 0.05
    assert hurried.figures["notes a second"].ratio.value == pytest.approx(3, abs=0.5)
    assert hurried.values["velocity, mean"].area.value == pytest.approx(alike.values["velocity, mean"].area.value)


def test_pieces_that_are_the_reference_itself() -> None:
    """Continuations exactly as played: each value overlaps wholly, each ratio is 1."""
    reference, second = pieces(range(6)), pieces(range(6, 12))
    found = compare(PieceSets([reference, reference], reference, second, paired=True), seed=3, draws=4)
    assert all(one.area.value == pytest.approx(1) for one in found.values.values())
    assert all(one.divergence.value == pytest.approx(0, abs=1e-9) for one in found.values.values())
    assert found.figures["keys sounding"].ratio == pytest.approx((1, 1, 1), abs=0.4)
    assert (found.n_ours, found.n_real) == (12, 6)


def test_one_seed_one_report_and_the_larger_set_is_cut() -> None:
    sets = PieceSets([pieces(range(20, 29))], pieces(range(4)), pieces(range(4, 8)), paired=False)
    first, again = (compare(sets, seed=1, draws=2) for _ in range(2))
    cut = compare(sets._replace(ours=[sets.ours[0][:4]]), seed=1, draws=2)
    assert first.to_json() == again.to_json()
    assert first.values == cut.values  # sets of equal size; means are of all pieces
    assert first.figures != cut.figures


def test_intervals_hold_the_value_and_shrink_with_more_pieces() -> None:
    rng = np.random.default_rng(5)
    for n in (10, 1000):
        found = figure_pair(rng.normal(3, 1, n), rng.normal(2, 1, n), seed=0)
        for one, value in ((found.ours, 3), (found.real, 2), (found.difference, 1), (found.ratio, 1.5)):
            assert one.low is not None and one.high is not None
            assert one.low < one.value < one.high
            assert one.high - one.low < 10 / math.sqrt(n)
            assert one.value == pytest.approx(value, abs=4 / math.sqrt(n))


def test_a_ratio_that_says_nothing_is_no_number() -> None:
    for ours, real in (([1.0, 2.0], [0.0, 0.0]), ([-1.0, -2.0], [1.0, 2.0]), ([1.0, 2.0], [-1.0, -1.0]), ([], [1.0])):
        assert math.isnan(figure_pair(np.array(ours), np.array(real), seed=0).ratio.value)
    assert figure_pair(np.array([1.0, math.nan, 3.0]), np.array([2.0]), seed=0).ours.value == 2
