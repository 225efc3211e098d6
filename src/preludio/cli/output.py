"""What people and programs read: results on stdout, all else on stderr."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from preludio.errors import OutputError, PreludioWarning, RemarkWarning

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@contextmanager
def progress_bar(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """A bar on stderr, where a person sees it; called with how much is done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn(f"{what:9}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=total)
        yield lambda done: bars.update(task, completed=min(done, total))


def say_result(facts: dict[str, Any], summary: str, as_json: bool) -> None:
    say_line(json.dumps(facts) if as_json else summary)


def say_line(text: str) -> None:
    """On stdout."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        discard(sys.stdout)
        raise OutputError(f"cannot print the result: {error.strerror}; send stdout elsewhere") from None


def say_note(text: str) -> None:
    """One line on stderr: what was repaired, left out, or done otherwise than asked."""
    typer.echo(f"preludio: note: {' '.join(text.split())}", err=True)


def discard(stream: Any) -> None:
    """Sends what is still in the stream's buffer nowhere: Python would try again at its end, and complain."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def fail(message: str, code: int = 2) -> int:
    typer.echo(f"preludio: {' '.join(message.split())}", err=True)
    return code


@contextmanager
def notes_on_stderr() -> Iterator[None]:
    """What was repaired is one line on stderr each; other warnings are shown as ever."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def say(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, PreludioWarning):
                say_note(str(message))
            else:
                show(message, category, *place, **more)

        warnings.simplefilter("always", PreludioWarning)
        warnings.simplefilter("ignore", RemarkWarning)  # of single files, of which a corpus has thousands
        warnings.showwarning = say
        yield
