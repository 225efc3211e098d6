"""Music read from files and written to them, for the commands that make some."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preludio.cli.output import progress_bar, say_note
from preludio.errors import MidiError, OutputError

if TYPE_CHECKING:
    from preludio.compose import Piece
    from preludio.midi import Repair
    from preludio.performance import Performance

OutputPath = Annotated[Path, typer.Option("--out", metavar="PATH", help="Where the files go, without suffix; folders are made.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there; else the next free name is taken: PATH-2 ...")]
MOST_NAMES = 10_000  # that are tried


@dataclass
class Remarks:
    """What was repaired, guessed, left out or done otherwise than asked: a line on stderr each, and a list for `--json`."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    _of_file: str = ""

    def add(self, kind: str, text: str, n: int = 1) -> None:
        self.rows.append({"kind": kind, "n": n, "text": text})

    def say(self, kind: str, text: str) -> None:
        self.add(kind, text)
        say_note(text)

    def of_file(self, path: Path, repairs: Sequence[Repair]) -> None:
        """Keeps what was found in a file that was read, to be said by `say_of_file` once nothing else is wrong: an error is one line."""
        from preludio.midi import shortened

        for repair in repairs:
            self.add(repair.kind, repair.text, repair.n)
        if repairs:
            self._of_file = f"{path}: {'; '.join(shortened(repairs))}"

    def say_of_file(self) -> None:
        if self._of_file:
            say_note(self._of_file)


def read(path: Path, remarks: Remarks) -> Performance:
    """A file's performance."""
    from preludio.midi import read_and_repair

    performance, repairs = read_and_repair(path)
    if not len(performance):
        raise MidiError(f"{path}: it has no piano notes; choose a file with some (drums and muted parts do not count)")
    remarks.of_file(path, repairs)
    return performance


def stem_of(path: Path) -> Path:
    """PATH without a suffix of ours, so that `--out piece.mid` means what it seems to."""
    from preludio.render import FORMATS

    name = path.stem if path.suffix.lower() in (*FORMATS, ".midi") else path.name
    is_folder = name == path.name and os.path.isdir(path)  # noqa: PTH112 (Path.is_dir raises for a name that is too long)
    if is_folder or name in ("", ".", ".."):
        raise OutputError(f"{path} names a folder, not a piece: choose a name in it, such as {path / 'piece'}")
    return path.parent / name


@dataclass(frozen=True)
class Outputs:
    """What a command writes, and which files it may replace.

    The files of one command belong together and share a stem. If any of their names is taken, all get the next free one: `piece-2.mid`,
    `piece-2.wav` ... What is there already is replaced only if the same command made it of a file (`made_by`), as each file's own mark
    says, or if that is asked (`overwrite`).
    """

    stem: Path
    suffixes: tuple[str, ...]
    variations: int = 1  # of the piece: PATH-1, PATH-2 ...
    source: Path | None = None  # the file that was read
    overwrite: bool = False
    made_by: str = ""  # replaced is what bears this mark; "" for nothing

    def paths(self, stem: Path) -> list[list[Path]]:
        """Of each variation, the names of its files."""
        stems = [stem] if self.variations == 1 else [stem.with_name(f"{stem.name}-{number + 1}") for number in range(self.variations)]
        return [[one.with_name(one.name + suffix) for suffix in self.suffixes] for one in stems]

    def may_replace(self, path: Path) -> bool:
        from preludio.render import maker

        return bool(self.made_by) and maker(path) == self.made_by

    def stems(self) -> Iterator[Path]:
        """PATH, PATH-2, PATH-3 ... as far as all their files are free or may be replaced."""
        for number in itertools.count(1):
            stem = self.stem if number == 1 else self.stem.with_name(f"{self.stem.name}-{number}")
            if all(self.may_replace(path) for path in self._taken(stem)):
                yield stem
            if number > MOST_NAMES:
                raise OutputError(f"{self.stem} and {MOST_NAMES:,} names like it are taken; choose another with --out, or --overwrite")

    def _taken(self, stem: Path) -> list[Path]:
        return [path for paths in self.paths(stem) for path in paths if os.path.lexists(path)]

    def check(self) -> None:
        """Tries whether the files can be written, before hours of composing; and that no file that was read would be lost.

        Raises:
            OutputError: they cannot, or one would.
        """
        from preludio.files import require_writable

        for path in itertools.chain(*self.paths(self.stem if self.overwrite else next(self.stems()))):
            require_writable(path)
            if self.source is not None and path.exists() and path.samefile(self.source):
                raise OutputError(f"{path} is the very file that was read, and would be lost: choose another name with --out")


def write(outputs: Outputs, pieces: Sequence[Piece], title: str, remarks: Remarks) -> list[list[Path]]:
    """Writes all files or none: each is written beside its place, and they are renamed together at the end. Returns their names."""
    from preludio.files import place, replacing, unfinished

    asked = outputs.paths(outputs.stem)
    likely = asked if outputs.overwrite else outputs.paths(next(outputs.stems()))
    with ExitStack() as stack:
        beside = [[stack.enter_context((replacing if outputs.overwrite else unfinished)(path)) for path in paths] for paths in likely]
        for paths, piece in zip(beside, pieces, strict=True):
            for path in paths:
                write_one(path, piece, title, outputs.made_by)
        if outputs.overwrite:
            return asked
        for stem in outputs.stems():
            chosen = outputs.paths(stem)
            if place(dict(zip(itertools.chain(*beside), itertools.chain(*chosen), strict=True)), outputs.may_replace):
                break
    if chosen != asked:
        taken = next((path for path in itertools.chain(*asked) if os.path.lexists(path)), asked[0][0])
        remarks.say("renamed", f"{taken} is there already, so the files are called {stem.name}; --overwrite replaces what is there")
    return chosen


def write_one(path: Path, piece: Piece, title: str, made_by: str) -> None:
    from preludio import render

    options = {"prompt_ms": piece.prompt_ms, "title": title} | ({"made_by": made_by} if made_by else {})
    if path.suffix == ".wav":
        with progress_bar("playing", 1.0) as progress:
            render.write(piece.performance, path, progress=progress, **options)
    else:
        render.write(piece.performance, path, **options)


def described(piece: Piece, paths: list[Path]) -> dict[str, Any]:
    performance = piece.performance
    return {
        "files": [str(path) for path in paths],
        "seconds": performance.duration_ms / 1000,
        "prompt_seconds": piece.prompt_ms / 1000,
        "notes": len(performance),
    }


def summary(results: list[dict[str, Any]]) -> str:
    lines = [f"{', '.join(result['files'])}: {result['notes']:,} notes in {result['seconds']:.0f} seconds" for result in results]
    return "Made " + "\n     ".join(lines)
