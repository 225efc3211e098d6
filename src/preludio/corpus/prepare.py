"""Sources -> shards, a row in `report.csv` for every file, and a page with pictures.

    examine (all cores, resumable) -> decide -> shards -> report

Whatever happens on the way, the folder never holds data that look whole and are not, and a second start goes on where the first was.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from preludio.corpus.clean import RULES
from preludio.corpus.entry import Source
from preludio.corpus.examination import HELD_OUT, EntryRecord, Examination
from preludio.corpus.npz import write_npz
from preludio.corpus.report import write_report
from preludio.corpus.shards import MANIFEST, SPLITS, EncodedPiece, Shards, write_shards
from preludio.corpus.sources import open_source
from preludio.corpus.split_decisions import SplitDecision, SplitOptions, decide_splits
from preludio.errors import OutputError, PreludioError, PreludioWarning
from preludio.files import require_writable, write_atomically

try:
    import fcntl
except ImportError:  # Windows: two at once are not noticed there
    fcntl = None  # type: ignore[assignment]

WORK = ".examined"  # in the output folder, until the shards stand
TABLE, PAGE = "report.csv", "report.html"
__all__ = ["PrepareOptions", "PrepareResult", "SplitOptions", "export_npz", "prepare", "resume_message", "rules_without"]

COLUMNS = ("source", "name", "composer", "title", "split", "kept", "kind", "reason", "mended", "notes", "tokens", "seconds")

FileCountCallback = Callable[[int, int], None]


@dataclass(frozen=True)
class PrepareOptions:
    """How the sources are taken; all of it stands in the manifest."""

    rules: tuple[str, ...] = tuple(rule.name for rule in RULES)  # cleaning rules in force, by name
    choice: SplitOptions = field(default_factory=SplitOptions)
    curated: bool = False  # of GiantMIDI-Piano, only the authors' curated subset

    def __post_init__(self) -> None:
        _require_rules(self.rules)


def rules_without(names: Sequence[str]) -> tuple[str, ...]:
    """The cleaning rules but for some.

    Raises:
        PreludioError: there is no such rule.
    """
    _require_rules(names)
    return tuple(rule.name for rule in RULES if rule.name not in names)


def _require_rules(names: Sequence[str]) -> None:
    known = [rule.name for rule in RULES]
    for name in names:
        if name not in known:
            raise PreludioError(f"no cleaning rule {name!r}; choose among {', '.join(known)}")


@dataclass(frozen=True)
class PrepareResult:
    """What was made."""

    manifest: dict[str, Any]
    records: list[EntryRecord]
    decisions: list[SplitDecision]

    def totals(self, split: str) -> dict[str, float]:
        """Of what a split holds: pieces, hours, notes, tokens."""
        kept = [one for one, decision in zip(self.records, self.decisions, strict=True) if decision.split == split]
        hours = round(sum(one.seconds for one in kept) / 3600, 3)
        return {"pieces": len(kept), "hours": hours, "notes": sum(one.n_notes for one in kept), "tokens": sum(one.n_tokens for one in kept)}

    def summary(self) -> dict[str, Any]:
        """For `--json`."""
        return {"splits": {split: self.totals(split) for split in SPLITS}, "files": len(self.records), "left_out": self.left_out()}

    def left_out(self) -> dict[str, int]:
        """How many files, for each kind of reason."""
        return dict(Counter(decision.kind for decision in self.decisions if not decision.split))

    def to_text(self, out: str | os.PathLike[str]) -> str:
        """One line: what was made, and what was left out."""
        totals = {split: total for split in SPLITS if (total := self.totals(split))["pieces"]}
        parts = [f"{split} {n['pieces']:,} pieces, {n['hours']:,.1f} hours, {n['tokens']:,} tokens" for split, n in totals.items()]
        names = {"unusable": "unusable", "duplicate": "duplicates", "leak": "of held-out works"}
        left_out = ", ".join(f"{n:,} {names[kind]}" for kind, n in self.left_out().items()) or "none"
        return f"Made {out}: {'; '.join(parts)}; left out of {len(self.records):,} files: {left_out}. See {Path(out) / PAGE}"


def prepare(
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    options: PrepareOptions | None = None,
    *,
    processes: int | None = None,
    progress: FileCountCallback | None = None,
) -> PrepareResult:
    """Prepares training data from folders, zips and token files in `out`: shards, `manifest.json`, `report.csv`, `report.html`.

    Args:
        processes: how many; all cores if not given. The result does not depend on it.
        progress: called now and then with (files examined, files in all).

    Raises:
        PreludioError: a source is missing or not what it says, or nothing in it can be used.
        OutputError: `out` cannot be written.
    """
    chosen, folder = options or PrepareOptions(), Path(out)
    opened = [open_source(source, curated=chosen.curated) for source in sources]
    with _locked_folder(folder):
        examination = Examination(opened, chosen.rules, folder / WORK)
        for done in examination.run(processes):
            if progress is not None:
                progress(done, len(examination.work))
        prepared = _written(examination, chosen, folder)
        shutil.rmtree(folder / WORK, ignore_errors=True)
    return prepared


def resume_message(out: str | os.PathLike[str]) -> str:
    """Words for someone whose preparing was stopped."""
    begun = (Path(out) / WORK).is_dir()
    return f"what has been examined is kept in {out}: the same command goes on from there" if begun else "nothing was written"


def _written(examination: Examination, chosen: PrepareOptions, folder: Path) -> PrepareResult:
    light = list(examination.light())
    records, landmarks = [one for one, _ in light], [one for _, one in light]
    decisions = decide_splits(records, landmarks, chosen.choice)
    if not any(decision.split for decision in decisions):
        shutil.rmtree(folder / WORK, ignore_errors=True)
        why = f"the first: {records[0].entry.name}: {decisions[0].reason}" if records else "there are none"
        raise PreludioError(f"none of {len(records):,} files can be used; {why}")
    if not any(decision.split in HELD_OUT for decision in decisions):
        warnings.warn("nothing fell to validation, as may be with few works: training cannot be judged", PreludioWarning, stacklevel=3)
    manifest = write_shards(folder, _pieces(examination, decisions), _described(chosen, examination.sources))
    write_atomically(folder / TABLE, _table(records, decisions).encode())
    write_report(folder / PAGE, records, decisions, examination.counts(), manifest)
    return PrepareResult(manifest, records, decisions)


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    """The output folder, made if need be, for this process alone; if nothing comes of it, it goes again."""
    new_folders = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        require_writable(folder / MANIFEST)
        handle = os.open(folder, os.O_RDONLY) if fcntl is not None else -1
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write {folder}: {getattr(error, 'strerror', None) or error}; choose another place") from None
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system takes it back when the process ends, however it ends
        _clear_leftovers(folder)
        yield
    except BlockingIOError:
        raise PreludioError(f"{folder}: another preludio prepare is writing there; wait for it, or choose another place") from None
    finally:
        if handle >= 0:
            os.close(handle)
        with suppress(OSError):
            for empty in new_folders:
                empty.rmdir()


def _clear_leftovers(folder: Path) -> None:
    """What `files.replacing` had begun when the process was killed."""
    for name in (MANIFEST, TABLE, PAGE, *(f"{split}.bin" for split in SPLITS), *(f"notes_{split}.npz" for split in SPLITS)):
        stem, _, suffix = name.rpartition(".")
        for path in folder.glob(f".{stem}.{'[0-9a-f]' * 12}.{suffix}"):
            path.unlink(missing_ok=True)


def _pieces(examination: Examination, decisions: Sequence[SplitDecision]) -> Iterator[EncodedPiece]:
    for examined, decision in zip(examination.results(), decisions, strict=True):
        if decision.split:
            entry, n_notes = examined.record.entry, examined.record.n_notes
            yield EncodedPiece(decision.split, entry.source, entry.name, entry.composer, entry.title, n_notes, examined.ids)


def _described(options: PrepareOptions, sources: Sequence[Source]) -> dict[str, Any]:
    """Without paths: the same music gives the same bytes wherever it lies."""
    return {**asdict(options), "rules": list(options.rules), "sources": [source.kind for source in sources]}


def _table(records: Sequence[EntryRecord], decisions: Sequence[SplitDecision]) -> str:
    """One row for each file, in the order of the sources."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one, decision in zip(records, decisions, strict=True):
        entry, kept = one.entry, "yes" if decision.split else "no"
        known = [entry.source, entry.name, entry.composer, entry.title, decision.split or entry.split or ""]
        writer.writerow([*known, kept, decision.kind, decision.reason, one.notes, one.n_notes, one.n_tokens, f"{one.seconds:.3f}"])
    return text.getvalue()


def export_npz(directory: str | os.PathLike[str], sources: Sequence[str | os.PathLike[str]] = ()) -> list[Path]:
    """Writes each split of prepared shards as a token file of earlier systems, `notes_train.npz` and its like, beside them.

    Raises:
        ShardError: there are no shards, or damaged ones.
        OutputError: a file cannot be written, or is one of the sources.
    """
    folder = Path(directory)
    filled = {folder / f"notes_{name}.npz": split for name, split in Shards.open(folder).splits.items() if len(split)}
    for path in filled:
        if path.exists() and any(path.samefile(source) for source in sources):
            raise OutputError(f"{path} is the very file that was read, and would be lost: choose another folder with --out")
    for path, split in filled.items():
        write_npz(path, [split.piece(number) for number in range(len(split))])
    return list(filled)
