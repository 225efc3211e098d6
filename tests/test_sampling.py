"""One draw: each filter against a naive definition, exact frequencies, one number of the dice per draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import law

from preludio.compose.request import Request
from preludio.compose.sampling import COLDEST, Sampler, keep_likeliest, sample, temper
from preludio.engine import native
from preludio.errors import RequestError
from preludio.tokens import VOCAB_SIZE

needs_native = pytest.mark.skipif(not native.available(), reason="the package was built without a C compiler")

N = 12  # ids in these tests: the sampler does not care


class Dice(np.random.Generator):
    """Shows the numbers it is given, and counts."""

    def __init__(self, *chances: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.chances = list(chances)

    def random(self, *_: Any, **__: Any) -> Any:
        return self.chances.pop(0)


logit_rows = st.lists(st.floats(-20, 20, width=32), min_size=N, max_size=N).map(lambda row: np.array(row, dtype=np.float32))
masks = st.lists(st.booleans(), min_size=N, max_size=N).filter(any).map(np.array)
requests = st.builds(
    Request,
    temperature=st.one_of(st.just(0.0), st.floats(0.0, 10)),
    top_k=st.integers(0, N + 2),
    top_p=st.one_of(st.just(1.0), st.floats(0.01, 1)),
    min_p=st.floats(0, 1),
)
chances = st.one_of(st.just(0.0), st.just(1 - 2**-53), st.floats(0, 1, exclude_max=True))


def naive_survivors(probabilities: list[float], request: Request) -> int:
    """How many of the descending probabilities each filter leaves, by its definition; the least of them."""
    by_min_p = sum(p >= request.min_p * probabilities[0] for p in probabilities)
    by_k = request.top_k or len(probabilities)
    by_p, total = 0, 0.0
    while request.top_p < 1 and by_p < len(probabilities) and total < request.top_p:
        total += probabilities[by_p]
        by_p += 1
    return max(1, min(by_min_p, by_k, by_p or len(probabilities)))


@law
@given(logit_rows, requests)
def test_the_filters_leave_what_their_definitions_leave(logits: np.ndarray, request: Request) -> None:
    descending = np.sort(temper(logits, request.temperature))[::-1]
    kept = keep_likeliest(descending, request)
    assert len(kept) == naive_survivors(descending.tolist(), request)
    assert kept.tolist() == descending[: len(kept)].tolist()


@law
@given(logit_rows, masks, requests, chances)
def test_a_draw_is_allowed_and_takes_one_number(logits: np.ndarray, allowed: np.ndarray, request: Request, chance: float) -> None:
    dice = Dice(chance)
    drawn = sample(logits, allowed, request, dice)
    assert allowed[drawn]
    assert not dice.chances


@needs_native
@law
@given(logit_rows, masks, requests, st.floats(0, 1 - 1e-9))
def test_the_native_draw_is_the_same(logits: np.ndarray, allowed: np.ndarray, request: Request, chance: float) -> None:
    temperature = request.temperature if request.temperature >= COLDEST else 0.0
    draw = native.Draw(N, temperature, request.top_k, request.top_p, request.min_p)
    bits = sum(1 << int(place) for place in np.flatnonzero(allowed))
    assert draw(logits, bits, chance) == sample(logits, allowed, request, Dice(chance))


@needs_native
@pytest.mark.parametrize("wish", [{}, {"top_p": 0.9}, {"top_k": 20, "temperature": 0.7}, {"min_p": 0.05}, {"temperature": 0.0}])
def test_the_native_draw_is_the_same_over_the_whole_vocabulary(wish: dict[str, Any]) -> None:
    request, rng = Request(**wish), np.random.default_rng(0)
    sampler = Sampler(request)
    for _ in range(300):
        logits = rng.normal(0, 3, VOCAB_SIZE).astype(np.float32)
        allowed = rng.random(VOCAB_SIZE) < 0.5
        bits = sum(1 << int(place) for place in np.flatnonzero(allowed))
        chance = rng.random()
        assert sampler(logits, bits, Dice(chance)) == sample(logits, allowed, request, Dice(chance))


@law
@given(logit_rows, st.floats(0.05, 10))
def test_temperature_divides_the_logits(logits: np.ndarray, temperature: float) -> None:
    weights = np.exp((logits.astype(np.float64) - float(logits.max())) / temperature)
    np.testing.assert_allclose(temper(logits, temperature), weights / weights.sum(), rtol=1e-12)


@law
@given(logit_rows, masks, chances, st.sampled_from([0.0, 5e-324, 1e-300, 1e-7]))
def test_the_coldest_takes_the_first_of_the_likeliest(logits: np.ndarray, allowed: np.ndarray, chance: float, temperature: float) -> None:
    """A temperature of 1e-300 divided the logits into an overflow."""
    candidates = np.flatnonzero(allowed)
    assert sample(logits, allowed, Request(temperature=temperature), Dice(chance)) == candidates[np.argmax(logits[candidates])]


def test_frequencies_are_exact_over_a_grid_of_chances() -> None:
    probabilities = np.array([0.1, 0.0, 0.4, 0.25, 0.25])
    logits = np.log(np.maximum(probabilities, 1e-30)).astype(np.float32)
    grid = (np.arange(1000) + 0.5) / 1000
    drawn = [sample(logits, np.ones(5, dtype=np.bool_), Request(top_p=1.0), Dice(chance)) for chance in grid]
    assert np.bincount(drawn, minlength=5).tolist() == [100, 0, 400, 250, 250]


def test_the_filtered_share_out_what_the_others_had() -> None:
    logits = np.log(np.array([0.1, 0.5, 0.3, 0.1])).astype(np.float32)
    grid = (np.arange(800) + 0.5) / 800
    drawn = [sample(logits, np.ones(4, dtype=np.bool_), Request(top_p=1.0, top_k=2), Dice(chance)) for chance in grid]
    assert np.bincount(drawn, minlength=4).tolist() == [0, 500, 300, 0]


def test_a_tiny_difference_of_the_logits_draws_alike() -> None:
    """Engines may differ in the last bit of a float32: only a chance that falls on the very border may tell them apart."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (300, 391)).astype(np.float32)
    near = np.nextafter(logits, np.float32(np.inf))
    allowed = np.ones(391, dtype=np.bool_)
    differ = sum(
        sample(a, allowed, Request(), np.random.default_rng(n)) != sample(b, allowed, Request(), np.random.default_rng(n))
        for n, (a, b) in enumerate(zip(logits, near, strict=True))
    )
    assert differ == 0


@pytest.mark.parametrize(
    ("wish", "value"),
    [
        ("seconds", 0), ("seconds", float("nan")), ("seconds", float("inf")), ("seconds", 1e9), ("seconds", "60"), ("seconds", True),
        ("seed", -1), ("seed", 1 << 64), ("seed", 1.5), ("variations", 0), ("variations", 65), ("temperature", -0.1),
        ("temperature", float("nan")), ("top_k", -1), ("top_k", 2.0), ("top_p", 0), ("top_p", 1.01), ("min_p", -0.1), ("min_p", 1.1),
        ("prompt_seconds", 0), ("prompt_seconds", float("inf")), ("prompt", b"MThd"),
    ],
)  # fmt: skip
def test_a_wish_out_of_range_is_refused_by_name(wish: str, value: Any) -> None:
    with pytest.raises(RequestError, match=f"^{wish} must be"):
        Request(**{wish: value})
