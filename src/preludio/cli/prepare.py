"""`preludio prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preludio.cli.output import AsJson, fail, print_result, progress_bar
from preludio.errors import OutputError, RequestError

CLEANING = "silence, too short, too sparse, constant velocity, not solo piano"  # corpus.clean.RULES, which loading this must not load


def prepare(  # its parameters are the command's options
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help="MAESTRO, GiantMIDI-Piano, a folder or zip of MIDI, an .npz.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the training data goes; made if need be.")],
    without: Annotated[list[str] | None, typer.Option(metavar="RULE", help=f"Leave out a cleaning rule: {CLEANING}.")] = None,
    keep_duplicates: Annotated[bool, typer.Option("--keep-duplicates", help="Keep all copies of a performance.")] = False,
    no_guard: Annotated[bool, typer.Option("--no-guard", help="Train on works of validation and test, from other sources too.")] = False,
    guard_own: Annotated[bool, typer.Option("--guard-own", help="Leave such works out of the official training split, too.")] = False,
    curated: Annotated[bool, typer.Option("--curated", help="Of GiantMIDI-Piano, only the authors' curated subset.")] = False,
    processes: Annotated[int | None, typer.Option(metavar="N", min=1, help="How many processes; else one for each core.")] = None,
    export: Annotated[str | None, typer.Option(metavar="npz", help="Also write notes_train.npz and its like, for earlier systems.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make training data of piano MIDI: DIR/train.bin and its like, and DIR/report.html to see what it is. Stopped, it goes on later."""
    from preludio.corpus import prepare as preparing

    if export not in (None, "npz"):
        raise RequestError(f"no export {export!r}; choose npz")
    choice = preparing.SplitOptions(not keep_duplicates, not no_guard, guard_own)
    options = preparing.PrepareOptions(preparing.rules_without(without or ()), choice, curated)
    try:
        with progress_bar("examining", 1.0) as progress:
            prepared = preparing.prepare(sources, out, options, processes=processes, progress=lambda done, of: progress(done / of))
        exported = [str(path) for path in preparing.export_npz(out, sources)] if export else []
    except KeyboardInterrupt:
        raise typer.Exit(fail(f"stopped; {preparing.resume_message(out)}", code=130)) from None
    except OutputError as error:
        raise OutputError(f"{error}; {preparing.resume_message(out)}") from None
    print_result({"command": "prepare", "folder": str(out), "exported": exported} | prepared.summary(), prepared.to_text(out), as_json)
