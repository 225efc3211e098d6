"""The report's page: whole by itself, safe whatever files are called, the same bytes for the same data, and its figures are right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preludio.corpus.charts import histogram, keyboard, loudness
from preludio.corpus.clean import RULES
from preludio.corpus.entry import Entry
from preludio.corpus.examination import Counts, EntryRecord
from preludio.corpus.report import MAX_COMPOSERS, MAX_ROWS, write_report
from preludio.corpus.split_decisions import SplitDecision

MANIFEST = {"options": {"rules": ["silence"], "choice": {"duplicates": True, "guard": False}}, "content_hash": "abc"}


def piece(
    number: int, split: str = "train", composer: str = "Clara Schumann", mended: str = "", kind: str = ""
) -> tuple[EntryRecord, SplitDecision]:
    entry = Entry("maestro", f"{number}.midi", split or None, composer, f"Work {number}")
    facts = EntryRecord(entry, "damaged" if kind == "unusable" else "", mended, 100 + number, 400 + number, 3600.0, 1800.0)
    return facts, SplitDecision("", "damaged: why <not>", kind) if kind else SplitDecision(split)


def page(folder: Path, rows: Iterable[tuple[EntryRecord, SplitDecision]]) -> str:
    rows = list(rows)
    counts: list[tuple[Counts, Counts]] = [(np.full(128, 3, np.uint32), np.arange(128, dtype=np.uint32)) for _ in rows]
    write_report(folder / "report.html", [one for one, _ in rows], [verdict for _, verdict in rows], counts, MANIFEST)
    return (folder / "report.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Tags that open and close in order, and the words of each cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_its_figures_are_those_of_what_was_kept(tmp_path: Path) -> None:
    rows = [piece(1), piece(2), piece(3, "validation"), piece(4, kind="duplicate"), piece(5, "test", kind="unusable")]
    text = page(tmp_path, rows)
    assert "3 of 5 files became piano music to learn from" in text
    assert re.findall(r"<dd>(.*?)</dd>", text) == ["3.0", "3", "306", "1,206"]
    table = [row for row in Page(text).rows if row and row[0] in ("source", "maestro") and len(row) == 7]
    assert table == [
        ["source", "split", "files", "kept", "hours", "notes", "tokens"],
        ["maestro", "train", "3", "2", "2.0", "203", "803"],
        ["maestro", "validation", "1", "1", "1.0", "103", "403"],
        ["maestro", "test", "1", "0", "0.0", "0", "0"],
    ]


def test_only_notes_of_what_was_kept_are_drawn(tmp_path: Path) -> None:
    rows = [piece(1), piece(2, kind="leak")]
    counts = [(np.eye(128, dtype=np.uint32)[pitch], np.eye(128, dtype=np.uint32)[velocity]) for pitch, velocity in ((60, 64), (72, 90))]
    write_report(tmp_path / "report.html", [one for one, _ in rows], [verdict for _, verdict in rows], counts, MANIFEST)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<title>C4: 1</title>" in text
    assert "<title>velocity 64: 1</title>" in text
    assert "C5: 1<" not in text
    assert "velocity 90: 1<" not in text


def test_it_is_whole_by_itself_and_says_its_pictures_in_words(tmp_path: Path) -> None:
    found = Page(page(tmp_path, [piece(n) for n in range(30)]))
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in found.tags}
    assert not any(name in ("src", "href", "onclick", "onload") for _, attributes in found.tags for name in attributes)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "url(" not in text
    assert "http" not in text
    pictures = [attributes for tag, attributes in found.tags if tag == "svg"]
    assert len(pictures) == 6
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in pictures)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_the_same_data_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = [piece(n, composer=f"Composer {n % 7}", mended="silence: 1.0 s trimmed") for n in range(40)]
    assert page(tmp_path, rows) == page(tmp_path, rows)


HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(lambda text: f"<script>{text}</script>&\"'<!--")


@settings(max_examples=25, deadline=None)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_name_becomes_markup(tmp_path_factory: pytest.TempPathFactory, name: str, composer: str, reason: str) -> None:
    entry = Entry("folder", name, None, composer, name)
    rows = [
        (EntryRecord(entry, "", reason, 100, 400, 60.0), SplitDecision("train")),
        (EntryRecord(entry, reason, ""), SplitDecision("", reason, "unusable")),
    ]
    text = page(tmp_path_factory.mktemp("report"), rows)
    assert "<script" not in text
    assert "<!--" not in text
    Page(text)


def test_composers_are_ranked_by_hours_and_the_rest_is_counted(tmp_path: Path) -> None:
    rows = [piece(n, composer=f"Composer {c:02}") for n, c in enumerate(c for c in range(20) for _ in range(20 - c))]
    text = page(tmp_path, [*rows, piece(999, composer="")])
    assert re.findall(r"<li><span>(.*?)</span>", text) == [f"Composer {c:02}" for c in range(MAX_COMPOSERS)]
    assert "5 others and 1 piece without a composer's name" in text.replace("&#x27;", "'")


def test_what_was_left_out_is_listed_under_its_cause_and_no_list_is_endless(tmp_path: Path) -> None:
    rows = [piece(0), *(piece(n, kind="leak") for n in range(1, MAX_ROWS + 12))]
    faults = [*(rule.name for rule in RULES), "missing", "no notes", "MIDI data of no sort"]
    rows += [(EntryRecord(Entry("folder", "x.mid"), fault, ""), SplitDecision("", f"{fault}; why", "unusable")) for fault in faults]
    text = page(tmp_path, rows)
    summaries = dict(re.findall(r"<summary>(.*?) <b>(.*?)</b>", text))
    assert summaries["Of a held-out work"] == "61"
    assert "11 more are in report.csv" in text
    assert summaries["Damaged, or not MIDI"] == "1"
    assert all(summaries[rule.name.capitalize()] == "1" for rule in RULES)
    assert "why &lt;not&gt;" in text


def test_what_was_mended_is_counted_without_its_figures(tmp_path: Path) -> None:
    rows = [piece(n, mended=f"silence: {n}.5 s trimmed; {n} notes overlap") for n in range(3)]
    found = Page(page(tmp_path, rows))
    assert ["3", "silence: … s trimmed", "0.midi"] in found.rows
    assert ["3", "… notes overlap", "0.midi"] in found.rows


def test_pieces_without_length_or_names_still_make_a_page(tmp_path: Path) -> None:
    entry = Entry("npz", "arr_0")
    assert "Composers" not in page(tmp_path, [(EntryRecord(entry, "", "", 0, 0, 0.0), SplitDecision("train"))])


# --- charts -----------------------------------------------------------------------------------------------------------------------


def bars(svg: str) -> list[tuple[str, int]]:
    """What stands under the pointer: (label, count) of each bar."""
    ElementTree.fromstring(svg)
    return [(label, int(n.replace(",", ""))) for label, n in re.findall(r"<title>(.*?): ([\d,]+)</title>", svg)]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
@settings(max_examples=150, deadline=None)
def test_a_histogram_counts_every_value_once_within_its_frame(values: list[float]) -> None:
    svg = histogram("Title", "subtitle", np.array(values))
    assert sum(n for _, n in bars(svg)) == len(values)
    assert len(bars(svg)) <= 40
    for x in re.findall(r'x="([\d.-]+)"', svg):
        assert 0 <= float(x) <= 360


def test_a_histogram_of_one_value_or_of_nothing() -> None:
    assert bars(histogram("t", "s", np.array([4.0, 4.0]))) != []
    assert histogram("t", "s", np.array([])) == ""


def test_every_note_stands_over_its_key() -> None:
    count = np.zeros(128, dtype=np.int64)
    count[60], count[21], count[0], count[127] = 7, 2, 3, 4
    assert bars(keyboard(count)) == [("A0", 5), ("C4", 7), ("C8", 4)]


def test_louder_is_drawn_in_another_colour() -> None:
    count = np.ones(128, dtype=np.int64)
    svg = loudness(count)
    assert len(bars(svg)) == 127
    assert set(re.findall(r'class="v(\d+)"', svg)) == {str(step) for step in range(16)}
