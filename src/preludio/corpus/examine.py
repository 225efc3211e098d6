"""Every entry of the sources read, cleaned, encoded and fingerprinted, on all cores, a batch of files at a time.

A batch's results are one file, written whole or not at all. So a run that was killed goes on after its last batch, memory holds one batch
for each process however many files there are, and the results are the same for any number of processes (`workers` runs them).
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.corpus.clean import RULES, Rule, clean
from preludio.corpus.entry import Entry, Source
from preludio.corpus.fingerprint import LANDMARK, Fingerprint, fingerprint
from preludio.corpus.workers import everywhere
from preludio.errors import PreludioError, PreludioWarning
from preludio.files import replacing
from preludio.performance import Performance
from preludio.processors import usable_processors
from preludio.tokens import VOCABULARY_HASH, Ids, encode

BATCH = 32  # files: a second or less of work, so little is lost to a kill
HELD_OUT = ("validation", "test")

Counts = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Facts:
    """What is known of one entry once it has been read; all 0 and empty if it could not be."""

    entry: Entry
    fault: str  # why it cannot be used; "" if it can
    notes: str  # what was mended
    n_notes: int = 0
    n_tokens: int = 0
    seconds: float = 0.0
    pedal_seconds: float = 0.0
    checksum: int = 0  # of the ids: tells apart what is equal in all else


@dataclass(frozen=True)
class Examined:
    """One entry's facts and arrays."""

    facts: Facts
    ids: Ids
    landmarks: Fingerprint
    pitches: Counts  # (128,) notes of each pitch
    velocities: Counts  # (128,) notes of each velocity


def examine(source: Source, entry: Entry, rules: Sequence[Rule]) -> Examined:
    """One entry; a file that cannot be read is a fact, not an error. Reasons do not say where it lies: a report must not depend on that."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PreludioWarning)
        performance, reasons = _usable(source, entry, rules)
    reasons = (*(getattr(warning.message, "reason", str(warning.message)) for warning in caught), *reasons)
    if performance is not None:
        return _measured(entry, performance, "; ".join(reasons))
    nothing = np.zeros(128, dtype=np.uint32)
    facts = Facts(entry, fault=reasons[-1], notes="; ".join(reasons[:-1]))
    return Examined(facts, np.empty(0, np.uint16), np.empty(0, LANDMARK), nothing, nothing)


def _place(source: Source) -> Path:
    return Path(getattr(getattr(source, "place", None), "path", os.devnull))


def _usable(source: Source, entry: Entry, rules: Sequence[Rule]) -> tuple[Performance | None, tuple[str, ...]]:
    """The cleaned performance and what was done to it, or None and why not. What is held out stays as it was played."""
    try:
        performance = source.read(entry)
    except PreludioError as error:
        return None, (error.reason,)
    if not len(performance):
        return None, ("no notes",)
    return (performance, ()) if entry.split in HELD_OUT else clean(performance, rules)


def _measured(entry: Entry, performance: Performance, mended: str) -> Examined:
    ids = encode(performance)
    pedal_ms = int((performance.pedals[:, 1] - performance.pedals[:, 0]).sum())
    seconds = performance.duration_ms / 1000
    facts = Facts(entry, "", mended, len(performance), len(ids), seconds, pedal_ms / 1000, zlib.crc32(ids.tobytes()))
    pitches, velocities = (np.bincount(performance.notes[name], minlength=128).astype(np.uint32) for name in ("pitch", "velocity"))
    return Examined(facts, ids, fingerprint(performance), pitches, velocities)


class Examination:
    """All entries of some sources, examined batch by batch in a folder of its own."""

    def __init__(self, sources: Sequence[Source], rule_names: Sequence[str], folder: Path) -> None:
        """`folder` is where the results go: one subfolder for each set of files and rules, so that another set starts afresh.

        Raises:
            PreludioError: a source is missing or not what it says.
        """
        self.sources = sources
        self.rules = [rule for rule in RULES if rule.name in rule_names]
        self.work = list(_entries(sources))
        asked: list[Any] = [VOCABULARY_HASH, repr(self.rules), [(number, asdict(entry)) for number, entry in self.work]]
        asked.append(list(_stamps(sources, self.work)))
        self.folder = folder / hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]

    @property
    def n_batches(self) -> int:
        return -(-len(self.work) // BATCH)

    def path(self, batch: int) -> Path:
        return self.folder / f"{batch:07}.npz"

    def entries(self, batch: int) -> list[tuple[int, Entry]]:
        return self.work[batch * BATCH : (batch + 1) * BATCH]

    def run(self, processes: int | None = None) -> Iterator[int]:
        """Does what is not done yet; yields the number of files done so far, now and then.

        Raises:
            OutputError: the results cannot be written.
            PreludioError: a process was killed from outside.
        """
        missing = [batch for batch in range(self.n_batches) if not _is_whole(self.path(batch))]
        done = len(self.work) - sum(len(self.entries(batch)) for batch in missing)
        yield done
        tasks = ((str(self.path(batch)), self.entries(batch)) for batch in missing)
        for n in everywhere(_batch, (self.sources, self.rules), tasks, min(processes or usable_processors(), max(len(missing), 1))):
            done += n
            yield done

    def results(self) -> Iterator[Examined]:
        """Everything, in the order of the entries, one batch in memory at a time."""
        for batch in range(self.n_batches):
            yield from load_batch(self.path(batch))

    def light(self) -> Iterator[tuple[Facts, Fingerprint]]:
        """Without ids: they stay on the disk. About 10 KB a file."""
        for batch in range(self.n_batches):
            with np.load(self.path(batch), allow_pickle=False) as stored:
                yield from zip(_facts(stored), _parts(stored, "landmarks"), strict=True)

    def counts(self) -> Iterator[tuple[Counts, Counts]]:
        """How many notes of each pitch and of each velocity every entry has."""
        for batch in range(self.n_batches):
            with np.load(self.path(batch), allow_pickle=False) as stored:
                yield from zip(stored["pitches"], stored["velocities"], strict=True)


def _entries(sources: Sequence[Source]) -> Iterator[tuple[int, Entry]]:
    """Every entry with its source's number. Sources of one kind are told apart: "folder", "folder 2"."""
    kinds: Counter[str] = Counter()
    for number, source in enumerate(sources):
        kinds[source.kind] += 1
        label = source.kind if kinds[source.kind] == 1 else f"{source.kind} {kinds[source.kind]}"
        yield from ((number, replace(entry, source=label)) for entry in source.entries())


def _stamps(sources: Sequence[Source], work: Sequence[tuple[int, Entry]]) -> Iterator[tuple[int, int]]:
    """Sizes and times of all files: what was examined of one that has changed since is not gone on from."""
    for number, source in enumerate(sources):
        path = _place(source)
        if path.is_file():
            yield _size_and_time(path)
        else:
            yield from (_size_and_time(path / entry.name) for of, entry in work if of == number)


def _size_and_time(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except (OSError, ValueError):
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _is_whole(path: Path) -> bool:
    """Whether a batch is there and can be read: a power cut may leave less."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            _facts(stored)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return False
    return True


Task = tuple[str, list[tuple[int, Entry]]]


def _batch(hands: tuple[Sequence[Source], Sequence[Rule]], task: Task) -> int:
    """Examines and saves one batch; how many files it had."""
    sources, rules = hands
    path, entries = task
    save_batch(path, [examine(sources[number], entry, rules) for number, entry in entries])
    return len(entries)


# --- a batch at rest --------------------------------------------------------------------------------------------------------------


def save_batch(path: str | os.PathLike[str], examined: Sequence[Examined]) -> None:
    """Arrays end to end, and their lengths; the facts as JSON."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "facts": np.frombuffer(json.dumps([asdict(one.facts) for one in examined]).encode(), dtype=np.uint8),
        "ids": np.concatenate([one.ids for one in examined]),
        "ids_lengths": np.array([len(one.ids) for one in examined]),
        "landmarks": np.concatenate([one.landmarks for one in examined]),
        "landmarks_lengths": np.array([len(one.landmarks) for one in examined]),
        "pitches": np.stack([one.pitches for one in examined]),
        "velocities": np.stack([one.velocities for one in examined]),
    }
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load_batch(path: Path) -> list[Examined]:
    """What `save_batch` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        columns = _facts(stored), _parts(stored, "ids"), _parts(stored, "landmarks"), stored["pitches"], stored["velocities"]
        return [Examined(*row) for row in zip(*columns, strict=True)]


def _facts(stored: Any) -> list[Facts]:
    rows = json.loads(stored["facts"].tobytes())
    return [Facts(**{**row, "entry": Entry(**row["entry"])}) for row in rows]


def _parts(stored: Any, name: str) -> list[npt.NDArray[Any]]:
    return np.split(stored[name], np.cumsum(stored[f"{name}_lengths"])[:-1])
