"""`preludio evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preludio.cli.output import AsJson, progress_bar, say_result
from preludio.cli.sampling import MinP, StrikeTopP, Temperature, TopK, TopP
from preludio.sampling_options import SamplingOptions

if TYPE_CHECKING:
    from preludio.evaluate import Likelihood, Pieces


ForMusic = "With --music: "


def evaluate(  # its parameters are the command's options
    data: Annotated[Path, typer.Option(metavar="SOURCE", help="What prepare wrote, or MAESTRO, or any folder or zip of MIDI.")],
    model: Annotated[str, typer.Option(metavar="NAME|DIR", help="A bundled model, or a directory with one.")] = "small",
    split: Annotated[str, typer.Option(metavar="NAME", help="train, validation or test; all for music without splits.")] = "validation",
    pieces: Annotated[int | None, typer.Option(metavar="N", min=1, help="A quick glance: only N performances, drawn by --seed.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which ones --pieces draws; with --music, of all that is drawn.")] = 0,
    segment: Annotated[int, typer.Option(metavar="N", help="Tokens a segment; the papers have 2048.")] = 2048,
    stride: Annotated[
        int, typer.Option(metavar="N", help="Of the sliding context, which takes segment / stride times as long; 0 leaves it out.")
    ] = 1024,
    engine: Annotated[
        str | None, typer.Option(metavar="NAME", help="As of compose: native:int8 is what composes. Else float32 by the fastest there is.")
    ] = None,
    processes: Annotated[int | None, typer.Option(metavar="N", min=1, help="How many processes; else one for each core.")] = None,
    music: Annotated[bool, typer.Option("--music", help="Instead of the likelihood: what the model composes beside real music.")] = False,
    out: Annotated[Path, typer.Option(metavar="DIR", help=f"{ForMusic}where its pieces, page and figures go.")] = Path("music"),
    from_nothing: Annotated[int, typer.Option(metavar="N", help=f"{ForMusic}pieces from nothing.")] = 64,
    prompts: Annotated[int, typer.Option(metavar="N", help=f"{ForMusic}excerpts of real pieces that are continued.")] = 64,
    takes: Annotated[int, typer.Option(metavar="N", help=f"{ForMusic}continuations of each.")] = 3,
    seconds: Annotated[float, typer.Option(metavar="S", help=f"{ForMusic}of each piece and each continuation.")] = 60.0,
    prompt_seconds: Annotated[float, typer.Option(metavar="S", help=f"{ForMusic}of each prompt.")] = 15.0,
    long: Annotated[int, typer.Option(metavar="N", help=f"{ForMusic}long pieces, whose last quarter is held against the first.")] = 8,
    long_seconds: Annotated[float, typer.Option(metavar="S", help=f"{ForMusic}of each long piece.")] = 240.0,
    temperature: Temperature = SamplingOptions.temperature,
    top_k: TopK = SamplingOptions.top_k,
    top_p: TopP = SamplingOptions.top_p,
    min_p: MinP = SamplingOptions.min_p,
    strike_top_p: StrikeTopP = SamplingOptions.strike_top_p,
    as_json: AsJson = False,
) -> None:
    """How well a model predicts real music: nats a token, a note, bits a second, by the papers' protocol and with a sliding context.

    With --music: how what it composes compares with real music.
    """
    if music:
        from preludio.cli.music import evaluate_music
        from preludio.evaluate.music import Settings

        sampling = SamplingOptions(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, strike_top_p=strike_top_p)
        settings = Settings(prompts, takes, from_nothing, long, seconds, prompt_seconds, long_seconds, seed, sampling)
        evaluate_music(data, split, model, engine, out, settings, processes, as_json)
    else:
        _evaluate_likelihood(data, split, model, engine, (pieces, seed), (segment, stride), processes, as_json)


def _evaluate_likelihood(
    data: Path,
    split: str,
    model: str,
    engine: str | None,
    drawn: tuple[int | None, int],
    lengths: tuple[int, int],
    processes: int | None,
    as_json: bool,
) -> None:
    from preludio import checkpoint
    from preludio.evaluate import Cut, EngineScore, likelihoods, open_pieces, table
    from preludio.processors import usable_processors

    (pieces, seed), (segment, stride) = drawn, lengths
    cuts = [Cut(segment, segment), *([Cut(segment, stride)] if stride else [])]
    n_processes = processes or usable_processors()
    score = EngineScore(checkpoint.load(model), engine, threads=1 if n_processes > 1 else None)
    chosen = open_pieces(data, split).drawn(pieces, seed)
    with progress_bar("listening", len(chosen)) as progress:
        found = likelihoods(score, chosen, cuts, processes=n_processes, progress=progress)
    facts: dict[str, Any] = {"command": "evaluate", "model": model, "engine": score.engine, "data": str(data), "split": split}
    facts |= _music(chosen, found[0], seed)
    facts |= {name: one.to_json() for name, one in zip(("segments", "sliding"), found, strict=False)}
    say_result(facts, f"{model} ({score.engine}) on {chosen.where}{_drawn_in_words(chosen, seed)}\n{table(found)}", as_json)


def _music(chosen: Pieces, found: Likelihood, seed: int) -> dict[str, Any]:
    return {
        "performances": len(found.names),
        "drawn_from": chosen.n_all,
        "seed": seed if len(chosen) < chosen.n_all else None,
        "notes": int(found.notes.sum()),
        "seconds": round(float(found.seconds.sum()), 2),
    }


def _drawn_in_words(chosen: Pieces, seed: int) -> str:
    if len(chosen) == chosen.n_all:
        return ""
    return f": a glance at {len(chosen):,} of its {chosen.n_all:,} performances (drawn with seed {seed}), not the protocol's figure"
