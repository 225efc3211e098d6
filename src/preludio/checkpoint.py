"""A model at rest: `ModelConfig`, named arrays, the vocabulary's hash <-> `model.safetensors` + `model.json` in one directory.

Nothing is unpickled and nothing here needs torch. Everything is checked before an array is handed on: the JSON's fields, the vocabulary's
hash, each array's name, shape and type, and that all numbers are finite.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import reprlib
import stat
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from preludio.errors import CheckpointError
from preludio.files import replacing
from preludio.tokens import VOCAB_SIZE, VOCABULARY_HASH, relations

Arrays = dict[str, npt.NDArray[np.float32]]
Shapes = dict[str, tuple[int, ...]]

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "model.json"
FORMAT = 1
MAX_CARD_BYTES = 1 << 20
MAX_HEADER_BYTES_PER_ARRAY = 256  # of the safetensors file; ours need 100
_SHORT = reprlib.Repr()  # for values that a hostile file chose
_SHORT.maxstring = 300
_AGAIN = "fetch or train the model again"
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
    relative_per_head: bool = False  # one table per head, as in the paper, or one per layer shared by its heads (8 x fewer bytes)
    relations: bool = False  # the musical state adds extra rows of the last product to the logits (preludio.tokens.relations)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("relative_per_head", "relations"):
                if not isinstance(value, bool):
                    raise CheckpointError(f"model setting {field.name} must be true or false, not {_SHORT.repr(value)}")
            elif not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1 << 16:
                raise CheckpointError(f"model setting {field.name} must be a whole number from 1 to 65,536, not {_SHORT.repr(value)}")
        if self.d_model % self.n_heads:
            raise CheckpointError(f"d_model ({self.d_model}) must be a multiple of n_heads ({self.n_heads})")

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def n_parameters(self) -> int:
        """How many numbers the arrays hold; quick however many layers there are."""
        return _numbers(_outer_shapes(self)) + self.n_layers * _numbers(_layer_shapes(self))


SIZES: dict[str, ModelConfig] = {
    "tiny": ModelConfig(d_model=32, n_heads=2, n_layers=2, d_ff=64, relations=True),  # for tests
    "small": ModelConfig(d_model=384, n_heads=6, n_layers=4, d_ff=1536, relations=True),  # 8.4 M
    "base": ModelConfig(d_model=512, n_heads=8, n_layers=6, d_ff=2048, relations=True),  # 20.7 M
    "large": ModelConfig(d_model=768, n_heads=12, n_layers=8, d_ff=3072, relations=True),  # 59.3 M
}


def array_shapes(config: ModelConfig) -> Shapes:
    """Name -> shape of every array of a model, in the order of the forward pass.

    `relative[d]` is the embedding of distance d: row 0 is a position's distance to itself.
    """
    first, *last = _outer_shapes(config).items()
    one = _layer_shapes(config).items()
    layers = [(f"layers.{layer}.{name}", shape) for layer in range(config.n_layers) for name, shape in one]
    return dict([first, *layers, *last])


def _outer_shapes(config: ModelConfig) -> Shapes:
    d = config.d_model
    shapes: Shapes = {"embedding": (VOCAB_SIZE, d), "norm": (d,), "unembedding": (VOCAB_SIZE, d)}
    if config.relations:
        shapes |= {"input_relations": (relations.N_INPUT_ROWS, d), "relations": (relations.N_ROWS, d)}
    return shapes


def _layer_shapes(config: ModelConfig) -> Shapes:
    d, window = config.d_model, config.window
    return {
        "attention_norm": (d,),
        "qkv": (3 * d, d),
        "relative": (config.n_heads, window, config.d_head) if config.relative_per_head else (window, config.d_head),
        "attention_out": (d, d),
        "feed_forward_norm": (d,),
        "feed_forward_in": (config.d_ff, d),
        "feed_forward_out": (d, config.d_ff),
    }


def _numbers(shapes: Shapes) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


@dataclass(frozen=True)
class Checkpoint:
    """A loaded model: its shape, its float32 arrays, and what its makers say of it (data, licence, likelihood ...)."""

    config: ModelConfig
    arrays: Arrays
    about: Mapping[str, Any]


def save(directory: str | os.PathLike[str], checkpoint: Checkpoint, dtype: npt.DTypeLike = np.float32) -> None:
    """Writes `directory/model.safetensors` and `model.json`, both whole or neither. float16 halves the size.

    Raises:
        CheckpointError: the arrays are not those of the config, or hold numbers that are not finite in this dtype.
        OutputError: the directory cannot be written.
    """
    with np.errstate(over="ignore"):  # beyond float16 is infinite, which the check names
        arrays = {name: np.ascontiguousarray(array, dtype=dtype) for name, array in checkpoint.arrays.items()}
    _check_arrays(checkpoint.config, arrays, "this model")
    card = {
        "format": FORMAT,
        "vocabulary_hash": VOCABULARY_HASH,
        "config": dataclasses.asdict(checkpoint.config),
        "about": dict(checkpoint.about),
    }
    contents = {WEIGHTS_FILE: save_safetensors(arrays), CARD_FILE: (json.dumps(card, indent=2) + "\n").encode()}
    with ExitStack() as stack:  # renamed together at the end
        for name, content in contents.items():
            stack.enter_context(replacing(Path(directory) / name)).write_bytes(content)


def load(model: str | os.PathLike[str] = DEFAULT_MODEL) -> Checkpoint:
    """Loads a bundled model by name, or any checkpoint directory.

    Raises:
        CheckpointError: unknown name, missing or damaged file, another vocabulary, wrong shapes, numbers that are not finite.
    """
    folder = find(model)
    card = _read_card(folder / CARD_FILE)
    config = _config_of(card, folder / CARD_FILE)
    stored = _read_weights(folder / WEIGHTS_FILE, config)
    _check_arrays(config, stored, str(folder / WEIGHTS_FILE))
    arrays = {name: np.ascontiguousarray(stored[name], dtype=np.float32) for name in array_shapes(config)}
    return Checkpoint(config, arrays, card.get("about", {}))


def describe(model: str | os.PathLike[str] = DEFAULT_MODEL) -> tuple[ModelConfig, Mapping[str, Any]]:
    """What a model's card says, without reading its weights: its shape, and what its makers say of it.

    Raises:
        CheckpointError: unknown name, or a damaged card, or one for another vocabulary.
    """
    card_path = find(model) / CARD_FILE
    card = _read_card(card_path)
    return _config_of(card, card_path), card.get("about", {})


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
    with suppress(OSError):  # a name that no file could have
        if (folder / CARD_FILE).is_file():
            return folder
    names = ", ".join(bundled_models()) or "none"
    shown = _SHORT.repr(os.fspath(model))
    raise CheckpointError(f"no model {shown}: name a bundled one ({names}) or a directory that holds {CARD_FILE} and {WEIGHTS_FILE}")


def _read_bytes(path: Path, least: int, most: int) -> bytes:
    """A file's bytes, if it has so many: nothing is allocated for what is not there."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, a device never ends
            raise CheckpointError(f"{path} is not a file; {_AGAIN}")
        if not least <= status.st_size <= most:
            raise CheckpointError(f"{path} is damaged: it has {status.st_size:,} bytes, not {least:,} to {most:,}; {_AGAIN}")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; {_AGAIN}") from None


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(_read_bytes(path, 0, MAX_CARD_BYTES))
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path} is not valid JSON; {_AGAIN}") from None
    if not isinstance(card, dict) or not isinstance(card.get("about", {}), dict):
        raise CheckpointError(f"{path} does not describe a model; {_AGAIN}")
    if card.get("format") != FORMAT or isinstance(card["format"], bool):
        shown = _SHORT.repr(card.get("format"))
        raise CheckpointError(f"{path} has format {shown}, this program reads {FORMAT}: use the program that wrote it")
    if card.get("vocabulary_hash") != VOCABULARY_HASH:
        raise CheckpointError(f"{path} was made for another vocabulary: its tokens mean other notes here; use the program that trained it")
    return card


def _config_of(card: dict[str, Any], path: Path) -> ModelConfig:
    fields = card.get("config")
    known = {field.name for field in dataclasses.fields(ModelConfig)}
    if not isinstance(fields, dict):
        raise CheckpointError(f"{path} lacks the model's settings; {_AGAIN}")
    if not set(fields) <= known:
        raise CheckpointError(f"{path} has settings that this program does not know; update preludio")
    try:
        return ModelConfig(**fields)
    except TypeError:
        raise CheckpointError(f"{path} lacks a model setting; {_AGAIN}") from None
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; {_AGAIN}") from None


def _read_weights(path: Path, config: ModelConfig) -> dict[str, npt.NDArray[Any]]:
    """The file's arrays, unchecked; only if its length and its header's fit the config, so what it says of sizes costs nothing."""
    n_arrays = len(_outer_shapes(config)) + config.n_layers * len(_layer_shapes(config))
    longest_header = 4096 + n_arrays * MAX_HEADER_BYTES_PER_ARRAY  # and a few words about the file
    least, most = 2 * config.n_parameters, 4 * config.n_parameters  # float16, float32
    data = _read_bytes(path, least, most + longest_header)
    header = int.from_bytes(data[:8], "little")
    if not least <= len(data) - 8 - header <= most:
        raise CheckpointError(f"{path} is damaged: its length is not what its header says; {_AGAIN}")
    try:
        return load_safetensors(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged ({_one_line(error)}); {_AGAIN}") from None


def _check_arrays(config: ModelConfig, arrays: Mapping[str, npt.NDArray[Any]], where: str) -> None:
    shapes = array_shapes(config)
    for name in sorted(set(shapes) ^ set(arrays)):
        what = "missing" if name in shapes else "not part of such a model"
        raise CheckpointError(f"{where}: array {_SHORT.repr(name)} is {what}; {_AGAIN}")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype not in (np.float16, np.float32):
            found = f"{array.dtype} {_SHORT.repr(array.shape)}"
            raise CheckpointError(f"{where}: array {name!r} is {found}; float32 or float16 {shape} is needed; {_AGAIN}")
        if not np.isfinite(array).all():
            raise CheckpointError(f"{where}: array {name!r} holds numbers that are not finite; {_AGAIN}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
