"""What Hypothesis draws: performances in which keys, steps and pedals collide, and token ids from wild to nearly right."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from preludio.performance import Performance, quantise, sustain
from preludio.tokens import VOCAB_SIZE, encode

law = settings(deadline=None)
"""Decorates a property test. No deadline: a loaded machine is slow, not wrong."""

Row = tuple[int, int, int, int]

# Crowded times make keys and steps collide; far ones make shifts of several seconds; the round ones sit on the borders of steps.
crowded_ms = st.integers(0, 120)
near_ms = st.one_of(crowded_ms, st.integers(0, 400).map(lambda n: 5 * n), st.integers(0, 3_000))
times_ms = st.one_of(near_ms, st.integers(0, 20_000))
pitches = st.one_of(st.sampled_from([60, 61, 64]), st.sampled_from([0, 127]), st.integers(0, 127))
velocities = st.one_of(st.sampled_from([1, 3, 4, 64, 127]), st.integers(1, 127))


@st.composite
def note_rows(draw: st.DrawFn) -> Row:
    onset_ms = draw(times_ms)
    return onset_ms, onset_ms + draw(near_ms), draw(pitches), draw(velocities)


@st.composite
def pedal_rows(draw: st.DrawFn) -> tuple[int, int]:
    down_ms = draw(times_ms)
    return down_ms, down_ms + draw(near_ms)


def performances(min_notes: int = 0, max_notes: int = 12, max_pedals: int = 5) -> st.SearchStrategy[Performance]:
    """Anything that a `Performance` may be, within half a minute."""
    return st.builds(
        Performance,
        st.lists(note_rows(), min_size=min_notes, max_size=max_notes),
        st.lists(pedal_rows(), max_size=max_pedals),
    )


def sustained_performances(min_notes: int = 0, max_notes: int = 12) -> st.SearchStrategy[Performance]:
    """Without pedals: every note lasts as long as it sounds."""
    return performances(min_notes, max_notes).map(sustain)


def quantised_performances(min_notes: int = 0, max_notes: int = 12) -> st.SearchStrategy[Performance]:
    """On the grid of the vocabulary and without pedals: what `decode` gives."""
    return sustained_performances(min_notes, max_notes).map(quantise)


# Few keys, shifts and velocities, so that offs meet ons; all specials; what lies outside.
likely_ids = st.sampled_from([60, 61, 127, 188, 189, 255, 256, 265, 354, 355, 356, 372, 387, 388, 389, 390])
any_ids = st.one_of(likely_ids, st.integers(0, VOCAB_SIZE - 1), st.integers(-(2**70), 2**70), st.sampled_from([-1, 391, 65_535, 2**64 - 1]))


def wild_ids(max_size: int = 40) -> st.SearchStrategy[list[int]]:
    """Any row of integers."""
    return st.lists(any_ids, max_size=max_size)


def canonical_ids(min_notes: int = 0, max_notes: int = 12) -> st.SearchStrategy[list[int]]:
    """What `encode` writes."""
    return performances(min_notes, max_notes).map(lambda performance: encode(performance).tolist())


@st.composite
def nearly_canonical_ids(draw: st.DrawFn) -> list[int]:
    """What `encode` writes, with a few ids lost, doubled, swapped or put in: one mistake at a time is what slips past a loose check."""
    ids = draw(canonical_ids(min_notes=1, max_notes=5))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(ids)))
        match draw(st.sampled_from(["lose", "double", "swap", "put in"])):
            case "lose":
                ids = ids[:place] + ids[place + 1 :]
            case "double":
                ids = ids[:place] + ids[place : place + 1] + ids[place:]
            case "swap":
                ids = ids[:place] + ids[place : place + 2][::-1] + ids[place + 2 :]
            case _:
                ids = [*ids[:place], draw(likely_ids), *ids[place:]]
    return ids


def random_generators() -> st.SearchStrategy[np.random.Generator]:
    """For long random walks, which Hypothesis would draw slowly."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)
