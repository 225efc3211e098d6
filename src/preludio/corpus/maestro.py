"""MAESTRO v3.0.0 (Hawthorne et al. 2019) in its official folder: the splits that its csv names. Never a random split."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from pathlib import Path

from preludio.errors import PreludioError, PreludioWarning
from preludio.midi import read_midi
from preludio.tokens import Ids, encode

TABLE = "maestro-v3.0.0.csv"


def midi_files(maestro: Path, split: str) -> list[Path]:
    """The files of an official split ("train", "validation" or "test"), in the csv's order.

    Warns:
        PreludioWarning: the csv names files that the folder lacks; says how many.

    Raises:
        PreludioError: the folder has no csv, or the csv no such split.
    """
    try:
        with (maestro / TABLE).open(encoding="utf-8", newline="") as table:
            named = [maestro / row["midi_filename"] for row in csv.DictReader(table) if row["split"] == split]
    except (OSError, KeyError) as error:
        raise PreludioError(f"{maestro}: no MAESTRO v3.0.0 there ({TABLE}: {error}); name its folder") from None
    if not named:
        raise PreludioError(f"{maestro}: no split {split!r}; choose train, validation or test")
    present = [path for path in named if path.is_file()]
    if len(present) < len(named):
        warnings.warn(f"{maestro}: {len(named) - len(present)} of {len(named)} {split} files are missing", PreludioWarning, stacklevel=2)
    return present


def encoded_split(maestro: Path, split: str) -> Iterator[Ids]:
    """The ids of each performance of a split, without START and END; raises and warns as `midi_files` and `read_midi`."""
    return (encode(read_midi(path)) for path in midi_files(maestro, split))
