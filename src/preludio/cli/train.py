"""`preludio train`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from preludio.cli.output import AsJson, fail, print_result
from preludio.errors import TrainError


def train(  # its parameters are the command's options
    data: Annotated[Path, typer.Option(metavar="DIR", help="What preludio prepare wrote.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the model, the log and the pictures go.")],
    config: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="tiny, small, base, large, or a TOML file; else small, or what is resumed."),
    ] = None,
    change: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change one setting of it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where DIR's run was.")] = False,
    init: Annotated[str | None, typer.Option(metavar="NAME|DIR", help="Begin with this model's weights.")] = None,
    shard: Annotated[bool, typer.Option("--shard", help="Under torchrun: each process keeps a part of the model, not a copy.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write DIR/tensorboard too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a model: DIR/model.safetensors, log.jsonl, index.html. Stopped or killed, it goes on with --resume as if nothing had been."""
    try:
        from preludio import train as training
    except ImportError as error:
        if error.name != "torch":
            raise
        raise TrainError("training needs PyTorch: pip install 'preludio[train]'") from None

    changes = change or ()
    settings = training.resumed_config(out, changes) if resume and config is None else training.read_config(config or "small", changes)
    setup = training.Setup(settings, data, out, resume, init, shard, tensorboard)
    try:
        with status_line() as (print_line, update_line):
            result = training.run(setup, training.Console(print_line, update_line))
    except KeyboardInterrupt:
        raise typer.Exit(fail(f"stopped; what was learned is kept in {out}: go on with --resume", code=130)) from None
    if result is not None:
        result_json: dict[str, Any] = {"command": "train", "folder": str(out)} | result.to_json()
        print_result(result_json, f"{result.to_text()}; {out}", as_json)


@contextmanager
def status_line() -> Iterator[tuple[Callable[[str], None], Callable[[str], None] | None]]:
    """On stderr: how to say a line that stays, and, on a terminal, one that is replaced by the next."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda text: typer.echo(f"preludio: {text}", err=True), None
        return
    with Live(console=console, transient=True, refresh_per_second=4) as line:
        yield lambda text: console.print(Text(text)), lambda text: line.update(Text(text, no_wrap=True, overflow="ellipsis"))
