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
from preludio.studio.composing import ComposeService
from preludio.studio.job_queue import JobQueue, QueueFull, ServerEvent
from preludio.studio.models import UnknownModel
from preludio.studio.storage_errors import REMEDIES, StorageErrorCode, storage_error_code
from preludio.studio.store import EditConflict, NotFound, Store


@dataclass(frozen=True)
class AppState:
    """The one studio of this process."""

    store: Store
    composer_service: ComposeService
    compose_jobs: JobQueue
    answer_jobs: JobQueue  # of duets: they cannot wait
    rendering: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))  # one block of sound, or a picture, at a time

    def close(self) -> None:
        self.compose_jobs.close()
        self.answer_jobs.close()


def app_state_of(request: Request) -> AppState:
    app_state: AppState = request.app.state.app_state
    return app_state


AppStateDependency = Annotated[AppState, Depends(app_state_of)]


class Problem(NamedTuple):
    """A fault as the API tells it: the page has a sentence for each code, in each language."""

    status: int
    code: str
    message: str


class RequestRefused(Exception):
    """Ends a request with a problem."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(status, code, message)


PLAIN: dict[type[BaseException], Problem] = {
    NotFound: Problem(404, "gone", "there is no such piece, or no longer"),
    EditConflict: Problem(409, "changed", "the piece was changed elsewhere meanwhile: look at it again"),
    UnknownModel: Problem(422, "no_model", "the studio has no model of that name: GET /api/models lists them"),
    QueueFull: Problem(503, "busy", "too many wait already: try again in a minute"),
    MemoryError: Problem(507, "no_memory", "not enough memory: close other programs, or ask for less"),
}


def problem_of(error: BaseException) -> Problem:
    """What someone is told of it; our own faults go to the terminal with a traceback."""
    if isinstance(error, RequestRefused):
        return error.problem
    for kind, problem in PLAIN.items():
        if isinstance(error, kind):
            return problem
    if _is_full(error):
        return Problem(507, "disk_full", "the disk is full: free some space; nothing that was shown is lost")
    if isinstance(error, sqlite3.Error):
        code = storage_error_code(error)
        return Problem(507, code.value, f"pieces cannot be kept ({error}): {REMEDIES[code]}")
    if isinstance(error, MidiError):
        return Problem(400, "bad_midi", str(error))
    if isinstance(error, PreludioError):
        return Problem(400, "refused", str(error))
    traceback.print_exception(error)
    return Problem(500, "internal_error", "the studio made a mistake; what was shown is kept")


def _is_full(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        return storage_error_code(error) is StorageErrorCode.DISK_FULL
    if isinstance(error, OutputError) and error.__cause__ is not None:
        return _is_full(error.__cause__)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def error_event(error: BaseException) -> ServerEvent:
    """The same as an event, for work that has begun."""
    problem = problem_of(error)
    return {"event": "error", "code": problem.code, "message": problem.message}
