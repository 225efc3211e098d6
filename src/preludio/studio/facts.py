"""What the API answers, as its OpenAPI page describes it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from preludio.midi import KINDS

NoteRow = list[int]


class ProblemFacts(BaseModel):
    code: str = Field(description="a name that does not change; the page has a sentence for it in each language")
    message: str


class PieceFacts(BaseModel):
    id: str
    number: int
    title: str = Field(description="empty until someone names it; then it is shown as Prelude No. `number`")
    starred: bool
    created_ms: int
    changed_ms: int
    head: int | None = Field(description="the version that is shown")
    kind: str | None
    n_notes: int
    end_ms: int
    finished: bool = Field(description="false while it is being composed, and for ever where that was broken off")
    choosing: list[int] = Field(description="versions, takes of which one is to be kept")
    mark: str = Field(description="changes when the head or the takes do: send it as `seen`, and what changed meanwhile is not overwritten")
    can_undo: bool
    can_redo: bool


class VersionFacts(BaseModel):
    id: int
    parent: int | None = Field(description="the version that it departs from")
    kind: str = Field(description="compose, again, edit, midi, theme, played or duet")
    created_ms: int
    from_ms: int = Field(description="where it departs")
    prompt_ms: int = Field(description="up to where all is a person's")
    wishes: dict[str, Any] | None
    finished: bool
    n_notes: int
    end_ms: int


class WholeVersion(VersionFacts):
    notes: list[NoteRow] = Field(
        description="rows of onset_ms, offset_ms, pitch, velocity, until_ms (the pedal resolved), part (0 given, 1 composed)"
    )


class PieceNow(PieceFacts):
    composing: bool = Field(description="somebody composes in it: follow them")


class WholePiece(PieceNow):
    version: WholeVersion | None
    history: list[VersionFacts]


class RepairFacts(BaseModel):
    kind: str = Field(description="; ".join(f"{kind}: {what}" for kind, what in KINDS.items()))
    n: int
    names: list[str] = Field(description="of the instruments, for kind instruments: General MIDI's, the one with the most notes first")


class FromFile(WholePiece):
    repairs: list[RepairFacts] = Field(description="what was mended in the file, or left out")


class ThemeFacts(BaseModel):
    name: str
    composer: str
    title: str
    year: int
    seconds: float


class WholeTheme(ThemeFacts):
    notes: list[NoteRow] = Field(description="rows as in a version")


class StateFacts(BaseModel):
    studio: str = Field(description="the version of Preludio")
    engine: str
    slots: int = Field(description="so many compositions go on at once")
    running: int
    waiting: int


class ModelFacts(BaseModel):
    name: str
    parameters: int
    licence: str = Field(description="of its weights; empty where its makers do not say")
    data: str = Field(description="what it was trained on; empty where its makers do not say")


class Kept(BaseModel):
    n_notes: int = Field(description="how many notes the version has now")
