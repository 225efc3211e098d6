"""What people who do this every day expect: edits of single notes, falling notes, a choice of models, files, an app that opens offline."""

from __future__ import annotations

import time
from typing import Any

import pytest
from studio_browser import Open, Page, composed, dropped, paused, set_length, shown, stored, until
from studio_server import Server

import preludio
from preludio.performance import Performance

NOTES = [(i * 500, i * 500 + 400, 60 + 2 * (i % 5), 70) for i in range(20)]


def with_a_tune(page: Page) -> Page:
    dropped(page, preludio.write_midi(Performance(NOTES)))
    until(page, "preludio.piece?.kind === 'midi'")
    return page


def middle_of(page: Page, place: int) -> tuple[float, float]:
    """Where the note is on the screen."""
    box = page.locator("#canvas").bounding_box()
    note = page.evaluate(f"() => preludio.roll.box(preludio.player.notes[{place}])")
    return box["x"] + note["x"] + note["wide"] / 2, box["y"] + note["y"] + note["high"] / 2


def versions(page: Page, n: int) -> None:
    until(page, f"preludio.piece.history.length === {n} && !preludio.stepping")


def test_a_note_is_moved_with_the_mouse_nudged_and_deleted_and_undo_takes_all_back(visit: Open, server: Server) -> None:
    page = with_a_tune(visit())
    before = shown(page)
    page.click("#edit")
    x, y = middle_of(page, 4)
    scale, lane = page.evaluate("() => [preludio.roll.scale, preludio.roll.lane]")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 10, y, steps=2)
    page.mouse.move(x + 300 * scale, y - 3 * lane, steps=4)
    page.mouse.up()
    versions(page, 2)
    moved = next(note for note in shown(page) if note not in before)
    assert moved[2] == before[4][2] + 3
    assert moved[0] == pytest.approx(before[4][0] + 300, abs=2 / scale)
    assert moved[1] - moved[0] == 400
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    versions(page, 4)
    assert [moved[0] + 100, moved[2] - 1] in [[note[0], note[2]] for note in shown(page)]
    assert "at 0:02" in page.inner_text("#edit-out")
    page.keyboard.press("Delete")
    versions(page, 5)
    assert sorted(shown(page)) == sorted(stored(server, page)) == sorted(before[:4] + before[5:])
    for _ in range(4):
        mark = page.evaluate("() => preludio.piece.etag")
        page.keyboard.press("Control+z")
        until(page, f"preludio.piece.etag !== '{mark}' && !preludio.stepping")
    assert shown(page) == before
    page.keyboard.press("Escape")


def test_while_one_edits_a_click_beside_the_notes_seeks_and_chooses_none(visit: Open) -> None:
    page = with_a_tune(visit())
    page.click("#edit")
    page.mouse.click(*middle_of(page, 3))
    assert page.is_enabled("#edit-delete")
    box = page.locator("#canvas").bounding_box()
    page.mouse.click(box["x"] + 200, box["y"] + 12)
    assert page.is_disabled("#edit-delete")
    assert page.evaluate("() => preludio.player.positionMs") > 0
    assert len(page.evaluate("() => preludio.piece.history")) == 1


# Where the picture of falling notes has ink, column by column, in the row of pixels just above the keys.
ABOVE_THE_KEYS = """() => {
  const { canvas, context } = preludio.falling;
  const row = context.getImageData(0, canvas.height - 3, canvas.width, 1).data;
  const seen = new Set();
  for (let x = 0; x < canvas.width; x += 1) {
    const [r, g, b, a] = row.slice(4 * x, 4 * x + 4);
    if (a > 200 && Math.max(r, g, b) - Math.min(r, g, b) > 12) seen.add(x / (canvas.width / canvas.clientWidth));
  }
  const lit = preludio.player.active(preludio.player.positionMs).map((note) => preludio.keyboard.place(note[2]));
  return [[...seen], lit];
}"""


def test_falling_notes_reach_their_keys_when_they_sound(visit: Open) -> None:
    page = visit()
    set_length(page, 0)
    composed(page)
    paused(page)
    page.click("#falling-on")
    note = page.evaluate("() => preludio.player.notes.find((each) => each[1] - each[0] > 150)")
    page.evaluate(f"() => preludio.player.seek({note[0] + 60})")
    until(page, f"preludio.falling.drawn?.[0] === {note[0] + 60}")
    columns, keys = page.evaluate(ABOVE_THE_KEYS)
    assert any(abs(key["left"] + key["wide"] / 2 - x) < key["wide"] / 2 for key in keys for x in columns)
    for key in keys:  # each that sounds and is still held has its bar above it
        assert any(key["left"] <= x <= key["left"] + key["wide"] for x in columns)
    page.click("#falling-on")
    assert page.locator("#falling").is_hidden()


def test_the_model_is_chosen_with_its_licence_which_is_said_beside_the_files(visit: Open, server: Server) -> None:
    page = visit()
    until(page, "document.getElementById('model').options.length >= 2")
    page.click("#more summary")
    page.select_option("#model", "small")
    assert "CC BY-NC-SA 4.0" in page.inner_text("#model-text")
    set_length(page, 0)
    composed(page)
    assert server.get(f"/api/pieces/{page.evaluate('() => preludio.piece.id')}")["version"]["options"]["model"] == "small"
    page.click("#download summary")
    assert "“small”. Licence of its weights: CC BY-NC-SA 4.0." in page.inner_text("#licence")
    assert "Salamander" in page.inner_text("#licence")
    page.reload()
    until(page, "document.getElementById('model').value === 'small'")


@pytest.mark.parametrize("kind", ["wav", "mp3"])
def test_a_file_goes_from_the_server_to_the_disk(visit: Open, kind: str) -> None:
    """Not by way of the page: it once held all of it, as a blob."""
    page = with_a_tune(visit(script="URL.createObjectURL = () => { throw new Error('a blob'); };"))
    page.click("#download summary")
    with page.expect_download() as downloading:
        page.click(f"[data-format={kind}]")
    download = downloading.value
    assert download.suggested_filename == f"My tune.{kind}"
    assert download.path().stat().st_size > 100_000


def test_a_reload_shows_what_is_composed_and_its_stop(visit: Open, server: Server) -> None:
    """It went on unseen, with no way to stop it."""
    page = visit()
    set_length(page, 8)
    page.click("#compose")
    until(page, "preludio.player.notes.length > 10")
    page.reload()
    page.wait_for_selector("html[data-ready]")
    until(page, "preludio.liveUpdates.on && preludio.player.notes.length > 10")
    until(page, "document.getElementById('status').textContent.startsWith('Composing')")
    assert page.inner_text("#compose") == "Stop"
    assert page.locator("#progress").is_visible()
    assert server.get("/api/state")["running"] == 1
    page.click("#compose")
    until(page, "!preludio.liveUpdates.on && document.getElementById('compose').textContent === 'Compose'")
    until(page, "document.getElementById('status').textContent.includes('Stopped at')")
    start = time.monotonic()
    while server.get("/api/state")["running"]:
        assert time.monotonic() - start < 20
        time.sleep(0.05)
    assert page.locator("#progress").is_hidden()


SILENT_COMPOSER = """
const { fetch } = globalThis;
globalThis.fetch = (path, ...rest) => (path === "/api/compose" ? new Promise(() => {}) : fetch(path, ...rest));
"""


def test_composing_from_nothing_is_seen_at_once(visit: Open) -> None:
    page = visit(script=SILENT_COMPOSER)
    page.click("#compose")
    assert page.locator("#progress").is_visible()
    until(page, "document.getElementById('status').textContent === 'One moment …'")
    assert page.inner_text("#compose") == "Stop"


def test_the_page_opens_while_the_server_is_away(visit: Open, server: Server) -> None:
    """From the service worker: the page itself, in its language, which says how to start the studio; and it goes on by itself."""
    page = visit(service_workers="allow", expect_faults=True)
    page.evaluate("() => navigator.serviceWorker.ready.then(() => 0)")
    until(page, "navigator.serviceWorker.controller")
    address = page.url
    server.kill()
    try:
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        until(page, "document.getElementById('banner').textContent.includes('Start “preludio studio” again')")
        assert page.inner_text("#compose") == "Compose"
    finally:
        server.start()
    until(page, "document.getElementById('banner').hidden")
    set_length(page, 0)
    composed(page)
    api: Any = page.evaluate(
        "async () => (await caches.match('/api/pieces')) === undefined && (await caches.match('/api/state')) === undefined"
    )
    assert api
