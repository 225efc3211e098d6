"""Composing what is to be measured, and keeping it as MIDI files in a folder: what is there is not composed again.

A file `pieces.json` says by what model and settings the pieces were made, and lists them. It is written after each batch, so that a
measurement which was stopped goes on where it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preludio.compose import Request
from preludio.errors import OutputError
from preludio.evaluate.music.excerpts import Excerpt
from preludio.evaluate.music.settings import Settings
from preludio.files import write_atomically
from preludio.midi import read_midi, write_midi
from preludio.performance import Performance, crop

if TYPE_CHECKING:
    from preludio.checkpoint import Checkpoint
    from preludio.compose import Composer

Progress = Callable[[float], None]

INDEX = "pieces.json"
FORMAT = 1
BATCH = 8  # takes that are decoded side by side

_REMEDY = "choose an empty folder with --out, or remove this one"


@dataclass(frozen=True)
class Job:
    """Pieces that are composed in one batch: variations of one request.

    Attributes:
        names: of their files, without suffix; the first is variation 0.
        prompt: the prompt's name, "" for none: pieces of another prompt must not be taken for these.
    """

    names: tuple[str, ...]
    request: Request
    prompt: str = ""


def jobs(settings: Settings, prompts: Sequence[Excerpt]) -> list[Job]:
    """All batches of a measurement, in the order in which they are composed."""
    nothing = _from_nothing("nothing", settings.pieces, settings.seconds, settings)
    long = _from_nothing("long", settings.long_pieces, settings.long_seconds, settings)
    continued = [_continued(number, excerpt, settings) for number, excerpt in enumerate(prompts)]
    return [*nothing, *continued, *long]


def _from_nothing(kind: str, n: int, seconds: float, settings: Settings) -> Iterator[Job]:
    """`preludio compose --seed S --variations 8` makes the same pieces: number 8 b + v is variation v of seed `settings.seed` + b."""
    for first in range(0, n, BATCH):
        names = tuple(f"{kind}-{number:04}" for number in range(first, min(first + BATCH, n)))
        yield Job(names, _request(settings, settings.seed + first // BATCH, seconds, len(names)))


def _continued(number: int, excerpt: Excerpt, settings: Settings) -> Job:
    names = tuple(f"continued-{number:04}-{take}" for take in range(settings.takes))
    request = _request(settings, settings.seed, settings.seconds, settings.takes, excerpt.prompted, settings.prompt_seconds)
    return Job(names, request, excerpt.name)


def _request(
    settings: Settings,
    seed: int,
    seconds: float,
    variations: int,
    prompt: Performance | None = None,
    prompt_seconds: float | None = None,
) -> Request:
    return Request(
        prompt=prompt,
        prompt_seconds=prompt_seconds,
        seconds=seconds,
        seed=seed,
        variations=variations,
        **dataclasses.asdict(settings.sampling),
    )


def origin(checkpoint: Checkpoint, engine: str, settings: Settings) -> dict[str, Any]:
    """What decides how a piece of a given name and prompt sounds: pieces of another origin cannot stand in for it."""
    digest = hashlib.sha256()
    for name, array in sorted(checkpoint.arrays.items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    facts = settings.to_json()
    counts = ("prompts", "takes", "pieces", "long_pieces")  # more of them leaves the first ones as they are
    return {"model": digest.hexdigest(), "engine": engine} | {
        name: value for name, value in facts.items() if name not in counts
    }


class Store:
    """The folder's pieces.

    Raises:
        OutputError: the folder holds something that this command did not make, or pieces of another origin.
    """

    def __init__(self, folder: Path, made_by: dict[str, Any]) -> None:
        self.folder = folder
        self._origin = json.loads(json.dumps(made_by))
        self._prompts: dict[str, str] = self._read() if folder.exists() else {}

    def _read(self) -> dict[str, str]:
        path = self.folder / INDEX
        if not path.is_file():
            if not self.folder.is_dir() or any(self.folder.iterdir()):
                raise OutputError(f"{self.folder} is not a folder of measured pieces (no {INDEX} in it): {_REMEDY}")
            return {}
        try:
            index = json.loads(path.read_bytes())
            found, prompts = index["origin"], {str(name): str(prompt) for name, prompt in index["pieces"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise OutputError(f"{path} is damaged: {_REMEDY}") from None
        differing = [name for name in self._origin if not isinstance(found, dict) or found.get(name) != self._origin[name]]
        if differing or index.get("format") != FORMAT:
            what = ", ".join(name.replace("_", " ") for name in differing) or "format"
            raise OutputError(f"{self.folder} holds pieces of another measurement (another {what}): {_REMEDY}")
        return prompts

    def has(self, job: Job) -> bool:
        """Whether all its pieces are there."""
        return all(self._prompts.get(name) == job.prompt and self._path(name).is_file() for name in job.names)

    def add(self, job: Job, performances: Sequence[Performance]) -> None:
        """Writes a batch, then the index: a batch that is not in it does not count."""
        for name, performance in zip(job.names, performances, strict=True):
            write_midi(performance, self._path(name))
            self._prompts[name] = job.prompt
        index = {"format": FORMAT, "origin": self._origin, "pieces": dict(sorted(self._prompts.items()))}
        write_atomically(self.folder / INDEX, (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode())

    def read(self, job: Job) -> list[Performance]:
        """The batch's pieces, with their prompts."""
        return [read_midi(self._path(name)) for name in job.names]

    def _path(self, name: str) -> Path:
        return self.folder / "pieces" / f"{name}.mid"


def compose_missing(composer: Composer, wanted: Sequence[Job], store: Store, progress: Progress | None = None) -> None:
    """Composes each batch that the store lacks. `progress` hears how many seconds of music there are of all that is wanted."""
    done = 0.0
    for job in wanted:
        if not store.has(job):
            heard = None if progress is None else _from(progress, done, len(job.names))
            pieces = composer.takes(job.request, progress=heard)
            store.add(job, [piece.performance for piece in pieces])
        done += job.request.seconds * len(job.names)
        if progress is not None:
            progress(done)


def _from(progress: Progress, done: float, n: int) -> Progress:
    return lambda seconds: progress(done + n * seconds)


def total_seconds(wanted: Sequence[Job]) -> float:
    """Of music, in all batches."""
    return sum(job.request.seconds * len(job.names) for job in wanted)


def measured_part(performance: Performance, settings: Settings, seconds: float, *, prompted: bool) -> Performance:
    """The composed music of a piece, moved to 0 ms: what follows the prompt, cut after `seconds`."""
    begin_ms = round(1000 * settings.prompt_seconds) if prompted else 0
    return crop(performance, begin_ms, begin_ms + round(1000 * seconds))
