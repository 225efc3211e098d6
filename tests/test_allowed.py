"""`allowed_after` against `Grammar`: on whole pieces they are the same; on cut rows nothing that the piece goes on with is forbidden."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import performances

from preludio.performance import Performance
from preludio.tokens import END, START, Grammar, encode
from preludio.tokens.allowed import allowed_after


@given(performances())
def test_from_a_pieces_beginning_it_is_the_grammar(performance: Performance) -> None:
    ids = np.array([START, *encode(performance).tolist()])
    found = allowed_after(ids)
    grammar = Grammar()
    for place, token in enumerate(ids.tolist()):
        if token != START:
            grammar.push(token)
        assert np.array_equal(found[place], grammar.allowed()), f"after token {place}"


@given(performances(), st.data())
def test_a_cut_row_allows_all_that_the_piece_goes_on_with(performance: Performance, data: st.DataObject) -> None:
    """The wider mask of a cut row holds what the grammar allows from the beginning; only keys and velocities not met yet are added."""
    ids = np.array([START, *encode(performance).tolist(), END])
    start = data.draw(st.integers(1, len(ids) - 1))
    cut, whole = allowed_after(ids[start:]), allowed_after(ids)[start:]
    assert (cut >= whole).all()


def test_after_the_end_nothing_is_allowed() -> None:
    assert not allowed_after(np.array([END])).any()
