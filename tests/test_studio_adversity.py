"""The studio's page when things go wrong: each is told in one friendly sentence, in each language, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from midi_bytes import END_OF_TRACK, smf
from studio_browser import (
    FAKE_MIDI,
    PHRASE,
    Open,
    Page,
    choose,
    composed,
    dropped,
    duet_ended,
    going_round,
    kept,
    set_length,
    shown,
    slow_model,
    stored,
    until,
)
from studio_server import Server, full_disk, small_disk

import preludio
from preludio.performance import Performance

LANG = Path(preludio.__file__).parent / "studio" / "static" / "lang"
WORDS: dict[str, dict[str, str]] = {name: json.loads((LANG / f"{name}.json").read_text(encoding="utf-8")) for name in ("en", "es")}
BOTH = pytest.mark.parametrize("language", ["en", "es"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("data"), slow_model(tmp_path_factory)) as running:
        yield running


def said(page: Page, key: str, place: str = "notices", **values: Any) -> None:
    """Waits until the page says that, in its language, and takes the notice away."""
    words = WORDS[page.get_attribute("html", "lang")][key]
    for name, value in values.items():
        words = words.replace(f"{{{name}}}", str(value))
    until(page, f"document.getElementById('{place}').innerText.includes({json.dumps(words)})")
    if place == "notices":
        page.evaluate("() => document.getElementById('notices').replaceChildren()")


README = Path(preludio.__file__).parents[2].joinpath("README.md")
DRUMS = smf(b"\0\x99\x26\x60" + b"\x60\x89\x26\0" + END_OF_TRACK)
BAD_FILES: dict[str, tuple[bytes, str]] = {
    "README.mid": (README.read_bytes() if README.exists() else b"# Preludio\n", "e_bad_midi"),
    "nothing.mid": (b"", "e_bad_midi"),
    "only a head.mid": (b"MThd\0\0\0\6\0\1\0\1\1\xf4", "e_bad_midi"),
    "tracks that never come.mid": (smf(END_OF_TRACK, said=65535), "e_empty_midi"),
    "drums.mid": (DRUMS, "e_empty_midi"),
    "a day long.mid": (preludio.write_midi(Performance([(0, 4 * 3_600_000, 60, 64)])), "e_long_midi"),
}
FIELDS = {"temperature": ("temperature", "9", "0.5", "1.5"), "top-p": ("topP", "0.1", "0.5", "1"), "min-p": ("minP", "-1", "0", "0.5")}
SEEDS = ["-1", "1.5", "4294967296"]


@BOTH
def test_bad_files_and_bad_numbers(visit: Open, language: str) -> None:
    page = visit(locale=language, expect_faults=True)
    set_length(page, 0)
    composed(page)
    before = shown(page)
    for name, (data, key) in BAD_FILES.items():
        dropped(page, data, name)
        said(page, key)
    dropped(page, b"MThd", "huge.mid", zeros=16_000_001)
    said(page, "e_too_big")
    page.evaluate("() => { document.querySelector('.more').open = true; }")
    names = WORDS[language]
    for field, (key, value, least, most) in FIELDS.items():
        for typed in (value, ""):
            page.fill(f"#{field}", typed)
            page.locator("#compose").dispatch_event("click")
            said(page, "e_bad_number", name=names[key], min=least, max=most)
            assert page.evaluate("() => document.activeElement.id") == field
        page.fill(f"#{field}", most)
    for typed in SEEDS:
        page.fill("#seed", typed)
        page.locator("#compose").dispatch_event("click")
        said(page, "e_bad_number", name=names["seed"], min=0, max=4294967295)
    assert shown(page) == before


@BOTH
def test_a_piece_that_vanished(visit: Open, server: Server, language: str) -> None:
    """Deleted in another window, while one looks at it and while one plays into it; and a link to none."""
    page = visit("/p/nonesuch", locale=language, expect_faults=True, script=FAKE_MIDI)
    said(page, "e_gone")
    set_length(page, 0)
    composed(page)
    delete = "async () => (await fetch(`/api/pieces/${preludio.piece.id}`, { method: 'DELETE' })).status"
    assert page.evaluate(f"async () => {{ const gone = await ({delete})(); document.getElementById('star').click(); return gone; }}") == 204
    said(page, "e_gone")
    page.click("#duet")
    until(page, "preludio.duet.on && fakeInput.onmidimessage")
    page.evaluate(PHRASE)
    until(page, "preludio.piece && !preludio.duet.journal.waiting")
    first = page.evaluate("() => preludio.piece.id")
    assert page.evaluate(delete) == 204
    page.evaluate(PHRASE)
    until(page, f"preludio.piece.id !== '{first}' && !preludio.duet.journal.waiting")
    duet_ended(page)
    notes = stored(server, page)
    assert [note[2] for note in notes if note[5] == 0][-4:] == [60, 64, 67, 72]
    assert min(note[0] for note in notes) == 0


SUSPENDED = """
const Context = AudioContext;
globalThis.AudioContext = class extends Context {
  constructor(options) { super(options); super.suspend(); }
  resume() { return new Promise(() => {}); }
};
"""
NO_AUDIO = {"missing": "delete globalThis.AudioContext; delete globalThis.webkitAudioContext;", "suspended for ever": SUSPENDED}


@BOTH
@pytest.mark.parametrize("script", NO_AUDIO.values(), ids=NO_AUDIO)
def test_a_browser_without_audio(visit: Open, script: str, language: str) -> None:
    page = visit(locale=language, script=script)
    set_length(page, 0)
    page.click("#compose")
    said(page, "noAudio", "banner")
    until(page, "preludio.player.positionMs > 300 && document.querySelectorAll('.key.lit').length")


NO_MIDI = {
    "midiUnable": "delete Navigator.prototype.requestMIDIAccess;",
    "midiRefused": "navigator.requestMIDIAccess = async () => { throw new DOMException('no', 'NotAllowedError'); };",
    "midiNone": "navigator.requestMIDIAccess = async () => ({ inputs: new Map(), onstatechange: null });",
}


@BOTH
def test_a_browser_without_midi_keyboards(visit: Open, language: str) -> None:
    for key, script in NO_MIDI.items():
        page = visit(locale=language, script=script)
        choose(page, "begin", "play")
        said(page, key, "midi-state")
        page.context.close()


# The server gone, and back


def gone(server: Server, pages: list[Page]) -> None:
    server.kill()
    for page in pages:
        page.evaluate("() => fetch('/api/state').catch(() => dispatchEvent(new Event('offline-studio')))")
        said(page, "offline", "banner")


def back(server: Server, pages: list[Page]) -> None:
    server.start()
    for page in pages:
        said(page, "back")
    for page in pages:
        until(page, "document.getElementById('banner').hidden")


def both(visit: Open, **options: Any) -> list[Page]:
    return [visit(locale=language, expect_faults=True, **options) for language in WORDS]


UNSENT = "Object.keys(localStorage).some((name) => name.startsWith('preludio.change.'))"


def test_the_server_gone_while_one_listens(visit: Open, server: Server) -> None:
    """Playing goes on, and a title and a star that are given meanwhile arrive."""
    pages = both(visit)
    for page in pages:
        set_length(page, 0)
        composed(page)
        going_round(page)
    gone(server, pages)
    for page in pages:
        page.fill("#title", "While it was gone")
        page.press("#title", "Enter")
        page.click("#star")
        until(page, f"preludio.piece.starred && {UNSENT}")
    back(server, pages)
    for page in pages:
        assert page.evaluate("() => preludio.player.playing")
        until(page, f"!({UNSENT})")
        facts = server.get(f"/api/pieces/{page.evaluate('() => preludio.piece.id')}")
        assert (facts["title"], facts["starred"]) == ("While it was gone", True)
        assert page.input_value("#title") == "While it was gone"


def test_the_server_gone_while_takes_are_composed_and_chosen(visit: Open, server: Server) -> None:
    pages = both(visit)
    for page in pages:
        set_length(page, 8)
        choose(page, "takes", "3")
    pages[0].click("#compose")
    until(pages[0], "preludio.takes.open && preludio.takes.list.every((take) => take.notes.length > 5)")
    notes = "() => preludio.takes.list.map((take) => take.notes)"
    seen = pages[0].evaluate(notes)
    pages[1].click("#compose")
    gone(server, pages[:1])
    back(server, pages[:1])
    until(pages[0], "preludio.piece.history && preludio.takes.open && preludio.takes.list.every((take) => take.notes.length)")
    for take, before in zip(pages[0].evaluate(notes), seen, strict=True):
        assert {tuple(note) for note in before} <= {tuple(note) for note in take}
    pages[0].locator(".taking .second").first.click()
    until(pages[0], "!preludio.takes.open && preludio.piece.version")
    assert {tuple(note) for note in seen[0]} <= {tuple(note) for note in stored(server, pages[0])}


def test_the_server_gone_in_a_duet_and_while_a_recording_is_kept(visit: Open, server: Server) -> None:
    """What is played meanwhile stays in the page, and arrives by itself; so it does if the page is closed and opened again."""
    pages = both(visit, script=FAKE_MIDI)
    duet, recording = pages
    duet.click("#duet")
    until(duet, "preludio.duet.on && fakeInput.onmidimessage")
    choose(recording, "begin", "play")
    recording.evaluate("() => { document.getElementById('count-in').checked = false; }")
    recording.click("#record")
    until(recording, "preludio.recorder.on")
    for page in pages:
        page.evaluate(PHRASE)
    until(duet, "preludio.duet.state === 'answering'")
    gone(server, pages)
    for page in pages:
        page.evaluate(PHRASE)
    recording.click("#record")
    until(recording, "!preludio.recorder.on && preludio.recorder.journal.waiting")
    assert len(shown(recording)) == 8
    back(server, pages)
    kept(recording)
    assert [note[2] for note in stored(server, recording)] == 2 * [60, 64, 67, 72]
    duet.evaluate(PHRASE)
    until(duet, "preludio.duet.state === 'answering'")  # it goes on
    duet_ended(duet)
    assert [note[2] for note in stored(server, duet) if note[5] == 0] == 3 * [60, 64, 67, 72]


NEVER_BEGINS = """() => {
    const { fetch } = globalThis;
    globalThis.fetch = (path, ...rest) =>
        String(path).endsWith("/api/pieces") ? Promise.reject(new TypeError("no network")) : fetch(path, ...rest);
}"""


def test_what_could_not_be_sent_is_sent_by_the_next_page_and_once(visit: Open, server: Server) -> None:
    page = visit(script=FAKE_MIDI, expect_faults=True)
    page.click("#duet")
    until(page, "preludio.duet.on && fakeInput.onmidimessage")
    page.evaluate(NEVER_BEGINS)  # in the page itself: a route of playwright's ends with it, before its last request
    page.evaluate(PHRASE)
    until(page, "preludio.duet.journal.trouble === 'offline'")
    before = len(server.get("/api/pieces?limit=500"))
    another = page.context.new_page()
    another.goto(server.address)
    another.wait_for_selector("html[data-ready]")
    assert len(server.get("/api/pieces?limit=500")) == before  # it is the first page's to send
    closed(page)
    another.reload()
    until(another, "globalThis.preludio?.piece?.kind === 'duet'")
    assert len(server.get("/api/pieces?limit=500")) == before + 1
    assert [note[2] for note in stored(server, another) if note[5] == 0] == [60, 64, 67, 72]
    assert another.evaluate("() => Object.keys(localStorage).filter((name) => name.includes('pending'))") == []


def closed(page: Page) -> None:
    """Another page of its browser sees that it is gone."""
    another = page.context.pages[-1]
    page.close()
    until(another, "(await navigator.locks.query()).held.length === 0")


# The first request of a phrase arrives, and its answer never does.
ANSWER_LOST = """() => {
    const { fetch } = globalThis;
    globalThis.fetch = async (path, ...rest) => {
        const answer = await fetch(path, ...rest);
        if (!String(path).endsWith("/api/pieces")) return answer;
        globalThis.arrived = answer.status;
        return new Promise(() => {});
    };
}"""


def test_a_page_that_closes_before_it_hears_of_its_piece_leaves_one(visit: Open, server: Server) -> None:
    """The first note had arrived, the others had not: the next page sends what is not there yet. It once sent all, into a second piece."""
    page = visit(script=FAKE_MIDI)
    choose(page, "begin", "play")
    page.evaluate("() => { document.getElementById('count-in').checked = false; }")
    page.click("#record")
    until(page, "preludio.recorder.on && fakeInput.onmidimessage")
    page.evaluate(ANSWER_LOST)
    before = {piece["id"] for piece in server.get("/api/pieces?limit=500")}
    page.evaluate(PHRASE)
    until(page, "globalThis.arrived === 201")
    (begun,) = (piece for piece in server.get("/api/pieces?limit=500") if piece["id"] not in before)
    assert begun["n_notes"] < 4
    another = page.context.new_page()
    another.goto(server.address)
    another.wait_for_selector("html[data-ready]")
    closed(page)
    another.reload()
    until(another, "globalThis.preludio?.piece?.kind === 'played'")
    assert {piece["id"] for piece in server.get("/api/pieces?limit=500")} == before | {begun["id"]}
    assert [note[2] for note in stored(server, another)] == [60, 64, 67, 72]
    assert another.evaluate("() => Object.keys(localStorage).filter((name) => name.includes('pending'))") == []


def test_a_title_outlives_its_page_and_the_server(visit: Open, server: Server) -> None:
    page = visit(expect_faults=True)
    dropped(page, preludio.write_midi(Performance([(0, 500, 60, 64)])))
    until(page, "preludio.piece?.kind === 'midi'")
    gone(server, [page])
    page.fill("#title", "Written in the dark")
    page.press("#title", "Enter")
    until(page, f"preludio.piece.title === 'Written in the dark' && {UNSENT}")
    piece, context = page.evaluate("() => preludio.piece.id"), page.context
    page.close()
    server.start()
    another = context.new_page()
    another.goto(server.address)
    until(another, f"!({UNSENT})")
    assert server.get(f"/api/pieces/{piece}")["title"] == "Written in the dark"


# The disk full


@pytest.fixture(scope="module")
def on_a_small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("small")
    prefix = small_disk(data)
    if prefix is None:
        pytest.skip("needs unshare(1), and a system that lets a user mount a tmpfs of their own")
    with Server(data, slow_model(tmp_path_factory), prefix=["env", f"TMPDIR={data}", *prefix]) as running:
        yield running


@BOTH
def test_a_full_disk(browser: Any, on_a_small_disk: Server, language: str) -> None:
    """While composing and while what is played is kept: told, nothing that was shown is lost, and it goes on once there is space. Files can
    be taken away meanwhile."""
    server = on_a_small_disk
    how: Any = {"viewport": {"width": 1000, "height": 800}, "service_workers": "block"}
    context = browser.new_context(locale=language, reduced_motion="reduce", **how)
    context.add_init_script(FAKE_MIDI)
    page = context.new_page()
    page.goto(server.address)
    page.wait_for_selector("html[data-ready]")
    set_length(page, 8)
    page.click("#compose")
    until(page, "preludio.player.notes.length > 20")
    with full_disk(server):
        said(page, "e_disk_full")
        until(page, "!preludio.composing.on && preludio.piece.version")
        assert {tuple(note) for note in shown(page)} == {tuple(note) for note in stored(server, page)}
        for kind in ("mid", "wav", "mp3", "svg", "png"):  # they need no room on the server's disk
            page.click("#download summary")
            with page.expect_download() as downloading:
                page.click(f"[data-format={kind}]")
            assert downloading.value.path().stat().st_size > 100
        choose(page, "begin", "play")
        page.evaluate("() => { document.getElementById('count-in').checked = false; }")
        page.click("#record")
        until(page, "preludio.recorder.on")
        page.evaluate(PHRASE)
        said(page, "e_disk_full", "banner")
        page.click("#record")
        until(page, "!preludio.recorder.on")
        assert len(shown(page)) == 4
    kept(page)
    until(page, "document.getElementById('banner').hidden")
    assert [note[2] for note in stored(server, page)] == [60, 64, 67, 72]
    set_length(page, 0)
    composed(page)
    context.close()
