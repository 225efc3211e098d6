"""Files to take away. Sound is sent while it is made: neither the server nor the page holds a long piece in memory, nor on the disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from enum import StrEnum
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from preludio import render
from preludio.midi import write_midi
from preludio.performance import Performance
from preludio.studio.house import House, InHouse, Refused
from preludio.studio.pieces import PROBLEMS, PiecePath
from preludio.studio.titles import file_name

router = APIRouter(prefix="/api", responses=PROBLEMS)


class Format(StrEnum):
    MID = "mid"
    WAV = "wav"
    MP3 = "mp3"
    SVG = "svg"
    PNG = "png"


MEDIA_TYPES = {Format(suffix.removeprefix(".")): one.media_type for suffix, one in render.FORMATS.items()}
VersionQuery = Annotated[int | None, Query(ge=1, le=2**53 - 1)]


class Chosen(NamedTuple):
    """A version of a piece, and what a file of it is called."""

    facts: dict[str, Any]
    prompt_ms: int
    performance: Performance

    @property
    def title(self) -> str:
        return self.facts["title"] or f"Preludio {self.facts['number']}"


@router.get(
    "/pieces/{piece}/download/{format}",
    response_class=Response,
    responses={200: {"description": "the file", "content": {kind: {} for kind in MEDIA_TYPES.values()}}},
    tags=["pieces"],
)
async def download(piece: PiecePath, format: Format, house: InHouse, version: VersionQuery = None) -> Response:
    """A piece as MIDI, sound or picture."""
    chosen = await run_in_threadpool(_chosen, house, piece, version)
    headers = _headers(chosen, format)
    if format is Format.WAV:
        stream = await run_in_threadpool(render.wav_stream, chosen.performance)
        headers["content-length"] = str(stream.n_bytes)
        return StreamingResponse(_in_turn(house, stream.chunks), media_type=MEDIA_TYPES[format], headers=headers)
    if format is Format.MP3:
        chunks = await run_in_threadpool(render.mp3_stream, chosen.performance)
        return StreamingResponse(_in_turn(house, chunks), media_type=MEDIA_TYPES[format], headers=headers)
    async with house.rendering:
        data = await run_in_threadpool(_drawn, chosen, format)
    return Response(data, media_type=MEDIA_TYPES[format], headers=headers)


@router.head("/pieces/{piece}/download/{format}", include_in_schema=False)
async def check(piece: PiecePath, format: Format, house: InHouse, version: VersionQuery = None) -> Response:
    """Whether it can be had, and under which name, before a browser asks for it."""
    chosen = await run_in_threadpool(_chosen, house, piece, version)
    if format in (Format.WAV, Format.MP3):
        await run_in_threadpool(render.wav_stream if format is Format.WAV else render.mp3_stream, chosen.performance)  # raises at once
    return Response(media_type=MEDIA_TYPES[format], headers=_headers(chosen, format))


def _chosen(house: House, piece: str, version: int | None) -> Chosen:
    facts = house.store.piece(piece)
    chosen = version if version is not None else facts["head"]
    if chosen is None:
        raise Refused(404, "gone", "this piece has no music yet")
    return Chosen(facts, house.store.version(piece, chosen)["prompt_ms"], house.store.music(chosen).performance)


def _headers(chosen: Chosen, format: Format) -> dict[str, str]:
    name = file_name(chosen.facts, format.value)
    encoded = quote(name)
    shown = f'filename="{name}"' if encoded == name else f"filename*=utf-8''{encoded}"
    return {"content-disposition": f"attachment; {shown}"}


def _drawn(chosen: Chosen, format: Format) -> bytes:
    if format is Format.MID:
        return write_midi(chosen.performance)
    how: dict[str, Any] = {"prompt_ms": chosen.prompt_ms, "title": chosen.title}
    return render.roll_svg(chosen.performance, **how).encode() if format is Format.SVG else render.roll_png(chosen.performance, **how)


async def _in_turn(house: House, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Each made when the one before has been sent. Whoever goes away has nothing more made."""
    while True:
        async with house.rendering:
            chunk = await run_in_threadpool(next, chunks, None)
        if chunk is None:
            return
        yield chunk
