"""A wish -> notes, each kept before it is told."""

from __future__ import annotations

import dataclasses
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from preludio.compose import Composer, Note, Request
from preludio.performance import Performance
from preludio.sampling_options import OPTION_NAMES, SamplingOptions
from preludio.studio.models import Models
from preludio.studio.music import COMPOSED, Beginning, Music, Row, Strikes, pack, wire
from preludio.studio.store import Changed, NewVersion, Store
from preludio.studio.turns import Stopped, Tell

FLUSH_SECONDS = 0.05  # notes are kept and told so often: the page draws no faster
TELL_SECONDS = 0.15  # how far the work is, if no note says so


@dataclass(frozen=True)
class Wish:
    """What to compose: the fields of `preludio.Request` that the page shows."""

    seconds: float = 60.0
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    seed: int | None = None  # None for a new one each time
    takes: int = 1
    model: str | None = None  # its name; None for the default

    def request(self, prompt: Performance | None, prompt_seconds: float | None = None) -> Request:
        seed = secrets.randbelow(1_000_000) if self.seed is None else self.seed
        return Request(prompt, prompt_seconds, self.seconds, seed, self.takes, **dataclasses.asdict(self.sampling))


@dataclass(frozen=True)
class Place:
    """Where to go on: a moment of a piece."""

    piece: str | None = None  # None for a new one
    from_ms: int | None = None  # None for its end
    seen: str | None = None  # the piece's `mark` as the page shows it; None goes on from whatever is there


@dataclass
class Draft:
    """The versions that one request fills, a take each."""

    piece: str
    is_new: bool
    parent: int | None
    versions: list[int]
    prompt_ms: int  # up to where all is a person's
    n_notes: int = 0


@dataclass(frozen=True)
class Work:
    """What is composed, and by which model."""

    composer: Composer
    request: Request
    model: str


class Studio:
    """Composes into the store. One for the whole server; its methods run in threads."""

    def __init__(self, models: Models, store: Store) -> None:
        self.models, self.store = models, store

    def compose(self, place: Place, wish: Wish, tell: Tell, stop: threading.Event) -> None:
        """Goes on from a place in a piece, or from nothing in a new one.

        Raises:
            Changed: the piece is no longer as it was seen.
        """
        piece, from_ms = place.piece, place.from_ms
        head = None if piece is None else self.store.piece(piece)["head"]
        music = self.store.music(head)
        prompt_ms = 0 if piece is None or head is None else self.store.version(piece, head)["prompt_ms"]
        end_ms = music.performance.duration_ms
        composer = self.models.composer(wish.model)
        beginning = Beginning.of(music, end_ms if from_ms is None else min(from_ms, end_ms), composer.engine.config.window)
        request = wish.request(beginning.prompt, None if from_ms is None or beginning.prompt is None else min(from_ms, end_ms) / 1000)
        work = Work(composer, request, self.models.name(wish.model))
        draft = self._begin(place, head, beginning, min(prompt_ms, beginning.from_ms), work)
        try:
            facts = self._facts(draft, request, beginning)
            tell({"event": "started"} | facts)
            self._fill(draft, work, Strikes(music), tell, stop)
            self.store.finish(draft.versions)
        except Stopped:
            self._keep_or_drop(draft)
            raise
        except BaseException:
            self._keep_or_drop(draft)
            raise
        tell({"event": "done", "piece": self.store.piece(draft.piece)})

    def answer(self, phrase: Performance, wish: Wish, tell: Tell, stop: threading.Event) -> None:
        """What the model says to a phrase, with times counted on from the phrase's; nothing is kept, for it may not be heard to its end."""
        from_ms = phrase.duration_ms
        for _, note in self.models.composer(wish.model).stream(wish.request(phrase), progress=_watch(stop)):
            if note.onset_ms >= from_ms - 20:
                tell({"event": "notes", "notes": [wire(note, COMPOSED)]})
        tell({"event": "done"})

    def _begin(self, place: Place, head: int | None, beginning: Beginning, prompt_ms: int, work: Work) -> Draft:
        kind, request = "compose" if beginning.prompt is None else "again", work.request
        wishes = {name: getattr(request, name) for name in ("seconds", "seed", *OPTION_NAMES)} | {"model": work.model}
        drafts = [
            NewVersion(kind, beginning.kept, beginning.from_ms, prompt_ms, wishes | {"take": take}, finished=False)
            for take in range(request.variations)
        ]
        with self.store.writing():
            if place.piece is not None:
                self.store.expect(place.piece, place.seen)
                if self.store.piece(place.piece)["head"] != head:  # what the beginning was taken from
                    raise Changed
            piece = place.piece or self.store.create()
            versions = [self.store.add_version(piece, draft) for draft in drafts]
            if len(versions) == 1:
                self.store.set_head(piece, versions[0])
            else:
                self.store.set_choosing(piece, versions)
        return Draft(piece, place.piece is None, head, versions, prompt_ms)

    def _facts(self, draft: Draft, request: Request, beginning: Beginning) -> dict[str, Any]:
        return {
            "piece": self.store.piece(draft.piece),
            "versions": draft.versions,
            "from_ms": beginning.from_ms,
            "prompt_ms": draft.prompt_ms,
            "seconds": request.seconds,
            "seed": request.seed,
            "kept": beginning.kept.rows(),
        }

    def _fill(self, draft: Draft, work: Work, strikes: Strikes, tell: Tell, stop: threading.Event) -> None:
        """Notes in small batches: into the store, then to the page."""
        batch = Batch(self.store, draft, strikes, tell)

        def progress(seconds: float) -> None:
            if stop.is_set():
                batch.flush()
                raise Stopped
            batch.progress(seconds)

        for take, note in work.composer.stream(work.request, progress=progress):
            batch.add(take, note)
        batch.flush()

    def _keep_or_drop(self, draft: Draft) -> None:
        """What has notes stays, unfinished. What has none never was."""
        if draft.n_notes:
            return
        if draft.is_new:
            self.store.discard(draft.piece)
            return
        with self.store.writing():
            facts = self.store.piece(draft.piece)
            if facts["head"] in draft.versions or facts["choosing"] == draft.versions:  # nobody has gone elsewhere meanwhile
                self.store.set_head(draft.piece, draft.parent)
            for version in draft.versions:
                self.store.drop_version(version)


class Batch:
    """Notes that are decided and not yet kept."""

    def __init__(self, store: Store, draft: Draft, strikes: Strikes, tell: Tell) -> None:
        self._store, self._draft, self._strikes, self._tell = store, draft, strikes, tell
        self._notes: dict[int, list[Row]] = {}
        self._seconds = 0.0
        self._flushed = 0.0  # when

    def add(self, take: int, note: Note) -> None:
        self._notes.setdefault(take, []).append(wire(note, self._strikes.part(note.onset_ms, note.pitch)))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def progress(self, seconds: float) -> None:
        self._seconds = seconds
        if time.monotonic() - self._flushed > TELL_SECONDS:
            self.flush()

    def flush(self) -> None:
        for take, rows in self._notes.items():
            parts = np.array([row[5] for row in rows], dtype=np.uint8)
            self._store.append(self._draft.versions[take], pack([(row[0], row[1], row[2], row[3]) for row in rows]), parts)
            self._draft.n_notes += len(rows)
        self._tell({"event": "notes", "takes": {str(take): rows for take, rows in self._notes.items()}, "seconds": round(self._seconds, 2)})
        self._notes = {}
        self._flushed = time.monotonic()


def _watch(stop: threading.Event) -> Any:
    def progress(_: float) -> None:
        if stop.is_set():
            raise Stopped

    return progress


def music_of(rows: Sequence[tuple[int, int, int, int, int]]) -> Music:
    """(onset_ms, offset_ms, pitch, velocity, part) rows as music."""
    return Music(pack([row[:4] for row in rows]), np.array([row[4] for row in rows], dtype=np.uint8))
