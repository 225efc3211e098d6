"""The studio's server: what it composes, keeps and refuses. The page in a browser has tests of its own."""

from __future__ import annotations

import importlib
import io
import json
import re
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from studio_crash import KINDS, Told, crash, play
from studio_server import Server, restless_model

import preludio
from preludio import checkpoint, render
from preludio.compose.prompt import prepare_prompt
from preludio.errors import CheckpointError, OutputError, RequestError
from preludio.performance import Performance

pytest.importorskip("fastapi", reason="needs preludio[studio]")

from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from preludio.studio import Settings, create_app, themes
from preludio.studio.app_state import problem_of
from preludio.studio.job_queue import Emit, JobQueue
from preludio.studio.middleware import HEADERS
from preludio.studio.models import ModelRegistry
from preludio.studio.music import COMPOSED, GIVEN, ContinuationStart, Music, pack_rows
from preludio.studio.schemas.requests import MAX_SECONDS
from preludio.studio.serve import slots
from preludio.studio.storage_errors import StorageErrorCode
from preludio.studio.store import INITIAL_SCHEMA, NewVersion, NotFound, Store, data_folder, folded, now_ms
from preludio.studio.themes import THEMES
from preludio.studio.titles import file_name, one_line

STATIC = Path(preludio.__file__).parent / "studio" / "static"
HERE = "http://127.0.0.1:7388"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistry:
    return ModelRegistry([str(restless_model(tmp_path_factory.mktemp("model"), window=128))], "numpy")


@pytest.fixture(scope="module")
def composer(models: ModelRegistry) -> preludio.Composer:
    return models.composer()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "new" / "studio.db")
    yield store
    store.close()


@pytest.fixture
def client(models: ModelRegistry, store: Store) -> Iterator[TestClient]:
    with TestClient(create_app(models, store, slots=1), base_url=HERE) as client:
        yield client


Event = dict[str, Any]
Response = Any


def events(response: Response) -> Iterator[Event]:
    """Server-sent events, as objects."""
    kind = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield {"event": kind} | json.loads(line.removeprefix("data: "))


def composed(client: TestClient, **wish: Any) -> list[Event]:
    with client.stream("POST", "/api/compose", json={"seconds": 5} | wish) as response:
        assert response.status_code == 200
        return list(events(response))


def told(said: list[Event], take: int = 0) -> list[list[int]]:
    """All notes of a take that were told."""
    started = next(event for event in said if event["event"] == "started")
    notes = started["prefix"] + [note for event in said if event["event"] == "notes" for note in event["takes"].get(str(take), [])]
    return sorted(notes, key=lambda note: (note[0], note[2]))


def whole(client: TestClient, piece: str) -> Any:
    response = client.get(f"/api/pieces/{piece}")
    assert response.status_code == 200
    return response.json()


def problem(response: Response) -> tuple[int, str]:
    assert set(response.json()) == {"code", "message"}
    return response.status_code, response.json()["code"]


def midi(n: int = 8) -> bytes:
    return preludio.write_midi(Performance([(i * 250, i * 250 + 200, 60 + i % 12, 70) for i in range(n)], [(100, 900)]))


def uploaded(client: TestClient, name: str = "tune.mid") -> Any:
    response = client.post("/api/pieces/midi", params={"name": name}, content=midi())
    assert response.status_code == 201
    return response.json()


# Composing


def test_a_piece_from_nothing_is_told_as_it_is_kept(client: TestClient, models: ModelRegistry) -> None:
    said = composed(client, seed=3)
    assert [event["event"] for event in said if event["event"] != "notes"] == ["started", "done"]
    piece = whole(client, said[-1]["piece"]["id"])
    assert piece["version"]["notes"] == told(said)
    assert piece["finished"]
    assert piece["version"]["options"] == {
        "seconds": 5,
        "seed": 3,
        "temperature": 1,
        "top_p": 1,
        "min_p": 0,
        "strike_top_p": 0.95,
        "top_k": 0,
        "take": 0,
        "model": models.default,
    }
    assert all(note[5] == COMPOSED for note in told(said))


def test_it_is_the_piece_that_the_library_composes(client: TestClient, composer: preludio.Composer) -> None:
    said = composed(client, seed=11)
    assert [note[:4] for note in told(said)] == [list(note) for note in composer.compose(seconds=5, seed=11).notes.tolist()]


def test_a_continuation_keeps_what_was_before_pedal_and_all(client: TestClient) -> None:
    before = uploaded(client)
    said = composed(client, piece=before["id"], from_ms=1000)
    notes = told(said)
    assert said[0]["from_ms"] <= 1000
    given_notes = [note for note in notes if note[5] == GIVEN]
    assert [note[0] for note in given_notes] == [0, 250, 500, 750]
    assert given_notes[0][4] == 900  # held by the pedal
    assert all(note[0] >= said[0]["from_ms"] for note in notes if note[5] == COMPOSED)
    assert whole(client, before["id"])["version"]["notes"] == notes


def test_from_here_again_undo_and_redo(client: TestClient) -> None:
    piece = uploaded(client)["id"]
    composed(client, piece=piece)
    first = whole(client, piece)["version"]
    composed(client, piece=piece, from_ms=4000)
    second = whole(client, piece)["version"]
    assert second["parent"] == first["id"]
    assert client.post(f"/api/pieces/{piece}/undo").json()["version"] == first
    assert client.post(f"/api/pieces/{piece}/undo").json()["version"]["kind"] == "midi"
    nothing_before = client.post(f"/api/pieces/{piece}/undo").json()
    assert nothing_before["version"]["kind"] == "midi"
    assert not nothing_before["can_undo"]
    assert client.post(f"/api/pieces/{piece}/redo").json()["version"] == first
    assert client.post(f"/api/pieces/{piece}/redo").json()["version"] == second
    assert client.post(f"/api/pieces/{piece}/redo").json()["version"] == second
    assert len(whole(client, piece)["history"]) == 3


def test_redo_leads_to_the_take_that_was_kept(client: TestClient) -> None:
    piece = uploaded(client)["id"]
    said = composed(client, piece=piece, takes=3)
    versions = said[0]["versions"]
    assert said[-1]["piece"]["choosing"] == versions
    assert whole(client, piece)["version"]["kind"] == "midi"
    for take, version in enumerate(versions):
        assert client.get(f"/api/pieces/{piece}/versions/{version}").json()["notes"] == told(said, take)
    kept = client.put(f"/api/pieces/{piece}/head", json={"version": versions[1]}).json()
    assert kept["choosing"] == []
    assert client.post(f"/api/pieces/{piece}/undo").json()["version"]["kind"] == "midi"
    assert client.post(f"/api/pieces/{piece}/redo").json()["head"] == versions[1]


@pytest.mark.parametrize("way", ["undo", "redo", "head", "compose"])
def test_what_another_changes_after_the_look_and_before_the_step_is_not_overwritten(
    client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Another studio with the same file changes the piece, once, as soon as it can after this one has looked at it. There were a few
    milliseconds in which it did so unseen."""
    tune = uploaded(client)
    piece = tune["id"]
    first, second = (composed(client, piece=piece)[-1]["piece"]["head"] for _ in range(2))
    etag = client.post(f"/api/pieces/{piece}/undo").json()["etag"]  # from here both undo and redo lead somewhere
    elsewhere = tune["head"] if way == "redo" else second
    other = sqlite3.connect(store.path, timeout=0, isolation_level=None, check_same_thread=False)
    changes: list[int] = []

    def meddled(look: Callable[..., Any]) -> Callable[..., Any]:
        def looked(*values: Any) -> Any:
            facts = look(*values)
            if not changes:
                with suppress(sqlite3.OperationalError):  # this studio holds the file
                    changes.append(other.execute("UPDATE pieces SET head = ?", (elsewhere,)).rowcount)
            return facts

        return looked

    for name in ("require_match", "music"):
        monkeypatch.setattr(store, name, meddled(getattr(store, name)))
    if way == "compose":
        composed(client, piece=piece, if_match=etag)
    elif way == "head":
        client.put(f"/api/pieces/{piece}/head", json={"version": first, "if_match": etag})
    else:
        client.post(f"/api/pieces/{piece}/{way}?if_match={etag}")
    other.close()
    assert changes == [1]
    assert whole(client, piece)["head"] == elsewhere


def test_takes_are_let_go_of_by_undo(client: TestClient) -> None:
    piece = uploaded(client)["id"]
    composed(client, piece=piece, takes=2)
    after = client.post(f"/api/pieces/{piece}/undo").json()
    assert (after["choosing"], after["version"]["kind"]) == ([], "midi")


def test_what_was_broken_off_stays_and_what_never_had_a_note_never_was(models: ModelRegistry, store: Store) -> None:
    from preludio.studio.composing import ComposeOptions, ComposeService, ContinueFrom
    from preludio.studio.job_queue import JobCancelled

    studio, stop, said = ComposeService(models, store), threading.Event(), []

    def emit(event: Event) -> None:
        said.append(event)
        if event["event"] == "notes" and event["takes"]:
            stop.set()

    with pytest.raises(JobCancelled):
        studio.compose(ContinueFrom(), ComposeOptions(seconds=300), emit, stop)
    (piece,) = store.pieces()
    assert not piece["finished"]
    assert store.music(piece["head"]).rows() == told(said)
    with pytest.raises(JobCancelled):
        studio.compose(ContinueFrom(piece["id"]), ComposeOptions(seconds=300), lambda _: None, stop)  # stopped before its first note
    assert store.piece(piece["id"])["head"] == piece["head"]
    assert len(store.history(piece["id"])) == 1
    with pytest.raises(JobCancelled):
        studio.compose(ContinueFrom(), ComposeOptions(seconds=300), lambda _: None, stop)
    assert len(store.pieces()) == 1


def test_a_full_disk_ends_it_in_one_sentence_and_keeps_what_was_told(client: TestClient, store: Store) -> None:
    said = composed(client)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    after = composed(client, seconds=600)
    assert after[-1] == {"event": "error", "code": "disk_full", "message": after[-1]["message"]}
    assert whole(client, said[-1]["piece"]["id"])["version"]["notes"] == told(said)
    store._connection.execute("PRAGMA max_page_count = 1000000")
    assert composed(client)[-1]["event"] == "done"


def test_an_answer_goes_on_from_the_phrase_and_nothing_is_kept(client: TestClient) -> None:
    phrase = [[i * 200, i * 200 + 150, 60 + i, 80, 0] for i in range(6)]
    with client.stream("POST", "/api/answer", json={"notes": phrase, "seconds": 5}) as response:
        said = list(events(response))
    notes = [note for event in said if event["event"] == "notes" for note in event["notes"]]
    assert notes
    assert all(note[0] >= 1130 for note in notes)
    assert client.get("/api/pieces").json() == []


# Turns


def test_work_takes_turns_and_each_in_line_knows_its_place() -> None:
    import asyncio

    async def three() -> list[list[Event]]:
        job_queue = JobQueue(1, lambda error: {"event": "error", "code": str(error)})
        gate = threading.Event()

        def work(emit: Emit, _: threading.Event) -> None:
            gate.wait(20)
            emit({"event": "done"})

        jobs = [job_queue.submit(work) for _ in range(4)]
        await asyncio.sleep(0.05)
        assert (job_queue.n_running, job_queue.n_waiting) == (1, 3)
        job_queue.left(jobs[2])  # the page was closed
        gate.set()
        said = [[event async for event in job_queue.events(jobs[number])] for number in (0, 1, 3)]
        while job_queue.n_running:
            await asyncio.sleep(0.01)
        job_queue.close()
        return said

    first, second, last = asyncio.run(three())
    assert [event["event"] for event in first] == ["done"]
    assert [event.get("place") for event in second if event["event"] == "queued"][-1] == 1
    places = [event["place"] for event in last if event["event"] == "queued"]
    assert places == sorted(places, reverse=True)
    assert (places[0], places[-1]) == (3, 1)


def test_a_fault_of_the_work_is_told_and_the_next_has_its_turn() -> None:
    import asyncio

    def broken(*_: Any) -> None:
        raise ValueError("ouch")

    async def both() -> list[list[Event]]:
        job_queue = JobQueue(1, lambda error: {"event": "error", "code": str(error)})
        jobs = [job_queue.submit(broken), job_queue.submit(lambda emit, _: emit({"event": "done"}))]
        said = [[event async for event in job_queue.events(job)] for job in jobs]
        job_queue.close()
        return said

    assert [[event["event"] for event in said if event["event"] != "queued"] for said in asyncio.run(both())] == [["error"], ["done"]]


def test_at_least_one_composes() -> None:
    assert slots() >= 1


# Keeping


NOTES = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(1, 5000), st.integers(21, 108), st.integers(1, 127)).map(
        lambda n: (n[0], n[0] + n[1], *n[2:])
    ),
    min_size=1,
    max_size=30,
)


def one_note() -> Music:
    return Music(pack_rows([(0, 10, 60, 64)]), np.zeros(1, np.uint8))


def test_notes_that_are_sent_twice_are_kept_once(store: Store) -> None:
    """In any cuts: whoever does not know whether their notes arrived sends them again."""
    rng = np.random.default_rng(0)
    piece = store.create()
    for n in rng.integers(1, 30, 12).tolist():
        rows = [(i * 100, i * 100 + 90, 60 + i, 64) for i in range(n)]
        parts = rng.integers(0, 2, n).astype(np.uint8)
        version, known = store.add_version(piece, NewVersion("played")), 0
        while known < n:
            place = int(rng.integers(0, known + 1))
            stop = int(rng.integers(known + 1, n + 1))
            known = store.append(version, pack_rows(rows[place:stop]), parts[place:stop], place)
        assert np.array_equal(store.music(version).notes, pack_rows(rows))
        assert np.array_equal(store.music(version).parts, parts)
        with pytest.raises(NotFound):
            store.append(version, pack_rows(rows), parts, known + 1)  # a gap: something is missing


def test_one_key_begins_one_piece(client: TestClient) -> None:
    """Whoever lost the answer asks again, be it at the same moment, and is answered the piece as it is; without a key each is another."""
    keys = [letter * 16 for letter in "abc"] * 4 + [None] * 3

    def begun(key: str | None) -> Any:
        wish = {"notes": [[0, 100, 60, 70, 0]], "kind": "played"} | ({"key": key} if key else {})
        answer = client.post("/api/pieces", json=wish)
        assert answer.status_code == 201
        return answer.json()

    with ThreadPoolExecutor(6) as pool:
        pieces = list(zip(keys, pool.map(begun, keys), strict=True))
    assert len(client.get("/api/pieces").json()) == 3 + 3
    assert len({(key, piece["id"]) for key, piece in pieces if key}) == 3
    for _, piece in pieces:
        assert [note[2] for note in piece["version"]["notes"]] == [60]
    key, piece = pieces[0]
    more = {"version": piece["head"], "place": 1, "notes": [[200, 300, 62, 70, 0]]}
    assert client.post(f"/api/pieces/{piece['id']}/notes", json=more).status_code == 200
    assert begun(key)["version"]["n_notes"] == 2
    client.delete(f"/api/pieces/{piece['id']}")
    assert problem(client.post("/api/pieces", json={"notes": [[0, 100, 60, 70, 0]], "key": key})) == (404, "gone")


def test_a_file_of_the_first_preludio_is_taken_on(tmp_path: Path) -> None:
    path = tmp_path / "studio.db"
    old = sqlite3.connect(path)
    old.executescript(INITIAL_SCHEMA)
    old.execute("INSERT INTO pieces (id, title, created_ms, changed_ms, head) VALUES ('old', 'Before', ?, 0, 1)", (now_ms(),))
    columns = "piece, kind, created_ms, from_ms, prompt_ms, wishes, finished, n_notes"
    old.execute(f"INSERT INTO versions ({columns}) VALUES (1, 'played', 0, 0, 0, '{{}}', 1, 1)")
    old.execute("INSERT INTO notes VALUES (1, 0, ?, ?)", (one_note().notes.tobytes(), bytes(1)))
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    for _ in range(2):
        store = Store(path)
        new = NewVersion("played", one_note())
        assert store.begin(new, key="a key") == store.begin(new, key="a key") != "old"
        assert sorted(piece["title"] for piece in store.pieces()) == ["", "Before"]
        assert store.music(1).rows() == one_note().rows()
        store.close()


@settings(max_examples=25, deadline=None)
@given(NOTES, st.integers(0, 16_000))
def test_a_beginning_keeps_who_made_each_note(rows: list[Any], from_ms: int) -> None:
    music = Music(pack_rows(rows), np.arange(len(rows), dtype=np.uint8) % 2)
    beginning = ContinuationStart.of(music, from_ms, window=4096)
    if beginning.prompt is None:
        assert all(onset >= from_ms - 10 for onset, *_ in rows)
        with pytest.raises(RequestError, match="no notes"):
            prepare_prompt(music.performance, from_ms / 1000, 4096)
        return
    made: dict[tuple[int, int], set[int]] = {}
    for (onset, _, pitch, _), part in zip(rows, music.parts.tolist(), strict=True):
        made.setdefault((onset, pitch), set()).add(part)
    kept = beginning.prefix
    for note, part in zip(kept.notes.tolist(), kept.parts.tolist(), strict=True):
        assert part in made[note[0], note[2]]
    assert kept.performance.duration_ms <= beginning.from_ms + 10 <= from_ms + 20  # to the step


def test_rows_say_who_made_each_note_whatever_their_order() -> None:
    music = Music(
        pack_rows([(500, 600, 64, 70), (0, 100, 60, 80), (0, 90, 72, 90)]), np.array([1, 0, 1], np.uint8), np.array([[50, 300]], np.int32)
    )
    assert music.rows() == [[0, 100, 60, 80, 300, 0], [0, 90, 72, 90, 300, 1], [500, 600, 64, 70, 600, 1]]


def test_search_looks_past_case_accents_and_finds_numbers(store: Store) -> None:
    for title in ("Lluvia de Otoño", "100 % rain_", ""):
        piece = store.create(title)
        store.set_head(piece, store.add_version(piece, NewVersion("played", one_note())))
    titles = {search: [piece["title"] for piece in store.pieces(search)] for search in ("OTONO", "%", "_", "Prelude No. 3", "xyz")}
    assert titles == {"OTONO": ["Lluvia de Otoño"], "%": ["100 % rain_"], "_": ["100 % rain_"], "Prelude No. 3": [""], "xyz": []}
    assert folded("ÄÖÜ ñ") == "aou n"


def test_two_studios_share_one_file(tmp_path: Path) -> None:
    """Two programs that write at the same time: neither loses a note."""
    model = restless_model(tmp_path / "model", window=64)
    with Server(tmp_path / "data", model) as one, Server(tmp_path / "data", model) as other:
        told = [Told(), Told()]
        works = [threading.Thread(target=play, args=(server, notes, 60)) for server, notes in zip((one, other), told, strict=True)]
        for work in works:
            work.start()
        for work in works:
            work.join()
        assert [(notes.n_notes, notes.lost(one), notes.lost(other)) for notes in told] == [(60, 0, 0), (60, 0, 0)]
        assert one.get("/api/pieces") == other.get("/api/pieces")


def test_whenever_it_is_killed_nothing_that_was_told_is_lost(tmp_path: Path) -> None:
    """At a random moment of each kind of work; benchmarks/studio_kills.py does it at more."""
    with Server(tmp_path / "data", restless_model(tmp_path / "model")) as server:
        crashes = {kind: crash(server, kind, seed) for seed, kind in enumerate(KINDS)}
        assert {kind: told.lost(server) for kind, told in crashes.items()} == dict.fromkeys(KINDS, 0)
        assert sum(told.n_notes for told in crashes.values()) > 100
        assert all(piece["n_notes"] for piece in server.get("/api/pieces"))
        again = server.get("/api/pieces")[0]["id"]
        assert server.post(f"/api/pieces/{again}/undo", {})["id"] == again


def test_deleted_pieces_are_gone_after_a_month(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    piece = store.create("old")
    version = store.add_version(piece, NewVersion("played", one_note()))
    store.delete(piece)
    month_ms = 31 * 24 * 3600 * 1000
    from preludio.studio import store as module

    now = module.now_ms()
    monkeypatch.setattr(module, "now_ms", lambda: now + month_ms)
    Store(store.path).close()
    with pytest.raises(NotFound):
        store.restore(piece)
    with pytest.raises(NotFound):
        store.music(version)


def test_a_file_that_is_no_store_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "studio.db"
    path.write_text("once upon a time, and no SQLite " * 40)
    with pytest.raises(OutputError, match="choose another folder with --data"):
        Store(path)
    with pytest.raises(OutputError, match="--data"):
        Store(path / "below" / "studio.db")
    newer = sqlite3.connect(tmp_path / "newer.db")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(OutputError, match="newer Preludio"):
        Store(tmp_path / "newer.db")


def test_a_damaged_file_is_told_and_left_as_it_is(store: Store) -> None:
    for number in range(200):
        store.set_head(piece := store.create(f"number {number}"), store.add_version(piece, NewVersion("played", one_note())))
    store.close()
    data = bytearray(store.path.read_bytes())
    data[4096 * 2 : 4096 * 5] = b"mould" * (4096 * 3 // 5) + b"mou"
    store.path.write_bytes(data)
    with pytest.raises(OutputError, match="damaged or of another program, and stays as it is: move it away"):
        Store(store.path)
    assert store.path.read_bytes() == data


def test_a_file_that_another_program_holds_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preludio.studio.store.LOCKED_SECONDS", 0.1)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OutputError, match="another program holds the file: close that one"):
        Store(store.path)
    store._connection.execute("PRAGMA busy_timeout = 100")
    with pytest.raises(sqlite3.OperationalError) as locked:
        store.create()
    assert problem_of(locked.value).code == "locked"
    other.execute("ROLLBACK")
    other.close()
    assert store.create()


def test_a_piece_that_was_killed_before_its_first_note_is_not_listed_and_goes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    piece = store.create()
    store.set_head(piece, store.add_version(piece, NewVersion("compose", finished=False)))
    assert store.pieces() == []
    Store(store.path).close()
    assert store.piece(piece)  # somebody may be composing it
    from preludio.studio import store as module

    now = module.now_ms()
    monkeypatch.setattr(module, "now_ms", lambda: now + 25 * 3600 * 1000)
    Store(store.path).close()
    with pytest.raises(NotFound):
        store.piece(piece)


def test_pieces_lie_where_the_system_keeps_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "preludio"
    monkeypatch.setattr("sys.platform", "darwin")
    assert data_folder().parts[-3:] == ("Library", "Application Support", "preludio")


# Pieces


def test_rename_star_delete_restore(client: TestClient) -> None:
    piece = uploaded(client, "C:\\music\\My_first tune.final.mid")
    assert piece["title"] == "My first tune.final"
    at = f"/api/pieces/{piece['id']}"
    changed = client.patch(at, json={"title": "  A\n\tB\x00 ", "starred": True}).json()
    assert (changed["title"], changed["starred"]) == ("A B", True)
    assert [found["id"] for found in client.get("/api/pieces", params={"starred": True}).json()] == [piece["id"]]
    assert client.delete(at).status_code == 204
    assert problem(client.get(at)) == (404, "gone")
    assert problem(client.patch(at, json={"title": "x"})) == (404, "gone")
    assert client.get("/api/pieces").json() == []
    assert client.post(f"{at}/restore").json()["title"] == "A B"


def test_downloads_are_the_piece(client: TestClient) -> None:
    piece = uploaded(client)
    at = f"/api/pieces/{piece['id']}/download"
    performance = preludio.read_midi(midi())
    assert preludio.read_midi(client.get(f"{at}/mid").content) == performance
    assert client.get(f"{at}/svg").text == render.roll_svg(performance, prompt_ms=1950, title="tune")
    assert client.get(f"{at}/png").content.startswith(b"\x89PNG")
    sound = client.get(f"{at}/wav")
    assert sound.content[:4] == b"RIFF"
    assert sound.headers["content-disposition"] == 'attachment; filename="tune.wav"'
    assert problem(client.get(f"{at}/exe")) == (422, "bad_value")


@given(st.text(max_size=200), st.integers(1, 10**9))
def test_a_download_has_a_name_that_any_system_takes(title: str, number: int) -> None:
    name = file_name({"title": title, "number": number}, "mid")
    assert name.endswith(".mid")
    assert not set(name[:-4]) & set('/\\:*?"<>|\n\r\t\0.')
    assert name[:-4].strip()
    assert len(name.encode()) < 255


@given(st.text(max_size=200))
def test_a_title_is_one_line_that_turns_nothing_around(title: str) -> None:
    plain = one_line(title)
    assert plain == one_line(plain)
    assert not set(plain) & set("\0\n\r\t\x85\u2028\u202a\u202e\u2066\ufffe")
    assert [c for c in plain if c.isalnum()] == [c for c in title if c.isalnum() and c.isprintable()]


@pytest.mark.parametrize(
    ("title", "kept", "header"),
    [
        ("a\r\nSet-Cookie: x=1", "a Set-Cookie: x=1", "attachment; filename*=utf-8''a%20Set-Cookie%20x%201.mid"),
        ('"; filename=evil.exe', '"; filename=evil.exe', "attachment; filename*=utf-8''filename%20evil%20exe.mid"),
        ("tune\u202edim.exe", "tunedim.exe", "attachment; filename*=utf-8''tunedim%20exe.mid"),
        ("<script>alert(1)</script>\0", "<script>alert(1)</script>", "attachment; filename*=utf-8''script%20alert%201%20script.mid"),
        ("..\\../x", "..\\../x", 'attachment; filename="x.mid"'),
    ],
)
def test_a_hostile_title_is_only_a_title(client: TestClient, title: str, kept: str, header: str) -> None:
    from xml.etree import ElementTree

    at = f"/api/pieces/{uploaded(client)['id']}"
    assert client.patch(at, json={"title": title}).json()["title"] == kept
    assert client.get(f"{at}/download/mid").headers["content-disposition"] == header
    picture = client.get(f"{at}/download/svg")
    assert picture.headers["content-disposition"].startswith("attachment")
    tree = ElementTree.fromstring(picture.text)
    assert not [element for element in tree.iter() if element.tag.endswith("script")]
    assert tree.findtext("{http://www.w3.org/2000/svg}title") == kept


def test_what_is_played_grows_and_a_composed_version_does_not(client: TestClient) -> None:
    piece = client.post("/api/pieces", json={"notes": [[0, 100, 60, 70, 0]], "kind": "duet"}).json()
    more = {"version": piece["head"], "place": 1, "notes": [[200, 300, 62, 70, 1]]}
    for _ in range(2):
        assert client.post(f"/api/pieces/{piece['id']}/notes", json=more).json() == {"n_notes": 2}
    assert [note[5] for note in whole(client, piece["id"])["version"]["notes"]] == [0, 1]
    tune = uploaded(client)
    assert problem(client.post(f"/api/pieces/{tune['id']}/notes", json=more | {"version": tune["head"]})) == (422, "bad_value")
    assert problem(client.post(f"/api/pieces/{tune['id']}/notes", json=more)) == (404, "gone")  # another piece's version


BAD_BODIES: list[tuple[str, str, bytes, tuple[int, str]]] = [
    ("POST", "/api/compose", b'{"seconds": NaN}', (422, "bad_value")),
    ("POST", "/api/compose", b'{"seconds": 1e999}', (422, "bad_value")),
    ("POST", "/api/compose", b'{"seconds": 601}', (422, "bad_value")),
    ("POST", "/api/compose", b'{"temperature": 0}', (422, "bad_value")),
    ("POST", "/api/compose", b'{"seed": 4294967296}', (422, "bad_value")),
    ("POST", "/api/compose", b'{"takes": 64}', (422, "bad_value")),
    ("POST", "/api/compose", b'{"takes": 0}', (422, "bad_value")),
    ("POST", "/api/compose", b'{"top_p": 0.1}', (422, "bad_value")),
    ("POST", "/api/compose", b'{"top_p": "much"}', (422, "bad_value")),
    ("POST", "/api/compose", b'{"min_p": -1}', (422, "bad_value")),
    ("POST", "/api/compose", b'{"min_p": -Infinity}', (422, "bad_value")),
    ("POST", "/api/compose", b'{"seed": 1.5}', (422, "bad_value")),
    ("POST", "/api/compose", b'{"from_ms": -1}', (422, "bad_value")),
    ("POST", "/api/answer", b'{"notes": [[0, 9, 60, 64, 0]], "seconds": 61}', (422, "bad_value")),
    ("POST", "/api/answer", b'{"notes": []}', (422, "bad_value")),
    ("POST", "/api/compose", b'{"sceonds": 3}', (422, "bad_value")),
    ("POST", "/api/compose", b"[" * 100_000, (400, "bad_value")),
    ("POST", "/api/compose", b'{"piece": "vanished"}', (404, "gone")),
    ("POST", "/api/compose", b'{"piece": "../../etc"}', (422, "bad_value")),
    ("POST", "/api/answer", b'{"notes": [[5, 1, 60, 64, 0]]}', (422, "bad_value")),
    ("POST", "/api/answer", b'{"notes": [[0, 1, 128, 64, 0]]}', (422, "bad_value")),
    ("POST", "/api/pieces", b"{}", (422, "bad_value")),
    *[
        ("POST", "/api/pieces", b'{"theme": "bach", "key": %s}' % key, (422, "bad_value"))
        for key in (b'""', b'"short"', b'"%s"' % (65 * b"x"), b'"sixteen letters and spaces"', b'"\\u0000123456789abcdef"', b"7", b'["x"]')
    ],
    ("POST", "/api/pieces", '{"theme": "bach", "key": "ключ-ключ-ключ-ключ"}'.encode(), (422, "bad_value")),
    ("POST", "/api/pieces", b'{"theme": "silence"}', (404, "gone")),
    ("POST", "/api/pieces/midi", b"", (400, "bad_midi")),
    ("POST", "/api/pieces/midi", b"MThd\0\0\0\6", (400, "bad_midi")),
    ("POST", "/api/pieces/midi", preludio.write_midi(Performance()), (400, "empty_midi")),
    ("POST", "/api/pieces/midi", preludio.write_midi(Performance([(0, 4 * 3_600_000, 60, 64)])), (400, "long_midi")),
    ("POST", "/api/pieces/midi", bytes(16_000_001), (413, "too_big")),
    ("POST", "/api/pieces", b'{"notes": [' + 40_000 * b"[0, 1, 60, 64, 0], " + b"[0, 1, 60, 64, 0]]}", (422, "bad_value")),
    ("POST", "/api/pieces", bytes(1_000_001), (413, "too_big")),
    ("PATCH", "/api/pieces/x", b'{"title": "\\ud800"}', (422, "bad_value")),
    ("GET", "/api/pieces/99999999999/versions/99999999999999999999", b"", (422, "bad_value")),
    ("GET", "/api/nonesuch", b"", (404, "gone")),
]


@pytest.mark.parametrize(("method", "path", "body", "expected"), BAD_BODIES, ids=lambda value: str(value)[:40])
def test_bad_input_is_a_code_and_a_sentence(client: TestClient, method: str, path: str, body: bytes, expected: tuple[int, str]) -> None:
    headers = {} if "midi" in path else {"content-type": "application/json"}
    assert problem(client.request(method, path, content=body, headers=headers)) == expected
    assert client.get("/api/pieces").json() == []


def test_a_body_without_a_length_is_counted_too(client: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(1_000_000)

    assert client.post("/api/pieces/midi", content=endless()).status_code == 413


def test_a_fault_of_our_own_is_told_and_traced(
    models: ModelRegistry, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(store, "pieces", broken)
    with TestClient(create_app(models, store, slots=1), base_url=HERE) as client:
        fault = client.get("/api/pieces")
    assert problem(fault) == (500, "internal_error")
    assert fault.headers["content-security-policy"] == HEADERS["content-security-policy"]
    assert "ZeroDivisionError" in capsys.readouterr().err


# Strangers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:7388", "[::1", "192.168.0.7:7388"])
def test_another_name_for_this_machine_is_refused(client: TestClient, host: str) -> None:
    """A page of evil.example may have that name lead here, and would then be of the same origin."""
    assert problem(client.get("/api/pieces", headers={"host": host})) == (421, "wrong_host")


@pytest.mark.parametrize("host", ["localhost:7388", "[::1]:7388", "127.0.0.1"])
def test_our_own_names_are_taken(client: TestClient, host: str) -> None:
    assert client.get("/api/state", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
    ],
    ids=str,
)
def test_another_sites_page_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    assert problem(client.post("/api/pieces", json={"theme": "bach"}, headers=headers)) == (403, "wrong_origin")
    assert problem(client.get("/piano/levels.json", headers=headers)) == (403, "wrong_origin")
    assert client.get("/api/pieces").json() == []


def test_a_link_from_elsewhere_opens_the_page(client: TestClient) -> None:
    assert client.get("/p/abc", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status_code == 200


def doors(client: TestClient) -> list[tuple[str, str]]:
    """A method and an address for everything that can be asked for, files included."""
    described = client.get("/api/openapi.json").json()["paths"]
    api = [(method.upper(), re.sub(r"\{\w+\}", "1", path)) for path, methods in described.items() for method in methods]
    pages = ("/", "/p/x", "/api", "/api/openapi.json", "/static/js/main.js", "/piano/060-077.ogg", "/api/nonesuch")
    return api + [("GET", path) for path in pages]


def test_every_door_has_the_guard(client: TestClient) -> None:
    """Pages, files, streams, the API and what is not there: none answers a stranger, and each answer carries the policy."""
    for method, path in doors(client):
        answers = [
            client.request(method, path, headers={"host": "evil.example"}),
            client.request(method, path, headers={"origin": "https://evil.example"}),
            client.request(method, path, headers={"origin": "http://["}),
            client.request(method, path),
        ]
        assert [problem(answer) for answer in answers[:3]] == [(421, "wrong_host"), (403, "wrong_origin"), (403, "wrong_origin")]
        for answer in answers:
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/..%5capp.py",
        "/static//etc/passwd",
        "/static/%00",
        "/static/" + 5000 * "a",
        "/static/",
        "/piano/../../errors.py",
        "/piano/ATTRIBUTION.md",
        "/piano/%00.ogg",
    ],
    ids=lambda path: path[:24],
)
def test_paths_are_confined(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_beyond_this_machine_a_token_opens_the_door(models: ModelRegistry, store: Store) -> None:
    with TestClient(create_app(models, store, slots=1, token="secret"), base_url="http://10.0.0.5:7388", follow_redirects=False) as client:
        for request in ({}, {"token": "wrong"}, {"token": "sécret"}):
            assert problem(client.get("/", params=request)) == (401, "no_token")
        assert problem(client.get("/api/pieces", params={"token": "secret"})) == (401, "no_token")  # addresses are written down in logs
        assert client.get("/api/pieces", headers={"authorization": "Bearer secret"}).status_code == 200
        assert problem(client.get("/api/pieces", headers={"authorization": "Bearer nonsense"})) == (401, "no_token")
        welcome = client.get("http://10.0.0.5:7388//evil.example/x", params={"token": "secret"})
        assert (welcome.status_code, welcome.headers["location"]) == (303, "/evil.example/x")
        assert "HttpOnly; SameSite=Strict" in welcome.headers["set-cookie"]
        assert client.get("/").status_code == 200  # with the cookie


# The page's parts


def test_both_languages_say_the_same_things() -> None:
    english, spanish = (json.loads((STATIC / "lang" / f"{name}.json").read_text(encoding="utf-8")) for name in ("en", "es"))
    assert english.keys() == spanish.keys()
    for key, text in english.items():
        assert text.strip() and spanish[key].strip()
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", spanish[key])), key


def test_every_word_that_the_page_asks_for_is_there() -> None:
    words = json.loads((STATIC / "lang" / "en.json").read_text(encoding="utf-8"))
    pages = " ".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.html"))
    scripts = " ".join(path.read_text(encoding="utf-8") for path in STATIC.glob("js/*.js"))
    asked = set(re.findall(r'data-t(?:-label|-placeholder)?="(\w+)"', pages)) | set(re.findall(r'\bt\("(\w+)"', scripts))
    assert asked <= words.keys()
    source = " ".join(path.read_text(encoding="utf-8") for path in (STATIC.parent).glob("*.py"))
    codes = set(re.findall(r'(?:Problem|Refused)\(\d+, "(\w+)"', source)) | set(re.findall(r'return \d+, "(\w+)"', source))
    assert len(codes) > 10
    codes |= set(StorageErrorCode)
    assert {f"e_{code}" for code in codes} <= words.keys()
    unsaid = {key for key in words if not re.search(rf"\b{key}\b|`{key[:2]}\$", pages + scripts + source)}
    assert not {key for key in unsaid if not re.match(r"e_|v_|surprise\d", key)}


def test_the_page_loads_nothing_from_elsewhere() -> None:
    for path in STATIC.rglob("*.*"):
        if path.suffix == ".png":
            continue
        assert not re.search(r"(?:src|href|url|import|fetch)\W{1,3}(?:https?:)?//", path.read_text(encoding="utf-8")), path


def test_the_api_describes_itself(client: TestClient) -> None:
    api = client.get("/api/openapi.json").json()
    assert {"/api/compose", "/api/answer", "/api/pieces", "/api/pieces/{piece}/undo"} <= api["paths"].keys()
    assert api["components"]["schemas"]["ComposeRequest"]["properties"]["seconds"]["maximum"] == MAX_SECONDS
    assert "apipage.js" in client.get("/api").text


# Themes


@pytest.mark.parametrize("name", THEMES)
def test_a_theme_fits_together(name: str) -> None:
    """Its voices end together (the last note may ring), in a piano's range, and it is long enough to go on from."""
    theme = THEMES[name]
    lengths = [sum(float(event.partition(":")[2]) for event in voice.line.split()) for voice in theme.voices]
    assert max(lengths) - min(lengths) <= 2, lengths
    performance = themes.performance(theme)
    assert 7_000 < performance.duration_ms < 35_000
    assert len(performance) >= 30
    assert 21 <= performance.notes["pitch"].min() <= performance.notes["pitch"].max() <= 108
    assert len(preludio.tokens.encode(performance)) < 1000


def test_the_themes_begin_as_everyone_knows_them() -> None:
    """Spot checks: the first keys of each melody, an octave's worth of music history."""
    first = {name: themes.performance(theme).notes["pitch"].tolist() for name, theme in THEMES.items()}
    assert first["bach"][:8] == [60, 64, 67, 72, 76, 67, 72, 76]
    assert first["beethoven"][:9] == [76, 75, 76, 75, 76, 71, 74, 72, 45]
    assert [pitch for pitch in first["satie"] if pitch > 68][:4] == [78, 81, 79, 78]
    assert first["joplin"][:2] == [74, 86]


def test_there_are_eight_from_bach_to_joplin(client: TestClient) -> None:
    listed = client.get("/api/themes").json()
    assert len(listed) == 8
    assert (listed[0]["composer"], listed[-1]["composer"]) == ("Johann Sebastian Bach", "Scott Joplin")
    assert all(theme["year"] < 1905 for theme in listed)
    notes = client.get("/api/themes/chopin").json()["notes"]
    assert client.post("/api/pieces", json={"theme": "chopin"}).json()["version"]["notes"] == notes


# The command


def test_a_port_that_cannot_be_is_refused() -> None:
    with pytest.raises(RequestError, match="0 to 65535"):
        Settings(port=65_536)


def test_a_second_studio_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for the port of the first it refuses, and says what to do; asked for nothing it shows the first; with other pieces it has
    the next port."""
    module = importlib.import_module("preludio.studio.serve")
    with Server(tmp_path / "data", restless_model(tmp_path / "model", window=64)) as server:
        command = [sys.executable, "-m", "preludio", "studio", "--no-browser", "--port", str(server.port), "--data", str(tmp_path / "data")]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert ran.returncode == 2
        here = f"http://127.0.0.1:{server.port}/"
        assert ran.stderr == (
            f"preludio: a studio is open on port {server.port} already: use it at {here}, or choose another with --port\n"
        )
        monkeypatch.setattr(module, "PORT", server.port)
        said: list[str] = []
        module.serve(Settings(browser=False), said.append)
        assert said == [f"a studio is open already: {here}?already"]
        other = module._listener(Settings(data=tmp_path / "other"))
        assert not isinstance(other, int)
        with other:
            assert server.port < other.getsockname()[1] < server.port + 20


def test_small_writes_are_sent_at_once() -> None:
    """asyncio asks for TCP_NODELAY only where a socket's protocol is named. Ours once was not: the first note of an answer that was ready
    after 10 ms was heard of after 50, for the second of two small writes waited until the other side had confirmed the first."""
    module = importlib.import_module("preludio.studio.serve")
    with module._bound("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.proto == socket.IPPROTO_TCP


def test_a_port_of_another_program_is_one_line(tmp_path: Path) -> None:
    from preludio.studio import serve

    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(RequestError, match="taken by another program"):
        serve(Settings(port=other.getsockname()[1], browser=False, data=tmp_path), print)


def test_a_duet_keeps_an_answer_beyond_the_88_keys(client: TestClient) -> None:
    """A model answered with pitch 125, which the page sounds some octaves lower; the store refused it, and the rest of the duet with it."""
    notes = [[0, 100, 60, 70, 0], [200, 300, 125, 6, 1]]
    piece = client.post("/api/pieces", json={"notes": notes, "kind": "duet"})
    assert piece.status_code == 201
    assert [note[2] for note in piece.json()["version"]["notes"]] == [60, 125]
    with client.stream("POST", "/api/answer", json={"notes": notes, "seconds": 1}) as response:
        assert response.status_code == 200


# Models


def test_the_models_are_listed_with_the_licences_of_their_weights(client: TestClient, models: ModelRegistry) -> None:
    """Those named at the start come first, then the bundled ones; a card's words are whatever its makers wrote."""
    listed = client.get("/api/models").json()
    assert listed[0] == {"name": models.default, "parameters": listed[0]["parameters"], "licence": "", "data": ""}
    bundled = {name: checkpoint.describe(name)[1] for name in checkpoint.bundled_models()}
    assert {model["name"]: model["licence"] for model in listed[1:]} == {name: about["licence"] for name, about in bundled.items()}
    assert bundled["small"]["licence"].startswith("CC BY")


def test_a_piece_says_which_model_composed_it_and_no_other_may_be_named(client: TestClient, tmp_path: Path) -> None:
    said = composed(client, seconds=1, model="small")
    assert whole(client, said[-1]["piece"]["id"])["version"]["options"]["model"] == "small"
    for wish in ({"model": "../../etc"}, {"model": "tiny"}):
        assert problem(client.post("/api/compose", json=wish)) == (422, "no_model")
    note = [[0, 9, 60, 64, 0]]
    assert problem(client.post("/api/answer", json={"notes": note, "model": "none"})) == (422, "no_model")
    duet = client.post("/api/pieces", json={"notes": note, "kind": "duet", "model": "small"}).json()
    assert duet["version"]["options"] == {"model": "small"}
    with pytest.raises(CheckpointError, match="no model"):
        ModelRegistry([str(tmp_path / "nowhere")])


def test_two_directories_of_one_name_are_two_models(tmp_path: Path) -> None:
    folders = [restless_model(tmp_path / parent / "mine", window=64) for parent in "ab"]
    models = ModelRegistry([str(folder) for folder in folders], "numpy")
    assert [facts["name"] for facts in models.to_json()][:2] == ["mine", "mine (2)"]
    assert models.composer("mine (2)") is not models.composer("mine")


# Single notes


def edits(client: TestClient, piece: Any, *changes: Any) -> Response:
    wish = {"changes": [{"note": note, "to": to} for note, to in changes], "if_match": piece["etag"]}
    return client.post(f"/api/pieces/{piece['id']}/edit", json=wish)


def test_a_note_is_deleted_another_moved_and_undo_brings_both_back(client: TestClient) -> None:
    piece = uploaded(client)
    before = piece["version"]["notes"]
    moved = [before[3][0] + 40, before[3][1] + 40, before[3][2] + 2, before[3][3]]
    after = edits(client, piece, (before[0][:4], None), (before[3][:4], moved)).json()
    assert (after["version"]["kind"], after["version"]["prompt_ms"]) == ("edit", piece["version"]["prompt_ms"])
    assert [note[:4] for note in after["version"]["notes"]] == sorted([note[:4] for note in [*before[1:3], *before[4:]]] + [moved])
    assert client.post(f"/api/pieces/{piece['id']}/undo").json()["version"]["notes"] == before
    assert client.post(f"/api/pieces/{piece['id']}/redo").json()["version"]["notes"] == after["version"]["notes"]


def test_who_made_a_note_does_not_change_when_it_is_moved(client: TestClient) -> None:
    said = composed(client, piece=uploaded(client)["id"], seed=5)
    piece = said[-1]["piece"]
    note = next(row for row in whole(client, piece["id"])["version"]["notes"] if row[5] == COMPOSED)
    moved = [note[0] + 1, note[1] + 1, note[2], note[3]]
    after = edits(client, piece, (note[:4], moved)).json()
    assert [row[5] for row in after["version"]["notes"] if row[:4] == moved] == [COMPOSED]
    assert [version["kind"] for version in after["history"]] == ["midi", "again", "edit"]


def test_an_edit_of_what_is_not_there_changes_nothing(client: TestClient) -> None:
    piece = uploaded(client)
    assert problem(edits(client, piece, ([1, 2, 60, 64], None))) == (409, "changed")
    assert problem(edits(client, piece, *[(note[:4], None) for note in piece["version"]["notes"]])) == (422, "last_note")
    bad = [([0, 1, 60, 64], [5, 5, 60, 64]), ([0, 1, 60, 64], [0, 1, 128, 64]), ([0, 1, 60, 64], [-1, 1, 60, 64])]
    assert [problem(edits(client, piece, change)) for change in bad] == 3 * [(422, "bad_value")]
    other = {**piece, "etag": "999999"}
    assert problem(edits(client, other, (piece["version"]["notes"][0][:4], None))) == (409, "changed")
    assert whole(client, piece["id"])["history"] == piece["history"]


# Files to take away


def test_sound_is_sent_while_it_is_made(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Block by block, in both kinds: the whole of a long piece is never held, and a visitor who goes away has no more made."""
    piece = uploaded(client)
    at = f"/api/pieces/{piece['id']}/download"
    assert client.get(f"{at}/wav").content == b"".join(render.wav_stream(preludio.read_midi(midi())).chunks)
    sound, rate = soundfile.read(io.BytesIO(client.get(f"{at}/mp3").content))
    written = render.synthesise(preludio.read_midi(midi()))
    assert rate == render.SAMPLE_RATE
    assert len(written) <= len(sound) < len(written) + 4000
    loud = [float(np.sqrt(np.mean(np.square(each[:, 0])))) for each in (sound, written)]
    assert loud[0] == pytest.approx(loud[1], rel=0.05)
    made: list[int] = []

    def silent_blocks(*_: object, **__: object) -> Iterator[np.ndarray]:
        for n in range(99):
            made.append(n)
            yield np.zeros((64, 2), np.float32)

    monkeypatch.setattr("preludio.render.wav.blocks", silent_blocks)
    stream = render.wav_stream(preludio.read_midi(midi())).chunks
    next(stream)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert made == [0]


def test_whether_a_file_can_be_had_is_known_before_it_is_asked_for(client: TestClient) -> None:
    piece = uploaded(client, "Otoño.mid")
    for kind in ("mid", "wav", "mp3", "svg", "png"):
        answer = client.head(f"/api/pieces/{piece['id']}/download/{kind}")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-disposition"] == f"attachment; filename*=utf-8''Oto%C3%B1o.{kind}"
    gone = client.head("/api/pieces/nonesuch/download/wav")
    assert (gone.status_code, gone.headers["x-preludio-code"]) == (404, "gone")


# Whoever goes away, and comes back


def test_work_goes_on_while_anybody_listens_and_is_stopped_by_whoever_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from preludio.studio import job_queue as module

    monkeypatch.setattr(module, "GRACE_SECONDS", 0.1)

    async def told() -> list[bool]:
        job_queue = JobQueue(2, lambda error: {"event": "error", "code": str(error)})

        def work(emit: Emit, stop: threading.Event) -> None:
            emit({"event": "started", "piece": {"id": "x"}})
            stop.wait(20)

        reloaded, closed = job_queue.submit(work), job_queue.submit(work)
        await asyncio.sleep(0.05)
        for job in (reloaded, closed):
            job_queue.left(job)
        queue = reloaded.subscribe()  # within the time
        await asyncio.sleep(0.2)
        seen = [closed.stop.is_set(), reloaded.stop.is_set()]
        reloaded.subscribers.discard(queue)
        job_queue.look_after(reloaded)
        await asyncio.sleep(0.2)
        seen.append(reloaded.stop.is_set())
        job_queue.close()
        return seen

    assert asyncio.run(told()) == [True, False, True]


# Pages


@pytest.mark.parametrize(
    ("language", "words"), [("es-MX,en;q=0.5", "En esta dirección no hay nada."), ("de, en", "There is nothing at this address.")]
)
def test_a_wrong_address_gets_a_page_in_a_browser_and_json_in_a_program(client: TestClient, language: str, words: str) -> None:
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "accept-language": language}
    for path in ("/nonesuch", "/api/nonesuch", "/api/pieces/nonesuch", "/static/none.js"):
        page = client.get(path, headers=browser)
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert words in page.text
        assert 'href="/"' in page.text
        assert problem(client.get(path)) == (404, "gone")
    refused = client.get("/", headers=browser | {"host": "evil.example"})
    assert (refused.status_code, refused.headers["content-type"]) == (421, "text/html; charset=utf-8")
    assert HEADERS.items() <= dict(refused.headers).items()


def test_the_page_can_be_installed(client: TestClient) -> None:
    manifest = client.get("/manifest.webmanifest")
    assert manifest.headers["content-type"] == "application/manifest+json"
    for icon in manifest.json()["icons"]:
        assert client.get(icon["src"]).status_code == 200
    worker = client.get("/service-worker.js")
    assert worker.headers["content-type"].startswith("text/javascript")
    files = json.loads(worker.text.split("\n")[1].removeprefix("const FILES = ").removesuffix(";"))
    assert {f"/static/js/{path.name}" for path in STATIC.glob("js/*.js")} <= set(files)
    for path in files:
        assert client.get(path).status_code == 200
