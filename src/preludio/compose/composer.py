"""A musical request -> notes, as they are decided, and whole pieces.

Three levels, each the one below in a loop: `Take` (one event), `Composer.stream` (notes), `Composer.compose` (a piece).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from preludio import checkpoint
from preludio.checkpoint import DEFAULT_MODEL
from preludio.compose.prompt import Prompt, prepare
from preludio.compose.request import Request
from preludio.compose.take import Note, Take
from preludio.engine import AUTO, Engine, open_engine
from preludio.performance import STEP_MS, Performance, join

Progress = Callable[[float], None]
STEPS_A_REPORT = 16  # drawing a bar takes as long as a tenth of a step


class Piece(NamedTuple):
    """What was made: the whole performance, of which the first `prompt_ms` are the prompt."""

    performance: Performance
    prompt_ms: int


class Composer:
    """A model, ready to compose. It keeps no state between requests, and several may be answered side by side."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def from_pretrained(cls, model: str | os.PathLike[str] = DEFAULT_MODEL, engine: str = AUTO) -> Composer:
        """The bundled model of that name, or the one in that directory.

        Raises:
            CheckpointError: it is missing, damaged, or made for another vocabulary.
            RequestError: there is no such engine.
        """
        return cls(open_engine(checkpoint.load(model), engine))

    def compose(self, prompt: Performance | None = None, *, progress: Progress | None = None, **wishes: Any) -> Performance:
        """One piece, the prompt included. `wishes` are the fields of `Request`: seconds, seed, temperature ...

        Args:
            prompt: what to go on from; None for a piece from nothing.
            progress: called now and then with the seconds composed so far.

        Raises:
            RequestError: a wish cannot be met.
        """
        return self.takes(Request(prompt=prompt, **wishes), progress=progress)[0].performance

    def takes(self, request: Request, *, progress: Progress | None = None) -> list[Piece]:
        """All variations of a request, decoded as one batch; each is a whole piece, the prompt included."""
        prompt = prepare(request.prompt, request.prompt_seconds, self.engine.config.window, request.keep_silence)
        notes: list[list[Note]] = [[] for _ in range(request.variations)]
        for number, note in self._decide(request, prompt, progress):
            notes[number].append(note)
        return [Piece(join([prompt.kept, Performance(take)]), prompt.cut_step * STEP_MS) for take in notes]

    def stream(self, request: Request, *, progress: Progress | None = None) -> Iterator[tuple[int, Note]]:
        """Yields (number of the take, note) at the moment that a note's end is decided: in the order of the ends.

        A key that was held where the prompt was cut comes too, with its onset before the cut. The prompt's other notes do not.
        Closing the iterator stops the work.
        """
        prompt = prepare(request.prompt, request.prompt_seconds, self.engine.config.window, request.keep_silence)
        return self._decide(request, prompt, progress)

    def _decide(self, request: Request, prompt: Prompt, progress: Progress | None) -> Iterator[tuple[int, Note]]:
        """All takes step by step, one batch, those that are over dropped from it."""
        takes = [Take(request, prompt, number) for number in range(request.variations)]
        session = self.engine.session()
        [logits] = session.feed(prompt.context[None])
        session = session.fork([0] * len(takes))
        draws = [take.draw for take in takes]
        chosen = [draw(logits) for draw in draws]
        session.begin(chosen)
        for step in itertools.count():
            over = False
            for take, token in zip(takes, chosen, strict=True):
                for note in take.push(token):
                    yield take.number, note
                over = over or take.over
            if progress is not None and (step % STEPS_A_REPORT == 0 or over):
                progress(min(take.composed_seconds for take in takes))
            if over:
                going_on = [row for row, take in enumerate(takes) if not take.over]
                if not going_on:
                    return
                takes, session = [takes[row] for row in going_on], session.fork(going_on)
                draws = [take.draw for take in takes]
            chosen = session.draw(draws)
