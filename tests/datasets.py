"""Where the real music lies: `../shared/datasets` beside the repository. A fresh machine has none, so tests that need it are skipped."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "shared" / "datasets"
MAESTRO = ROOT / "maestro-v3.0.0"
GIANTMIDI = ROOT / "giantmidi-piano-sample"
WHY_SKIPPED = f"needs the MAESTRO and GiantMIDI files, which are not in {ROOT}"

needs_datasets = pytest.mark.skipif(not (MAESTRO.is_dir() and GIANTMIDI.is_dir()), reason=WHY_SKIPPED)
"""Decorates a test that reads real files."""


def datasets() -> Path | None:
    """The folder that holds both data sets, or None (the reason is `WHY_SKIPPED`)."""
    return ROOT if MAESTRO.is_dir() and GIANTMIDI.is_dir() else None


def maestro_files(split: str) -> list[Path]:
    """The MIDI files of one official split that are here, in the csv's order (the csv also lists the test files, which are not)."""
    with (MAESTRO / "maestro-v3.0.0.csv").open(encoding="utf-8", newline="") as file:
        paths = [MAESTRO / row["midi_filename"] for row in csv.DictReader(file) if row["split"] == split]
    return [path for path in paths if path.is_file()]


def giantmidi_files() -> list[Path]:
    """The GiantMIDI-Piano transcriptions, by name."""
    return sorted((GIANTMIDI / "midis").glob("*.mid"))
