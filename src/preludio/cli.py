"""Arguments -> one library call -> exit code.

What a user caused becomes one line on stderr and exit code 2. stdout carries results alone: paths said in a last line, or, with --json,
one JSON object; progress and notes go to stderr.
"""

from __future__ import annotations

import itertools
import json
import secrets
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preludio.errors import MidiError, PreludioError, PreludioWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from preludio.compose import Piece
    from preludio.performance import Performance

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

OutputPath = Annotated[Path, typer.Option("--out", metavar="PATH", help="Where the files go, without suffix; folders are made.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def main() -> None:
    """The program `preludio`."""
    warnings.showwarning = _show_warning
    warnings.simplefilter("always", PreludioWarning)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command; the exit code."""
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="preludio", standalone_mode=False)
    except PreludioError as error:
        return _fail(str(error))
    except (KeyboardInterrupt, EOFError):
        return _fail("stopped; nothing was written", code=130)
    except MemoryError:
        return _fail("not enough memory: close other programs, or ask for fewer seconds or variations")
    except BrokenPipeError:  # the reader of our output is gone
        sys.stderr.close()
        return 1
    except Exception as error:  # the command line's own complaints know how to say what is wrong
        if hasattr(error, "format_message"):
            return _fail(error.format_message())
        if type(error).__name__ == "Abort":
            return _fail("stopped; nothing was written", code=130)
        raise
    return code if isinstance(code, int) else 0


@app.callback(invoke_without_command=True)
def preludio(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    """Composes expressive piano music."""
    if version:
        from preludio import __version__

        typer.echo(f"preludio {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def compose(  # its parameters are the command's options
    prompt: Annotated[Path | None, typer.Option(metavar="FILE", help="A MIDI file to go on from; none: a piece from nothing.")] = None,
    prompt_seconds: Annotated[float | None, typer.Option(metavar="S", help="Go on from after the prompt's first S seconds.")] = None,
    seconds: Annotated[float, typer.Option(metavar="S", help="How much to compose; the piece ends at the next rest.")] = 60.0,
    seed: Annotated[int | None, typer.Option(metavar="N", help="One seed, one piece; without it, a new one each time.")] = None,
    variations: Annotated[int, typer.Option(metavar="K", help="K takes at once: PATH-1, PATH-2 ...")] = 1,
    temperature: Annotated[float, typer.Option(metavar="T", help="Under 1 calmer, over 1 wilder; 0 takes the likeliest always.")] = 1.0,
    top_k: Annotated[int, typer.Option(metavar="K", help="Draw among the K likeliest events; 0 for all.")] = 0,
    top_p: Annotated[float, typer.Option(metavar="P", help="Draw among the likeliest events of total probability P.")] = 0.95,
    min_p: Annotated[float, typer.Option(metavar="M", help="Leave out events less than M times as likely as the likeliest.")] = 0.0,
    model: Annotated[str, typer.Option(metavar="NAME|DIR", help="A bundled model, or a directory with one.")] = "small",
    engine: Annotated[str, typer.Option(metavar="NAME", help="What computes: numpy.")] = "numpy",
    out: OutputPath = Path("piece"),
    as_json: AsJson = False,
) -> None:
    """Compose a piece: PATH.mid to play on, PATH.wav to hear, PATH.svg to see."""
    from preludio.compose import Composer, Request
    from preludio.files import require_writable

    request = Request(
        prompt=None if prompt is None else _read(prompt),
        prompt_seconds=prompt_seconds,
        seconds=seconds,
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        variations=variations,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
    )
    stem = _stem(out)
    stems = [stem] if variations == 1 else [stem.with_name(f"{stem.name}-{number}") for number in range(1, variations + 1)]
    paths = [[path.with_name(path.name + suffix) for suffix in (".mid", ".wav", ".svg")] for path in stems]
    composer = Composer.from_pretrained(model, engine)
    for path in itertools.chain(*paths):
        require_writable(path)  # now rather than after composing
    with _progress("composing", seconds) as progress:
        pieces = composer.takes(request, progress=progress)
    _write({path: piece for files, piece in zip(paths, pieces, strict=True) for path in files})
    results = [_described(piece, files) for files, piece in zip(paths, pieces, strict=True)]
    facts = {"command": "compose", "seed": request.seed, "model": model, "engine": engine, "pieces": results}
    _say(facts, f"{_summary(results)} (seed {request.seed})", as_json)


@app.command()
def render(
    file: Annotated[Path, typer.Argument(metavar="FILE.mid", help="A MIDI file.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="PATH", help="Where the files go; else beside FILE.mid.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a MIDI file heard and seen: PATH.wav, and its piano roll PATH.svg and PATH.png."""
    from preludio.compose import Piece

    performance = _read(file)
    stem = _stem(out if out is not None else file)
    paths = [stem.with_name(stem.name + suffix) for suffix in (".wav", ".svg", ".png")]
    piece = Piece(performance, prompt_ms=0)
    _write(dict.fromkeys(paths, piece))
    result = _described(piece, paths)
    _say({"command": "render"} | result, _summary([result]), as_json)


def _read(path: Path) -> Performance:
    from preludio.midi import read_midi

    performance = read_midi(path)
    if not len(performance):
        raise MidiError(f"{path}: it has no piano notes; choose a file with some (channel 10, the drums, does not count)")
    return performance


def _stem(path: Path) -> Path:
    """PATH without a suffix of ours, so that `--out piece.mid` means what it seems to."""
    return path.with_suffix("") if path.suffix.lower() in (".mid", ".midi", ".wav", ".svg", ".png") else path


def _write(pieces: dict[Path, Piece]) -> None:
    """All files or none: each is written beside its place, and they are renamed together at the end."""
    from preludio.files import replacing

    with ExitStack() as stack:
        beside = {stack.enter_context(replacing(path)): piece for path, piece in pieces.items()}
        for path, piece in beside.items():
            _write_one(path, piece)


def _write_one(path: Path, piece: Piece) -> None:
    from preludio import render as renderers
    from preludio.midi import write_midi

    if path.suffix == ".mid":
        write_midi(piece.performance, path)
    elif path.suffix == ".wav":
        with _progress("playing", 1.0) as progress:
            renderers.write(piece.performance, path, progress=progress)
    else:
        renderers.write(piece.performance, path, prompt_ms=piece.prompt_ms)


@contextmanager
def _progress(what: str, total: float) -> Iterator[Callable[[float], None]]:
    """A bar on stderr, where a person sees it; called with how much is done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn(f"{what:9}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=total)
        yield lambda done: bars.update(task, completed=min(done, total))


def _described(piece: Piece, paths: list[Path]) -> dict[str, Any]:
    performance = piece.performance
    return {
        "files": [str(path) for path in paths],
        "seconds": performance.duration_ms / 1000,
        "prompt_seconds": piece.prompt_ms / 1000,
        "notes": len(performance),
    }


def _summary(results: list[dict[str, Any]]) -> str:
    lines = [f"{', '.join(result['files'])}: {result['notes']:,} notes in {result['seconds']:.0f} seconds" for result in results]
    return "Made " + "\n     ".join(lines)


def _say(facts: dict[str, Any], summary: str, as_json: bool) -> None:
    typer.echo(json.dumps(facts) if as_json else summary)


def _fail(message: str, code: int = 2) -> int:
    typer.echo(f"preludio: {' '.join(message.split())}", err=True)
    return code


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **_: Any) -> None:
    if issubclass(category, PreludioWarning):
        typer.echo(f"preludio: note: {message}", err=True)
    else:
        typer.echo(warnings.formatwarning(message, category, place[0], place[1]), err=True)
