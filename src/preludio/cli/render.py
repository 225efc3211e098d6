"""`preludio render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preludio.cli.output import AsJson, say_result
from preludio.cli.pieces import Outputs, Overwrite, Remarks, described, read, stem_of, summary, write


def render(
    file: Annotated[Path, typer.Argument(metavar="FILE.mid", help="A MIDI file.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="PATH", help="Where the files go; else beside FILE.mid.")] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Make a MIDI file heard and seen: PATH.wav, and its piano roll PATH.svg and PATH.png."""
    from preludio.compose import Piece

    remarks = Remarks()
    performance = read(file, remarks)
    stem = stem_of(out if out is not None else file)
    outputs = Outputs(stem, (".wav", ".svg", ".png"), source=file, overwrite=overwrite, made_by="Preludio render")
    outputs.check()
    remarks.say_of_file()
    piece = Piece(performance, prompt_ms=0)
    [paths] = write(outputs, [piece], file.stem, remarks)
    result = described(piece, paths)
    say_result({"command": "render"} | result | {"remarks": remarks.rows}, summary([result]), as_json)
