"""The rules of the architecture (DESIGN.md): a package imports only packages below it, and composing needs no torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "preludio"
CONFIG = ROOT / "pyproject.toml"
WITH_TORCH = {"bench", "model", "train"}


def packages() -> set[str]:
    found = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    return found - {"__init__"}


def lint(source: Path) -> subprocess.CompletedProcess[str]:
    """import-linter on the package in a `src` folder, with the project's contracts."""
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists():
        pytest.skip("needs import-linter")
    command = [str(program), "--config", str(CONFIG), "--no-cache"]
    environment = os.environ | {"PYTHONPATH": str(source), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, cwd=source, env=environment, check=False)


def python(program: str, *arguments: str, cwd: Path) -> str:
    """Runs a program in a process of its own; what it prints."""
    environment = os.environ | {"PYTHONPATH": str(SOURCE.parent)}
    ran = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=cwd, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_package_imports_only_packages_below_it() -> None:
    ran = lint(SOURCE.parent)
    assert ran.returncode == 0, ran.stdout


def test_the_contracts_notice(tmp_path: Path) -> None:
    """One breach of each kind, planted in a copy."""
    shutil.copytree(
        SOURCE, tmp_path / "preludio", ignore=lambda _, names: [name for name in names if "." in name and not name.endswith(".py")]
    )
    for package, breach in {
        "performance.py": "from preludio import midi",  # upwards
        "render/svg.py": "from preludio import compose",  # across
        "engine/numpy_engine.py": "from preludio.tokens import END",  # the engine knows nothing of music
        "compose/take.py": "from preludio.model import Transformer",  # torch by a detour
        "kitchen.py": "",  # a package that is in no list
    }.items():
        with (tmp_path / "preludio" / package).open("a", encoding="utf-8") as file:
            file.write(f"\n{breach}\n")
    ran = lint(tmp_path)
    assert ran.returncode != 0
    broken = [line.partition(" BROKEN")[0] for line in ran.stdout.splitlines() if " BROKEN" in line]
    assert [name.split(":")[0] for name in broken] == [
        "A package imports only packages below it",
        "No import circles inside a package",
        "Who may read and write MIDI",
        "Who may know the vocabulary",
        "Only what people touch, and what judges the music, imports what composes, sounds and draws",
        "Composing, rendering and reading need no torch, not even by a detour",
    ]
    assert "kitchen" in ran.stdout


def test_each_room_but_those_that_train_is_held_to_be_free_of_torch() -> None:
    contracts = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (sources,) = (contract["source_modules"] for contract in contracts if contract.get("forbidden_modules") == ["torch"])
    assert {source.removeprefix("preludio.") for source in sources} == packages() - WITH_TORCH


COMPOSE = """
import json, sys
sys.modules["torch"] = None  # whoever imports it now fails
import dataclasses
import numpy as np
import preludio
from preludio import checkpoint, cli
config = dataclasses.replace(checkpoint.SIZES["tiny"], window=64)
arrays = {name: np.full(shape, 0.01, np.float32) for name, shape in checkpoint.array_shapes(config).items()}
checkpoint.save("model", checkpoint.Checkpoint(config, arrays, {}))
code = cli.run(["compose", "--model", "model", "--seconds", "1", "--seed", "1", "--json"])
code += cli.run(["render", "piece.mid", "--out", "again", "--json"])
heavy = {"safetensors.torch", "scipy", "pandas", "matplotlib", "music21", "transformers", "sklearn"}
print(json.dumps([code, sorted(heavy & set(sys.modules))]))
"""


def test_composing_and_rendering_need_no_torch(tmp_path: Path) -> None:
    assert json.loads(python(COMPOSE, cwd=tmp_path).splitlines()[-1]) == [0, []]
    assert {path.name for path in tmp_path.glob("*.*")} == {"piece.mid", "piece.wav", "piece.svg", "again.wav", "again.svg", "again.png"}


def test_the_program_starts_without_what_it_may_not_need(tmp_path: Path) -> None:
    """--help and a mistyped option answer at once: NumPy and the rest are loaded by the command that needs them."""
    program = "import sys, preludio.cli; print(sorted({'numpy', 'torch', 'safetensors', 'soundfile', 'PIL', 'symusic'} & set(sys.modules)))"
    assert python(program, cwd=tmp_path) == "[]\n"


def test_torch_is_not_imported_where_a_module_begins() -> None:
    """Outside the packages that train, ruff's TID253 says so while one writes."""
    ruff = Path(sys.executable).with_name("ruff")
    if not ruff.exists():
        pytest.skip("needs ruff")
    for package, code in (("compose/x.py", 1), ("model/x.py", 0)):
        where = ["--config", str(CONFIG), "--stdin-filename", str(SOURCE / package)]
        command = [str(ruff), "check", "--select", "TID253", "--no-cache", *where, "-"]
        assert subprocess.run(command, input=b"import torch\n", capture_output=True, check=False, cwd=ROOT).returncode == code
