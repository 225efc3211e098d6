"""Where training data comes from: what a path is taken for, what is known of each file, and that one bad file costs only itself."""

from __future__ import annotations

import json
import os
import pickle
import random
import stat
import subprocess
import sys
import unicodedata
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import GIANTMIDI, MAESTRO, needs_datasets

from preludio.corpus import archive, encoded_split, midi_files
from preludio.corpus.archive import Zip, open_place, printable, unique_names
from preludio.corpus.entry import Entry, Source
from preludio.corpus.giantmidi import parse_name
from preludio.corpus.npz import write_npz
from preludio.corpus.sources import open_source
from preludio.errors import OutputError, PreludioError, PreludioWarning
from preludio.midi import write_midi
from preludio.performance import Performance, quantise, sustain
from preludio.tokens import END, PAD, START, encode

COLUMNS = ("canonical_composer", "canonical_title", "split", "year", "midi_filename", "audio_filename", "duration")
PIECE = Performance([(0, 500, 60, 80), (500, 900, 64, 70)], [(100, 800)])
MIDI = write_midi(PIECE)


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def zipped(path: Path, files: dict[str, bytes], **changes: Any) -> Path:
    """A zip; `changes` are attributes of its first member."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in changes.items():
                setattr(info, attribute, value)
            changes = {}
            target.writestr(info, data)
    return path


def either(kind: str, tmp_path: Path, files: dict[str, bytes], top: str = "") -> Path:
    """The same files as a folder and as a zip."""
    if kind == "folder":
        return tree(tmp_path / "all", files)
    return zipped(tmp_path / "all.zip", {top + name: data for name, data in files.items()})


both = pytest.mark.parametrize("kind", ["folder", "zip"])


def entries(source: Source) -> tuple[list[Entry], str]:
    """Entries, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = source.entries()
    assert all(issubclass(warning.category, PreludioWarning) for warning in caught)
    return found, " | ".join(str(warning.message) for warning in caught)


def fault(call: Callable[[], object]) -> str:
    with pytest.raises(PreludioError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# MAESTRO

ROWS: list[dict[str, Any]] = [
    {"split": "train", "year": 2018, "midi_filename": "2018/b.midi", "canonical_composer": "César Franck", "canonical_title": 'A, "B"\nC'},
    {
        "split": "validation",
        "year": 2008,
        "midi_filename": "2008/a.midi",
        "canonical_composer": "Alban Berg",
        "canonical_title": "Sonata Op. 1",
    },
    {
        "split": "test",
        "year": 2004,
        "midi_filename": "2004/gone.midi",
        "canonical_composer": "Alban Berg",
        "canonical_title": "Sonata Op. 1",
    },
]


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    def quoted(value: object) -> str:
        return '"' + str(value).replace('"', '""') + '"'

    lines = [",".join(COLUMNS), *(",".join(quoted(row.get(column, "")) for column in COLUMNS) for row in rows)]
    return ("\r\n".join(lines) + "\r\n").encode()


def as_rows(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows).encode()


def as_columns(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps({name: {str(i): row.get(name) for i, row in enumerate(rows)} for name in rows[0]}).encode()


TABLES = {"maestro-v1.0.0.csv": as_csv, "maestro-v2.0.0.json": as_rows, "maestro-v3.0.0.json": as_columns, "maestro-v3.0.0.csv": as_csv}
FILES = {"2018/b.midi": MIDI, "2008/a.midi": MIDI}


@both
@pytest.mark.parametrize("table", TABLES)
def test_maestro_of_every_version(tmp_path: Path, kind: str, table: str) -> None:
    source = open_source(either(kind, tmp_path, {table: TABLES[table](ROWS), **FILES}, f"{table.rpartition('.')[0]}/"))
    found, said = entries(source)
    assert [entry.split for entry in found] == ["train", "validation", "test"], "in the table's order"
    assert found[0] == Entry("maestro", "2018/b.midi", "train", "César Franck", 'A, "B"\nC', 2018)
    assert "1 of 1 test files are missing" in said
    assert source.read(found[0]) == PIECE
    assert "2004/gone.midi: missing" in fault(lambda: source.read(found[2]))


@both
def test_maestro_says_what_its_table_does_not_name(tmp_path: Path, kind: str) -> None:
    """Such a file has no split; to take it for training could leak what is held out."""
    source = open_source(
        either(kind, tmp_path, {"maestro-v3.0.0.csv": as_csv(ROWS[:2]), **FILES, "2018/more.mid": MIDI}, "maestro-v3.0.0/")
    )
    found, said = entries(source)
    assert "1 MIDI files are not named" in said
    assert (found[-1].name, found[-1].split) == ("2018/more.mid", None)
    assert "its split is unknown" in fault(lambda: source.read(found[-1]))


def test_maestro_in_a_folder_of_its_own_is_found_and_beside_other_music_refused(tmp_path: Path) -> None:
    tree(tmp_path / "maestro-v3.0.0", {"maestro-v3.0.0.csv": as_csv(ROWS[:2]), **FILES})
    found, _ = entries(open_source(tmp_path))
    assert [entry.name for entry in found] == ["2018/b.midi", "2008/a.midi"]
    tree(tmp_path, {"mine/x.mid": MIDI})
    assert "beside other music" in fault(lambda: open_source(tmp_path))


@pytest.mark.parametrize(
    "table",
    [
        b"",
        b"\xff\xfe",
        b"split,year\ntrain,2008\n",
        as_csv([ROWS[0], ROWS[0]]),
        as_csv([ROWS[0] | {"split": "dev"}]),
        as_csv([ROWS[0] | {"midi_filename": ""}]),
        as_csv([ROWS[0] | {"midi_filename": "../../etc/passwd"}]),
        as_csv([ROWS[0]]).replace(b"train", b"tr\0ain"),
        b"canonical_composer,midi_filename,split\n" + b"x" * 200_000 + b",a.mid,train\n",
    ],
)
def test_damaged_tables_are_one_line(tmp_path: Path, table: bytes) -> None:
    source = open_source(tree(tmp_path, {"maestro-v3.0.0.csv": table, **FILES}))
    assert "official" in fault(source.entries)


@pytest.mark.parametrize(
    "table",
    [
        b"",
        b"[1]",
        b"{}",
        b"3",
        b'{"a": 3}',
        b"[{}]",
        b'{"midi_filename": {"0": 3}}',
        b"[" * 100_000,
        b'[{"midi_filename": 1' + b"0" * 5000 + b"}]",
    ],
)
def test_damaged_json_is_one_line(tmp_path: Path, table: bytes) -> None:
    source = open_source(tree(tmp_path, {"maestro-v3.0.0.json": table, **FILES}))
    assert "official" in fault(source.entries)


def test_a_table_leads_nowhere_else(tmp_path: Path) -> None:
    """Names that lead out of the folder are missing files, whatever lies there."""
    tree(tmp_path, {"secret.mid": MIDI})
    for name in ("../secret.mid", str(tmp_path / "secret.mid"), "..\\secret.mid"):
        source = open_source(tree(tmp_path / "maestro", {"maestro-v3.0.0.csv": as_csv([ROWS[0] | {"midi_filename": name}]), "a.mid": MIDI}))
        found, said = entries(source)
        assert "1 of 1 train files are missing" in said
        assert "leads out" in fault(lambda: source.read(found[0]))  # noqa: B023


def test_the_readers_of_one_split(tmp_path: Path) -> None:
    tree(tmp_path, {"maestro-v3.0.0.csv": as_csv(ROWS[:2]), **FILES})
    assert midi_files(tmp_path, "train") == ["2018/b.midi"]
    assert [ids.tolist() for ids in encoded_split(tmp_path, "validation")] == [encode(PIECE).tolist()]
    assert "choose train" in fault(lambda: midi_files(tmp_path, "all"))
    assert "no MAESTRO" in fault(lambda: midi_files(tree(tmp_path / "x", {"a.mid": MIDI}), "train"))


# GiantMIDI-Piano


@pytest.mark.parametrize(
    ("stem", "composer", "title"),
    [
        ("Liszt, Franz, Hungarian Rhapsody No.2, S.244_2, LdH1hSWGFGU", "Franz Liszt", "Hungarian Rhapsody No.2, S.244_2"),
        ("A., Jag, Je t'aime Juliette, OXC7Fd0ZN8o", "Jag A.", "Je t'aime Juliette"),
        ("Ravel, Maurice, Jeux d'eau, v-QmwrhO3ec", "Maurice Ravel", "Jeux d'eau"),
        ("Fuchs, Robert, 3 Pieces, a, b, c, -_-_-_-_-_-", "Robert Fuchs", "3 Pieces, a, b, c"),
        ("Chopin_Etudes_Op10_g0hoN6_HDVU_no_9_cut", "Frédéric Chopin", "Etudes Op10"),
        ("Brahms_Johannes_Piano_Sonata_No2_Op2_RhZqUE63B9g_mov_1", "Johannes Brahms", "Piano Sonata No2 Op2"),
        ("Liszt_Reminiscences_de_Don_Juan_S418_JI6JfJXcUjU_part1", "Franz Liszt", "Reminiscences de Don Juan S418"),
        ("Moonlight", "", "Moonlight"),
        ("a, b, c", "", "a, b, c"),
        ("", "", ""),
    ],
)
def test_composer_and_title_in_a_name(stem: str, composer: str, title: str) -> None:
    assert parse_name(stem) == (composer, title)


GIANT = {f"midis/{stem}.mid": MIDI for stem in ("Aaron, Michael, Piano Course, V8WvKK-1b2c", "Abel, Frederic, Lola, Polka, SLNJF0uiqRw")}
HEADER = "surname\tfirstname\tmusic\tyoutube_title\tpiano_solo_prob\taudio_name\tgiant_midi_piano\tsurname_in_youtube_title"
LISTED = [
    "Aaron\tMichael\tPiano Course\tAaron's course\t0.9\tAaron, Michael, Piano Course, V8WvKK-1b2c\t1\t1",
    "Abel, Sr.\tFrederic\tLola Polka\tLola\t0.9\tAbel, Frederic, Lola, Polka, SLNJF0uiqRw\t1\t0",
    "Nobody\tN.\tNo recording\tNone\t\t\t\t",
]
LIST = "full_music_pieces_youtube_similarity_pianosoloprob_split.csv"


@both
@pytest.mark.parametrize("top", ["", "GiantMIDI-PIano/"])
def test_giantmidi_is_known_by_its_folders(tmp_path: Path, kind: str, top: str) -> None:
    source = open_source(either(kind, tmp_path, {top + name: data for name, data in GIANT.items()}))
    found, said = entries(source)
    assert [(entry.source, entry.composer, entry.title, entry.split) for entry in found] == [
        ("giantmidi", "Michael Aaron", "Piano Course", None),
        ("giantmidi", "Frederic Abel", "Lola, Polka", None),
    ]
    assert not said
    assert source.read(found[1]) == PIECE
    assert "nothing says which" in fault(open_source(source.place.path, curated=True).entries)  # type: ignore[attr-defined]


def test_giantmidi_is_known_by_its_names(tmp_path: Path) -> None:
    path = tree(tmp_path, {name.removeprefix("midis/"): data for name, data in GIANT.items()})
    assert {entry.source for entry in open_source(path).entries()} == {"giantmidi"}
    tree(tmp_path, {"another.mid": MIDI})
    assert {entry.source for entry in open_source(path).entries()} == {"folder"}


def test_giantmidis_list_gives_composers_titles_and_the_curated_subset(tmp_path: Path) -> None:
    path = tree(tmp_path, {**GIANT, LIST: "\n".join([HEADER, *LISTED]).encode()})
    found, _ = entries(open_source(path))
    assert [(entry.composer, entry.title) for entry in found] == [("Michael Aaron", "Piano Course"), ("Frederic Abel, Sr.", "Lola Polka")]
    found, said = entries(open_source(path, curated=True))
    assert [entry.composer for entry in found] == ["Michael Aaron"]
    assert "1 of 2 files are not in the curated subset" in said


def test_giantmidis_list_before_the_authors_marked_it(tmp_path: Path) -> None:
    """Without their marks, their rule: at least half sure that it is a piano alone, and the surname in the recording's title."""
    lines = ["\t".join(line.split("\t")[:6]) for line in (HEADER, *LISTED)]
    path = tree(tmp_path, {**GIANT, LIST.replace("_split", ""): "\n".join(lines).encode()})
    assert [entry.composer for entry in entries(open_source(path, curated=True))[0]] == ["Michael Aaron"]


@both
def test_giantmidis_subset_by_its_folder(tmp_path: Path, kind: str) -> None:
    first = next(iter(GIANT))
    files = {**GIANT, first.replace("midis", "surname_checked_midis"): MIDI}
    path = either(kind, tmp_path, files)
    assert len(entries(open_source(path))[0]) == 2, "no file twice"
    assert [entry.name for entry in entries(open_source(path, curated=True))[0]] == [first]


@pytest.mark.parametrize("table", [b"", b"\n", b"\xff", b"audio_name\n\tx\n\n", b"a\tb\n" * 3])
def test_giantmidis_list_damaged(tmp_path: Path, table: bytes) -> None:
    source = open_source(tree(tmp_path, {**GIANT, LIST: table}), curated=True)
    assert fault(source.entries)


# Any folder or zip


@both
def test_any_folder(tmp_path: Path, kind: str) -> None:
    files = {
        "b/c/Deep.MIDI": MIDI,
        "a.mid": MIDI,
        "B.Kar": MIDI,
        "note.txt": b"",
        "._a.mid": b"shadow",
        "__MACOSX/._x.mid": b"shadow",
        "e.mid.bak": b"",
    }
    source = open_source(either(kind, tmp_path, files))
    found, said = entries(source)
    assert [(entry.name, entry.title) for entry in found] == [("B.Kar", "B"), ("a.mid", "a"), ("b/c/Deep.MIDI", "Deep")]
    assert {(entry.source, entry.split, entry.composer, entry.year) for entry in found} == {("folder", None, "", None)}
    assert all(source.read(entry) == PIECE for entry in found)
    assert not said


@both
def test_one_bad_file_costs_only_itself_and_is_named(tmp_path: Path, kind: str) -> None:
    bad = {"cut.mid": MIDI[:10], "empty.mid": b"", "text.mid": b"hello", "huge.mid": bytes(16_000_001)}
    source = open_source(either(kind, tmp_path, {**bad, "good.mid": MIDI}))
    for entry in entries(source)[0]:
        if entry.name == "good.mid":
            assert source.read(entry) == PIECE
        else:
            assert f": {entry.name}: " in fault(lambda: source.read(entry))  # noqa: B023
    assert "missing" in fault(lambda: source.read(Entry("folder", "not there.mid")))


@both
def test_a_repair_names_the_file(tmp_path: Path, kind: str) -> None:
    source = open_source(either(kind, tmp_path, {"cut.mid": MIDI[:-6]}))
    with pytest.warns(PreludioWarning, match=r"all(\.zip)?: cut\.mid: "):
        source.read(source.entries()[0])


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")
def test_links_loops_and_special_files_are_harmless(tmp_path: Path) -> None:
    tree(tmp_path / "real", {"x/a.mid": MIDI})
    root = tree(tmp_path / "root", {"y/b.mid": MIDI})
    (root / "linked").symlink_to(tmp_path / "real")
    (root / "y" / "up").symlink_to(root)
    (root / "y" / "same").symlink_to(root / "y")
    (root / "self.mid").symlink_to(root / "self.mid")
    (root / "broken.mid").symlink_to(root / "nothing")
    os.mkfifo(root / "pipe.mid")
    (root / "folder.mid").mkdir()
    source = open_source(root)
    found, _ = entries(source)
    assert [entry.name for entry in found] == ["broken.mid", "linked/x/a.mid", "pipe.mid", "self.mid", "y/b.mid"]
    assert source.read(found[1]) == PIECE
    for i in (0, 2, 3):
        assert found[i].name in fault(lambda: source.read(found[i]))  # noqa: B023


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no Unicode")
def test_odd_names_become_printable_unique_and_sorted(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "é.mid")
    names = [
        b"latin-\xe9.mid",
        b"esc\x1b[2J.mid",
        b"line\nbreak.mid",
        "é.mid".encode(),
        decomposed.encode(),
        b"esc\\x1b[2J.mid",
        "ñ.kar".encode(),
    ]
    for i, name in enumerate(names):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(write_midi(Performance([(0, 100, 60 + i, 60)])))
    source = open_source(tmp_path)
    found, _ = entries(source)
    shown = [entry.name for entry in found]
    assert shown == ["esc\\x1b[2J (2).mid", "esc\\x1b[2J.mid", "latin-\\udce9.mid", "line\\nbreak.mid", "é (2).mid", "é.mid", "ñ.kar"]
    assert all(name.isprintable() and name.encode() for name in shown)
    pitches = [source.read(entry).notes["pitch"][0] - 60 for entry in found]
    assert pitches == [1, 5, 0, 2, 4, 3, 6]
    assert [pickle.loads(pickle.dumps(source)).read(entry).notes["pitch"][0] - 60 for entry in found] == pitches


def test_unique_names_are_quick_and_honest() -> None:
    names = ["x.mid"] * 20_000 + ["x (2).mid", ".", ".", "", ""]
    shown = unique_names(names)
    assert len(set(shown)) == len(names)
    assert shown[-5] == "x (2).mid"
    assert printable("plain é.mid") == "plain é.mid"


@pytest.mark.parametrize("name", ["nothing", "nul\0", "file.mid", "empty", "no music", "x" * 5000])
def test_paths_that_are_no_source(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.mid").write_bytes(MIDI)
    (tmp_path / "empty").mkdir()
    tree(tmp_path / "no music", {"a.txt": b""})
    assert name.strip("\0") in fault(lambda: open_source(tmp_path / name)) or "too long" in fault(lambda: open_source(tmp_path / name))


def test_a_folder_of_token_files_says_what_to_name(tmp_path: Path) -> None:
    write_npz(tmp_path / "notes_train.npz", [encode(PIECE)])
    assert "notes_train.npz" in fault(lambda: open_source(tmp_path))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a folder that its owner cannot read")
def test_a_folder_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    tree(tmp_path, {"a.mid": MIDI, "shut/b.mid": MIDI})
    (tmp_path / "shut").chmod(0)
    try:
        with pytest.warns(PreludioWarning, match="shut: left out"):
            assert len(open_source(tmp_path).entries()) == 1
    finally:
        (tmp_path / "shut").chmod(0o700)


# Zips


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("../evil.mid", {}, "leads out"),
        ("/evil.mid", {}, "leads out"),
        ("a/../../evil.mid", {}, "leads out"),
        ("..\\evil.mid", {}, "leads out"),
        ("C:\\evil.mid", {}, "leads out"),
        ("link.mid", {"external_attr": (stat.S_IFLNK | 0o777) << 16}, "a link"),
        ("pipe.mid", {"external_attr": (stat.S_IFIFO | 0o777) << 16}, "special file"),
        ("bzip.mid", {"compress_type": zipfile.ZIP_BZIP2}, "unusual method"),
        ("lzma.mid", {"compress_type": zipfile.ZIP_LZMA}, "unusual method"),
    ],
)
def test_odd_members_are_refused_and_cost_only_themselves(tmp_path: Path, name: str, changes: dict[str, Any], said: str) -> None:
    source = open_source(zipped(tmp_path / "a.zip", {name: MIDI, "good.mid": MIDI}, **changes))
    found = {entry.name: entry for entry in entries(source)[0]}
    assert source.read(found.pop("good.mid")) == PIECE
    assert said in fault(lambda: source.read(found.popitem()[1]))


def test_encrypted_members(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.mid": MIDI})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    source = open_source(path)
    assert "encrypted" in fault(lambda: source.read(source.entries()[0]))


def test_names_in_a_zip(tmp_path: Path) -> None:
    """Twice the same name, UTF-8 without its flag, the old code page, and Windows' separators."""
    path = tmp_path / "a.zip"
    names = [
        "twice.mid",
        "twice.mid",
        "Fr\u251c\u2310d\u251c\u2310ric.mid",
        "\u2502.mid",
        "a\\b.mid",
    ]  # the third: the bytes of "é", read as cp437
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as target:
        warnings.simplefilter("ignore")
        for i, name in enumerate(names):
            target.writestr(name, write_midi(Performance([(0, 100, 60 + i, 60)])))
    raw = path.read_bytes()
    for name in names[2:4]:
        utf8, cp437 = name.encode(), name.encode("cp437")
        raw = raw.replace(utf8, cp437 + b"_" * (len(utf8) - len(cp437)))
    data = bytearray(raw)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            data[at + flags + 1] &= ~8  # no flag for UTF-8
    path.write_bytes(data)
    source = open_source(path)
    by_name = {entry.name: int(source.read(entry).notes["pitch"][0]) - 60 for entry in midi_like(source)}
    assert by_name["twice.mid"] == 0
    assert by_name["twice (2).mid"] == 1
    assert by_name["a/b.mid"] == 4
    assert any(name.startswith("Frédéric") for name in Zip(path).names())
    assert any(name.startswith("\u2502") for name in Zip(path).names())


def midi_like(source: Source) -> list[Entry]:
    return [entry for entry in source.entries() if entry.name.endswith(".mid") and "_" not in entry.name]


def test_zip_bombs_are_refused_before_they_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", {f"{i}.mid": bytes(2**20) for i in range(4)})
    assert len(open_source(path).entries()) == 4, "small ones do no harm: each file has its own limit"
    monkeypatch.setattr(archive, "RATIO_FREE", 2**20)
    assert "zip bomb" in fault(lambda: open_source(path))
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    assert "more than 3 members" in fault(lambda: open_source(path))
    monkeypatch.setattr(archive, "MAX_DIRECTORY", 50)
    assert "table of contents" in fault(lambda: open_source(path))


def test_a_member_that_lies_about_its_size_is_never_unpacked_beyond_the_limit(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.mid": bytes(200_000_000)})
    data = bytearray(path.read_bytes())
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        begin = data.rindex(signature) + at
        data[begin : begin + 4] = (1000).to_bytes(4, "little")
    path.write_bytes(data)
    code = """
import resource, sys
from preludio.corpus.sources import open_source
from preludio.errors import PreludioError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
source = open_source(sys.argv[1])
try:
    source.read(source.entries()[0])
except PreludioError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=True).stdout
    kib, _, text = said.partition(" ")
    assert int(kib) < 50_000
    assert "a.mid: damaged" in text


def test_damaged_zips_are_one_line_each(tmp_path: Path) -> None:
    rng = random.Random(5)
    sound = zipped(tmp_path / "a.zip", {f"{i}.mid": MIDI for i in range(3)}).read_bytes()
    path = tmp_path / "b.zip"
    n_read = 0
    for trial in range(400):
        data = bytearray(sound)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.choice([0, 255, rng.randrange(256)])
        if trial % 5 == 0:
            del data[rng.randrange(len(data)) :]
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PreludioWarning)
            try:
                source = open_source(path)
                found = source.entries()
            except PreludioError as error:
                assert "\n" not in str(error)
                continue
            for entry in found:
                try:
                    n_read += len(source.read(entry))
                except PreludioError as error:
                    assert "\n" not in str(error)
    assert n_read


@both
def test_sources_travel_to_other_processes(tmp_path: Path, kind: str) -> None:
    source = open_source(either(kind, tmp_path, {"maestro-v3.0.0.csv": as_csv(ROWS[:2]), **FILES}, "maestro-v3.0.0/"))
    found, _ = entries(source)
    sent = pickle.dumps(source)
    assert len(sent) < 1000, "the files' names stay behind"
    assert pickle.loads(sent).read(found[0]) == source.read(found[0]) == PIECE


# Token files

IDS = encode(PIECE)
ON_GRID = quantise(sustain(PIECE))


def saved(path: Path, *arrays: Any, **named: Any) -> Path:
    np.savez(path, *arrays, **named)
    return path


def ragged(items: list[Any]) -> np.ndarray[Any, Any]:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def test_the_keras_examples_file(tmp_path: Path) -> None:
    """Its preprocessing: each piece's list of ids as an array, all of them given to `np.savez`."""
    pieces = [np.array(IDS.tolist()) for _ in range(12)]
    source = open_source(saved(tmp_path / "notes_train.npz", *pieces))
    found, said = entries(source)
    assert [entry.name for entry in found] == [f"arr_{i}" for i in range(12)]
    assert {(entry.source, entry.split) for entry in found} == {("npz", "train")}
    assert all(source.read(entry) == ON_GRID for entry in found)
    assert not said


@pytest.mark.parametrize(
    ("path", "split"),
    [("notes_test.npz", "test"), ("val/notes.npz", "validation"), ("VALID.npz", "validation"), ("notes.npz", None), ("trained.npz", None)],
)
def test_the_split_is_in_the_files_name(tmp_path: Path, path: str, split: str | None) -> None:
    (tmp_path / "x" / path).parent.mkdir(parents=True)
    assert open_source(saved(tmp_path / "x" / path, IDS)).entries()[0].split == split


FORMS: dict[str, Callable[[], Any]] = {
    "padded": lambda: np.stack([np.pad(IDS, (0, 5), constant_values=PAD), np.pad(IDS, (5, 0), constant_values=PAD)]),
    "with END, padded": lambda: np.array([[*IDS, END, PAD, PAD]] * 2),
    "column by column": lambda: np.asfortranarray([[*IDS, END]] * 2),
    "end to end": lambda: np.concatenate([[START], IDS, [END, START], IDS, [END]]),
    "big-endian": lambda: np.array([[*IDS, END]] * 2, dtype=">i4"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", [False, True])
def test_other_forms_of_token_files(tmp_path: Path, form: str, packed: bool) -> None:
    path = tmp_path / "notes.npz"
    (np.savez_compressed if packed else np.savez)(path, notes=FORMS[form]())
    source = open_source(path)
    found = source.entries()
    assert [entry.name for entry in found] == ["notes#1", "notes#2"]
    assert [source.read(entry) for entry in found] == [ON_GRID, ON_GRID]
    assert pickle.loads(pickle.dumps(source)).read(found[1]) == ON_GRID


def npy(payload: bytes, header: str) -> bytes:
    text = header.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + payload


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch EVIL",)


@pytest.mark.parametrize("items", [[Evil(), 1], [IDS.tolist(), IDS], [1, 2]])
def test_a_pickle_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, items: list[Any]) -> None:
    """One clear refusal, and the other arrays of the file can be read."""
    monkeypatch.chdir(tmp_path)
    source = open_source(saved(tmp_path / "a.npz", ragged(items), IDS))
    found = source.entries()
    assert [entry.name for entry in found] == ["arr_0", "arr_1"]
    text = "arr_0.npy: holds Python objects, stored as a pickle, which is never opened; write it again as one array of whole numbers"
    assert text in fault(lambda: source.read(found[0]))
    assert source.read(found[1]) == ON_GRID
    assert not Path("EVIL").exists()


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{}",
        "1",
        "(" * 5000,
        "__import__('os').system('touch EVIL')",
        "{'descr': '<i8', 'shape': 5}",
        "{'descr': '<i8', 'shape': (10**12,)}",
        "{'descr': '<i8', 'shape': (1000000000000,)}",
        "{'descr': '<i8', 'shape': (-1,)}",
        "{'descr': '<i8', 'shape': ('a',)}",
        "{'descr': '<i8', 'shape': (2, 2, 2)}",
        "{'descr': '<i8', 'shape': ()}",
        "{'descr': '<f8', 'shape': (1,)}",
        "{'descr': '<M8[s]', 'shape': (1,)}",
        "{'descr': 'i4,i4', 'shape': (1,)}",
        "{'descr': [('a', '<i4')], 'shape': (1,)}",
        "{'descr': 'nonsense', 'shape': (1,)}",
        "{'descr': '<i8', 'shape': (3000000, 1)}",
        "{'descr': '\\d', 'shape': (1,)}",
    ],
)
def test_hostile_headers_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    monkeypatch.chdir(tmp_path)
    header = header.replace("'shape': (", "'fortran_order': False, 'shape': (")
    source = open_source(zipped(tmp_path / "a.npz", {"arr_0.npy": npy(bytes(8), header)}))
    assert "arr_0.npy" in fault(lambda: source.read(source.entries()[0]))
    assert not Path("EVIL").exists()


def test_ids_of_another_vocabulary_are_refused(tmp_path: Path) -> None:
    for ids in ([391], [-1], [2**62], [0, 1, 500]):
        source = open_source(saved(tmp_path / "a.npz", np.array(ids)))
        assert "the vocabulary ends at 390" in fault(lambda: source.read(source.entries()[0]))  # noqa: B023


def test_written_token_files_are_the_same_bytes_and_both_can_read_them(tmp_path: Path) -> None:
    pieces = [IDS, IDS[:7], np.array([], dtype=np.uint16)]
    assert write_npz(tmp_path / "a.npz", pieces) == 3
    write_npz(tmp_path / "b.npz", iter(pieces))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:  # as the Keras example reads its own
        theirs = [file[key] for key in file]
    assert [piece.tolist() for piece in theirs] == [piece.tolist() for piece in pieces]
    assert np.append(theirs[0], END)[-1] == END, "wide enough for what it does with them"
    source = open_source(tmp_path / "a.npz")
    assert source.read(source.entries()[0]) == ON_GRID
    with pytest.raises(OutputError):
        write_npz(tmp_path, pieces)
    with pytest.raises(ZeroDivisionError):
        write_npz(tmp_path / "b.npz", (IDS[1 // 0 :] for _ in range(3)))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes(), "the old file stays"


# Real files


@needs_datasets
def test_maestro_as_it_lies_here() -> None:
    source = open_source(MAESTRO)
    found, said = entries(source)
    assert Counter(entry.split for entry in found) == {"train": 962, "validation": 137, "test": 177}
    assert said.endswith("177 of 177 test files are missing")
    assert {entry.year for entry in found} == {2004, 2006, 2008, 2009, 2011, 2013, 2014, 2015, 2017, 2018}
    assert found[0].composer == "Alban Berg"
    assert len(source.read(found[0])) > 1000
    by_json = MAESTRO / "maestro-v3.0.0.json"
    rows = json.loads(by_json.read_text(encoding="utf-8"))
    assert [entry.title for entry in found] == list(rows["canonical_title"].values())


@needs_datasets
def test_giantmidi_as_it_lies_here() -> None:
    for path in (GIANTMIDI, GIANTMIDI / "midis"):
        source = open_source(path)
        found, said = entries(source)
        assert (len(found), said) == (56, "")
        assert all(entry.composer.count(" ") >= 1 and entry.title for entry in found)
        assert not [entry for entry in found if entry.title.split()[-1] in ("cut", "mid")]
        maestro = {entry.composer for entry in entries(open_source(MAESTRO))[0]}
        assert {entry.composer for entry in found} - maestro == {"George Frideric Handel", "Maurice Ravel"} - maestro
    assert all(len(source.read(entry)) > 50 for entry in found)


@needs_datasets
def test_folder_and_zip_of_real_files_are_the_same_source(tmp_path: Path) -> None:
    files = sorted((GIANTMIDI / "midis").iterdir())[::8]
    packed = open_source(zipped(tmp_path / "midis_v1.2.zip", {f"midis/{file.name}": file.read_bytes() for file in files}))
    folder = open_source(GIANTMIDI)
    kept = {entry.name for entry in packed.entries()}
    assert packed.entries() == [entry for entry in folder.entries() if entry.name in kept]
    assert all(packed.read(entry) == folder.read(entry) for entry in packed.entries())
    assert isinstance(open_place(tmp_path / "midis_v1.2.zip"), Zip)


def test_riff_midi_is_met_and_archives_inside_are_named(tmp_path: Path) -> None:
    """`.rmi` files, and a zip inside a zip or a folder, were not looked at and not mentioned."""
    riff = b"RIFF" + (len(MIDI) + 12).to_bytes(4, "little") + b"RMIDdata" + len(MIDI).to_bytes(4, "little") + MIDI
    inner = zipped(tmp_path / "inner.zip", {"a.mid": MIDI}).read_bytes()
    files = {"b.RMI": riff, "more.zip": inner, "old.tar.gz": b"?"}
    for source in (open_source(tree(tmp_path / "folder", files)), open_source(zipped(tmp_path / "outer.zip", files))):
        by_name = {entry.name: entry for entry in source.entries()}
        assert list(by_name) == ["b.RMI", "more.zip", "old.tar.gz"]
        assert source.read(by_name["b.RMI"]) == PIECE
        for name in ("more.zip", "old.tar.gz"):
            with pytest.raises(PreludioError, match="archive inside: it is not opened; unpack it"):
                source.read(by_name[name])
