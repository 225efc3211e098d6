"""What the page (or a script) may send, checked where it comes in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from preludio.sampling_options import OPTION_NAMES, SamplingOptions, limits_of
from preludio.studio.composing import ComposeOptions
from preludio.studio.titles import MAX_TITLE, one_line

MAX_SECONDS = 600  # of one request; a longer piece grows by going on
MAX_MS = 3 * 3600 * 1000  # of a piece: the sound's limit
MAX_SEED = 2**32 - 1  # a number that JavaScript holds exactly
MAX_NOTES_PER_MESSAGE = 5000  # notes in one message

IF_MATCH = "the piece's `etag` when it was last read; if it has changed, nothing is done and the response is 409 `changed`"

Ms = Annotated[int, Field(ge=0, le=MAX_MS)]
VersionId = Annotated[int, Field(ge=1, le=2**53 - 1)]
PieceId = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[\w-]+$")]
ETag = Annotated[str, Field(max_length=200, pattern=r"^[\d.]+$")]
IdempotencyKey = Annotated[str, Field(min_length=16, max_length=64, pattern=r"^[0-9A-Za-z-]+$")]
ModelName = Annotated[str, Field(min_length=1, max_length=300)]
PlayedNote = tuple[Ms, Ms, Annotated[int, Field(ge=0, le=127)], Annotated[int, Field(ge=1, le=127)], Literal[0, 1]]
"""[onset_ms, offset_ms, pitch, velocity, part]: part 0 was played, 1 composed."""


EditedNote = tuple[Ms, Ms, Annotated[int, Field(ge=0, le=127)], Annotated[int, Field(ge=1, le=127)]]
"""[onset_ms, offset_ms, pitch, velocity]"""


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def _sampling(name: str, *, ge: float | None = None, le: float | None = None) -> Any:
    """Return the field of an option of sampling, within what the page offers."""
    limits = limits_of(name)
    return Field(
        getattr(SamplingOptions, name), ge=limits.low if ge is None else ge, le=limits.high if le is None else le, description=limits.text
    )


class GenerationOptions(StrictModel):
    """How to compose."""

    seconds: float = Field(60, ge=1, le=MAX_SECONDS, description="how much to compose; it ends at a rest soon after")
    temperature: float = _sampling("temperature", ge=0.5, le=1.5)
    top_p: float = _sampling("top_p", ge=0.5)
    min_p: float = _sampling("min_p", le=0.5)
    strike_top_p: float = _sampling("strike_top_p", ge=0.5)
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="one seed, one piece; none: a new one each time")

    model: ModelName | None = Field(None, description="one of `GET /api/models`; none: the first of them")

    def to_options(self, takes: int = 1) -> ComposeOptions:
        sampling = SamplingOptions(**self.model_dump(include=set(OPTION_NAMES)))
        return ComposeOptions(self.seconds, sampling, self.seed, takes, self.model)


class ComposeRequest(GenerationOptions):
    piece: PieceId | None = Field(None, description="the piece to go on from; none: a new piece from nothing")
    from_ms: Ms | None = Field(None, description="everything after this moment is composed anew; none: go on at the end")
    if_match: ETag | None = Field(None, description=IF_MATCH)
    takes: int = Field(1, ge=1, le=3, description="several takes, of which one is to be kept (`PUT /api/pieces/{piece}/head`)")


class PlayedNotes(StrictModel):
    """Notes as they are played."""

    notes: list[PlayedNote] = Field(min_length=1, max_length=MAX_NOTES_PER_MESSAGE)

    @field_validator("notes")
    @classmethod
    def _end_after_they_begin(cls, notes: list[PlayedNote]) -> list[PlayedNote]:
        if any(note[1] < note[0] for note in notes):
            raise ValueError("a note ends before it begins")
        return notes


class CreatePieceRequest(StrictModel):
    """A piece that begins with a theme, or with what was played."""

    theme: str | None = Field(None, max_length=40)
    notes: list[PlayedNote] | None = Field(None, min_length=1, max_length=MAX_NOTES_PER_MESSAGE)
    kind: Literal["played", "duet"] = "played"
    model: ModelName | None = Field(None, description="of a duet: which answered")
    key: IdempotencyKey | None = Field(
        None, description="a random one of your own: asked again with it, should the answer be lost, it is one piece"
    )

    _end_after_they_begin = field_validator("notes")(lambda notes: notes and PlayedNotes(notes=notes).notes)


class AppendNotesRequest(PlayedNotes):
    version: VersionId
    place: int = Field(ge=0, le=10**7, description="how many notes the version had before these: what is sent twice is kept once")


class AnswerRequest(PlayedNotes, GenerationOptions):
    """What was played, and how to answer."""

    seconds: float = Field(12, ge=1, le=60)


class UpdatePieceRequest(StrictModel):
    title: str | None = Field(None, max_length=MAX_TITLE)
    starred: bool | None = None

    @field_validator("title")
    @classmethod
    def _one_line(cls, title: str | None) -> str | None:
        return None if title is None else one_line(title)


class SetHeadRequest(StrictModel):
    version: VersionId
    if_match: ETag | None = Field(None, description=IF_MATCH)


class NoteEdit(StrictModel):
    """A single note, as it is and as it is to be."""

    note: EditedNote
    to: EditedNote | None = Field(None, description="none: the note is deleted")

    @field_validator("to")
    @classmethod
    def _lasts(cls, to: EditedNote | None) -> EditedNote | None:
        if to is not None and to[1] <= to[0]:
            raise ValueError("a note ends before it begins")
        return to


class Edits(StrictModel):
    changes: list[NoteEdit] = Field(min_length=1, max_length=MAX_NOTES_PER_MESSAGE)
    if_match: ETag | None = Field(None, description=IF_MATCH)
