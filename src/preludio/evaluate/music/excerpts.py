"""The real music that composed pieces are compared with: beginnings, continuations of prompts, long beginnings.

Each excerpt of a kind is of a performance of its own.

Performances are taken in the order of a seeded draw, so that a larger measurement contains the excerpts of a smaller one. Two groups of
equal size are drawn: the first is the reference and gives the prompts, the second shows how alike two groups of real music are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from preludio.errors import PreludioError, PreludioWarning
from preludio.evaluate.music.settings import Settings
from preludio.evaluate.pieces import TokenisedPieces
from preludio.performance import STEP_MS, Performance, crop
from preludio.tokens import decode

ProgressCallback = Callable[[float], None]


@dataclass(frozen=True)
class Excerpt:
    """A part of a performance, the pedal resolved, on the grid of the vocabulary.

    Attributes:
        name: of the performance, and where in it the part begins.
        music: the part, moved to 0 ms.
        prompted: of a continuation: the prompt and the part after it, moved to 0 ms. The whole, so that a composer that is told to go on
            from within it (`Request.prompt_seconds`) finds the keys down that were down there.
    """

    name: str
    music: Performance
    prompted: Performance | None = None


@dataclass
class RealMusic:
    """Excerpts by kind: two groups of beginnings and of continuations (reference, second half), and first minutes of long performances."""

    beginnings: tuple[list[Excerpt], list[Excerpt]] = field(default_factory=lambda: ([], []))
    continuations: tuple[list[Excerpt], list[Excerpt]] = field(default_factory=lambda: ([], []))
    long: list[Excerpt] = field(default_factory=list)


def real_music(pieces: TokenisedPieces, settings: Settings, progress: ProgressCallback | None = None) -> RealMusic:
    """Draws the excerpts of a split.

    Warns:
        PreludioWarning: there are fewer performances than asked for; how many are used instead.

    Raises:
        PreludioError: fewer than four performances are long enough.
    """
    batches = 2 * max(settings.prompts, settings.pieces)
    begins, continued, long = [], [], []
    for number, (name, performance) in enumerate(_drawn(pieces, settings.seed), 1):
        if performance.duration_ms >= settings.milliseconds:
            begins.append(Excerpt(name, crop(performance, 0, settings.milliseconds)))
        if performance.duration_ms >= settings.milliseconds + _prompt_ms(settings):
            continued.append(_continuation(name, performance, settings, number))
        if performance.duration_ms >= 1000 * settings.long_seconds and settings.long_pieces:
            long.append(Excerpt(name, crop(performance, 0, round(1000 * settings.long_seconds))))
        if progress is not None:
            progress(number)
        if min(len(begins), len(continued)) >= batches and len(long) >= settings.long_pieces:
            break
    _require(continued, pieces.where, settings, batches)
    return RealMusic(_halves(begins, settings.pieces), _halves(continued, settings.prompts), long[: max(settings.long_pieces, 32)])


def first_minutes(
    pieces: TokenisedPieces, n: int, settings: Settings, progress: ProgressCallback | None = None
) -> tuple[list[Excerpt], list[Excerpt]]:
    """(beginnings, continuations) of n performances of a split, for what is trained on it; as many as there are."""
    begins, continued = [], []
    for number, (name, performance) in enumerate(_drawn(pieces, settings.seed), 1):
        if performance.duration_ms >= settings.milliseconds + _prompt_ms(settings):
            begins.append(Excerpt(name, crop(performance, 0, settings.milliseconds)))
            continued.append(_continuation(name, performance, settings, number))
        if progress is not None:
            progress(len(begins))
        if len(begins) >= n:
            break
    return begins, continued


def _drawn(pieces: TokenisedPieces, seed: int) -> Iterator[tuple[str, Performance]]:
    order = np.random.default_rng(seed).permutation(len(pieces))
    for piece in replace(pieces, numbers=[pieces.numbers[place] for place in order]):
        yield piece.name, decode(piece.ids)


def _prompt_ms(settings: Settings) -> int:
    return round(1000 * settings.prompt_seconds / STEP_MS) * STEP_MS


def _continuation(name: str, performance: Performance, settings: Settings, number: int) -> Excerpt:
    """A prompt at a random place of the performance, and what was really played after it."""
    prompt_ms = _prompt_ms(settings)
    room = (performance.duration_ms - settings.milliseconds - prompt_ms) // STEP_MS
    start_ms = STEP_MS * int(np.random.default_rng([settings.seed, number]).integers(0, room + 1))
    prompted = crop(performance, start_ms, start_ms + prompt_ms + settings.milliseconds)
    return Excerpt(f"{name} from {start_ms / 1000:g} s", crop(prompted, prompt_ms), prompted)


def _halves(excerpts: list[Excerpt], n: int) -> tuple[list[Excerpt], list[Excerpt]]:
    n = min(n, len(excerpts) // 2)
    return excerpts[:n], excerpts[n : 2 * n]


def _require(continued: list[Excerpt], where: str, settings: Settings, batches: int) -> None:
    least = settings.seconds + settings.prompt_seconds
    if len(continued) < 4:
        raise PreludioError(f"{where}: {len(continued)} performances last {least:g} s; four are needed: use more music or fewer seconds")
    if len(continued) < batches:
        warnings.warn(
            f"{where}: {len(continued):,} performances last {least:g} s, and {batches:,} are wanted: {len(continued) // 2:,} in each half",
            PreludioWarning,
            stacklevel=3,
        )
