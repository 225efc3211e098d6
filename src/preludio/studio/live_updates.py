"""Looking on while another page composes: the piece as it is, then each note as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from preludio.studio.app_state import AppState, AppStateDependency
from preludio.studio.job_queue import Job, ServerEvent
from preludio.studio.pieces import PROBLEMS, PiecePath, piece_with_notes, version_with_notes
from preludio.studio.streams import EventStreamResponse, event_stream_docs

router = APIRouter(prefix="/api", responses=PROBLEMS)
EVENTS = event_stream_docs(
    "`piece` (piece, as `GET /api/pieces/{piece}` answers, and takes, their versions), then what `POST /api/compose` says from there on. "
    "A note may come twice. The stream ends with the composition, at once if there is none."
)


@router.get("/pieces/{piece}/follow", response_class=StreamingResponse, responses=EVENTS, tags=["compose"])
async def subscribe(piece: PiecePath, app_state: AppStateDependency) -> EventStreamResponse:
    """Looks on while somebody composes in a piece. The work goes on for as long as anybody listens."""
    job = app_state.compose_jobs.running_on(piece)
    queue = None if job is None else job.subscribe()  # before the store is read, so that no note falls between
    try:
        shown = await run_in_threadpool(_piece_event, app_state, piece)
    except BaseException:
        _unsubscribe(app_state, job, queue)
        raise
    return EventStreamResponse(_events(shown, queue), lambda: _unsubscribe(app_state, job, queue))


def _piece_event(app_state: AppState, piece: str) -> ServerEvent:
    fields = piece_with_notes(app_state, piece)
    return {"event": "piece", "piece": fields, "takes": [version_with_notes(app_state, piece, version) for version in fields["choosing"]]}


async def _events(shown: ServerEvent, queue: asyncio.Queue[ServerEvent | None] | None) -> AsyncIterator[ServerEvent]:
    yield shown
    while queue is not None and (event := await queue.get()) is not None:
        yield event


def _unsubscribe(app_state: AppState, job: Job | None, queue: asyncio.Queue[ServerEvent | None] | None) -> None:
    if job is not None and queue is not None:
        job.subscribers.discard(queue)
        app_state.compose_jobs.look_after(job)
