"""Preludio composes expressive piano music on an ordinary laptop: MIDI in, music out.

import preludio
composer = preludio.Composer.from_pretrained()
piece = composer.compose(prompt=preludio.read_midi("in.mid"), seconds=60, seed=7)
preludio.write_midi(piece, "out.mid")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preludio import tokens
    from preludio.compose import Composer, Note, Piece, Request
    from preludio.errors import PreludioError, PreludioWarning
    from preludio.midi import read_midi, write_midi
    from preludio.performance import Performance, crop, join, quantise, shift, stretch, sustain, transpose

__version__ = "0.1.0"

__all__ = [
    "Composer",
    "Note",
    "Performance",
    "Piece",
    "PreludioError",
    "PreludioWarning",
    "Request",
    "__version__",
    "crop",
    "join",
    "quantise",
    "read_midi",
    "shift",
    "stretch",
    "sustain",
    "tokens",
    "transpose",
    "write_midi",
]

_ROOMS = {
    "compose": ("Composer", "Note", "Piece", "Request"),
    "errors": ("PreludioError", "PreludioWarning"),
    "midi": ("read_midi", "write_midi"),
    "performance": ("Performance", "crop", "join", "quantise", "shift", "stretch", "sustain", "transpose"),
}


def __getattr__(name: str) -> Any:
    """A name's room is loaded when the name is first used: the program starts at once, and a student meets only what they ask for."""
    if name == "tokens":
        return importlib.import_module("preludio.tokens")
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(importlib.import_module(f"preludio.{room}"), name)
    raise AttributeError(f"module 'preludio' has no attribute {name!r}")
