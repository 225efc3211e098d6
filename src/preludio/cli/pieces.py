"""Music read from files and written to them, for the commands that make some."""

from __future__ import annotations

import os
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preludio.cli.output import progress_bar
from preludio.errors import MidiError, OutputError, PreludioWarning

if TYPE_CHECKING:
    from preludio.compose import Piece
    from preludio.performance import Performance

OutputPath = Annotated[Path, typer.Option("--out", metavar="PATH", help="Where the files go, without suffix; folders are made.")]


def read(path: Path) -> Performance:
    """A file's performance; what was repaired in it is said only if there is music in it, so that an error stays one line."""
    from preludio.midi import read_midi

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", PreludioWarning)
        performance = read_midi(path)
    if not len(performance):
        raise MidiError(f"{path}: it has no piano notes; choose a file with some (channel 10, the drums, does not count)")
    for note in notes:
        warnings.warn_explicit(note.message, note.category, note.filename, note.lineno)
    return performance


def stem_of(path: Path) -> Path:
    """PATH without a suffix of ours, so that `--out piece.mid` means what it seems to."""
    from preludio.render import FORMATS

    name = path.stem if path.suffix.lower() in (*FORMATS, ".midi") else path.name
    is_folder = name == path.name and os.path.isdir(path)  # noqa: PTH112 (Path.is_dir raises for a name that is too long)
    if is_folder or name in ("", ".", ".."):
        raise OutputError(f"{path} names a folder, not a piece: choose a name in it, such as {path / 'piece'}")
    return path.parent / name


def places(stem: Path, suffixes: tuple[str, ...], source: Path | None) -> list[Path]:
    """Where the files go, all of which can be written, and none of which is the file that was read."""
    from preludio.files import require_writable

    paths = [stem.with_name(stem.name + suffix) for suffix in suffixes]
    for path in paths:
        require_writable(path)  # now rather than after composing
        if source is not None and path.exists() and path.samefile(source):
            raise OutputError(f"{path} is the very file that was read, and would be lost: choose another name with --out")
    return paths


def write(pieces: dict[Path, Piece], title: str) -> None:
    """All files or none: each is written beside its place, and they are renamed together at the end."""
    from preludio.files import replacing

    with ExitStack() as stack:
        beside = {stack.enter_context(replacing(path)): piece for path, piece in pieces.items()}
        for path, piece in beside.items():
            write_one(path, piece, title)


def write_one(path: Path, piece: Piece, title: str) -> None:
    from preludio import render

    options = {"prompt_ms": piece.prompt_ms, "title": title}
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
