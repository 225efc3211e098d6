"""A model at rest: `ModelConfig`, named arrays, the vocabulary's hash <-> `model.safetensors` + `model.json` in one directory.

Nothing is unpickled and nothing here needs torch. Everything is checked before an array is handed on: the JSON's fields, the vocabulary's
hash, each array's name, shape and type, and that all numbers are finite.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from preludio.errors import CheckpointError
from preludio.files import write_atomically
from preludio.tokens import VOCAB_SIZE, VOCABULARY_HASH

Arrays = dict[str, npt.NDArray[np.float32]]

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "model.json"
FORMAT = 1
MAX_WEIGHTS_BYTES = 4 << 30  # far above `large` (230 MB in float32); a file of this size is no model of ours
MAX_CARD_BYTES = 1 << 20
BUNDLED = Path(__file__).parent / "models"
DEFAULT_MODEL = "small"


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a Transformer; together with the arrays it is the whole model."""

    d_model: int
    n_heads: int
    n_layers: int
    d_ff: int
    window: int = 2048  # a query sees this many last positions, itself included; each distance has its own relative embedding
    relative_per_head: bool = False  # one table per head, as in the paper, or one per layer shared by its heads (FACTS: 8 x fewer bytes)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "relative_per_head":
                if not isinstance(value, bool):
                    raise CheckpointError(f"model setting {field.name} must be true or false, not {value!r}")
            elif not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1 << 16:
                raise CheckpointError(f"model setting {field.name} must be a whole number from 1 to 65,536, not {value!r}")
        if self.d_model % self.n_heads:
            raise CheckpointError(f"d_model ({self.d_model}) must be a multiple of n_heads ({self.n_heads})")

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def n_parameters(self) -> int:
        return sum(int(np.prod(shape, dtype=np.int64)) for shape in array_shapes(self).values())


SIZES: dict[str, ModelConfig] = {
    "tiny": ModelConfig(d_model=32, n_heads=2, n_layers=2, d_ff=64),  # for tests
    "small": ModelConfig(d_model=384, n_heads=6, n_layers=4, d_ff=1536),  # 7.9 M
    "base": ModelConfig(d_model=512, n_heads=8, n_layers=6, d_ff=2048),  # 20.1 M
    "large": ModelConfig(d_model=768, n_heads=12, n_layers=8, d_ff=3072),  # 58.3 M
}


def array_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every array of a model, in the order of the forward pass.

    `relative[d]` is the embedding of distance d: row 0 is a position's distance to itself.
    """
    d, window = config.d_model, config.window
    relative = (config.n_heads, window, config.d_head) if config.relative_per_head else (window, config.d_head)
    shapes: dict[str, tuple[int, ...]] = {"embedding": (VOCAB_SIZE, d)}
    for layer in range(config.n_layers):
        shapes |= {
            f"layers.{layer}.attention_norm": (d,),
            f"layers.{layer}.qkv": (3 * d, d),
            f"layers.{layer}.relative": relative,
            f"layers.{layer}.attention_out": (d, d),
            f"layers.{layer}.feed_forward_norm": (d,),
            f"layers.{layer}.feed_forward_in": (config.d_ff, d),
            f"layers.{layer}.feed_forward_out": (d, config.d_ff),
        }
    return shapes | {"norm": (d,), "unembedding": (VOCAB_SIZE, d)}


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model: its shape, its float32 arrays, and what its makers say of it (data, licence, likelihood ...)."""

    config: ModelConfig
    arrays: Arrays
    about: Mapping[str, Any]


def save(directory: str | os.PathLike[str], checkpoint: Checkpoint, dtype: npt.DTypeLike = np.float32) -> None:
    """Writes `directory/model.safetensors` and `model.json`, each whole or not at all. float16 halves the size.

    Raises:
        CheckpointError: the arrays are not those of the config.
        OutputError: the directory cannot be written.
    """
    _check_arrays(checkpoint.config, checkpoint.arrays, "this model")
    folder = Path(directory)
    card = {
        "format": FORMAT,
        "vocabulary_hash": VOCABULARY_HASH,
        "config": dataclasses.asdict(checkpoint.config),
        "about": dict(checkpoint.about),
    }
    weights = save_safetensors({name: np.ascontiguousarray(array, dtype=dtype) for name, array in checkpoint.arrays.items()})
    write_atomically(folder / WEIGHTS_FILE, weights)
    write_atomically(folder / CARD_FILE, (json.dumps(card, indent=2) + "\n").encode())


def load(model: str | os.PathLike[str] = DEFAULT_MODEL) -> Checkpoint:
    """Loads a bundled model by name, or any checkpoint directory.

    Raises:
        CheckpointError: unknown name, missing or damaged file, another vocabulary, wrong shapes, numbers that are not finite.
    """
    folder = find(model)
    card = _read_card(folder / CARD_FILE)
    config = _config_of(card, folder)
    try:
        stored = load_safetensors(_read_bytes(folder / WEIGHTS_FILE, MAX_WEIGHTS_BYTES))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / WEIGHTS_FILE} is damaged ({_one_line(error)}); fetch or train the model again") from None
    _check_arrays(config, stored, str(folder))
    arrays = {name: np.ascontiguousarray(stored[name], dtype=np.float32) for name in array_shapes(config)}
    return Checkpoint(config, arrays, card.get("about", {}))


def bundled_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CARD_FILE}"))


def find(model: str | os.PathLike[str]) -> Path:
    """The directory of a bundled model's name, or of a path.

    Raises:
        CheckpointError: there is neither.
    """
    if isinstance(model, str) and model in bundled_models():
        return BUNDLED / model
    folder = Path(model)
    if (folder / CARD_FILE).is_file():
        return folder
    names = ", ".join(bundled_models()) or "none"
    raise CheckpointError(f"no model {str(model)!r}: name a bundled one ({names}) or a directory that holds {CARD_FILE} and {WEIGHTS_FILE}")


def _read_bytes(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise CheckpointError(f"{path} is larger than any model of ours ({limit >> 20} MiB at most)")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; fetch or train the model again") from None


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(_read_bytes(path, MAX_CARD_BYTES))
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path} is not valid JSON; fetch or train the model again") from None
    if not isinstance(card, dict) or not isinstance(card.get("about", {}), dict):
        raise CheckpointError(f"{path} does not describe a model; fetch or train the model again")
    if card.get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {card.get('format')!r}, this program reads {FORMAT}: use the program that wrote it")
    if card.get("vocabulary_hash") != VOCABULARY_HASH:
        raise CheckpointError(f"{path} was made for another vocabulary: its tokens mean other notes here; use the program that trained it")
    return card


def _config_of(card: dict[str, Any], folder: Path) -> ModelConfig:
    fields = card.get("config")
    known = {field.name for field in dataclasses.fields(ModelConfig)}
    if not isinstance(fields, dict) or not set(fields) <= known:
        raise CheckpointError(f"{folder / CARD_FILE} has settings that this program does not know; update preludio")
    try:
        return ModelConfig(**fields)
    except TypeError:
        raise CheckpointError(f"{folder / CARD_FILE} lacks a model setting; fetch or train the model again") from None


def _check_arrays(config: ModelConfig, arrays: Mapping[str, npt.NDArray[Any]], where: str) -> None:
    shapes = array_shapes(config)
    for name in sorted(set(shapes) ^ set(arrays)):
        raise CheckpointError(f"{where}: array {name!r} is {'missing' if name in shapes else 'not part of such a model'}")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype not in (np.float16, np.float32):
            raise CheckpointError(f"{where}: array {name!r} is {array.dtype} {array.shape}; float32 or float16 {shape} is needed")
        if not np.isfinite(array).all():
            raise CheckpointError(f"{where}: array {name!r} holds numbers that are not finite; fetch or train the model again")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
