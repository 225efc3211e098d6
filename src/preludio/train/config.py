"""What a training run is told: a frozen table of numbers, read from a small TOML file and changed by `name=value` words."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preludio.checkpoint import SIZES, ModelConfig
from preludio.errors import CheckpointError, TrainError

BY_NAME = Path(__file__).parent / "configs"
OPTIMISERS = ("muon", "adamw")


@dataclass(frozen=True)
class TrainConfig:
    """One run. Rates, lengths and so on depend on the step alone, so that a resumed run is the run that was not stopped."""

    model: ModelConfig
    steps: int
    batch_tokens: int  # of one step, over all processes
    micro_tokens: int = 0  # at most so many tokens at a time on one device, their gradients added up; 0: all at once
    lengths: tuple[tuple[int, float], ...] = ((2048, 1.0),)  # (window in tokens, up to this share of the steps): short ones teach sooner
    optimiser: str = "muon"  # for the matrices; tables and gains always have AdamW
    matrix_rate: float = 0.02  # Muon's learning rate
    rate: float = 2e-3  # AdamW's
    weight_decay: float = 0.0
    clip: float = 1.0  # the longest that the gradient may be
    warmup_steps: int = 100
    decay_steps: int = 0  # at the end the rates fall linearly to 0 over so many steps; before that they are constant
    semitones: int = 3  # each window is transposed by at most so much
    stretches: tuple[float, ...] = (0.95, 0.975, 1.0, 1.025, 1.05)  # and its time multiplied by one of these
    average: float = 0.0  # the weights that are saved are a running average, of which each step keeps this share; 0: the last weights
    validate_every: int = 500
    validate_windows: int = 32
    save_every: int = 200
    sample_every: int = 2000  # a short piece is composed; 0: never
    seed: int = 0
    compile: bool = True  # half a minute at first, then faster steps

    def __post_init__(self) -> None:
        _require(self.optimiser in OPTIMISERS, f"optimiser must be one of {', '.join(OPTIMISERS)}, not {self.optimiser!r}")
        for name in ("steps", "batch_tokens", "validate_every", "validate_windows", "save_every"):
            _require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("matrix_rate", "rate", "clip"):
            _require(0 < getattr(self, name) < float("inf"), f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("micro_tokens", "warmup_steps", "decay_steps", "sample_every", "seed", "weight_decay"):
            _require(0 <= getattr(self, name) < float("inf"), f"{name} must be 0 or more, not {getattr(self, name)}")
        _require(0 <= self.semitones <= 12, f"semitones must be 0 to 12, not {self.semitones}")
        _require(0 <= self.average < 1, f"average must be 0 or more and below 1, not {self.average}")
        _require(bool(self.stretches) and all(0.5 <= s <= 2 for s in self.stretches), "stretches must be factors from 0.5 to 2")
        self._check_lengths()

    def _check_lengths(self) -> None:
        shares = [share for _, share in self.lengths]
        _require(
            bool(shares) and shares[-1] == 1.0 and shares == sorted(shares), "lengths must be (tokens, share) with rising shares up to 1"
        )
        for length, _ in self.lengths:
            _require(2 <= length <= self.model.window, f"a length must be 2 to the model's window of {self.model.window}, not {length}")
            _require(
                self.batch_tokens % length == 0, f"batch_tokens ({self.batch_tokens}) must be a multiple of each length, so of {length}"
            )

    def length_at(self, step: int) -> int:
        """Tokens of a window at this step."""
        return next(length for length, share in self.lengths if step < share * self.steps or share == 1.0)

    def rate_at(self, step: int) -> float:
        """Share of the full learning rates: warm-up, stable, linear decay (Hu et al. 2024, "MiniCPM", section 4)."""
        warm = (step + 1) / self.warmup_steps if step < self.warmup_steps else 1.0
        left = (self.steps - step) / self.decay_steps if self.decay_steps else 1.0
        return min(warm, left, 1.0)

    @property
    def decay_from(self) -> int:
        """The step at which the rates begin to fall."""
        return max(0, self.steps - self.decay_steps)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str) -> TrainConfig:
        """Of TOML's or JSON's table; `model` is a size's name or a table of a model's settings.

        Raises:
            TrainError: a setting is unknown, missing, of the wrong kind or out of range; the text names `where`.
        """
        kinds, values = typing.get_type_hints(cls), dict(table)
        for name, value in table.items():
            _require(name in kinds, f"{where}: no setting {name!r}; choose among {', '.join(kinds)}")
            try:
                values[name] = _model(value, where) if name == "model" else _value(kinds[name], value)
            except (TypeError, ValueError, OverflowError):
                raise TrainError(f"{where}: {name} cannot be {value!r}") from None
        missing = [field.name for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING and field.name not in values]
        _require(not missing, f"{where}: {', '.join(missing)} must be set")
        try:
            return cls(**values)
        except TrainError as error:
            raise TrainError(f"{where}: {error}") from None


def read_config(name: str, changes: Sequence[str] = ()) -> TrainConfig:
    """A configuration by its name (`tiny`, `small`, `base`, `large`) or its file, with words such as `steps=100` or `model.n_layers=2`.

    Raises:
        TrainError: no such file, no TOML, or a setting that cannot be.
    """
    path = BY_NAME / f"{name}.toml" if (BY_NAME / f"{name}.toml").is_file() else Path(name)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        names = ", ".join(sorted(path.stem for path in BY_NAME.glob("*.toml")))
        raise TrainError(f"cannot read the configuration {name}: {_one_line(error)}; name one of {names}, or a TOML file") from None
    return changed(table, changes, name)


def changed(table: dict[str, Any], changes: Sequence[str], where: str) -> TrainConfig:
    """The configuration of a table that words such as `steps=100` are applied to.

    Raises:
        TrainError: a setting that cannot be.
    """
    for change in changes:
        _change(table, change)
    return TrainConfig.from_table(table, where)


def _change(table: dict[str, Any], change: str) -> None:
    name, equals, text = change.partition("=")
    _require(bool(equals), f"a change is written name=value, not {change!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text  # a bare word
    *outer, last = name.strip().split(".")
    for part in outer:
        if part == "model" and isinstance(table.get(part), str):
            table[part] = dataclasses.asdict(_model(table[part], change))
        table = table.setdefault(part, {})
        _require(isinstance(table, dict), f"{change!r}: {part} is no table")
    table[last] = value


def _model(value: Any, where: str) -> ModelConfig:
    if isinstance(value, str):
        _require(value in SIZES, f"{where}: no model size {value!r}; choose among {', '.join(SIZES)}, or give its settings as a table")
        return SIZES[value]
    try:
        return ModelConfig(**value)
    except TypeError:
        known = ", ".join(field.name for field in dataclasses.fields(ModelConfig))
        raise TrainError(f"{where}: model must be a size's name or a table of {known}") from None
    except CheckpointError as error:
        raise TrainError(f"{where}: {error}") from None


def _value(kind: Any, value: Any) -> Any:
    """TOML's value as a field's type: 2 is a fraction too, and 2.0 a whole number.

    Raises:
        TypeError, ValueError or OverflowError: it is of another kind.
    """
    if typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
        inner = typing.get_args(kind)
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_value(one, part) for one, part in zip(kinds, value, strict=True))
    if kind in (int, float) and type(value) in (int, float) and (kind is float or float(value).is_integer()):
        return kind(value)
    if type(value) is not kind:
        raise TypeError
    return value


def _require(so: bool, otherwise: str) -> None:
    if not so:
        raise TrainError(otherwise)


def _one_line(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split())
