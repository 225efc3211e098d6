"""Looking on while another page composes: the piece as it is, then each note as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from preludio.studio.house import House, InHouse
from preludio.studio.pieces import PROBLEMS, PiecePath, whole, whole_version
from preludio.studio.streams import Events, described
from preludio.studio.turns import Event, Ticket

router = APIRouter(prefix="/api", responses=PROBLEMS)
EVENTS = described(
    "`piece` (piece, as `GET /api/pieces/{piece}` answers, and takes, their versions), then what `POST /api/compose` says from there on. "
    "A note may come twice. The stream ends with the composition, at once if there is none."
)


@router.get("/pieces/{piece}/follow", response_class=StreamingResponse, responses=EVENTS, tags=["compose"])
async def follow(piece: PiecePath, house: InHouse) -> Events:
    """Looks on while somebody composes in a piece. The work goes on for as long as anybody listens."""
    ticket = house.compositions.working_on(piece)
    queue = None if ticket is None else ticket.follow()  # before the store is read, so that no note falls between
    try:
        shown = await run_in_threadpool(_shown, house, piece)
    except BaseException:
        _leave(house, ticket, queue)
        raise
    return Events(_events(shown, queue), lambda: _leave(house, ticket, queue))


def _shown(house: House, piece: str) -> Event:
    facts = whole(house, piece)
    return {"event": "piece", "piece": facts, "takes": [whole_version(house, piece, version) for version in facts["choosing"]]}


async def _events(shown: Event, queue: asyncio.Queue[Event | None] | None) -> AsyncIterator[Event]:
    yield shown
    while queue is not None and (event := await queue.get()) is not None:
        yield event


def _leave(house: House, ticket: Ticket | None, queue: asyncio.Queue[Event | None] | None) -> None:
    if ticket is not None and queue is not None:
        ticket.followers.discard(queue)
        house.compositions.look_after(ticket)
