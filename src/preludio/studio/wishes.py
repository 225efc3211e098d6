"""What the page (or a script) may send, checked where it comes in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from preludio.studio.composing import Wish
from preludio.studio.titles import MAX_TITLE, one_line

MAX_SECONDS = 600  # of one request; a longer piece grows by going on
MAX_MS = 3 * 3600 * 1000  # of a piece: the sound's limit
MAX_SEED = 2**32 - 1  # a number that JavaScript holds exactly
MAX_PLAYED = 5000  # notes in one message

SEEN = "the piece's `mark` as you know it: if it is another by now, nothing is done and the answer is `changed`"

Ms = Annotated[int, Field(ge=0, le=MAX_MS)]
VersionId = Annotated[int, Field(ge=1, le=2**53 - 1)]
PieceId = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[\w-]+$")]
Mark = Annotated[str, Field(max_length=200, pattern=r"^[\d.]+$")]
Key = Annotated[str, Field(min_length=16, max_length=64, pattern=r"^[0-9A-Za-z-]+$")]
ModelName = Annotated[str, Field(min_length=1, max_length=300)]
PlayedNote = tuple[Ms, Ms, Annotated[int, Field(ge=0, le=127)], Annotated[int, Field(ge=1, le=127)], Literal[0, 1]]
"""[onset_ms, offset_ms, pitch, velocity, part]: part 0 was played, 1 composed."""


EditedNote = tuple[Ms, Ms, Annotated[int, Field(ge=0, le=127)], Annotated[int, Field(ge=1, le=127)]]
"""[onset_ms, offset_ms, pitch, velocity]"""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Shape(Strict):
    """How to compose."""

    seconds: float = Field(60, ge=1, le=MAX_SECONDS, description="how much to compose; it ends at a rest soon after")
    temperature: float = Field(
        1, ge=0.5, le=1.5, description="lower: likelier, more predictable events; higher: less likely, more surprising"
    )
    top_p: float = Field(1, ge=0.5, le=1, description="only the likeliest events that together have this probability")
    min_p: float = Field(0, ge=0, le=0.5, description="only events at least this fraction as likely as the likeliest")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="one seed, one piece; none: a new one each time")

    model: ModelName | None = Field(None, description="one of `GET /api/models`; none: the first of them")

    def wish(self, takes: int = 1) -> Wish:
        return Wish(self.seconds, self.temperature, self.top_p, self.min_p, self.seed, takes, self.model)


class ComposeWish(Shape):
    piece: PieceId | None = Field(None, description="the piece to go on from; none: a new piece from nothing")
    from_ms: Ms | None = Field(None, description="everything after this moment is composed anew; none: go on at the end")
    seen: Mark | None = Field(None, description=SEEN)
    takes: int = Field(1, ge=1, le=3, description="several takes, of which one is to be kept (`PUT /api/pieces/{piece}/head`)")


class Played(Strict):
    """Notes as they are played."""

    notes: list[PlayedNote] = Field(min_length=1, max_length=MAX_PLAYED)

    @field_validator("notes")
    @classmethod
    def _end_after_they_begin(cls, notes: list[PlayedNote]) -> list[PlayedNote]:
        if any(note[1] < note[0] for note in notes):
            raise ValueError("a note ends before it begins")
        return notes


class NewPiece(Strict):
    """A piece that begins with a theme, or with what was played."""

    theme: str | None = Field(None, max_length=40)
    notes: list[PlayedNote] | None = Field(None, min_length=1, max_length=MAX_PLAYED)
    kind: Literal["played", "duet"] = "played"
    model: ModelName | None = Field(None, description="of a duet: which answered")
    key: Key | None = Field(None, description="a random one of your own: asked again with it, should the answer be lost, it is one piece")

    _end_after_they_begin = field_validator("notes")(lambda notes: notes and Played(notes=notes).notes)


class MoreNotes(Played):
    version: VersionId
    place: int = Field(ge=0, le=10**7, description="how many notes the version had before these: what is sent twice is kept once")


class Phrase(Played, Shape):
    """What was played, and how to answer."""

    seconds: float = Field(12, ge=1, le=60)


class Changes(Strict):
    title: str | None = Field(None, max_length=MAX_TITLE)
    starred: bool | None = None

    @field_validator("title")
    @classmethod
    def _one_line(cls, title: str | None) -> str | None:
        return None if title is None else one_line(title)


class Head(Strict):
    version: VersionId
    seen: Mark | None = Field(None, description=SEEN)


class NoteEdit(Strict):
    """A single note, as it is and as it is to be."""

    note: EditedNote
    to: EditedNote | None = Field(None, description="none: the note is deleted")

    @field_validator("to")
    @classmethod
    def _lasts(cls, to: EditedNote | None) -> EditedNote | None:
        if to is not None and to[1] <= to[0]:
            raise ValueError("a note ends before it begins")
        return to


class Edits(Strict):
    changes: list[NoteEdit] = Field(min_length=1, max_length=MAX_PLAYED)
    seen: Mark | None = Field(None, description=SEEN)
