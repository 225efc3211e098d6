"""`preludio evaluate --music`: composes what is not there yet, measures, writes a page, a JSON file and the pieces."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from preludio.cli.output import fail, print_result, progress_bar
from preludio.errors import PreludioError

if TYPE_CHECKING:
    from preludio.compose import Composer
    from preludio.evaluate import TokenisedPieces
    from preludio.evaluate.music import PieceFolder, Settings
    from preludio.evaluate.music.composed_pieces import ComposeBatch
    from preludio.evaluate.music.excerpts import RealMusic
    from preludio.evaluate.music.page import Roll

PAGE, FIGURES = "index.html", "music.json"
TRAIN = "train"
SHOWN = 10  # rolls from nothing: the first ones, whatever they are
SHOWN_BESIDE = 4  # continuations, and real beginnings


def evaluate_music(  # what the command's options are
    data: Path, split: str, model: str, engine: str | None, out: Path, settings: Settings, processes: int | None, as_json: bool
) -> None:
    """Composes with `engine` (the fastest where it is None), and takes the model's probabilities in float32."""
    from preludio import checkpoint
    from preludio.compose import Composer
    from preludio.engine import AUTO, open_engine
    from preludio.evaluate import EngineScore, open_pieces
    from preludio.evaluate.music import (
        ComposedMusic,
        PieceFolder,
        ReferenceCorpus,
        compose_batches,
        measure,
        page,
        piece_origin,
        real_music,
        summary,
    )
    from preludio.processors import usable_processors

    loaded = checkpoint.load(model)
    composer = Composer(open_engine(loaded, engine or AUTO))
    held_out, training = open_pieces(data, split), _training(data, split)
    store = PieceFolder(out, piece_origin(loaded, composer.engine.name, settings))
    with progress_bar("reading", len(held_out)) as progress:
        corpus = ReferenceCorpus(real_music(held_out, settings, progress), held_out, training)
    batches = compose_batches(settings, corpus.real.continuations[0])
    _compose(composer, batches, store)
    n_processes = processes or usable_processors()
    score = EngineScore(loaded, threads=1 if n_processes > 1 else None)
    report = measure(ComposedMusic.read(batches, store, settings), corpus, score, settings, progress_bar, n_processes)
    result_json: dict[str, Any] = {"model": model, "engine": composer.engine.name, "data": str(data), "split": split}
    everything = {"command": "evaluate", "music": True} | result_json | {"out": str(out), "settings": settings.to_json()} | report.to_json()
    page.write(out / PAGE, report, result_json | {"seed": settings.seed}, _rolls(batches, store, corpus.real, settings))
    _write_json(out / FIGURES, everything)
    left_out = "" if training else f"\n{data} has no {TRAIN} split, so copying and the classifier are left out.\n"
    text = f"{model} ({composer.engine.name}) beside {held_out.where}\n\n{summary.text(report)}\n{left_out}"
    print_result(everything, f"{text}\nThe page, with its pieces: {out / PAGE}", as_json)


def _compose(composer: Composer, batches: Sequence[ComposeBatch], store: PieceFolder) -> None:
    from preludio.evaluate.music import compose_missing, total_seconds

    try:
        with progress_bar("composing", total_seconds(batches)) as progress:
            compose_missing(composer, batches, store, progress)
    except KeyboardInterrupt:
        raise typer.Exit(fail(f"stopped; the pieces so far are kept in {store.folder}: the same command goes on", code=130)) from None


def _training(data: Path, split: str) -> TokenisedPieces | None:
    """The training split; none where the source has no splits, or where it is itself what the model is asked about."""
    from preludio.evaluate import open_pieces

    if split == TRAIN:
        return None
    with suppress(PreludioError):
        return open_pieces(data, TRAIN)
    return None


def _rolls(batches: Sequence[ComposeBatch], store: PieceFolder, real: RealMusic, settings: Settings) -> dict[str, list[Roll]]:
    from preludio.evaluate.music.page import Roll

    prompt_ms = round(1000 * settings.prompt_seconds)
    drawn: dict[str, list[Roll]] = {"From nothing": [], "Continued": []}
    for batch in batches:
        is_continued = bool(batch.prompt)
        rows = drawn["Continued" if is_continued else "From nothing"]
        if batch.names[0].startswith("long") or len(rows) >= (SHOWN_BESIDE if is_continued else SHOWN):
            continue
        for name, performance in list(zip(batch.names, store.read(batch), strict=True))[: 1 if is_continued else SHOWN - len(rows)]:
            title = f"{name}: {batch.prompt}" if is_continued else name
            rows.append(Roll(title, performance, prompt_ms if is_continued else 0, f"pieces/{name}.mid"))
    drawn["Real beginnings"] = [Roll(excerpt.name, excerpt.music) for excerpt in real.beginnings[0][:SHOWN_BESIDE]]
    return drawn


def _write_json(path: Path, everything: dict[str, Any]) -> None:
    from preludio.files import write_atomically

    write_atomically(path, (json.dumps(everything, indent=1, ensure_ascii=False) + "\n").encode())
