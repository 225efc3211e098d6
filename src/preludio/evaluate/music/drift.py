"""What changes within a piece: each figure in its last quarter beside its first. A model that forgets keys grows thicker as it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from preludio.evaluate.music.compare import FigurePair, figure_pair
from preludio.evaluate.music.features import FIGURES, TAILS, Figure, NoteColumns
from preludio.evaluate.music.structure import STRUCTURE
from preludio.performance import Performance, crop

ProgressCallback = Callable[[float], None]

DRIFTING: tuple[Figure, ...] = (*FIGURES, *TAILS, *STRUCTURE)


class Drift(NamedTuple):
    """Figure -> (last quarter, first quarter, last over first), of our pieces and of real ones."""

    n_ours: int
    n_real: int
    ours: Mapping[str, FigurePair]
    real: Mapping[str, FigurePair]

    def to_json(self) -> dict[str, Any]:
        sides = {"ours": self.ours, "real": self.real}
        named = {side: {name: _named(one) for name, one in pairs.items()} for side, pairs in sides.items()}
        return {"pieces": self.n_ours, "real_pieces": self.n_real} | named


def _named(quarters: FigurePair) -> dict[str, Any]:
    return dict(zip(("last", "first", "ratio", "difference"), quarters.to_json().values(), strict=True))


def drift(ours: Sequence[Performance], real: Sequence[Performance], seed: int, progress: ProgressCallback | None = None) -> Drift:
    """Of pieces of any length; one that ended early has shorter quarters. `progress` hears how many pieces are done."""
    found = []
    done = 0
    for pieces in (ours, real):
        quarters = []
        for piece in pieces:
            quarters.append(ends(piece))
            done += 1
            if progress is not None:
                progress(done)
        found.append({figure.name: _of(figure, quarters, seed) for figure in DRIFTING})
    return Drift(len(ours), len(real), found[0], found[1])


def ends(piece: Performance) -> tuple[NoteColumns, NoteColumns]:
    """A piece's last quarter and its first."""
    quarter = piece.duration_ms // 4
    last = crop(piece, piece.duration_ms - quarter)
    return NoteColumns.of(last), NoteColumns.of(crop(piece, 0, quarter))


def _of(figure: Figure, quarters: Sequence[tuple[NoteColumns, NoteColumns]], seed: int) -> FigurePair:
    values = np.array([[figure.of(quarter) for quarter in both] for both in quarters]).reshape(-1, 2)
    values = values[np.isfinite(values).all(axis=1)]
    return figure_pair(values[:, 0], values[:, 1], seed, paired=True)
