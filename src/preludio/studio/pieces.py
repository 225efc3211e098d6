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
from preludio.studio.composing import music_of
from preludio.studio.editing import edited
from preludio.studio.facts import FromFile, Kept, PieceFacts, PieceNow, ProblemFacts, ThemeFacts, WholePiece, WholeTheme, WholeVersion
from preludio.studio.house import House, InHouse, Refused
from preludio.studio.music import Music
from preludio.studio.store import NewVersion
from preludio.studio.themes import Theme
from preludio.studio.wishes import MAX_MS, SEEN, Changes, Edits, Head, MoreNotes, NewPiece

MAX_NOTES = 100_000  # of a piece in the studio
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": ProblemFacts, "description": "cannot be read or met"},
    404: {"model": ProblemFacts, "description": "no such piece"},
    409: {"model": ProblemFacts, "description": "changed meanwhile"},
    413: {"model": ProblemFacts, "description": "too large"},
    422: {"model": ProblemFacts, "description": "a value that cannot be"},
    503: {"model": ProblemFacts, "description": "too many wait"},
    507: {"model": ProblemFacts, "description": "the disk or the memory is full"},
}

router = APIRouter(prefix="/api", responses=PROBLEMS)
PiecePath = Annotated[str, Path(max_length=40, pattern=r"^[\w-]+$")]
SeenQuery = Annotated[str | None, Query(max_length=200, pattern=r"^[\d.]+$", description=SEEN)]
VersionPath = Annotated[int, Path(ge=1, le=2**53 - 1)]


@router.get("/themes", response_model=list[ThemeFacts], tags=["begin"])
def list_themes() -> list[dict[str, Any]]:
    """Beginnings from the public domain."""
    return [_theme_facts(theme) for theme in themes.THEMES.values()]


@router.get("/themes/{name}", response_model=WholeTheme, tags=["begin"])
def show_theme(name: Annotated[str, Path(max_length=40)]) -> dict[str, Any]:
    """A theme with its notes."""
    theme = _theme(name)
    rows = Music.given(themes.performance(theme)).rows()
    return _theme_facts(theme) | {"notes": rows}


def _theme(name: str) -> Theme:
    if name not in themes.THEMES:
        raise Refused(404, "gone", f"no such theme; choose one of {', '.join(themes.THEMES)}")
    return themes.THEMES[name]


def _theme_facts(theme: Theme) -> dict[str, Any]:
    names = ("name", "composer", "title", "year")
    return {name: getattr(theme, name) for name in names} | {"seconds": themes.performance(theme).duration_ms / 1000}


@router.post("/pieces", response_model=WholePiece, status_code=201, tags=["begin"])
def begin_piece(wish: NewPiece, house: InHouse) -> dict[str, Any]:
    """A piece that begins with a theme, or with notes that were played."""
    if (wish.theme is None) == (wish.notes is None):
        raise Refused(422, "bad_value", "name a theme, or give notes")
    if wish.notes is not None:
        wishes = None if wish.model is None else {"model": wish.model}
        return _begun(house, NewVersion(wish.kind, music_of(wish.notes), wishes=wishes), key=wish.key)
    theme = _theme(wish.theme or "")
    title = f"{theme.composer}: {theme.title}"[: titles.MAX_TITLE]
    return _begun(house, NewVersion("theme", Music.given(themes.performance(theme))), title, wish.key)


@router.post(
    "/pieces/midi",
    response_model=FromFile,
    status_code=201,
    tags=["begin"],
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def begin_with_midi(request: Request, house: InHouse, name: Annotated[str, Query(max_length=400)] = "") -> dict[str, Any]:
    """A piece that begins with a MIDI file: its bytes are the request's body."""
    data = await request.body()
    performance, repairs = await run_in_threadpool(read_upload, data)
    facts = await run_in_threadpool(_begun, house, NewVersion("midi", Music.given(performance)), titles.of_file(name))
    return facts | {"repairs": _by_kind(repairs)}


def read_upload(data: bytes) -> tuple[Performance, list[Repair]]:
    performance, repairs = read_and_repair(data)
    if not len(performance):
        raise Refused(400, "empty_midi", "it has no piano notes; choose a file with some (channel 10, the drums, does not count)")
    if len(performance) > MAX_NOTES or performance.duration_ms > MAX_MS:
        raise Refused(400, "long_midi", f"over {MAX_NOTES:,} notes or {MAX_MS // 3_600_000} hours: give a part of it")
    return performance, repairs


def _by_kind(repairs: Sequence[Repair]) -> list[dict[str, Any]]:
    counts: Counter[str] = Counter()
    names: dict[str, list[str]] = {}
    for repair in repairs:
        counts[repair.kind] += repair.n
        names.setdefault(repair.kind, []).extend(repair.names)
    return [{"kind": kind, "n": n, "names": names[kind]} for kind, n in counts.items()]


def _begun(house: House, new: NewVersion, title: str = "", key: str | None = None) -> dict[str, Any]:
    prompt_ms = 0 if new.kind == "duet" else new.music.performance.duration_ms
    return whole(house, house.store.begin(replace(new, prompt_ms=prompt_ms), title, key))


def now(house: House, piece: str) -> dict[str, Any]:
    return house.store.piece(piece) | {"composing": house.compositions.working_on(piece) is not None}


def whole(house: House, piece: str) -> dict[str, Any]:
    facts = now(house, piece)
    version = None if facts["head"] is None else whole_version(house, piece, facts["head"])
    return facts | {"version": version, "history": house.store.history(piece)}


def whole_version(house: House, piece: str, version: int) -> dict[str, Any]:
    return house.store.version(piece, version) | {"notes": house.store.music(version).rows()}


@router.get("/pieces", response_model=list[PieceFacts], tags=["pieces"])
def list_pieces(
    house: InHouse,
    search: Annotated[str, Query(max_length=200)] = "",
    starred: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    offset: Annotated[int, Query(ge=0, le=10**6)] = 0,
) -> list[dict[str, Any]]:
    """The latest first."""
    return house.store.pieces(search, starred, limit, offset)


@router.get("/pieces/{piece}", response_model=WholePiece, tags=["pieces"])
def show_piece(piece: PiecePath, house: InHouse) -> dict[str, Any]:
    """A piece with the notes of its head, and its history."""
    return whole(house, piece)


@router.get("/pieces/{piece}/facts", response_model=PieceNow, tags=["pieces"])
def show_facts(piece: PiecePath, house: InHouse) -> dict[str, Any]:
    """A piece without its notes: whether it has changed, and whether somebody composes in it."""
    return now(house, piece)


@router.patch("/pieces/{piece}", response_model=PieceFacts, tags=["pieces"])
def change_piece(piece: PiecePath, changes: Changes, house: InHouse) -> dict[str, Any]:
    """Renames or stars it."""
    given = {name: value for name, value in changes if value is not None}
    if given:
        house.store.piece(piece)
        house.store.change(piece, **given)
    return house.store.piece(piece)


@router.delete("/pieces/{piece}", status_code=204, response_class=Response, tags=["pieces"])
def delete_piece(piece: PiecePath, house: InHouse) -> None:
    """Can be undone for thirty days."""
    house.store.delete(piece)


@router.post("/pieces/{piece}/restore", response_model=PieceFacts, tags=["pieces"])
def restore_piece(piece: PiecePath, house: InHouse) -> dict[str, Any]:
    """Undoes a deletion."""
    house.store.restore(piece)
    return house.store.piece(piece)


@router.get("/pieces/{piece}/versions/{version}", response_model=WholeVersion, tags=["history"])
def show_version(piece: PiecePath, version: VersionPath, house: InHouse) -> dict[str, Any]:
    """One version with its notes: a take, or what was before."""
    return whole_version(house, piece, version)


@router.put("/pieces/{piece}/head", response_model=WholePiece, tags=["history"])
def go_to_version(piece: PiecePath, head: Head, house: InHouse) -> dict[str, Any]:
    """Keeps a take, or goes anywhere in the history."""
    with house.store.writing():
        house.store.expect(piece, head.seen)
        house.store.piece(piece)
        house.store.set_head(piece, head.version)
    return whole(house, piece)


@router.post("/pieces/{piece}/undo", response_model=WholePiece, tags=["history"])
def undo(piece: PiecePath, house: InHouse, seen: SeenQuery = None) -> dict[str, Any]:
    """One version back; where takes are to be chosen from, back to before them. Nothing happens where there is nothing before."""
    with house.store.writing():
        house.store.expect(piece, seen)
        facts = house.store.piece(piece)
        if facts["choosing"]:
            if facts["head"] is not None:
                house.store.set_choosing(piece, [])
        elif facts["can_undo"]:
            house.store.set_head(piece, house.store.version(piece, facts["head"])["parent"])
    return whole(house, piece)


@router.post("/pieces/{piece}/redo", response_model=WholePiece, tags=["history"])
def redo(piece: PiecePath, house: InHouse, seen: SeenQuery = None) -> dict[str, Any]:
    """What undo left; nothing happens where there is nothing after."""
    with house.store.writing():
        house.store.expect(piece, seen)
        following = house.store.following(piece)
        if following is not None:
            house.store.set_head(piece, following)
    return whole(house, piece)


@router.post("/pieces/{piece}/edit", response_model=WholePiece, tags=["history"])
def edit_notes(piece: PiecePath, edits: Edits, house: InHouse) -> dict[str, Any]:
    """Deletes or moves single notes, as a new version: undo brings them back."""
    with house.store.writing():
        house.store.expect(piece, edits.seen)
        facts = house.store.piece(piece)
        if facts["head"] is None:
            raise Refused(404, "gone", "this piece has no music yet")
        before = house.store.version(piece, facts["head"])
        music = edited(house.store.music(before["id"]), edits.changes)
        from_ms = min(change.note[0] for change in edits.changes)
        new = NewVersion("edit", music, from_ms, before["prompt_ms"], finished=before["finished"])
        house.store.set_head(piece, house.store.add_version(piece, new))
    return whole(house, piece)


@router.post("/pieces/{piece}/notes", response_model=Kept, tags=["begin"])
def add_notes(piece: PiecePath, more: MoreNotes, house: InHouse) -> dict[str, Any]:
    """Adds notes that were played, or heard in a duet, to the end of a version of kind played or duet."""
    version = house.store.version(piece, more.version)
    if version["kind"] not in ("played", "duet"):
        raise Refused(422, "bad_value", "this version was not played")
    if version["n_notes"] + len(more.notes) > MAX_NOTES:
        raise Refused(422, "bad_value", f"a piece has at most {MAX_NOTES:,} notes")
    music = music_of(more.notes)
    return {"n_notes": house.store.append(more.version, music.notes, music.parts, more.place)}
