"""`preludio bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preludio.cli.output import AsJson, print_result, progress_bar
from preludio.errors import RequestError


def bench(
    size: Annotated[str, typer.Option(metavar="NAME", help="The model's size: small, base or large; its weights are random.")] = "base",
    repeats: Annotated[int, typer.Option(metavar="N", min=1, help="How often each engine decodes the piece.")] = 3,
    events: Annotated[int, typer.Option(metavar="N", min=100, max=2048, help="How long the piece is.")] = 2048,
    threads: Annotated[int | None, typer.Option(metavar="N", min=1, max=64, help="Beside one; else what suits this machine.")] = None,
    takes: Annotated[int, typer.Option(metavar="N", min=2, max=64, help="How many at once, beside one.")] = 8,
    alone: Annotated[bool, typer.Option("--alone", help="Without transformers and PyTorch, even if they are installed.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.svg", help="A picture: events a second against the context.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure decoding speed: each engine, the share of what this machine's memory allows, and what is installed beside it."""
    from preludio.bench import Bench, list_candidates, picture, table
    from preludio.checkpoint import SIZES
    from preludio.engine.native import default_threads
    from preludio.files import replace_atomically, require_writable

    if size not in SIZES:
        raise RequestError(f"no size {size!r}: choose one of {', '.join(SIZES)}")
    if out is not None:
        require_writable(out)
    decoders = [candidate.build() for candidate in list_candidates(SIZES[size], threads or default_threads(), takes, others=not alone)]
    run = Bench(decoders, events)
    with progress_bar("playing", repeats * len(decoders)) as progress:
        for _ in range(repeats):
            run.repeat(lambda: progress(sum(len(row.runs) for row in run.rows)))
    if out is not None:
        with replace_atomically(out) as beside:
            beside.write_text(picture(run.rows, events, f"Decoding speed, {size}"), encoding="utf-8")
    print_result({"command": "bench", "size": size, "rows": [row.to_json() for row in run.rows]}, table(run.rows, events), as_json)
