"""Composing and answering as streams of events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from preludio.studio.app_state import AppStateDependency
from preludio.studio.composing import ContinueFrom, music_of
from preludio.studio.job_queue import Job, JobQueue, ServerEvent
from preludio.studio.pieces import PROBLEMS, PiecePath
from preludio.studio.schemas.requests import AnswerRequest, ComposeRequest

router = APIRouter(prefix="/api", responses=PROBLEMS)


def event_stream_docs(events: str) -> dict[int | str, dict[str, Any]]:
    """A stream of these events, for the API's description."""
    return {200: {"description": f"Server-sent events: {events}", "content": {"text/event-stream": {}}}}


EVENTS = event_stream_docs(
    "`queued` (place), `started` (piece, versions, from_ms, prompt_ms, seconds, kept), `notes` (rows as in a version, by take), `done`, "
    "`error` (code, message). When nobody has listened for ten seconds, the work stops; `POST /api/pieces/{piece}/stop` stops it at once."
)


class EventStreamResponse(StreamingResponse):
    """Events as they come."""

    def __init__(self, events: AsyncIterator[ServerEvent], on_close: Callable[[], None]) -> None:
        """leave: what is to be done when the listener goes, however that happens."""
        super().__init__(_as_server_sent_events(events), media_type="text/event-stream", headers={"x-accel-buffering": "no"})
        self._on_close = on_close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_close()


def _job_response(job_queue: JobQueue, job: Job) -> EventStreamResponse:
    """What comes of some work, which stops when nobody listens."""
    return EventStreamResponse(job_queue.events(job), lambda: job_queue.left(job))


async def _as_server_sent_events(events: AsyncIterator[ServerEvent]) -> AsyncIterator[str]:
    async for event in events:
        kind = event["event"]
        yield f"event: {kind}\ndata: {json.dumps({name: value for name, value in event.items() if name != 'event'})}\n\n"


@router.post("/compose", response_class=StreamingResponse, responses=EVENTS, tags=["compose"])
async def compose(request: ComposeRequest, app_state: AppStateDependency) -> EventStreamResponse:
    """Composes into a piece, and tells each note once it is kept."""
    if request.piece is not None:
        await run_in_threadpool(app_state.store.piece, request.piece)  # vanished? say so before the stream begins
    app_state.composer_service.models.name(request.model)
    start, options = ContinueFrom(request.piece, request.from_ms, request.if_match), request.to_options(request.takes)
    job = app_state.compose_jobs.submit(lambda emit, stop: app_state.composer_service.compose(start, options, emit, stop))
    return _job_response(app_state.compose_jobs, job)


@router.post("/answer", response_class=StreamingResponse, responses=EVENTS, tags=["compose"])
async def answer(request: AnswerRequest, app_state: AppStateDependency) -> EventStreamResponse:
    """Goes on from a request, in its time. Nothing is kept: send what was heard to `/api/pieces/{piece}/notes`."""
    app_state.composer_service.models.name(request.model)
    performance = music_of(request.notes).performance
    job = app_state.answer_jobs.submit(lambda emit, stop: app_state.composer_service.answer(performance, request.to_options(), emit, stop))
    return _job_response(app_state.answer_jobs, job)


@router.post("/pieces/{piece}/stop", status_code=204, response_class=Response, tags=["compose"])
async def stop(piece: PiecePath, app_state: AppStateDependency) -> None:
    """Ends what is being composed in a piece, whoever asked for it; what is there by then stays. Nothing happens where nothing is."""
    job = app_state.compose_jobs.running_on(piece)
    if job is not None:
        app_state.compose_jobs.stop(job)
