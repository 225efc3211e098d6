"""`preludio download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preludio.cli.output import AsJson, fail, print_result, progress_bar
from preludio.errors import RequestError


def download(
    dataset: Annotated[str, typer.Argument(metavar="maestro|giantmidi", help="MAESTRO, or how to get GiantMIDI-Piano.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to put it into; made if need be.")] = Path(),
    url: Annotated[str | None, typer.Option(hidden=True, envvar="PRELUDIO_MAESTRO_URL", help="A mirror of the same file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a published data set to train on: DIR/maestro-v3.0.0 (58 MB). Stopped or broken off, it goes on where it was."""
    from preludio.corpus import download as fetching

    if dataset == "giantmidi":
        typer.echo(fetching.GIANTMIDI_NOTICE.format(folder=to), err=True)
        raise typer.Exit(2)  # nothing was fetched: a script must not go on
    if dataset != "maestro":
        raise RequestError(f"no data set {dataset!r}; choose maestro or giantmidi")
    set_ = fetching.MAESTRO
    try:
        with progress_bar("fetching", set_.n_bytes) as progress:
            folder = fetching.download(set_, to, url=url, progress=progress)
    except KeyboardInterrupt:
        raise typer.Exit(fail(f"stopped; what has come is kept in {to}: the same command goes on from there", code=130)) from None
    result_json = {"command": "download", "folder": str(folder), "licence": set_.licence, "citation": set_.citation}
    print_result(result_json, f"{folder}\nLicence: {set_.licence}\nCite: {set_.citation}", as_json)
