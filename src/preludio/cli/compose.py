"""`preludio compose`."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preludio.cli.output import AsJson, progress_bar, say_note, say_result
from preludio.cli.pieces import OutputPath, Outputs, Overwrite, Remarks, described, read, stem_of, summary, write
from preludio.cli.sampling import MinP, StrikeTopP, Temperature, TopK, TopP
from preludio.errors import RequestError
from preludio.sampling_options import SamplingOptions

if TYPE_CHECKING:
    from preludio.checkpoint import Checkpoint
    from preludio.compose import Piece, Request

SILENCE_SAID_MS = 1_000  # before the place from which a piece was to go on
ENDING_SECONDS = 10  # how much longer than asked a piece may get: its last notes ring out (compose.rules.Ending)


ENGINE_HELP = "What computes: native (int8), native:bfloat16, native:float32, or numpy; auto is native where it was built."


def compose(  # its parameters are the command's options
    prompt: Annotated[Path | None, typer.Option(metavar="FILE", help="A MIDI file to go on from; none: a piece from nothing.")] = None,
    prompt_seconds: Annotated[float | None, typer.Option(metavar="S", help="Go on from after the prompt's first S seconds.")] = None,
    seconds: Annotated[float, typer.Option(metavar="S", help="How much to compose; the piece ends at the next rest.")] = 60.0,
    seed: Annotated[int | None, typer.Option(metavar="N", help="One seed, one piece; without it, a new one each time.")] = None,
    variations: Annotated[int, typer.Option(metavar="K", help="K takes at once: PATH-1, PATH-2 ...")] = 1,
    temperature: Temperature = SamplingOptions.temperature,
    top_k: TopK = SamplingOptions.top_k,
    top_p: TopP = SamplingOptions.top_p,
    min_p: MinP = SamplingOptions.min_p,
    strike_top_p: StrikeTopP = SamplingOptions.strike_top_p,
    model: Annotated[str, typer.Option(metavar="NAME|DIR", help="A bundled model, or a directory with one.")] = "small",
    engine: Annotated[str, typer.Option(metavar="NAME", help=ENGINE_HELP)] = "auto",
    keep_silence: Annotated[bool, typer.Option("--keep-silence", help="Go on after the prompt's last silence, not before it.")] = False,
    out: OutputPath = Path("piece"),
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Compose a piece: PATH.mid to play on, PATH.wav to hear, PATH.svg to see."""
    from preludio import checkpoint
    from preludio.compose import Composer, Request
    from preludio.engine import open_engine

    remarks = Remarks()
    request = Request(
        prompt=None if prompt is None else read(prompt, remarks),
        prompt_seconds=prompt_seconds,
        seconds=seconds,
        seed=secrets.randbelow(1_000_000) if seed is None else seed,
        variations=variations,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        strike_top_p=strike_top_p,
        keep_silence=keep_silence,
    )
    require_playable(request)
    outputs = Outputs(stem_of(out), (".mid", ".wav", ".svg"), variations, source=prompt, overwrite=overwrite)
    outputs.check()
    remarks.say_of_file()
    weights = checkpoint.load(model)
    composer = Composer(open_engine(weights, engine))
    with progress_bar("composing", seconds) as progress:
        pieces = composer.takes(request, progress=progress)
    say_where_it_goes_on(request, pieces[0], remarks)
    title = f"Preludio, seed {request.seed}" if prompt is None else f"{prompt.stem}, and on with Preludio"
    paths = write(outputs, pieces, title, remarks)
    results = [described(piece, files) for piece, files in zip(pieces, paths, strict=True)]
    licence = licence_of(weights)
    facts = {"command": "compose", "seed": request.seed, "model": model, "engine": composer.engine.name, "licence": licence}
    if licence:
        say_note(f"the weights of the model {model} are under {licence}{', so not for commercial use' if '-NC' in licence else ''}")
    say_result(facts | {"pieces": results, "remarks": remarks.rows}, f"{summary(results)} (seed {request.seed})", as_json)


def licence_of(weights: Checkpoint) -> str | None:
    """The licence of a model's weights, as its makers say."""
    licence = weights.about.get("licence")
    return licence if isinstance(licence, str) and licence.strip() else None


def say_where_it_goes_on(request: Request, piece: Piece, remarks: Remarks) -> None:
    """Tells if the piece goes on much earlier than the prompt, or what is used of it, ends."""
    if request.prompt is None:
        return
    asked_ms = request.prompt.duration_ms
    if request.prompt_seconds is not None:
        asked_ms = round(min(asked_ms, request.prompt_seconds * 1000))
    if asked_ms - piece.prompt_ms > SILENCE_SAID_MS:
        text = f"the piece goes on at {piece.prompt_ms / 1000:,.1f} s, where the prompt's sound ends, not at {asked_ms / 1000:,.1f} s"
        remarks.say("resumes", f"{text}; --keep-silence keeps the silence")


def require_playable(request: Request) -> None:
    """Asks now what the sound would refuse after hours of composing."""
    from preludio.performance import end_of_sound_ms
    from preludio.render.sound import MAX_SECONDS

    prompt = request.prompt
    before = 0.0 if prompt is None else (prompt.duration_ms if request.keep_silence else end_of_sound_ms(prompt)) / 1000
    if request.prompt_seconds is not None:
        before = min(before, request.prompt_seconds)
    if before + request.seconds > MAX_SECONDS - ENDING_SECONDS:
        asked = f"{before + request.seconds:,.0f} seconds" + (", its prompt included" if before else "")
        raise RequestError(f"the piece would last {asked}; sound is made for at most {MAX_SECONDS - ENDING_SECONDS:,}: ask for fewer")
