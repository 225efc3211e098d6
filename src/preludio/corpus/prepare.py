"""Sources -> shards, a row in `report.csv` for every file, and a page with pictures.

    examine (all cores, resumable) -> decide -> shards -> report

Whatever happens on the way, the folder holds the old data or the new, and a second start goes on where the first was.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from preludio.corpus.clean import RULES
from preludio.corpus.decide import Choice, Verdict, decide
from preludio.corpus.examine import Examination, Facts
from preludio.corpus.npz import write_npz
from preludio.corpus.shards import Encoded, Shards, write_shards
from preludio.corpus.sources import open_source
from preludio.errors import PreludioError
from preludio.files import write_atomically

WORK = ".examined"  # in the output folder, until the shards stand
COLUMNS = ("source", "name", "composer", "title", "split", "kept", "reason", "mended", "notes", "tokens", "seconds")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Options:
    """How the sources are taken; all of it stands in the manifest."""

    rules: tuple[str, ...] = tuple(rule.name for rule in RULES)  # cleaning rules in force, by name
    choice: Choice = field(default_factory=Choice)
    curated: bool = False  # of GiantMIDI-Piano, only the authors' curated subset

    def __post_init__(self) -> None:
        known = {rule.name for rule in RULES}
        for name in self.rules:
            if name not in known:
                raise PreludioError(f"no cleaning rule {name!r}: choose among {', '.join(sorted(known))}")


@dataclass(frozen=True)
class Prepared:
    """What was made."""

    manifest: dict[str, Any]
    facts: list[Facts]
    verdicts: list[Verdict]


def prepare(
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    options: Options | None = None,
    *,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Prepared:
    """Prepares training data from folders, zips and token files in `out`: shards, `manifest.json`, `report.csv`.

    Args:
        processes: how many; all cores if not given. The result does not depend on it.
        progress: called now and then with (files examined, files in all).

    Raises:
        PreludioError: a source is missing or not what it says, or nothing in it can be used.
        OutputError: `out` cannot be written.
    """
    from preludio.corpus.report import write_report

    chosen, folder = options or Options(), Path(out)
    opened = [open_source(source, curated=chosen.curated) for source in sources]
    examination = Examination(opened, chosen.rules, folder / WORK)
    for done in examination.run(processes):
        if progress is not None:
            progress(done, len(examination.work))
    light = list(examination.light())
    facts, landmarks = [one for one, _ in light], [one for _, one in light]
    verdicts = decide(facts, landmarks, chosen.choice)
    if not any(verdict.split for verdict in verdicts):
        raise PreludioError(f"none of {len(facts):,} files can be used: {verdicts[0].reason if verdicts else 'there are none'}")
    manifest = write_shards(folder, _pieces(examination, verdicts), _described(chosen, opened))
    write_atomically(folder / "report.csv", _table(facts, verdicts).encode())
    write_report(folder / "report.html", examination, verdicts, manifest)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    return Prepared(manifest, facts, verdicts)


def _pieces(examination: Examination, verdicts: Sequence[Verdict]) -> Iterator[Encoded]:
    for examined, verdict in zip(examination.results(), verdicts, strict=True):
        if verdict.split:
            entry, n_notes = examined.facts.entry, examined.facts.n_notes
            yield Encoded(verdict.split, entry.source, entry.name, entry.composer, entry.title, n_notes, examined.ids)


def _described(options: Options, sources: Sequence[Any]) -> dict[str, Any]:
    """Without paths: the same music gives the same bytes wherever it lies."""
    return {**asdict(options), "rules": list(options.rules), "sources": [source.kind for source in sources]}


def _table(facts: Sequence[Facts], verdicts: Sequence[Verdict]) -> str:
    """One row for each file, in the order of the sources."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one, verdict in zip(facts, verdicts, strict=True):
        entry, kept = one.entry, "yes" if verdict.split else "no"
        row = [entry.source, entry.name, entry.composer, entry.title, verdict.split or entry.split or "", kept, verdict.reason]
        writer.writerow([*row, one.notes, one.n_notes, one.n_tokens, f"{one.seconds:.3f}"])
    return text.getvalue()


def export_npz(directory: str | os.PathLike[str]) -> list[Path]:
    """Writes each split of prepared shards as a token file of earlier systems, `notes_train.npz` and its like, beside them.

    Raises:
        ShardError: there are no shards, or damaged ones.
        OutputError: a file cannot be written.
    """
    folder = Path(directory)
    filled = {folder / f"notes_{name}.npz": split for name, split in Shards.open(folder).splits.items() if len(split)}
    for path, split in filled.items():
        write_npz(path, [split.piece(number) for number in range(len(split))])
    return list(filled)
