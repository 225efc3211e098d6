"""`preludio compose`."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preludio.cli.output import AsJson, progress_bar, say_result
from preludio.cli.pieces import OutputPath, described, places, read, stem_of, summary, write
from preludio.errors import RequestError

if TYPE_CHECKING:
    from preludio.compose import Request

ENDING_SECONDS = 10  # how much longer than asked a piece may get: its last notes ring out (compose.rules.Ending)


ENGINE_HELP = "What computes: native (int8), native:bfloat16, native:float32, or numpy; auto is native where it was built."


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
    engine: Annotated[str, typer.Option(metavar="NAME", help=ENGINE_HELP)] = "auto",
    out: OutputPath = Path("piece"),
    as_json: AsJson = False,
) -> None:
    """Compose a piece: PATH.mid to play on, PATH.wav to hear, PATH.svg to see."""
    from preludio.compose import Composer, Request

    request = Request(
        prompt=None if prompt is None else read(prompt),
        prompt_seconds=prompt_seconds,
        seconds=seconds,
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        variations=variations,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
    )
    require_playable(request)
    stem = stem_of(out)
    stems = [stem] if variations == 1 else [stem.with_name(f"{stem.name}-{number}") for number in range(1, variations + 1)]
    paths = [places(path, (".mid", ".wav", ".svg"), prompt) for path in stems]
    composer = Composer.from_pretrained(model, engine)
    with progress_bar("composing", seconds) as progress:
        pieces = composer.takes(request, progress=progress)
    title = f"Preludio, seed {request.seed}" if prompt is None else f"{prompt.stem}, and on with Preludio"
    write({path: piece for files, piece in zip(paths, pieces, strict=True) for path in files}, title)
    results = [described(piece, files) for files, piece in zip(paths, pieces, strict=True)]
    facts = {"command": "compose", "seed": request.seed, "model": model, "engine": composer.engine.name, "pieces": results}
    say_result(facts, f"{summary(results)} (seed {request.seed})", as_json)


def require_playable(request: Request) -> None:
    """Asks now what the sound would refuse after hours of composing."""
    from preludio.render.sound import MAX_SECONDS

    before = 0.0 if request.prompt is None else request.prompt.duration_ms / 1000
    if request.prompt_seconds is not None:
        before = min(before, request.prompt_seconds)
    if before + request.seconds > MAX_SECONDS - ENDING_SECONDS:
        asked = f"{before + request.seconds:,.0f} seconds" + (", its prompt included" if before else "")
        raise RequestError(f"the piece would last {asked}; sound is made for at most {MAX_SECONDS - ENDING_SECONDS:,}: ask for fewer")
