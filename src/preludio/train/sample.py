"""A short piece by the model as it is, now and then: what a loss sounds like."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from preludio.compose import Composer, Request
from preludio.performance import Performance
from preludio.render import write

FOLDER = "samples"
SECONDS = 12.0
MAX_NOTES = 400  # a model that has learned nothing yet could strike keys for ever while no time passes
SEED = 0  # always the same: what differs between two pieces is what was learned


def compose(out: Path, step: int) -> Path:
    """Composes with the model in `out`, on the engine that runs everywhere; returns the MIDI file, beside which its picture lies.

    Raises:
        OutputError: it cannot be written.
    """
    stem = out / FOLDER / f"step-{step:07}"
    notes = islice(Composer.from_pretrained(out, "numpy").stream(Request(seconds=SECONDS, seed=SEED)), MAX_NOTES)
    piece = Performance([note for _, note in notes])
    for suffix in (".mid", ".svg"):
        write(piece, stem.with_suffix(suffix), title=f"After {step:,} steps")
    return stem.with_suffix(".mid")


def steps(out: Path) -> dict[int, Path]:
    """Step -> the picture of the piece that was composed after it, in their order."""
    return {int(path.stem.removeprefix("step-")): path for path in sorted((out / FOLDER).glob("step-*.svg"))}
