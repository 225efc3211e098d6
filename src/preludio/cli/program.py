"""The program `preludio`: its commands, and what a fault becomes."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Annotated

import typer

from preludio.cli.bench import bench
from preludio.cli.compose import compose
from preludio.cli.download import download
from preludio.cli.evaluate import evaluate
from preludio.cli.output import discard_buffer, fail, print_line, warnings_on_stderr
from preludio.cli.prepare import prepare
from preludio.cli.render import render
from preludio.cli.studio import studio
from preludio.cli.train import train
from preludio.errors import PreludioError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def main() -> None:
    """The program `preludio`."""
    # One thread of linear algebra: a second one gains a quarter on an idle machine, and loses most of the speed on a busy one, where
    # each of a step's small products waits for both. Set the variable to choose otherwise; it counts until NumPy is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # unfinished files go, as after Ctrl-C
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")  # file names that the terminal's encoding lacks
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command; the exit code. Our own faults are not caught."""
    try:
        with warnings_on_stderr():
            return _run(arguments)
    except PreludioError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("stopped; nothing was written", code=130)
    except MemoryError:
        return fail("not enough memory: close other programs, or ask for fewer seconds or variations")
    except BrokenPipeError:  # the reader of our output is gone
        discard_buffer(sys.stdout)
        return 1


def _run(arguments: list[str]) -> int:
    """Without typer's own `main`, which swallows Ctrl-C and prints its complaints on several lines."""
    try:
        command = typer.main.get_command(app)
        with command.make_context("preludio", arguments) as context:
            command.invoke(context)
    except typer.Exit as left:
        return left.exit_code
    except Exception as error:
        format_message = getattr(error, "format_message", None)  # the command line's own: an unknown option, a missing file name
        if format_message is None:
            raise
        place = getattr(getattr(error, "ctx", None), "command_path", "preludio")
        return fail(f"{format_message().rstrip('.')}; {place} --help explains")
    return 0


@app.callback(invoke_without_command=True)
def preludio(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    """Composes expressive piano music."""
    if version:
        from preludio import __version__

        print_line(f"preludio {__version__}")
    elif context.invoked_subcommand is None:
        print_line(context.get_help())


for command in (compose, render, download, prepare, train, evaluate, studio, bench):
    app.command()(command)
