"""What all requests share, and what a fault becomes in the page's eyes."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import traceback
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from preludio.errors import MidiError, OutputError, PreludioError
from preludio.studio.ailments import REMEDIES, Ailment, ailment_of
from preludio.studio.composing import Studio
from preludio.studio.models import UnknownModel
from preludio.studio.store import Changed, Store, Vanished
from preludio.studio.turns import Busy, Event, Turns


@dataclass(frozen=True)
class House:
    """The one studio of this process."""

    store: Store
    studio: Studio
    compositions: Turns
    answers: Turns  # of duets: they cannot wait
    rendering: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))  # one block of sound, or a picture, at a time

    def close(self) -> None:
        self.compositions.close()
        self.answers.close()


def house_of(request: Request) -> House:
    house: House = request.app.state.house
    return house


InHouse = Annotated[House, Depends(house_of)]


class Problem(NamedTuple):
    """A fault as the API tells it: the page has a sentence for each code, in each language."""

    status: int
    code: str
    message: str


class Refused(Exception):
    """Ends a request with a problem."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(status, code, message)


PLAIN: dict[type[BaseException], Problem] = {
    Vanished: Problem(404, "gone", "there is no such piece, or no longer"),
    Changed: Problem(409, "changed", "the piece was changed elsewhere meanwhile: look at it again"),
    UnknownModel: Problem(422, "no_model", "the studio has no model of that name: GET /api/models lists them"),
    Busy: Problem(503, "busy", "too many wait already: try again in a minute"),
    MemoryError: Problem(507, "no_memory", "not enough memory: close other programs, or ask for less"),
}


def problem_of(error: BaseException) -> Problem:
    """What someone is told of it; our own faults go to the terminal with a traceback."""
    if isinstance(error, Refused):
        return error.problem
    for kind, problem in PLAIN.items():
        if isinstance(error, kind):
            return problem
    if _is_full(error):
        return Problem(507, "disk_full", "the disk is full: free some space; nothing that was shown is lost")
    if isinstance(error, sqlite3.Error):
        ailment = ailment_of(error)
        return Problem(507, ailment.value, f"pieces cannot be kept ({error}): {REMEDIES[ailment]}")
    if isinstance(error, MidiError):
        return Problem(400, "bad_midi", str(error))
    if isinstance(error, PreludioError):
        return Problem(400, "refused", str(error))
    traceback.print_exception(error)
    return Problem(500, "our_fault", "the studio made a mistake; what was shown is kept")


def _is_full(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        return ailment_of(error) is Ailment.DISK_FULL
    if isinstance(error, OutputError) and error.__cause__ is not None:
        return _is_full(error.__cause__)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def explain(error: BaseException) -> Event:
    """The same as an event, for work that has begun."""
    problem = problem_of(error)
    return {"event": "error", "code": problem.code, "message": problem.message}
