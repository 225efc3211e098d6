"""What Python and the C library hand each other at a step, in memory that stays where it is: ids, how to draw, logits.

A step is short, and what Python does beside it is done with caches that the step has swept: making an array and asking for its address
takes as long there as all that is done here.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from preludio.engine.native.library import Outcome, refuse

Floats = npt.NDArray[np.float32]

MOST_IDS = 1024
_OPTIONS = {"temperature": "d", "top_p": "d", "min_p": "d", "strike_top_p": "d", "top_k": "q"}
CHOICE_FIELDS = _OPTIONS | {"chance": "d", "allowed": f"{MOST_IDS // 8}s"}
"""`struct choice` of preludio.h: the options of sampling in the order of `preludio.sampling_options`, then what differs with each event."""

_FILTERS = struct.Struct("=" + "".join(_OPTIONS.values()))
CHOICE_BYTES = struct.calcsize("=" + "".join(CHOICE_FIELDS.values()))


class Draw(Protocol):
    """The part of `preludio.engine.Draw` that the C code draws by."""

    @property
    def allowed(self) -> int: ...
    @property
    def chance(self) -> float: ...
    @property
    def filters(self) -> tuple[float, float, float, float, int]: ...


class Room:
    """Memory for a step of `batch` sequences. `with room` makes it the caller's: another thread is refused, not kept waiting."""

    def __init__(self, batch: int, vocabulary: int) -> None:
        self.ids: Any = (ctypes.c_int32 * batch)()
        self.logits: Floats = np.zeros((batch, vocabulary), dtype=np.float32)
        self._in_use = threading.Lock()
        self._choices = bytearray(batch * CHOICE_BYTES)
        self._filters: list[tuple[float, float, float, float, int] | None] = [None] * batch  # that stand there
        self._n_bytes = -(-vocabulary // 8)
        self._rest = struct.Struct(f"=d{self._n_bytes}s")
        at = ctypes.addressof((ctypes.c_char * len(self._choices)).from_buffer(self._choices))
        self.at_ids, self.at_choices, self.at_logits = ctypes.addressof(self.ids), at, self.logits.ctypes.data

    def __enter__(self) -> Self:
        if not self._in_use.acquire(blocking=False):
            refuse(Outcome.IN_USE)
        return self

    def __exit__(self, *error: object) -> None:
        self._in_use.release()

    def put_ids(self, ids: Sequence[int]) -> None:
        """The ids that each sequence goes on by."""
        if len(ids) != len(self.ids):
            raise AssertionError(f"{len(ids)} ids for a batch of {len(self.ids)}")
        self.ids[:] = ids

    def put(self, draws: Sequence[Draw]) -> None:
        """How the next id of each sequence is drawn."""
        if len(draws) != len(self._filters):
            raise AssertionError(f"{len(draws)} draws for a batch of {len(self._filters)}")
        at, choices = 0, self._choices
        for row, draw in enumerate(draws):
            filters = draw.filters
            if filters is not self._filters[row]:
                self._filters[row] = filters
                _FILTERS.pack_into(choices, at, *filters)
            self._rest.pack_into(choices, at + _FILTERS.size, draw.chance, draw.allowed.to_bytes(self._n_bytes, "little"))
            at += CHOICE_BYTES
