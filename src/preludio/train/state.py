"""A run at rest: one safetensors file with the weights, what the optimisers remember, and how far it came; written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from preludio.errors import TrainError
from preludio.files import replace_atomically
from preludio.tokens import VOCABULARY_HASH

FILE = "state.safetensors"
STABLE_FILE = "before-decay.safetensors"  # a longer run can go on from here
FORMAT = 1
_REMEDY = "begin anew in another folder, or go on from an older copy"


@dataclass(frozen=True)
class TrainingProgress:
    """How far a run came. The data's position is the step (windows.py), and so are the rates (config.py)."""

    step: int = 0  # so many are done
    tokens: int = 0  # so many were learnt from
    seconds: float = 0.0  # so long it took, over all sittings
    data_hash: str = ""  # of the shards


def save(path: Path, tensors: dict[str, Tensor], progress: TrainingProgress, config: dict[str, Any]) -> None:
    """
    Raises:
        OutputError: the disk is full, or the folder cannot be written; the file that stood there still stands.
    """
    about = {"format": FORMAT, "vocabulary_hash": VOCABULARY_HASH, "progress": dataclasses.asdict(progress), "config": config}
    whole = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with replace_atomically(path) as beside:
        mode = beside.stat().st_mode
        try:
            save_file(whole, beside, {"preludio": json.dumps(about)})
            beside.chmod(mode)  # safetensors makes a file that only its owner may read
        except SafetensorError as error:
            raise _as_os_error(error) from None


def load(path: Path) -> tuple[dict[str, Tensor], TrainingProgress, dict[str, Any]]:
    """
    Raises:
        TrainError: there is none, it is damaged, or it was made for another vocabulary.
    """
    with _opened(path) as file:
        about = _about(file, path)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        progress = TrainingProgress(**{field.name: about["progress"][field.name] for field in dataclasses.fields(TrainingProgress)})
    return tensors, progress, about["config"]


def load_settings(path: Path) -> dict[str, Any]:
    """The table of settings that the run had when this was saved.

    Raises:
        TrainError: as `load`.
    """
    with _opened(path) as file:
        return dict(_about(file, path)["config"])


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise TrainError(f"{path}: there is no run to resume; leave --resume out to begin one")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainError(f"{path} is damaged ({' '.join(str(error).split())[:120]}); {_REMEDY}") from None


def _about(file: Any, path: Path) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(file.metadata()["preludio"])
    if about.get("format") != FORMAT or about.get("vocabulary_hash") != VOCABULARY_HASH:
        raise TrainError(f"{path} was made by another version, or for another vocabulary; {_REMEDY}")
    return about


def _as_os_error(error: SafetensorError) -> OSError:
    """safetensors hides the number of a full disk's error in its words."""
    number = re.search(r"os error (\d+)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(" ".join(str(error).split()))
