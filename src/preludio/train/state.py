"""A run at rest: one safetensors file with the weights, what the optimisers remember, and how far it came; written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from preludio.errors import TrainError
from preludio.files import replacing
from preludio.tokens import VOCABULARY_HASH

FILE = "state.safetensors"
STABLE_FILE = "before-decay.safetensors"  # a longer run can go on from here
FORMAT = 1
_REMEDY = "begin anew in another folder, or go on from an older copy"


@dataclass(frozen=True)
class Progress:
    """How far a run came. The data's position is the step (windows.py), and so are the rates (config.py)."""

    step: int = 0  # so many are done
    tokens: int = 0  # so many were learnt from
    seconds: float = 0.0  # so long it took, over all sittings
    data_hash: str = ""  # of the shards
    best: float = float("inf")  # the lowest glance at the validation split


def save(path: Path, tensors: dict[str, Tensor], progress: Progress, config: dict[str, Any]) -> None:
    """
    Raises:
        OutputError: the disk is full, or the folder cannot be written; the file that stood there still stands.
    """
    about = {"format": FORMAT, "vocabulary_hash": VOCABULARY_HASH, "progress": dataclasses.asdict(progress), "config": config}
    whole = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with replacing(path) as beside:
        try:
            save_file(whole, beside, {"preludio": json.dumps(about)})
        except SafetensorError as error:  # it says an OSError's number in words
            raise OSError(f"{error}") from None


def load(path: Path) -> tuple[dict[str, Tensor], Progress, dict[str, Any]]:
    """
    Raises:
        TrainError: there is none, it is damaged, or it was made for another vocabulary.
    """
    if not path.is_file():
        raise TrainError(f"{path}: there is no run to resume; leave --resume out to begin one")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["preludio"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        progress = Progress(**about["progress"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainError(f"{path} is damaged ({' '.join(str(error).split())[:120]}); {_REMEDY}") from None
    if about.get("format") != FORMAT or about.get("vocabulary_hash") != VOCABULARY_HASH:
        raise TrainError(f"{path} was made by another version, for another vocabulary; {_REMEDY}")
    return tensors, progress, about["config"]
