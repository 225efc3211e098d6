"""One draw: each filter against a naive definition, exact frequencies, the native draw against the readable one."""

from __future__ import annotations

import ctypes
import dataclasses
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import law

from preludio.compose.request import Request
from preludio.compose.sampling import COLDEST, Dice, Draw, Filters, keep_likeliest, likeliest_strikes, sample, temper
from preludio.engine import native
from preludio.engine.native.library import library
from preludio.engine.native.room import CHOICE_FIELDS
from preludio.errors import RequestError
from preludio.sampling_options import SamplingOptions
from preludio.tokens import VOCAB_SIZE, IdSet

needs_native = pytest.mark.skipif(not native.available(), reason="the package was built without a C compiler")

N = 12  # ids in these tests: the sampler does not care


logit_rows = st.lists(st.floats(-20, 20, width=32), min_size=N, max_size=N).map(lambda row: np.array(row, dtype=np.float32))
masks = st.lists(st.booleans(), min_size=N, max_size=N).filter(any).map(np.array)
filters = st.builds(
    Filters,
    temperature=st.one_of(st.just(0.0), st.floats(COLDEST, 10)),
    top_k=st.integers(0, N + 2),
    top_p=st.one_of(st.just(1.0), st.floats(0.01, 1)),
    min_p=st.floats(0, 1),
    strike_top_p=st.one_of(st.just(1.0), st.floats(0.01, 1)),
)
some_chances = st.one_of(st.just(0.0), st.just(1 - 2**-53), st.floats(0, 1, exclude_max=True))


def bits(allowed: np.ndarray) -> IdSet:
    return sum(1 << int(place) for place in np.flatnonzero(allowed))


def naive_survivors(probabilities: list[float], wish: Filters) -> int:
    """How many of the descending probabilities each filter leaves, by its definition; the least of them."""
    by_min_p = sum(p >= wish.min_p * probabilities[0] for p in probabilities)
    by_k = wish.top_k or len(probabilities)
    by_p, total = 0, 0.0
    while wish.top_p < 1 and by_p < len(probabilities) and total < wish.top_p:
        total += probabilities[by_p]
        by_p += 1
    return max(1, min(by_min_p, by_k, by_p or len(probabilities)))


@law
@given(logit_rows, filters)
def test_the_filters_leave_what_their_definitions_leave(logits: np.ndarray, wish: Filters) -> None:
    descending = np.sort(temper(logits, wish.temperature))[::-1]
    kept = keep_likeliest(descending, wish)
    assert len(kept) == naive_survivors(descending.tolist(), wish)
    assert kept.tolist() == descending[: len(kept)].tolist()


@law
@given(logit_rows, masks, filters, some_chances)
def test_what_is_drawn_is_allowed(logits: np.ndarray, allowed: np.ndarray, wish: Filters, chance: float) -> None:
    assert allowed[sample(logits, allowed, wish, chance)]


def test_the_dice_show_what_the_generator_would_give_one_by_one() -> None:
    rng, dice = np.random.default_rng(5), Dice(np.random.default_rng(5))
    assert [dice.cast() for _ in range(2 * Dice.AT_ONCE + 3)] == [rng.random() for _ in range(2 * Dice.AT_ONCE + 3)]


@law
@given(st.lists(st.floats(-20, 20, width=32), min_size=200, max_size=200), st.floats(0.01, 0.99))
def test_strike_top_p_moves_probability_among_strikes_alone(row: list[float], top_p: float) -> None:
    """The note-ons keep their sum; those that are left are the likeliest, and no fewer would have the share."""
    probabilities = temper(np.array(row, dtype=np.float32), 1.0)
    strikes = probabilities[:128]
    kept = likeliest_strikes(strikes, top_p)
    assert kept.sum() == pytest.approx(strikes.sum())
    least = strikes[kept > 0].min()
    assert (strikes[kept == 0] <= least).all()
    share = strikes[kept > 0].sum() / strikes.sum()
    assert share >= top_p - 1e-9 and share - least / strikes.sum() < top_p + 1e-9


@needs_native
@law
@given(logit_rows, masks, filters, st.floats(0, 1 - 1e-9))
def test_the_native_draw_is_the_same(logits: np.ndarray, allowed: np.ndarray, wish: Filters, chance: float) -> None:
    assert native.draw_one(logits, Draw(wish, bits(allowed), chance)) == sample(logits, allowed, wish, chance)


def test_the_filters_are_the_options_in_their_order() -> None:
    assert list(Filters._fields) == [option.name for option in dataclasses.fields(SamplingOptions)]
    assert list(CHOICE_FIELDS)[: len(Filters._fields)] == list(Filters._fields)


@needs_native
def test_the_c_struct_has_the_layout_that_python_writes() -> None:
    """Two descriptions of one piece of memory: the C compiler is asked for each field's offset and size."""
    at = 0
    for name, code in CHOICE_FIELDS.items():
        size = ctypes.c_int64()
        assert library().choice_offset(name.encode(), ctypes.addressof(size)) == at, name
        assert size.value == struct.calcsize(f"={code}"), name
        at += size.value
    assert library().choice_offset(b"temperament", ctypes.addressof(ctypes.c_int64())) == -1


@needs_native
def test_what_is_beyond_the_vocabulary_is_not_drawn() -> None:
    logits = np.array([0, 0, 0, 50], dtype=np.float32)
    assert native.draw_one(logits[:3], Draw(Filters(), 0b1110, 0.99)) == 2


WISHES = [
    Filters(), Filters(top_p=0.9), Filters(temperature=0.7, top_k=20), Filters(min_p=0.05), Filters(temperature=0.0),
    Filters(strike_top_p=0.9), Filters(strike_top_p=0.3, temperature=1.2, min_p=0.02),
    Filters(temperature=10.0), Filters(temperature=1e-6), Filters(temperature=2.0, top_p=0.99, min_p=0.001, top_k=300),
]  # fmt: skip


@needs_native
@pytest.mark.parametrize("wish", WISHES)
def test_the_native_draw_is_the_same_over_the_whole_vocabulary(wish: Filters) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        logits = rng.normal(0, rng.uniform(0.1, 30), VOCAB_SIZE).astype(np.float32)
        allowed = rng.random(VOCAB_SIZE) < rng.random()
        allowed[rng.integers(VOCAB_SIZE)] = True
        draw = Draw(wish, bits(allowed), rng.random())
        assert native.draw_one(logits, draw) == draw(logits)


@law
@given(logit_rows, st.floats(0.05, 10))
def test_temperature_divides_the_logits(logits: np.ndarray, temperature: float) -> None:
    weights = np.exp((logits.astype(np.float64) - float(logits.max())) / temperature)
    np.testing.assert_allclose(temper(logits, temperature), weights / weights.sum(), rtol=1e-12)


@law
@given(logit_rows, masks, some_chances, st.sampled_from([0.0, 5e-324, 1e-300, 1e-7]))
def test_the_coldest_takes_the_first_of_the_likeliest(logits: np.ndarray, allowed: np.ndarray, chance: float, temperature: float) -> None:
    """A temperature of 1e-300 divided the logits into an overflow."""
    candidates = np.flatnonzero(allowed)
    assert sample(logits, allowed, Filters.of(Request(temperature=temperature)), chance) == candidates[np.argmax(logits[candidates])]


def test_frequencies_are_exact_over_a_grid_of_chances() -> None:
    probabilities = np.array([0.1, 0.0, 0.4, 0.25, 0.25])
    logits = np.log(np.maximum(probabilities, 1e-30)).astype(np.float32)
    grid = (np.arange(1000) + 0.5) / 1000
    drawn = [sample(logits, np.ones(5, dtype=np.bool_), Filters(), chance) for chance in grid]
    assert np.bincount(drawn, minlength=5).tolist() == [100, 0, 400, 250, 250]


def test_the_filtered_share_out_what_the_others_had() -> None:
    logits = np.log(np.array([0.1, 0.5, 0.3, 0.1])).astype(np.float32)
    grid = (np.arange(800) + 0.5) / 800
    drawn = [sample(logits, np.ones(4, dtype=np.bool_), Filters(top_k=2), chance) for chance in grid]
    assert np.bincount(drawn, minlength=4).tolist() == [0, 500, 300, 0]


def test_a_tiny_difference_of_the_logits_draws_alike() -> None:
    """Engines may differ in the last bit of a float32: only a chance that falls on the very border may tell them apart."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (300, 391)).astype(np.float32)
    near = np.nextafter(logits, np.float32(np.inf))
    allowed = np.ones(391, dtype=np.bool_)
    differ = sum(
        sample(a, allowed, Filters(), chance) != sample(b, allowed, Filters(), chance)
        for a, b, chance in zip(logits, near, rng.random(300).tolist(), strict=True)
    )
    assert differ == 0


@pytest.mark.parametrize(
    ("wish", "value"),
    [
        ("seconds", 0), ("seconds", float("nan")), ("seconds", float("inf")), ("seconds", 1e9), ("seconds", "60"), ("seconds", True),
        ("seed", -1), ("seed", 1 << 64), ("seed", 1.5), ("variations", 0), ("variations", 65), ("temperature", -0.1),
        ("temperature", float("nan")), ("top_k", -1), ("top_k", 2.0), ("top_p", 0), ("top_p", 1.01), ("min_p", -0.1), ("min_p", 1.1),
        ("strike_top_p", 0), ("strike_top_p", 1.01), ("prompt_seconds", 0), ("prompt_seconds", float("inf")), ("prompt", b"MThd"),
    ],
)  # fmt: skip
def test_a_wish_out_of_range_is_refused_by_name(wish: str, value: Any) -> None:
    with pytest.raises(RequestError, match=f"^{wish} must be"):
        Request(**{wish: value})
