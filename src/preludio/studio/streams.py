"""Composing and answering as streams of events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from preludio.studio.composing import Place, music_of
from preludio.studio.house import InHouse
from preludio.studio.pieces import PROBLEMS, PiecePath
from preludio.studio.turns import Event, Ticket, Turns
from preludio.studio.wishes import ComposeWish, Phrase

router = APIRouter(prefix="/api", responses=PROBLEMS)


def described(events: str) -> dict[int | str, dict[str, Any]]:
    """A stream of these events, for the API's description."""
    return {200: {"description": f"Server-sent events: {events}", "content": {"text/event-stream": {}}}}


EVENTS = described(
    "`queued` (place), `started` (piece, versions, from_ms, prompt_ms, seconds, kept), `notes` (rows as in a version, by take), `done`, "
    "`error` (code, message). When nobody has listened for ten seconds, the work stops; `POST /api/pieces/{piece}/stop` stops it at once."
)


class Events(StreamingResponse):
    """Events as they come."""

    def __init__(self, events: AsyncIterator[Event], leave: Callable[[], None]) -> None:
        """leave: what is to be done when the listener goes, however that happens."""
        super().__init__(_written(events), media_type="text/event-stream", headers={"x-accel-buffering": "no"})
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


def _told(turns: Turns, ticket: Ticket) -> Events:
    """What comes of some work, which stops when nobody listens."""
    return Events(turns.events(ticket), lambda: turns.left(ticket))


async def _written(events: AsyncIterator[Event]) -> AsyncIterator[str]:
    async for event in events:
        kind = event["event"]
        yield f"event: {kind}\ndata: {json.dumps({name: value for name, value in event.items() if name != 'event'})}\n\n"


@router.post("/compose", response_class=StreamingResponse, responses=EVENTS, tags=["compose"])
async def compose(wish: ComposeWish, house: InHouse) -> Events:
    """Composes into a piece, and tells each note once it is kept."""
    if wish.piece is not None:
        await run_in_threadpool(house.store.piece, wish.piece)  # vanished? say so before the stream begins
    house.studio.models.name(wish.model)
    place, shape = Place(wish.piece, wish.from_ms, wish.seen), wish.wish(wish.takes)
    ticket = house.compositions.enter(lambda tell, stop: house.studio.compose(place, shape, tell, stop))
    return _told(house.compositions, ticket)


@router.post("/answer", response_class=StreamingResponse, responses=EVENTS, tags=["compose"])
async def answer(phrase: Phrase, house: InHouse) -> Events:
    """Goes on from a phrase, in its time. Nothing is kept: send what was heard to `/api/pieces/{piece}/notes`."""
    house.studio.models.name(phrase.model)
    performance = music_of(phrase.notes).performance
    ticket = house.answers.enter(lambda tell, stop: house.studio.answer(performance, phrase.wish(), tell, stop))
    return _told(house.answers, ticket)


@router.post("/pieces/{piece}/stop", status_code=204, response_class=Response, tags=["compose"])
async def stop(piece: PiecePath, house: InHouse) -> None:
    """Ends what is being composed in a piece, whoever asked for it; what is there by then stays. Nothing happens where nothing is."""
    ticket = house.compositions.working_on(piece)
    if ticket is not None:
        house.compositions.stop(ticket)
