"""Preludio composes expressive piano music on an ordinary laptop: MIDI in, music out.

    import preludio
    composer = preludio.Composer.from_pretrained()
    piece = composer.compose(prompt=preludio.read_midi("in.mid"), seconds=60, seed=7)
    preludio.write_midi(piece, "out.mid")
"""

from preludio import tokens
from preludio.compose import Composer, Note, Request
from preludio.errors import PreludioError, PreludioWarning
from preludio.midi import read_midi, write_midi
from preludio.performance import Performance, crop, join, quantise, shift, stretch, sustain, transpose

__version__ = "0.1.0"

__all__ = [
    "Composer",
    "Note",
    "Performance",
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
