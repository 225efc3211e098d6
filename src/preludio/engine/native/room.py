"""What Python and the C library hand each other at a step, in memory that stays where it is: ids, how to draw, logits.

A step is short, and what Python does beside it is done with caches that the step has swept: making an array and asking for its address
takes as long there as all that is done here.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

MOST_IDS = 1024
_CHOICE = struct.Struct(f"=3dqd{MOST_IDS // 8}s")  # `struct choice` of preludio.h


class Draw(Protocol):
    """The part of `preludio.engine.Draw` that the C code draws by."""

    @property
    def allowed(self) -> int: ...
    @property
    def chance(self) -> float: ...
    @property
    def filters(self) -> tuple[float, float, float, int]: ...


class Room:
    """Room for a step of `batch` sequences."""

    def __init__(self, batch: int, vocabulary: int) -> None:
        self.ids: Any = (ctypes.c_int32 * batch)()
        self.logits: Floats = np.zeros((batch, vocabulary), dtype=np.float32)
        self._choices = bytearray(batch * _CHOICE.size)
        self._n_bytes = -(-vocabulary // 8)
        at = ctypes.addressof((ctypes.c_char * len(self._choices)).from_buffer(self._choices))
        self.at_ids, self.at_choices, self.at_logits = ctypes.addressof(self.ids), at, self.logits.ctypes.data

    def put(self, draws: Sequence[Draw]) -> None:
        """How the next id of each sequence is drawn."""
        assert len(draws) == len(self.ids), f"{len(draws)} draws for a batch of {len(self.ids)}"
        at, choices, n_bytes = 0, self._choices, self._n_bytes
        for draw in draws:
            _CHOICE.pack_into(choices, at, *draw.filters, draw.chance, draw.allowed.to_bytes(n_bytes, "little"))
            at += _CHOICE.size
