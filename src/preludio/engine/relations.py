"""The musical state of a session's rows, and what the output relations add to their logits, in NumPy (see preludio.tokens.relations)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.tokens import relations
from preludio.tokens.relations import States, Tracker

__all__ = ["Indices", "Rows", "States", "add_related", "part_of"]

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int16]

_SPANS = [slot[:2] for slot in relations.DIRECT_SLOTS] + [slot[:2] for slot in relations.DIFFERENCE_SLOTS]  # (column, width)
MOST_AT_ONCE = 4096  # ids of a row whose states are computed together: that takes 10 KiB for each


class Row:
    """The state of one row, and the ids since an earlier state, to go back by."""

    def __init__(self, reach: int) -> None:
        """reach: how many ids can be taken back."""
        self.now = Tracker()
        self._reach = reach
        self._before = Tracker()  # the state before the first of `_ids`
        self._ids: list[int] = []

    def push(self, token: int) -> None:
        self.now.push(token)
        self._ids.append(token)
        if len(self._ids) == 2 * self._reach:
            _push_all(self._before, self._ids[: self._reach])
            del self._ids[: self._reach]

    def rewind(self, n: int) -> None:
        del self._ids[len(self._ids) - n :]
        self.now = copy.deepcopy(self._before)
        _push_all(self.now, self._ids)


def _push_all(tracker: Tracker, ids: Sequence[int]) -> None:
    for token in ids:
        tracker.push(token)


class Rows:
    """The states of all rows of a session."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    @classmethod
    def new(cls, batch: int, reach: int) -> Rows:
        """Return `batch` rows that nothing was fed to; `reach` ids of each can be taken back."""
        return cls([Row(reach) for _ in range(batch)])

    def feed(self, ids: npt.NDArray[np.integer[Any]], is_first: bool, wants_all: bool) -> tuple[Indices, States]:
        """Move on by ids (batch, n); with `is_first`, nothing was fed before.

        Returns:
            The rows to add to the embedding of each position, (batch, n, 3); and the states after all positions, of leading shape
            (batch, n), or, without `wants_all`, after the last one, (batch, 1).
        """
        at_once = relations.states(ids) if is_first and wants_all and 1 < ids.shape[1] <= MOST_AT_ONCE else None
        bases: list[Indices] = []
        states: list[States] = []
        for row, tokens in zip(self._rows, ids.tolist(), strict=True):
            for number, token in enumerate(tokens, 1):
                row.push(token)
                bases.append(row.now.bases())
                if at_once is None and (wants_all or number == len(tokens)):
                    states.append(row.now.now())
        inputs = relations.input_indices(np.array(bases).reshape(*ids.shape, relations.N_BASES))
        return inputs, at_once or _by_row(states, len(ids))

    def fork(self, rows: Sequence[int]) -> Rows:
        return Rows([copy.deepcopy(self._rows[row]) for row in rows])

    def rewind(self, n: int) -> None:
        for row in self._rows:
            row.rewind(n)


def _by_row(states: list[States], batch: int) -> States:
    """Single states, row after row -> one of leading shape (batch, n)."""
    direct, bases, shares = (np.stack(arrays) for arrays in zip(*states, strict=True))
    n = len(states) // batch
    return States(
        direct=direct.reshape(batch, n, -1), bases=bases.reshape(batch, n, -1), shares=shares.reshape(batch, n, *shares.shape[1:])
    )


def part_of(states: States, start: int, stop: int) -> States:
    """The states at positions start ... stop - 1."""
    return States(states.direct[:, start:stop], states.bases[:, start:stop], states.shares[:, start:stop])


def add_related(logits: Floats, products: Floats, states: States) -> None:
    """Add what the states name: products (batch, n, N_ROWS) of the last hidden states and the relation rows, to logits (batch, n, 391)."""
    named = np.take_along_axis(products, relations.output_indices(states), axis=-1)
    place = 0
    for column, width in _SPANS:
        logits[..., column : column + width] += named[..., place : place + width]
        place += width
    turned = states.shares[..., relations.TURNS]  # (batch, n, half-lives, class, interval)
    by_interval = products[..., relations.N_SLOT_ROWS :].reshape(*states.shares.shape[:-1], 1, relations.N_CLASSES)
    by_class = (turned * by_interval).sum(axis=(-1, -3))
    logits[..., : relations.N_KEYS] += by_class[..., np.arange(relations.N_KEYS) % relations.N_CLASSES]
