"""`preludio render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preludio.cli.output import AsJson, say_result
from preludio.cli.pieces import described, places, read, stem_of, summary, write


def render(
    file: Annotated[Path, typer.Argument(metavar="FILE.mid", help="A MIDI file.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="PATH", help="Where the files go; else beside FILE.mid.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a MIDI file heard and seen: PATH.wav, and its piano roll PATH.svg and PATH.png."""
    from preludio.compose import Piece

    performance = read(file)
    paths = places(stem_of(out if out is not None else file), (".wav", ".svg", ".png"), file)
    piece = Piece(performance, prompt_ms=0)
    write(dict.fromkeys(paths, piece), file.stem)
    result = described(piece, paths)
    say_result({"command": "render"} | result, summary([result]), as_json)
