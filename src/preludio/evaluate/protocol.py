"""Pieces -> passes -> sums. There are sums and one division at the end; never a mean of means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.corpus.workers import parallel_map
from preludio.errors import PreludioError
from preludio.evaluate.figures import Likelihood, PieceSums
from preludio.evaluate.pieces import TokenisedPiece
from preludio.evaluate.score import Nats, Score
from preludio.evaluate.segmentation import PAPER_SEGMENTATION, Segmentation
from preludio.tokens import NOTE_OFF, PAD, TIME_SHIFT, VELOCITY, VOCAB_SIZE, is_note_on, shift_steps

ProgressCallback = Callable[[float], None]
Integers = npt.NDArray[np.int64]


def likelihood(
    score: Score, pieces: Iterable[TokenisedPiece], cut: Segmentation = PAPER_SEGMENTATION, *, batch: int = 1, processes: int = 1
) -> Likelihood:
    """The likelihood of pieces by one cut; see `likelihoods`."""
    return likelihoods(score, pieces, [cut], batch=batch, processes=processes)[0]


def likelihoods(
    score: Score,
    pieces: Iterable[TokenisedPiece],
    cuts: Sequence[Segmentation],
    *,
    batch: int = 1,
    processes: int = 1,
    progress: ProgressCallback | None = None,
) -> list[Likelihood]:
    """The likelihood of pieces by each cut. What two cuts share is computed once, so segments cost nothing beside a sliding context.

    PAD, START and END are taken out of the pieces first: they are neither predicted nor seen.

    Args:
        score: what computes; with several processes it must be picklable.
        batch: how many passes of one length go through `score` at once, all of one piece.
        processes: how many compute; the result is the same to the last bit. Each uses the threads of its own linear algebra.
        progress: called with how many pieces are done, and parts of one.

    Raises:
        PreludioError: nothing can be scored, ids are of another vocabulary, or the model gives no finite probabilities.
    """
    sums: list[list[PieceSums]] = [[] for _ in cuts]
    for batch_of_passes, nats in _in_order(score, _batches(pieces, cuts, batch), processes):
        for one, cut in zip(sums, cuts, strict=True):
            if batch_of_passes.is_first:
                one.append(
                    PieceSums.empty(
                        batch_of_passes.piece.name, _n_notes(batch_of_passes.piece), _seconds(batch_of_passes.piece), cut.window
                    )
                )
        _add(sums, batch_of_passes, nats)
        if progress is not None:
            progress(batch_of_passes.done)
    found = [Likelihood.of(cut, one) for cut, one in zip(cuts, sums, strict=True)]
    if not all(one.n_tokens for one in found):
        raise PreludioError("nothing to score: no piece has two tokens; choose other music")
    return found


class _Batch(NamedTuple):
    """Passes of one length over one piece, to be computed at once."""

    piece: TokenisedPiece
    passes: list[tuple[int, int]]  # (start, stop)
    firsts: list[list[int | None]]  # for each pass and each cut, where its predictions begin to count
    is_first: bool  # of its piece
    done: float  # pieces, once this is done

    @property
    def ids(self) -> Integers:
        return np.stack([self.piece.ids[start:stop] for start, stop in self.passes]).astype(np.int64)


def _batches(pieces: Iterable[TokenisedPiece], cuts: Sequence[Segmentation], batch: int) -> Iterator[_Batch]:
    for number, given in enumerate(pieces):
        piece = TokenisedPiece(given.name, _events(given))
        firsts: dict[tuple[int, int], list[int | None]] = {}
        for place, cut in enumerate(cuts):
            for span in cut.spans(len(piece.ids)):
                firsts.setdefault(span[:2], [None] * len(cuts))[place] = span.first
        groups = list(_groups(sorted(firsts, key=lambda span: (span[0] - span[1], span)), batch))
        for nth, group in enumerate(groups):
            yield _Batch(piece, group, [firsts[one] for one in group], nth == 0, number + (nth + 1) / len(groups))


def _groups(passes: Sequence[tuple[int, int]], batch: int) -> Iterator[list[tuple[int, int]]]:
    """Up to `batch` neighbours of one length."""
    for _, same in groupby(passes, key=lambda span: span[1] - span[0]):
        row = list(same)
        yield from (row[start : start + batch] for start in range(0, len(row), batch))


def _events(piece: TokenisedPiece) -> npt.NDArray[np.uint16]:
    """A piece's ids without PAD, START and END."""
    if len(piece.ids) and int(piece.ids.max()) >= VOCAB_SIZE:
        remedy = f"the vocabulary ends at {VOCAB_SIZE - 1}: prepare the data again"
        raise PreludioError(f"{piece.name}: holds the id {int(piece.ids.max())}, and {remedy}")
    return piece.ids[piece.ids < PAD]


def _n_notes(piece: TokenisedPiece) -> int:
    return int(is_note_on(piece.ids).sum())


def _seconds(piece: TokenisedPiece) -> float:
    return float(shift_steps(piece.ids).sum()) / 100  # a step is 10 ms


def _in_order(score: Score, jobs: Iterator[_Batch], processes: int) -> Iterator[tuple[_Batch, Nats]]:
    """Each job and its result, in the order of the jobs, whichever process was done first: sums must not depend on it."""
    if processes == 1:
        yield from ((batch_of_passes, score(batch_of_passes.ids)) for batch_of_passes in jobs)
        return
    waiting: dict[int, _Batch] = {}
    done: dict[int, Nats] = {}

    def tasks() -> Iterator[tuple[int, Integers]]:
        for number, batch_of_passes in enumerate(jobs):
            waiting[number] = batch_of_passes
            yield number, batch_of_passes.ids

    wanted = 0
    for number, nats in parallel_map(_scored, score, tasks(), processes):
        done[number] = nats
        while wanted in done:
            yield waiting.pop(wanted), done.pop(wanted)
            wanted += 1


def _scored(score: Score, task: tuple[int, Integers]) -> tuple[int, Nats]:
    number, ids = task
    return number, score(ids)


def _add(sums: Sequence[Sequence[PieceSums]], batch_of_passes: _Batch, nats: Nats) -> None:
    if not np.isfinite(nats if nats.ndim == 2 else nats[..., 0]).all():
        raise PreludioError(
            f"{batch_of_passes.piece.name}: the model gives no finite probabilities; its weights are broken: train it again"
        )
    plain, with_grammar = (nats, None) if nats.ndim == 2 else (nats[..., 0], nats[..., 1])
    for number, ((start, stop), firsts) in enumerate(zip(batch_of_passes.passes, batch_of_passes.firsts, strict=True)):
        assert plain[number].shape == (stop - start - 1,), f"{plain[number].shape} negative log-likelihoods for {stop - start} ids"
        for one, first in zip(sums, firsts, strict=True):
            if first is not None:
                scored = slice(first - start - 1, None)
                one[-1].add(_kinds(batch_of_passes.piece.ids[first:stop]), np.arange(first - start, stop - start), plain[number, scored])
                one[-1].add_with_grammar(None if with_grammar is None else with_grammar[number, scored])


def _kinds(ids: npt.NDArray[np.uint16]) -> Integers:
    """Ids -> indices into `figures.KINDS`."""
    kinds: Integers = np.searchsorted([NOTE_OFF, TIME_SHIFT, VELOCITY], ids, side="right")
    return kinds
