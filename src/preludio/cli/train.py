"""`preludio train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from preludio.cli.output import AsJson, fail, say_result
from preludio.errors import TrainError


def train(  # its parameters are the command's options
    data: Annotated[Path, typer.Option(metavar="DIR", help="What preludio prepare wrote.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the model, the log and the pictures go.")],
    config: Annotated[str, typer.Option(metavar="NAME|FILE", help="tiny, small, base, large, or a TOML file.")] = "small",
    change: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change one setting of it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where DIR's run was.")] = False,
    init: Annotated[str | None, typer.Option(metavar="NAME|DIR", help="Begin with this model's weights.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a model: DIR/model.safetensors, DIR/log.jsonl. Stopped or killed, it goes on with --resume as if nothing had been."""
    try:
        from preludio import train as training
    except ImportError as error:
        if error.name != "torch":
            raise
        raise TrainError("training needs PyTorch: pip install 'preludio[train]'") from None

    setup = training.Setup(training.read_config(config, change or ()), data, out, resume, init)
    try:
        result = training.run(setup, say=lambda text: typer.echo(f"preludio: {text}", err=True))
    except KeyboardInterrupt:
        raise typer.Exit(fail(f"stopped; all is kept in {out}: go on with --resume", code=130)) from None
    if result is not None:
        facts: dict[str, Any] = {"command": "train", "folder": str(out)} | result.to_json()
        say_result(facts, f"{result.in_words()}; {out}", as_json)
