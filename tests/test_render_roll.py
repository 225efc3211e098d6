"""The laws of the piano roll: one rectangle for each note, in its place and colour, in both formats."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from preludio.errors import OutputError, RequestError
from preludio.performance import Performance
from preludio.render import FORMATS, colours, png, roll_png, roll_svg, write
from preludio.render.roll import MAX_ROWS, WIDTH, Rect, Text, clock, layout

SVG = "{http://www.w3.org/2000/svg}"
PIECE = Performance([(0, 900, 60, 30), (1000, 1500, 64, 80), (2000, 5000, 67, 110), (6000, 6500, 48, 60)], [(800, 1800), (4000, 6000)])
rows = st.tuples(st.integers(0, 90_000), st.integers(0, 5000), st.integers(0, 127), st.integers(1, 127))
performances = st.builds(
    Performance,
    st.lists(rows, max_size=30).map(lambda notes: [(onset, onset + ms, pitch, velocity) for onset, ms, pitch, velocity in notes]),
    st.lists(st.tuples(st.integers(0, 90_000), st.integers(1, 5000)).map(lambda pedal: (pedal[0], pedal[0] + pedal[1])), max_size=5),
)


def notes_of(svg: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(svg)
    return [rect for group in root.iter(f"{SVG}g") if group.get("class") == "note" for rect in group.iter(f"{SVG}rect")]


def rects(performance: Performance, kind: str, prompt_ms: int = 0) -> list[Rect]:
    return [shape for shape in layout(performance, prompt_ms=prompt_ms).shapes if isinstance(shape, Rect) and shape.kind == kind]


def words(performance: Performance, prompt_ms: int = 0) -> list[str]:
    return [shape.text for shape in layout(performance, prompt_ms=prompt_ms).shapes if isinstance(shape, Text)]


@settings(max_examples=20, deadline=None)
@given(performances, st.integers(0, 100_000), st.text(max_size=120))
def test_any_performance_is_valid_xml_with_one_rectangle_a_note(performance: Performance, prompt_ms: int, title: str) -> None:
    svg = roll_svg(performance, prompt_ms=prompt_ms, title=title)
    assert len(notes_of(svg)) == len(performance)


@settings(max_examples=20, deadline=None)
@given(performances, st.integers(0, 100_000))
def test_everything_lies_within_the_picture(performance: Performance, prompt_ms: int) -> None:
    drawing = layout(performance, prompt_ms=prompt_ms)
    for shape in drawing.shapes:
        if isinstance(shape, Rect):
            assert shape.width > 0
            assert shape.height > 0
            assert 0 <= shape.x <= shape.x + shape.width <= drawing.width
            assert 0 <= shape.y <= shape.y + shape.height <= drawing.height


def test_time_runs_right_and_pitch_runs_up() -> None:
    first, second, third, low = rects(PIECE, "note")
    assert first.x < second.x < third.x < low.x
    assert low.y > first.y > second.y > third.y
    assert third.width == pytest.approx(6 * second.width, rel=0.02)


def test_an_octave_line_at_each_c_and_times_along_the_axis() -> None:
    labels = words(PIECE)
    assert {"C3", "C4", "C5", "0:00", "0:05", "soft", "loud", "pedal"} <= set(labels)
    assert "prompt" not in labels


def test_velocity_is_colour_and_falls_evenly_in_lightness() -> None:
    for ramp in (colours.COMPOSED, colours.PROMPT):
        assert len(set(ramp)) == colours.N_STEPS
        luminance = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in (bytes.fromhex(colour[1:]) for colour in ramp)]
        assert np.all(np.diff(luminance) < 0)
    fills = [rect.fill for rect in rects(PIECE, "note")]
    assert fills == [colours.COMPOSED[colours.step_of(velocity)] for velocity in (30, 80, 110, 60)]


def test_prompt_and_invention_are_told_apart() -> None:
    fills = [rect.fill for rect in rects(PIECE, "note", prompt_ms=1500)]
    assert set(fills[:2]) <= set(colours.PROMPT)
    assert set(fills[2:]) <= set(colours.COMPOSED)
    assert not set(colours.PROMPT) & set(colours.COMPOSED)
    assert colours.PROMPT_PANEL in {rect.fill for rect in rects(PIECE, "", prompt_ms=1500)}
    assert words(PIECE, 1500)[-2:] == ["prompt", "composed"]


def test_the_pedal_is_shown_and_lengthens_in_a_tint() -> None:
    assert len(rects(PIECE, "pedal")) == 2
    ring, note = rects(PIECE, "ring")[0], rects(PIECE, "note")[0]
    assert ring.width == pytest.approx(2 * note.width, rel=0.02)
    assert ring.fill not in colours.COMPOSED


def test_titles_are_escaped_and_named_for_screen_readers() -> None:
    svg = roll_svg(PIECE, title='<script>"Ñandú" & \x00 co')
    root = ElementTree.fromstring(svg)
    assert "<script" not in svg
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == '<script>"Ñandú" & co'
    assert "4 notes" in (root.findtext(f"{SVG}desc") or "")


def test_long_pieces_wrap_into_rows() -> None:
    onset = np.arange(0, 1_200_000, 100)
    long = Performance(np.stack([onset, onset + 150, 40 + onset // 100 % 50, 20 + onset // 100 % 90], axis=1))
    svg = roll_svg(long)
    assert len(notes_of(svg)) == len(long) == 12_000
    assert len(svg) < 2_000_000
    assert len({rect.y for rect in rects(long, "note")}) == 20 * 50


def test_even_24_days_fit_on_a_page() -> None:
    drawing = layout(Performance([(0, 10, 60, 60), (2**31 - 3000, 2**31 - 2000, 62, 60)]))
    assert drawing.height < MAX_ROWS * 200
    assert len(drawing.shapes) < 2000


def test_a_note_held_across_rows_is_one_note_and_ties() -> None:
    held = Performance([(0, 100_000, 60, 60)])
    assert len(rects(held, "note")) == 1
    assert len(rects(held, "tie")) == 3


def test_an_empty_performance_is_an_empty_labelled_roll() -> None:
    assert {"no notes", "0:00", "C4", "0 notes · 0:00"} <= set(words(Performance()))
    assert notes_of(roll_svg(Performance())) == []


@pytest.mark.parametrize(("ms", "text"), [(0, "0:00"), (61_000, "1:01"), (500, "0:00.5"), (3_600_000, "1:00:00")])
def test_times_read_like_a_clock(ms: int, text: str) -> None:
    assert clock(ms) == text


def test_the_png_shows_the_layout() -> None:
    image = Image.open(io.BytesIO(roll_png(PIECE, prompt_ms=1500, title="Canción para señor Dvořák ♯ 中"))).convert("RGB")
    drawing = layout(PIECE, prompt_ms=1500)
    assert image.size == (2 * WIDTH, 2 * drawing.height)
    for note in rects(PIECE, "note", prompt_ms=1500):
        middle = (round(2 * (note.x + note.width / 2)), round(2 * (note.y + note.height / 2)))
        assert "#{:02x}{:02x}{:02x}".format(*image.getpixel(middle)) == note.fill  # type: ignore[misc]


def test_accents_are_letters_of_the_font() -> None:
    """They were drawn by hand, letter by letter; Greek and Cyrillic titles were question marks."""
    font = png._font(24)
    box = bytes(font.getmask("\uffff"))  # what stands for a letter that the font lacks
    for letter in "ñóéÄßøřžåçıŞțΩλЖы♯♭…“”¿¡":
        assert bytes(font.getmask(letter)) not in (box, bytes(font.getmask("o"))), letter
    composed, apart = (roll_png(PIECE, title=unicodedata.normalize(form, "Dvořák")) for form in ("NFC", "NFD"))
    assert composed == apart


def test_a_tall_png_has_fewer_pixels() -> None:
    onset = np.arange(0, 1_200_000, 5000)
    tall = Performance(np.stack([onset, onset + 150, 21 + onset // 5000 % 88, np.full(len(onset), 64)], axis=1))
    assert Image.open(io.BytesIO(roll_png(tall))).size[0] == WIDTH


def test_writers_by_suffix(tmp_path: Path) -> None:
    for suffix in FORMATS:
        write(PIECE, tmp_path / f"piece{suffix.upper()}")
    assert ElementTree.parse(tmp_path / "piece.SVG").getroot().tag == f"{SVG}svg"
    assert (tmp_path / "piece.PNG").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "piece.WAV").read_bytes()[:4] == b"RIFF"
    assert (tmp_path / "piece.MID").read_bytes()[:4] == b"MThd"


def test_who_offers_formats_offers_those_of_the_table() -> None:
    """The studio's downloads, and the table of docs/composing.md."""
    streams = pytest.importorskip("preludio.studio.downloads")
    assert [f".{one.value}" for one in streams.Format] == list(FORMATS)
    docs = Path(__file__).parents[1] / "docs" / "composing.md"
    if docs.is_file():
        rows = [f"| `{one.suffix}` | {one.name} | `{one.media_type}` |" for one in FORMATS.values()]
        assert "\n".join(["| suffix | what | media type |", "|---|---|---|", *rows, ""]) in docs.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["piece.flac", "piece"])
def test_another_suffix_names_the_choices(name: str) -> None:
    with pytest.raises(RequestError, match=r"\.mid, \.wav, .mp3, \.svg, \.png"):
        write(PIECE, name)


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write(PIECE, tmp_path / "file" / "piece.svg")


def test_a_negative_prompt_is_refused() -> None:
    with pytest.raises(RequestError, match="prompt"):
        roll_svg(PIECE, prompt_ms=-1)
