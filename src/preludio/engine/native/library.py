"""The C library: where it lies, what its functions take (`preludio.h`), and what its refusals mean."""

from __future__ import annotations

import ctypes
import enum
import functools
import os
import sys
from pathlib import Path
from typing import NoReturn

NAME = "_native" + {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
LIBRARY = Path(os.environ.get("PRELUDIO_NATIVE_LIBRARY") or Path(__file__).with_name(NAME))  # another: one with sanitizers, in tests


class Config(ctypes.Structure):
    _names = ("vocabulary", "d_model", "n_heads", "n_layers", "d_ff", "window", "relative_per_head", "relations")
    _fields_ = tuple((name, ctypes.c_int32) for name in _names)


class Outcome(enum.IntEnum):
    """`enum outcome` of preludio.h."""

    DONE = 0
    NO_MEMORY = -1
    NOT_FINITE = -2
    BAD_ID = -3
    IN_USE = -4
    TOO_FAR = -5
    NONE_ALLOWED = -6
    NOT_BEGUN = -7
    OTHER_RELATIONS = -8


_POINTER, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
_FUNCTIONS = {
    "engine_open": (_POINTER, [_POINTER, _POINTER, _INT, ctypes.c_char_p, _INT, _POINTER]),
    "engine_close": (None, [_POINTER]),
    "engine_instructions": (ctypes.c_char_p, [_POINTER]),
    "engine_step_bytes": (_LONG, [_POINTER, _INT, _INT]),
    "session_open": (_POINTER, [_POINTER, _INT]),
    "session_fork": (_POINTER, [_POINTER, _POINTER, _INT, _POINTER]),
    "session_close": (None, [_POINTER]),
    "session_position": (_LONG, [_POINTER]),
    "session_rewindable": (_LONG, [_POINTER]),
    "session_rewind": (_INT, [_POINTER, _LONG]),
    "session_state": (_INT, [_POINTER, _INT, _POINTER, _POINTER, _POINTER]),
    "session_feed": (_INT, [_POINTER, _POINTER, _INT, _INT, _POINTER]),
    "session_begin": (_INT, [_POINTER, _POINTER]),
    "session_draw": (_INT, [_POINTER, _POINTER, _POINTER]),
    "choice_offset": (_LONG, [ctypes.c_char_p, _POINTER]),
    "draw": (_INT, [_POINTER, _INT, _POINTER]),
    "has_instructions": (_INT, [ctypes.c_char_p]),
    "memory_used": (_LONG, []),
    "reading_open": (_POINTER, [_LONG]),
    "reading_run": (_LONG, [_POINTER, _INT, _INT]),
    "reading_close": (None, [_POINTER]),
}


@functools.cache
def library() -> ctypes.CDLL:
    """The library, loaded.

    Raises:
        OSError: it was not built, or not for this system.
    """
    loaded = ctypes.CDLL(str(LIBRARY))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded


def available() -> bool:
    """Whether the package was built with a compiler, for this system."""
    try:
        library()
    except (OSError, AttributeError):
        return False
    return True


def refuse(outcome: int) -> NoReturn:
    """Raises what a refusal means. All but memory are faults of the caller."""
    if outcome == Outcome.NO_MEMORY:
        raise MemoryError("the engine has no more memory")
    raise AssertionError(
        {
            Outcome.NOT_FINITE: "weights that are not finite",
            Outcome.BAD_ID: "an id outside the vocabulary",
            Outcome.IN_USE: "the session is at work in another thread",
            Outcome.TOO_FAR: "more tokens than a block has",
            Outcome.NONE_ALLOWED: "no id is allowed",
            Outcome.NOT_BEGUN: "no step has begun",
            Outcome.OTHER_RELATIONS: "the library was built for other relations: build it again",
        }[Outcome(outcome)]
    )
