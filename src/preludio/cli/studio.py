"""`preludio studio`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preludio.errors import StudioError

MODEL_HELP = "A directory with a model, to choose in the page beside the bundled ones; may be given several times. The first is chosen."
HOST_HELP = "Listen beyond this machine; visitors then need a token, for whoever reaches the studio can use it."


def studio(  # its parameters are the command's options
    port: Annotated[int | None, typer.Option(metavar="N", help="Where to listen; else 7388, or the next that is free.")] = None,
    host: Annotated[str, typer.Option(metavar="NAME", help=HOST_HELP)] = "127.0.0.1",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the browser.")] = False,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Where pieces are kept; else in the user's data folder.")] = None,
    model: Annotated[list[str] | None, typer.Option(metavar="NAME|DIR", help=MODEL_HELP)] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="What computes; preludio compose --help lists them.")] = "auto",
) -> None:
    """Open the studio: one page in the browser where you compose, play and shape."""
    try:
        from preludio.studio import Settings, serve
    except ImportError as error:
        if error.name not in ("fastapi", "uvicorn", "pydantic", "starlette"):
            raise
        raise StudioError("the studio needs FastAPI and uvicorn: pip install 'preludio[studio]'") from None

    def say(text: str) -> None:
        typer.echo(f"preludio: {text}", err=True)

    try:
        serve(Settings(port, host, not no_browser, data, tuple(model or ()), engine), say)
    except KeyboardInterrupt:
        say("the studio is closed; every piece is kept")
