"""The models that the studio composes with: the bundled ones, and those that it was started with."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from preludio import checkpoint
from preludio.compose import Composer

LONGEST_WORDS = 300  # of a model's card: anybody may have written it


class UnknownModel(LookupError):
    """The studio has no model of that name."""


class Known(NamedTuple):
    """A model by its card; its weights are read when it is first used."""

    name: str
    folder: Path
    n_parameters: int
    about: dict[str, str]

    def facts(self) -> dict[str, Any]:
        return {"name": self.name, "parameters": self.n_parameters, **self.about}


class Models:
    """All by name. Safe to share between threads."""

    def __init__(self, chosen: Sequence[str] = (), engine: str = "auto") -> None:
        """chosen: bundled names or directories; the first of them is the default. Bundled models are there in any case.

        Raises:
            CheckpointError: there is no such model, or its card cannot be read.
        """
        self._engine = engine
        self._known: dict[str, Known] = {}
        for model in dict.fromkeys([*chosen, *checkpoint.bundled_models()]):
            known = _known(model, set(self._known))
            self._known.setdefault(known.name, known)
        self._composers: dict[str, Composer] = {}
        self._lock = threading.Lock()

    @property
    def default(self) -> str:
        return next(iter(self._known))

    def facts(self) -> list[dict[str, Any]]:
        """Of each model; the default first."""
        return [known.facts() for known in self._known.values()]

    def name(self, name: str | None) -> str:
        """Return the name itself, or the default's for None.

        Raises:
            UnknownModel: there is none of that name.
        """
        if name is None:
            return self.default
        if name not in self._known:
            raise UnknownModel(name)
        return name

    def composer(self, name: str | None = None) -> Composer:
        """The model ready to compose; read when it is first asked for.

        Raises:
            UnknownModel: there is none of that name.
            CheckpointError: its weights cannot be read.
        """
        key = self.name(name)
        with self._lock:
            if key not in self._composers:
                self._composers[key] = Composer.from_pretrained(self._known[key].folder, self._engine)
            return self._composers[key]


def _known(model: str, taken: set[str]) -> Known:
    """A model's card. Two directories of one name are told apart by a number."""
    folder = checkpoint.find(model)
    config, about = checkpoint.describe(model)
    stem = model if model in checkpoint.bundled_models() else folder.resolve().name or "model"
    name = stem
    for number in range(2, len(taken) + 3):
        if name not in taken:
            break
        name = f"{stem} ({number})"
    words = {field: str(about.get(field, ""))[:LONGEST_WORDS] for field in ("licence", "data")}
    return Known(name, folder, config.n_parameters, words)
