"""What takes time: composing and answering as streams of events, and renderings to take away."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from pathlib import Path
from threading import Event as Flag
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from preludio import render
from preludio.performance import Performance
from preludio.studio.composing import Place, music_of
from preludio.studio.house import House, InHouse, Refused
from preludio.studio.pieces import PROBLEMS, PiecePath
from preludio.studio.titles import file_name
from preludio.studio.turns import Event, Stopped, Tell, Ticket, Turns
from preludio.studio.wishes import ComposeWish, Phrase

router = APIRouter(prefix="/api", responses=PROBLEMS)


def described(events: str) -> dict[int | str, dict[str, Any]]:
    """A stream of these events, for the API's description."""
    return {200: {"description": f"Server-sent events: {events}", "content": {"text/event-stream": {}}}}


EVENTS = described(
    "`queued` (place), `started` (piece, versions, from_ms, kept), `notes` (rows as in a version, by take), `done`, "
    "`error` (code, message). Going away stops the work."
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
    return Events(turns.events(ticket), lambda: turns.leave(ticket))


async def _written(events: AsyncIterator[Event]) -> AsyncIterator[str]:
    async for event in events:
        kind = event["event"]
        yield f"event: {kind}\ndata: {json.dumps({name: value for name, value in event.items() if name != 'event'})}\n\n"


@router.post("/compose", response_class=StreamingResponse, responses=EVENTS, tags=["compose"])
async def compose(wish: ComposeWish, house: InHouse) -> Events:
    """Composes into a piece, and tells each note once it is kept."""
    if wish.piece is not None:
        await run_in_threadpool(house.store.piece, wish.piece)  # vanished? say so before the stream begins
    place, shape = Place(wish.piece, wish.from_ms, wish.seen), wish.wish(wish.takes)
    ticket = house.compositions.enter(lambda tell, stop: house.studio.compose(place, shape, tell, stop))
    return _told(house.compositions, ticket)


@router.post("/answer", response_class=StreamingResponse, responses=EVENTS, tags=["compose"])
async def answer(phrase: Phrase, house: InHouse) -> Events:
    """Goes on from a phrase, in its time. Nothing is kept: send what was heard to `/api/pieces/{piece}/notes`."""
    performance = music_of(phrase.notes).performance
    ticket = house.answers.enter(lambda tell, stop: house.studio.answer(performance, phrase.wish(), tell, stop))
    return _told(house.answers, ticket)


class Format(StrEnum):
    MID = "mid"
    WAV = "wav"
    SVG = "svg"
    PNG = "png"


MEDIA_TYPES = {suffix.removeprefix("."): one.media_type for suffix, one in render.FORMATS.items()}


class PassingFile(FileResponse):
    """A file that is gone, with its folder, when it was sent or nobody wants it any longer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            shutil.rmtree(Path(self.path).parent, ignore_errors=True)


@router.get(
    "/pieces/{piece}/download/{format}",
    response_class=FileResponse,
    responses={200: {"description": "the file", "content": {kind: {} for kind in MEDIA_TYPES.values()}}},
    tags=["pieces"],
)
async def download(
    piece: PiecePath, format: Format, request: Request, house: InHouse, version: Annotated[int | None, Query(ge=1, le=2**53 - 1)] = None
) -> PassingFile:
    """A piece as MIDI, sound or picture."""
    facts, prompt_ms, performance = await run_in_threadpool(_chosen, house, piece, version)
    folder = Path(tempfile.mkdtemp(prefix="preludio-"))
    path = folder / f"piece.{format.value}"
    title = facts["title"] or f"Preludio {facts['number']}"
    try:
        await _done(request, house.renderings, lambda _, stop: _written_to(path, performance, prompt_ms, title, stop))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return PassingFile(path, media_type=MEDIA_TYPES[format.value], filename=file_name(facts, format.value))


def _chosen(house: House, piece: str, version: int | None) -> tuple[dict[str, Any], int, Performance]:
    """A piece's facts, how much of the version is a prompt, and its music."""
    facts = house.store.piece(piece)
    chosen = version if version is not None else facts["head"]
    if chosen is None:
        raise Refused(404, "gone", "this piece has no music yet")
    return facts, house.store.version(piece, chosen)["prompt_ms"], house.store.music(chosen).performance


def _written_to(path: Path, performance: Performance, prompt_ms: int, title: str, stop: Flag) -> None:
    def progress(_: float) -> None:
        if stop.is_set():
            raise Stopped

    render.write(performance, path, progress=progress, prompt_ms=prompt_ms, title=title)


async def _done(request: Request, turns: Turns, work: Any) -> None:
    """Waits for the work; stops it when the one who asked has gone."""
    problems: list[Event] = []

    def watched(tell: Tell, stop: Flag) -> None:
        work(tell, stop)

    ticket = turns.enter(watched)
    try:
        while True:
            try:
                event = await asyncio.wait_for(ticket.events.get(), 0.5)
            except TimeoutError:
                if await request.is_disconnected():
                    raise Refused(400, "gone", "nobody waits for the file") from None
                continue
            if event is None:
                break
            if event["event"] == "error":
                problems.append(event)
    finally:
        turns.leave(ticket)
    if problems:
        raise Refused(507 if problems[0]["code"] != "refused" else 400, problems[0]["code"], problems[0]["message"])
