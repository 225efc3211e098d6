"""Pieces: begin, find, look at, change, delete, take away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from preludio.midi import Repair, read_and_repair
from preludio.performance import Performance
from preludio.studio import themes, titles
from preludio.studio.app_state import AppState, AppStateDependency, RequestRefused
from preludio.studio.composing import music_of
from preludio.studio.editing import apply_edits
from preludio.studio.music import Music
from preludio.studio.schemas.requests import (
    IF_MATCH,
    MAX_MS,
    AppendNotesRequest,
    CreatePieceRequest,
    Edits,
    SetHeadRequest,
    UpdatePieceRequest,
)
from preludio.studio.schemas.responses import (
    AppendNotesResponse,
    ImportResponse,
    PieceResponse,
    PieceStatusResponse,
    PieceWithNotesResponse,
    ProblemResponse,
    ThemeResponse,
    ThemeWithNotesResponse,
    VersionWithNotesResponse,
)
from preludio.studio.store import NewVersion
from preludio.studio.themes import Theme

MAX_NOTES = 100_000  # of a piece in the studio
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": ProblemResponse, "description": "cannot be read or met"},
    404: {"model": ProblemResponse, "description": "no such piece"},
    409: {"model": ProblemResponse, "description": "changed meanwhile"},
    413: {"model": ProblemResponse, "description": "too large"},
    422: {"model": ProblemResponse, "description": "a value that cannot be"},
    503: {"model": ProblemResponse, "description": "too many wait"},
    507: {"model": ProblemResponse, "description": "the disk or the memory is full"},
}

router = APIRouter(prefix="/api", responses=PROBLEMS)
PiecePath = Annotated[str, Path(max_length=40, pattern=r"^[\w-]+$")]
IfMatchQuery = Annotated[str | None, Query(max_length=200, pattern=r"^[\d.]+$", description=IF_MATCH)]
VersionPath = Annotated[int, Path(ge=1, le=2**53 - 1)]


@router.get("/themes", response_model=list[ThemeResponse], tags=["begin"])
def list_themes() -> list[dict[str, Any]]:
    """Beginnings from the public domain."""
    return [_theme_fields(theme) for theme in themes.THEMES.values()]


@router.get("/themes/{name}", response_model=ThemeWithNotesResponse, tags=["begin"])
def show_theme(name: Annotated[str, Path(max_length=40)]) -> dict[str, Any]:
    """A theme with its notes."""
    theme = _theme(name)
    rows = Music.given(themes.performance(theme)).rows()
    return _theme_fields(theme) | {"notes": rows}


def _theme(name: str) -> Theme:
    if name not in themes.THEMES:
        raise RequestRefused(404, "gone", f"no such theme; choose one of {', '.join(themes.THEMES)}")
    return themes.THEMES[name]


def _theme_fields(theme: Theme) -> dict[str, Any]:
    names = ("name", "composer", "title", "year")
    return {name: getattr(theme, name) for name in names} | {"seconds": themes.performance(theme).duration_ms / 1000}


@router.post("/pieces", response_model=PieceWithNotesResponse, status_code=201, tags=["begin"])
def create_piece(request: CreatePieceRequest, app_state: AppStateDependency) -> dict[str, Any]:
    """A piece that begins with a theme, or with notes that were played."""
    if (request.theme is None) == (request.notes is None):
        raise RequestRefused(422, "bad_value", "name a theme, or give notes")
    if request.notes is not None:
        options = None if request.model is None else {"model": request.model}
        return _create_piece(app_state, NewVersion(request.kind, music_of(request.notes), options=options), key=request.key)
    theme = _theme(request.theme or "")
    title = f"{theme.composer}: {theme.title}"[: titles.MAX_TITLE]
    return _create_piece(app_state, NewVersion("theme", Music.given(themes.performance(theme))), title, request.key)


@router.post(
    "/pieces/midi",
    response_model=ImportResponse,
    status_code=201,
    tags=["begin"],
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def import_midi(request: Request, app_state: AppStateDependency, name: Annotated[str, Query(max_length=400)] = "") -> dict[str, Any]:
    """A piece that begins with a MIDI file: its bytes are the request's body."""
    data = await request.body()
    performance, repairs = await run_in_threadpool(read_upload, data)
    fields = await run_in_threadpool(
        _create_piece, app_state, NewVersion("midi", Music.given(performance)), titles.title_from_file_name(name)
    )
    return fields | {"repairs": _by_kind(repairs)}


def read_upload(data: bytes) -> tuple[Performance, list[Repair]]:
    performance, repairs = read_and_repair(data)
    if not len(performance):
        raise RequestRefused(400, "empty_midi", "it has no piano notes; choose a file with some (channel 10, the drums, does not count)")
    if len(performance) > MAX_NOTES or performance.duration_ms > MAX_MS:
        raise RequestRefused(400, "long_midi", f"over {MAX_NOTES:,} notes or {MAX_MS // 3_600_000} hours: give a part of it")
    return performance, repairs


def _by_kind(repairs: Sequence[Repair]) -> list[dict[str, Any]]:
    counts: Counter[str] = Counter()
    names: dict[str, list[str]] = {}
    for repair in repairs:
        counts[repair.kind] += repair.n
        names.setdefault(repair.kind, []).extend(repair.names)
    return [{"kind": kind, "n": n, "names": names[kind]} for kind, n in counts.items()]


def _create_piece(app_state: AppState, new: NewVersion, title: str = "", key: str | None = None) -> dict[str, Any]:
    prompt_ms = 0 if new.kind == "duet" else new.music.performance.duration_ms
    return piece_with_notes(app_state, app_state.store.begin(replace(new, prompt_ms=prompt_ms), title, key))


def piece_status(app_state: AppState, piece: str) -> dict[str, Any]:
    return app_state.store.piece(piece) | {"composing": app_state.compose_jobs.running_on(piece) is not None}


def piece_with_notes(app_state: AppState, piece: str) -> dict[str, Any]:
    fields = piece_status(app_state, piece)
    version = None if fields["head"] is None else version_with_notes(app_state, piece, fields["head"])
    return fields | {"version": version, "history": app_state.store.history(piece)}


def version_with_notes(app_state: AppState, piece: str, version: int) -> dict[str, Any]:
    return app_state.store.version(piece, version) | {"notes": app_state.store.music(version).rows()}


@router.get("/pieces", response_model=list[PieceResponse], tags=["pieces"])
def list_pieces(
    app_state: AppStateDependency,
    search: Annotated[str, Query(max_length=200)] = "",
    starred: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    offset: Annotated[int, Query(ge=0, le=10**6)] = 0,
) -> list[dict[str, Any]]:
    """The latest first."""
    return app_state.store.pieces(search, starred, limit, offset)


@router.get("/pieces/{piece}", response_model=PieceWithNotesResponse, tags=["pieces"])
def show_piece(piece: PiecePath, app_state: AppStateDependency) -> dict[str, Any]:
    """A piece with the notes of its head, and its history."""
    return piece_with_notes(app_state, piece)


@router.get("/pieces/{piece}/status", response_model=PieceStatusResponse, tags=["pieces"])
def show_status(piece: PiecePath, app_state: AppStateDependency) -> dict[str, Any]:
    """A piece without its notes: whether it has changed, and whether somebody composes in it."""
    return piece_status(app_state, piece)


@router.patch("/pieces/{piece}", response_model=PieceResponse, tags=["pieces"])
def update_piece(piece: PiecePath, changes: UpdatePieceRequest, app_state: AppStateDependency) -> dict[str, Any]:
    """Renames or stars it."""
    given = {name: value for name, value in changes if value is not None}
    if given:
        app_state.store.piece(piece)
        app_state.store.change(piece, **given)
    return app_state.store.piece(piece)


@router.delete("/pieces/{piece}", status_code=204, response_class=Response, tags=["pieces"])
def delete_piece(piece: PiecePath, app_state: AppStateDependency) -> None:
    """Can be undone for thirty days."""
    app_state.store.delete(piece)


@router.post("/pieces/{piece}/restore", response_model=PieceResponse, tags=["pieces"])
def restore_piece(piece: PiecePath, app_state: AppStateDependency) -> dict[str, Any]:
    """Undoes a deletion."""
    app_state.store.restore(piece)
    return app_state.store.piece(piece)


@router.get("/pieces/{piece}/versions/{version}", response_model=VersionWithNotesResponse, tags=["history"])
def show_version(piece: PiecePath, version: VersionPath, app_state: AppStateDependency) -> dict[str, Any]:
    """One version with its notes: a take, or what was before."""
    return version_with_notes(app_state, piece, version)


@router.put("/pieces/{piece}/head", response_model=PieceWithNotesResponse, tags=["history"])
def set_head(piece: PiecePath, request: SetHeadRequest, app_state: AppStateDependency) -> dict[str, Any]:
    """Keeps a take, or goes anywhere in the history."""
    with app_state.store.writing():
        app_state.store.require_match(piece, request.if_match)
        app_state.store.piece(piece)
        app_state.store.set_head(piece, request.version)
    return piece_with_notes(app_state, piece)


@router.post("/pieces/{piece}/undo", response_model=PieceWithNotesResponse, tags=["history"])
def undo(piece: PiecePath, app_state: AppStateDependency, if_match: IfMatchQuery = None) -> dict[str, Any]:
    """One version back; where takes are to be chosen from, back to before them. Nothing happens where there is nothing before."""
    with app_state.store.writing():
        app_state.store.require_match(piece, if_match)
        fields = app_state.store.piece(piece)
        if fields["choosing"]:
            if fields["head"] is not None:
                app_state.store.set_choosing(piece, [])
        elif fields["can_undo"]:
            app_state.store.set_head(piece, app_state.store.version(piece, fields["head"])["parent"])
    return piece_with_notes(app_state, piece)


@router.post("/pieces/{piece}/redo", response_model=PieceWithNotesResponse, tags=["history"])
def redo(piece: PiecePath, app_state: AppStateDependency, if_match: IfMatchQuery = None) -> dict[str, Any]:
    """What undo left; nothing happens where there is nothing after."""
    with app_state.store.writing():
        app_state.store.require_match(piece, if_match)
        redo_target = app_state.store.redo_target(piece)
        if redo_target is not None:
            app_state.store.set_head(piece, redo_target)
    return piece_with_notes(app_state, piece)


@router.post("/pieces/{piece}/edit", response_model=PieceWithNotesResponse, tags=["history"])
def edit_notes(piece: PiecePath, edits: Edits, app_state: AppStateDependency) -> dict[str, Any]:
    """Deletes or moves single notes, as a new version: undo brings them back."""
    with app_state.store.writing():
        app_state.store.require_match(piece, edits.if_match)
        fields = app_state.store.piece(piece)
        if fields["head"] is None:
            raise RequestRefused(404, "gone", "this piece has no music yet")
        before = app_state.store.version(piece, fields["head"])
        music = apply_edits(app_state.store.music(before["id"]), edits.changes)
        from_ms = min(change.note[0] for change in edits.changes)
        new = NewVersion("edit", music, from_ms, before["prompt_ms"], finished=before["finished"])
        app_state.store.set_head(piece, app_state.store.add_version(piece, new))
    return piece_with_notes(app_state, piece)


@router.post("/pieces/{piece}/notes", response_model=AppendNotesResponse, tags=["begin"])
def append_notes(piece: PiecePath, request: AppendNotesRequest, app_state: AppStateDependency) -> dict[str, Any]:
    """Adds notes that were played, or heard in a duet, to the end of a version of kind played or duet."""
    version = app_state.store.version(piece, request.version)
    if version["kind"] not in ("played", "duet"):
        raise RequestRefused(422, "bad_value", "this version was not played")
    if version["n_notes"] + len(request.notes) > MAX_NOTES:
        raise RequestRefused(422, "bad_value", f"a piece has at most {MAX_NOTES:,} notes")
    music = music_of(request.notes)
    return {"n_notes": app_state.store.append(request.version, music.notes, music.parts, request.place)}
