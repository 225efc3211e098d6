"""All that is measured of one model's music, in the order in which it is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from preludio.evaluate.figures import Estimate
from preludio.evaluate.music import classifier, release_calibration
from preludio.evaluate.music.compare import ComparisonResult, PieceSets, compare
from preludio.evaluate.music.composed_pieces import ComposeBatch, PieceFolder, measured_part
from preludio.evaluate.music.copying import Copying, copying
from preludio.evaluate.music.drift import Drift, drift
from preludio.evaluate.music.excerpts import Excerpt, RealMusic, first_minutes
from preludio.evaluate.music.features import NoteColumns
from preludio.evaluate.music.settings import Settings
from preludio.evaluate.pieces import TokenisedPieces
from preludio.evaluate.score import EngineScore
from preludio.performance import Performance

ProgressBars = Callable[[str, float], AbstractContextManager[Callable[[float], None]]]
"""(what is done, how much there is) -> a progress bar, called with how much is done."""

TRAINING_PIECES = 128  # performances of the training split that the classifier learns real music from
KINDS = ("nothing", "continued", "long")


@dataclass(frozen=True)
class ComposedMusic:
    """Composed pieces: what was composed, without the prompts. `continued[take][prompt]`."""

    nothing: list[Performance]
    continued: list[list[Performance]]
    long: list[Performance]

    @classmethod
    def read(cls, batches: Sequence[ComposeBatch], store: PieceFolder, settings: Settings) -> ComposedMusic:
        """What the store has of the jobs."""
        found: dict[str, list[list[Performance]]] = {kind: [] for kind in KINDS}
        for job in batches:
            found[job.names[0].partition("-")[0]].append(store.read(job))
        nothing = [measured_part(piece, settings, settings.seconds, prompted=False) for batch in found["nothing"] for piece in batch]
        long = [measured_part(piece, settings, settings.long_seconds, prompted=False) for batch in found["long"] for piece in batch]
        by_prompt = [[measured_part(piece, settings, settings.seconds, prompted=True) for piece in batch] for batch in found["continued"]]
        return cls(nothing, [list(take) for take in zip(*by_prompt, strict=True)], long)


class ReferenceCorpus(NamedTuple):
    """What the pieces are compared with.

    Attributes:
        real: excerpts of `held_out`.
        training: the split that the model was trained on; None where there is none: copying and the classifier are left out.
    """

    real: RealMusic
    held_out: TokenisedPieces
    training: TokenisedPieces | None


@dataclass(frozen=True)
class Report:
    """Everything. What could not be measured is None."""

    nothing: ComparisonResult
    continued: ComparisonResult
    release_calibration: Mapping[str, Estimate]
    drift: Drift | None
    copying: Mapping[str, Copying] | None
    auc: Mapping[str, Estimate] | None

    def to_json(self) -> dict[str, Any]:
        shared, auc = ({name: one.to_json() for name, one in part.items()} if part else None for part in (self.copying, self.auc))
        return {
            "from_nothing": self.nothing.to_json(),
            "continued": self.continued.to_json(),
            "let_gos": {name: one.to_json() for name, one in self.release_calibration.items()},
            "drift": self.drift.to_json() if self.drift else None,
            "copying": shared,
            "classifier_auc": auc,
        }


def measure(
    music: ComposedMusic, corpus: ReferenceCorpus, score: EngineScore, settings: Settings, bars: ProgressBars, processes: int
) -> Report:
    """
    Args:
        score: gives the model's probabilities.
        processes: how many compute them.
    """
    real, training = corpus.real, corpus.training
    with bars("overlaps", 2.0) as progress:
        nothing = compare(_sets([music.nothing], real.beginnings, paired=False), settings.seed, progress)
        continued = compare(_sets(music.continued, real.continuations, paired=True), settings.seed, lambda share: progress(1 + share))
    chosen = corpus.held_out.drawn(settings.prompts, settings.seed)
    with bars("let-gos", len(chosen)) as progress:
        found = release_calibration.release_calibration(score, chosen, settings.seed, processes, progress)
    changed = None
    if music.long:
        with bars("drift", len(music.long) + len(real.long)) as progress:
            changed = drift(music.long, _music(real.long), settings.seed, progress)
    report = Report(nothing, continued, found, changed, None, None)
    if training is None:
        return report
    with bars("copying", len(training)) as progress:
        shared = copying(_by_kind(music), _real_by_kind(real), training, settings.seed, progress)
    return replace(report, copying=shared, auc=_told_apart(music, real, training, settings, bars))


def _by_kind(music: ComposedMusic) -> dict[str, list[Performance]]:
    return {"from_nothing": music.nothing, "continued": [piece for take in music.continued for piece in take]}


def _real_by_kind(real: RealMusic) -> dict[str, list[Performance]]:
    return {"from_nothing": _music(real.beginnings[0]), "continued": _music(real.continuations[0])}


def _told_apart(
    music: ComposedMusic, real: RealMusic, training: TokenisedPieces, settings: Settings, bars: ProgressBars
) -> dict[str, Estimate]:
    """The classifier's AUC. Continuations: the first take of each prompt, so that no piece is there in several guises."""
    with bars("reading", TRAINING_PIECES) as progress:
        begins, continued = first_minutes(training, TRAINING_PIECES, settings, progress)
    asked = {
        "from_nothing": (music.nothing, begins, real.beginnings),
        "continued": (music.continued[0], continued, real.continuations),
        "real_beginnings": (_music(real.beginnings[1]), begins, (real.beginnings[0], [])),
    }
    found = {}
    with bars("classifier", len(asked)) as progress:
        for name, (ours, learned, (held_out, more)) in asked.items():
            mine, known, other = (classifier.windows(pieces) for pieces in (ours, _music(learned), _music([*held_out, *more])))
            found[name] = classifier.cross_validated(mine, known, other, settings.seed).estimate(settings.seed)
            progress(len(found))
    return found


def _sets(ours: Sequence[Sequence[Performance]], real: tuple[list[Excerpt], list[Excerpt]], *, paired: bool) -> PieceSets:
    reference, second = ([NoteColumns.of(piece) for piece in _music(half)] for half in real)
    return PieceSets([[NoteColumns.of(piece) for piece in take] for take in ours], reference, second, paired)


def _music(excerpts: Sequence[Excerpt]) -> list[Performance]:
    return [excerpt.music for excerpt in excerpts]
