"""Arguments -> one library call -> exit code.

What a user caused becomes one line on stderr and exit code 2. stdout carries results alone: paths said in a last line, or, with --json,
one JSON object; progress and notes go to stderr.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preludio.errors import MidiError, OutputError, PreludioError, PreludioWarning, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from preludio.compose import Piece, Request
    from preludio.performance import Performance

CLEANING = "silence, too short, too sparse, constant velocity, not solo piano"  # corpus.clean.RULES, which loading this must not load
ENDING_SECONDS = 10  # how much longer than asked a piece may get: its last notes ring out (compose.rules.Ending)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

OutputPath = Annotated[Path, typer.Option("--out", metavar="PATH", help="Where the files go, without suffix; folders are made.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


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
        with _notes_on_stderr():
            return _run(arguments)
    except PreludioError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("stopped; nothing was written", code=130)
    except MemoryError:
        return _fail("not enough memory: close other programs, or ask for fewer seconds or variations")
    except BrokenPipeError:  # the reader of our output is gone
        _discard(sys.stdout)
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
        complaint = getattr(error, "format_message", None)  # the command line's own: an unknown option, a missing file name
        if complaint is None:
            raise
        place = getattr(getattr(error, "ctx", None), "command_path", "preludio")
        return _fail(f"{complaint().rstrip('.')}; {place} --help explains")
    return 0


@app.callback(invoke_without_command=True)
def preludio(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)] = False,
) -> None:
    """Composes expressive piano music."""
    if version:
        from preludio import __version__

        _print(f"preludio {__version__}")
    elif context.invoked_subcommand is None:
        _print(context.get_help())


@app.command()
def compose(  # its parameters are the command's options
    prompt: Annotated[Path | None, typer.Option(metavar="FILE", help="A MIDI file to go on from; none: a piece from nothing.")] = None,
    prompt_seconds: Annotated[float | None, typer.Option(metavar="S", help="Go on from after the prompt's first S seconds.")] = None,
    seconds: Annotated[float, typer.Option(metavar="S", help="How much to compose; the piece ends at the next rest.")] = 60.0,
    seed: Annotated[int | None, typer.Option(metavar="N", help="One seed, one piece; without it, a new one each time.")] = None,
    variations: Annotated[int, typer.Option(metavar="K", help="K takes at once: PATH-1, PATH-2 ...")] = 1,
    temperature: Annotated[float, typer.Option(metavar="T", help="Under 1 calmer, over 1 wilder; 0 takes the likeliest always.")] = 1.0,
    top_k: Annotated[int, typer.Option(metavar="K", help="Draw among the K likeliest events; 0 for all.")] = 0,
    top_p: Annotated[float, typer.Option(metavar="P", help="Draw among the likeliest events of total probability P; 1 for all.")] = 1.0,
    min_p: Annotated[float, typer.Option(metavar="M", help="Leave out events less than M times as likely as the likeliest.")] = 0.0,
    model: Annotated[str, typer.Option(metavar="NAME|DIR", help="A bundled model, or a directory with one.")] = "small",
    engine: Annotated[str, typer.Option(metavar="NAME", help="What computes: numpy.")] = "numpy",
    out: OutputPath = Path("piece"),
    as_json: AsJson = False,
) -> None:
    """Compose a piece: PATH.mid to play on, PATH.wav to hear, PATH.svg to see."""
    from preludio.compose import Composer, Request

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
    _require_playable(request)
    stem = _stem(out)
    stems = [stem] if variations == 1 else [stem.with_name(f"{stem.name}-{number}") for number in range(1, variations + 1)]
    paths = [_places(path, (".mid", ".wav", ".svg"), prompt) for path in stems]
    composer = Composer.from_pretrained(model, engine)
    with _progress("composing", seconds) as progress:
        pieces = composer.takes(request, progress=progress)
    title = f"Preludio, seed {request.seed}" if prompt is None else f"{prompt.stem}, and on with Preludio"
    _write({path: piece for files, piece in zip(paths, pieces, strict=True) for path in files}, title)
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
    paths = _places(_stem(out if out is not None else file), (".wav", ".svg", ".png"), file)
    piece = Piece(performance, prompt_ms=0)
    _write(dict.fromkeys(paths, piece), file.stem)
    result = _described(piece, paths)
    _say({"command": "render"} | result, _summary([result]), as_json)


@app.command()
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
        with _progress("fetching", set_.n_bytes) as progress:
            folder = fetching.download(set_, to, url=url, progress=progress)
    except KeyboardInterrupt:
        raise typer.Exit(_fail(f"stopped; what has come is kept in {to}: the same command goes on from there", code=130)) from None
    facts = {"command": "download", "folder": str(folder), "licence": set_.licence, "citation": set_.citation}
    _say(facts, f"{folder}\nLicence: {set_.licence}\nCite: {set_.citation}", as_json)


@app.command()
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
    choice = preparing.Choice(not keep_duplicates, not no_guard, guard_own)
    options = preparing.Options(preparing.rules_without(without or ()), choice, curated)
    try:
        with _progress("examining", 1.0) as progress:
            prepared = preparing.prepare(sources, out, options, processes=processes, progress=lambda done, of: progress(done / of))
        exported = [str(path) for path in preparing.export_npz(out, sources)] if export else []
    except KeyboardInterrupt:
        raise typer.Exit(_fail(f"stopped; {preparing.what_is_kept(out)}", code=130)) from None
    except OutputError as error:
        raise OutputError(f"{error}; {preparing.what_is_kept(out)}") from None
    _say({"command": "prepare", "folder": str(out), "exported": exported} | prepared.summary(), prepared.in_words(out), as_json)


def _read(path: Path) -> Performance:
    """A file's performance; what was repaired in it is said only if there is music in it, so that an error stays one line."""
    from preludio.midi import read_midi

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", PreludioWarning)
        performance = read_midi(path)
    if not len(performance):
        raise MidiError(f"{path}: it has no piano notes; choose a file with some (channel 10, the drums, does not count)")
    for note in notes:
        warnings.warn_explicit(note.message, note.category, note.filename, note.lineno)
    return performance


def _require_playable(request: Request) -> None:
    """Asks now what the sound would refuse after hours of composing."""
    from preludio.render.sound import MAX_SECONDS

    before = 0.0 if request.prompt is None else request.prompt.duration_ms / 1000
    if request.prompt_seconds is not None:
        before = min(before, request.prompt_seconds)
    if before + request.seconds > MAX_SECONDS - ENDING_SECONDS:
        asked = f"{before + request.seconds:,.0f} seconds" + (", its prompt included" if before else "")
        raise RequestError(f"the piece would last {asked}; sound is made for at most {MAX_SECONDS - ENDING_SECONDS:,}: ask for fewer")


def _stem(path: Path) -> Path:
    """PATH without a suffix of ours, so that `--out piece.mid` means what it seems to."""
    name = path.stem if path.suffix.lower() in (".mid", ".midi", ".wav", ".svg", ".png") else path.name
    is_folder = name == path.name and os.path.isdir(path)  # noqa: PTH112 (Path.is_dir raises for a name that is too long)
    if is_folder or name in ("", ".", ".."):
        raise OutputError(f"{path} names a folder, not a piece: choose a name in it, such as {path / 'piece'}")
    return path.parent / name


def _places(stem: Path, suffixes: tuple[str, ...], source: Path | None) -> list[Path]:
    """Where the files go, all of which can be written, and none of which is the file that was read."""
    from preludio.files import require_writable

    paths = [stem.with_name(stem.name + suffix) for suffix in suffixes]
    for path in paths:
        require_writable(path)  # now rather than after composing
        if source is not None and path.exists() and path.samefile(source):
            raise OutputError(f"{path} is the very file that was read, and would be lost: choose another name with --out")
    return paths


def _write(pieces: dict[Path, Piece], title: str) -> None:
    """All files or none: each is written beside its place, and they are renamed together at the end."""
    from preludio.files import replacing

    with ExitStack() as stack:
        beside = {stack.enter_context(replacing(path)): piece for path, piece in pieces.items()}
        for path, piece in beside.items():
            _write_one(path, piece, title)


def _write_one(path: Path, piece: Piece, title: str) -> None:
    from preludio import render as renderers
    from preludio.midi import write_midi

    if path.suffix == ".mid":
        write_midi(piece.performance, path)
    elif path.suffix == ".wav":
        with _progress("playing", 1.0) as progress:
            renderers.write(piece.performance, path, progress=progress)
    else:
        renderers.write(piece.performance, path, prompt_ms=piece.prompt_ms, title=title)


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
    _print(json.dumps(facts) if as_json else summary)


def _print(text: str) -> None:
    """On stdout."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard(sys.stdout)
        raise OutputError(f"cannot print the result: {error.strerror}; send stdout elsewhere") from None


def _discard(stream: Any) -> None:
    """Sends what is still in the stream's buffer nowhere: Python would try again at its end, and complain."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def _fail(message: str, code: int = 2) -> int:
    typer.echo(f"preludio: {' '.join(message.split())}", err=True)
    return code


@contextmanager
def _notes_on_stderr() -> Iterator[None]:
    """What was repaired is one line on stderr each; other warnings are shown as ever."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def say(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, PreludioWarning):
                typer.echo(f"preludio: note: {' '.join(str(message).split())}", err=True)
            else:
                show(message, category, *place, **more)

        warnings.simplefilter("always", PreludioWarning)
        warnings.showwarning = say
        yield
