"""The names that others rely on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import preludio


def test_every_public_name_is_there() -> None:
    for name in preludio.__all__:
        assert getattr(preludio, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Sonata'"):
        preludio.Sonata  # noqa: B018


def test_the_names_of_the_readme_work_together(tmp_path: Path) -> None:
    performance = preludio.Performance([(0, 480, 60, 70), (500, 990, 64, 80)], [(100, 700)])
    preludio.write_midi(performance, tmp_path / "in.mid")
    assert preludio.read_midi(tmp_path / "in.mid") == performance
    grid = preludio.quantise(preludio.sustain(performance))
    ids = preludio.tokens.encode(grid)
    assert np.array_equal(ids, preludio.tokens.encode(performance))
    assert preludio.tokens.decode(ids) == grid


def test_starting_the_program_loads_no_numerics() -> None:
    """`preludio --help` answers at once: NumPy and the rest are loaded by the command that needs them."""
    code = "import sys, preludio.cli; sys.exit(any(name in sys.modules for name in ('numpy', 'torch', 'PIL', 'soundfile')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
