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
from preludio.studio import downloads, live_updates, offline, pieces, streams
from preludio.studio.app_state import AppState, AppStateDependency, Problem, RequestRefused, error_event, problem_of
from preludio.studio.composing import ComposeService
from preludio.studio.job_queue import JobQueue, QueueFull
from preludio.studio.middleware import AccessMiddleware, BodyLimitMiddleware
from preludio.studio.models import ModelRegistry, UnknownModel
from preludio.studio.problem_responses import problem_body
from preludio.studio.schemas.responses import ModelResponse, StateResponse
from preludio.studio.store import EditConflict, NotFound, Store

MAX_JSON_BYTES = 1_000_000  # five thousand notes are a quarter of it
STATIC = Path(__file__).parent / "static"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
DESCRIPTION = """Composes expressive piano music; all that the studio's page does can be scripted.

`POST /api/compose` streams notes as they are decided. Each is kept before it is told."""
CODE_BY_STATUS = {404: "gone", 405: "bad_value", 413: "too_big"}


class SampleFiles(StaticFiles):
    """The piano's recordings, which never change."""

    def file_response(self, *args: Any, **kwargs: Any) -> Any:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response

    async def get_response(self, path: str, scope: Scope) -> Any:
        if not path.endswith((".ogg", ".json")):
            raise HTTPException(404)
        return await super().get_response(path, scope)


def create_app(models: ModelRegistry, store: Store, *, slots: int, hosts: frozenset[str] = LOOPBACK, token: str | None = None) -> FastAPI:
    """The studio as an ASGI application.

    Args:
        slots: so many compositions at once.
        hosts: names under which it may be called.
        token: what a visitor must show; None for no token, on the own machine.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.app_state = AppState(store, ComposeService(models, store), JobQueue(slots, error_event), JobQueue(slots + 1, error_event))
        yield
        app.state.app_state.close()

    app = FastAPI(
        title="Preludio",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.include_router(pieces.router)
    app.include_router(streams.router)
    app.include_router(live_updates.router)
    app.include_router(downloads.router)
    app.include_router(offline.router)
    _add_pages(app)
    for kind in (RequestRefused, NotFound, EditConflict, UnknownModel, QueueFull, PreludioError, OSError, MemoryError):
        app.add_exception_handler(kind, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_middleware(BodyLimitMiddleware, max_bytes=MAX_JSON_BYTES, larger={"/api/pieces/midi": MAX_BYTES})
    app.add_middleware(AccessMiddleware, hosts=hosts, token=token, explain=problem_of)
    return app


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    @app.get("/p/{piece}", include_in_schema=False)
    def page(piece: str = "") -> FileResponse:  # noqa: ARG001 (the page reads its address)
        return FileResponse(STATIC / "index.html", media_type="text/html")

    @app.get("/api", include_in_schema=False)
    def api_page() -> FileResponse:
        return FileResponse(STATIC / "api.html", media_type="text/html")

    @app.get("/api/state", response_model=StateResponse, tags=["studio"])
    def state(app_state: AppStateDependency) -> dict[str, Any]:
        """Whether the studio is there, and how busy it is."""
        job_queue, engine = app_state.compose_jobs, app_state.composer_service.models.composer().engine.name
        return {
            "studio": __version__,
            "engine": engine,
            "slots": job_queue.slots,
            "running": job_queue.n_running,
            "waiting": job_queue.n_waiting,
        }

    @app.get("/api/models", response_model=list[ModelResponse], tags=["studio"])
    def models(app_state: AppStateDependency) -> list[dict[str, Any]]:
        """The models that can compose, with the licences of their weights. The first composes where none is named."""
        return app_state.composer_service.models.to_json()

    app.mount("/static", StaticFiles(directory=STATIC))
    app.mount("/piano", SampleFiles(directory=grand.FOLDER))


def _response(request: Request, problem: Problem) -> Response:
    said = problem_body(request.headers, problem.status, problem.code, problem.message)
    return Response(said.body, problem.status, said.headers())


async def _on_error(request: Request, error: Exception) -> Response:
    return _response(request, problem_of(error))


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    """Without the value itself, which may be anything."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:] if isinstance(part, str | int)) or "the request"
    return _response(request, Problem(422, "bad_value", f"{place}: {first['msg']}"))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _response(request, Problem(error.status_code, CODE_BY_STATUS.get(error.status_code, "bad_value"), str(error.detail)))
