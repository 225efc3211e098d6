"""What composed pieces share with the training split, beside what real held-out music shares with it (see `originality`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from preludio.evaluate.music.compare import FigurePair, figure_pair
from preludio.evaluate.originality import KnownRuns, SharedRun, onset_pitches, onset_pitches_of_ids
from preludio.evaluate.pieces import TokenisedPieces
from preludio.performance import Performance
from preludio.tokens import Ids

ProgressCallback = Callable[[float], None]

LENGTHS = (8, 12, 16, 24)  # strikes
MAX_COPIES = 10  # that are named


class CopiedRun(NamedTuple):
    """A run of our piece number `piece`: so many strikes from strike number `start` on are also in the training piece `known`."""

    piece: int
    length: int
    start: int
    known: str


class Copying(NamedTuple):
    """Of one kind of pieces.

    longest: the longest known run of each piece, strikes, mean.
    most: the longest of all our pieces, and of all real ones.
    shares: length -> the share of a piece's runs of so many strikes that are known, mean.
    each: the longest run of each of our pieces and of each real one, for pictures.
    copies: our longest ones.
    """

    longest: FigurePair
    most: tuple[int, int]
    shares: Mapping[int, FigurePair]
    each: tuple[Sequence[int], Sequence[int]]
    copies: Sequence[CopiedRun]

    def to_json(self) -> dict[str, Any]:
        return {
            "longest_run": self.longest.to_json(),
            "longest_run_of_all": dict(zip(("ours", "real"), self.most, strict=True)),
            "known_runs": {str(length): one.to_json() for length, one in self.shares.items()},
            "longest_copies": [copy._asdict() for copy in self.copies],
        }


def copying(
    ours: Mapping[str, Sequence[Performance]],
    real: Mapping[str, Sequence[Performance]],
    training: TokenisedPieces,
    seed: int,
    progress: ProgressCallback | None = None,
) -> dict[str, Copying]:
    """For each kind of pieces, ours and real ones of the same names of kinds: one pass over the training split answers for all."""
    groups = [group for kind in ours for group in (ours[kind], real[kind])]
    names: list[str] = []
    runs = KnownRuns([onset_pitches(piece) for group in groups for piece in group])
    runs.search((onset_pitches_of_ids(ids) for ids in _named(training, names)), progress)
    all_runs, shares = runs.runs(), {length: runs.shares(length) for length in LENGTHS}
    ends = np.cumsum([0, *map(len, groups)]).tolist()
    parts = [slice(*both) for both in pairwise(ends)]
    return {
        kind: _of(all_runs[mine], all_runs[theirs], {length: (row[mine], row[theirs]) for length, row in shares.items()}, names, seed)
        for kind, mine, theirs in zip(ours, parts[::2], parts[1::2], strict=True)
    }


def _named(training: TokenisedPieces, names: list[str]) -> Iterator[Ids]:
    for piece in training:
        names.append(piece.name)
        yield piece.ids


def _of(
    ours: Sequence[SharedRun],
    real: Sequence[SharedRun],
    shares: Mapping[int, tuple[Sequence[float], Sequence[float]]],
    names: Sequence[str],
    seed: int,
) -> Copying:
    longest, theirs = ([run.length for run in runs] for runs in (ours, real))
    first = sorted(range(len(ours)), key=lambda number: -longest[number])[:MAX_COPIES]
    copies = [CopiedRun(number, ours[number].length, ours[number].start, names[ours[number].known]) for number in first if longest[number]]
    by_length = {length: figure_pair(np.array(mine), np.array(other), seed) for length, (mine, other) in shares.items()}
    most = max(longest, default=0), max(theirs, default=0)
    return Copying(figure_pair(np.array(longest, float), np.array(theirs, float), seed), most, by_length, (longest, theirs), copies)
