"""The web application: pages, API, guards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import Scope

from preludio import __version__
from preludio.errors import PreludioError
from preludio.midi import MAX_BYTES
from preludio.render import grand
from preludio.studio import downloads, following, offline, pieces, streams
from preludio.studio.composing import Studio
from preludio.studio.facts import ModelFacts, StateFacts
from preludio.studio.guard import BodyLimit, Guard
from preludio.studio.house import House, InHouse, Problem, Refused, explain, problem_of
from preludio.studio.models import Models, UnknownModel
from preludio.studio.refusals import told
from preludio.studio.store import Changed, Store, Vanished
from preludio.studio.turns import Busy, Turns

MAX_JSON_BYTES = 1_000_000  # five thousand notes are a quarter of it
STATIC = Path(__file__).parent / "static"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
ABOUT = """Composes expressive piano music; all that the studio's page does can be scripted.

`POST /api/compose` streams notes as they are decided. Each is kept before it is told."""
CODES = {404: "gone", 405: "bad_value", 413: "too_big"}


class Recordings(StaticFiles):
    """The piano's recordings, which never change."""

    def file_response(self, *args: Any, **kwargs: Any) -> Any:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response

    async def get_response(self, path: str, scope: Scope) -> Any:
        if not path.endswith((".ogg", ".json")):
            raise HTTPException(404)
        return await super().get_response(path, scope)


def create_app(models: Models, store: Store, *, slots: int, hosts: frozenset[str] = LOOPBACK, token: str | None = None) -> FastAPI:
    """The studio as an ASGI application.

    Args:
        slots: so many compositions at once.
        hosts: names under which it may be called.
        token: what a visitor must show; None for no token, on the own machine.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.house = House(store, Studio(models, store), Turns(slots, explain), Turns(slots + 1, explain))
        yield
        app.state.house.close()

    app = FastAPI(
        title="Preludio",
        version=__version__,
        description=ABOUT,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.include_router(pieces.router)
    app.include_router(streams.router)
    app.include_router(following.router)
    app.include_router(downloads.router)
    app.include_router(offline.router)
    _add_pages(app)
    for kind in (Refused, Vanished, Changed, UnknownModel, Busy, PreludioError, OSError, MemoryError):
        app.add_exception_handler(kind, _told)
    app.add_exception_handler(RequestValidationError, _bad_value)
    app.add_exception_handler(HTTPException, _plain)
    app.add_middleware(BodyLimit, most_bytes=MAX_JSON_BYTES, larger={"/api/pieces/midi": MAX_BYTES})
    app.add_middleware(Guard, hosts=hosts, token=token, explain=problem_of)
    return app


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    @app.get("/p/{piece}", include_in_schema=False)
    def page(piece: str = "") -> FileResponse:  # noqa: ARG001 (the page reads its address)
        return FileResponse(STATIC / "index.html", media_type="text/html")

    @app.get("/api", include_in_schema=False)
    def api_page() -> FileResponse:
        return FileResponse(STATIC / "api.html", media_type="text/html")

    @app.get("/api/state", response_model=StateFacts, tags=["studio"])
    def state(house: InHouse) -> dict[str, Any]:
        """Whether the studio is there, and how busy it is."""
        turns, engine = house.compositions, house.studio.models.composer().engine.name
        return {"studio": __version__, "engine": engine, "slots": turns.slots, "running": turns.n_running, "waiting": turns.n_waiting}

    @app.get("/api/models", response_model=list[ModelFacts], tags=["studio"])
    def models(house: InHouse) -> list[dict[str, Any]]:
        """The models that can compose, with the licences of their weights. The first composes where none is named."""
        return house.studio.models.facts()

    app.mount("/static", StaticFiles(directory=STATIC))
    app.mount("/piano", Recordings(directory=grand.FOLDER))


def _response(request: Request, problem: Problem) -> Response:
    said = told(request.headers, problem.status, problem.code, problem.message)
    return Response(said.body, problem.status, said.headers())


async def _told(request: Request, error: Exception) -> Response:
    return _response(request, problem_of(error))


async def _bad_value(request: Request, error: Exception) -> Response:
    """Without the value itself, which may be anything."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:] if isinstance(part, str | int)) or "the request"
    return _response(request, Problem(422, "bad_value", f"{place}: {first['msg']}"))


async def _plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _response(request, Problem(error.status_code, CODES.get(error.status_code, "bad_value"), str(error.detail)))
