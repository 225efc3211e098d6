"""Takes the pictures of docs/studio.md: every state of the studio, in a real browser, with the bundled model.

python recipes/studio_pictures.py docs/studio [composing takes ...]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from playwright.sync_api import sync_playwright
from studio_server import Server

Page = Any
WIDE, PHONE = {"width": 1180, "height": 860}, {"width": 390, "height": 844}
SERVER: list[Server] = []

FAKE_MIDI = """
globalThis.fakeInput = { name: "Stage piano", state: "connected", onmidimessage: null };
globalThis.pressed = (...data) => fakeInput.onmidimessage({ data: Uint8Array.from(data), timeStamp: performance.now() });
navigator.requestMIDIAccess = async () => ({ inputs: new Map([["1", fakeInput]]), onstatechange: null });
"""
PHRASE = """async () => {
  for (const pitch of [60, 64, 67, 72, 71, 67, 64, 62, 60]) {
    pressed(0x90, pitch, 70 + pitch / 4);
    await new Promise((done) => setTimeout(done, 260));
    pressed(0x80, pitch, 0);
  }
}"""


def until(page: Page, condition: str, seconds: float = 90) -> None:
    start = time.monotonic()
    while not page.evaluate(f"() => Boolean({condition})"):
        assert time.monotonic() - start < seconds, condition
        time.sleep(0.05)


def slide(page: Page, slider: str, value: float) -> None:
    page.evaluate(f"() => {{ const s = document.getElementById('{slider}'); s.value = {value}; s.dispatchEvent(new Event('input')); }}")


def choose(page: Page, name: str, value: str) -> None:
    page.locator(f'input[name="{name}"][value="{value}"]').check(force=True)


def theme(page: Page, composer: str) -> None:
    choose(page, "begin", "theme")
    page.get_by_label(composer).check(force=True)
    until(page, "preludio.player.notes.length > 20")


def composed(page: Page) -> None:
    page.click("#compose")
    until(page, "!preludio.composing.on && preludio.piece?.finished && preludio.player.notes.length")


def empty(_: Page) -> None:
    """As it opens."""


def composing(page: Page) -> None:
    slide(page, "length", 8)
    page.click("#compose")
    until(page, "preludio.player.positionMs > 6000")


def piece(page: Page) -> None:
    theme(page, "Erik Satie")
    composed(page)
    until(page, "preludio.player.positionMs > 32000")


def loop(page: Page) -> None:
    """Bars five to eight, drawn on the strip of times."""
    theme(page, "Erik Satie")
    page.evaluate("() => { preludio.player.pause(); scrollTo(0, 0); }")
    box = page.locator("#canvas").bounding_box()
    scale, strip = box["width"] / page.evaluate("() => preludio.roll.shownMs"), box["y"] + box["height"] - 10
    page.mouse.move(box["x"] + 9300 * scale, strip)
    page.mouse.down()
    page.mouse.move(box["x"] + 18600 * scale, strip, steps=6)
    page.mouse.up()
    page.mouse.move(5, 5)
    page.click("#play")
    until(page, "preludio.player.positionMs > 14000")


def falling(page: Page) -> None:
    piece(page)
    page.click("#falling-on")
    time.sleep(1)


def editing(page: Page) -> None:
    theme(page, "Erik Satie")
    composed(page)
    page.evaluate("() => { preludio.player.pause(); preludio.roll.zoomBy(2); document.getElementById('edit').click(); }")
    page.evaluate("() => { preludio.editing.chosen = preludio.player.notes[12]; preludio.editing.show(); }")
    time.sleep(0.3)


def downloads(page: Page) -> None:
    theme(page, "Erik Satie")
    composed(page)
    page.evaluate("() => { preludio.player.pause(); document.getElementById('download').open = true; }")


def takes(page: Page) -> None:
    theme(page, "Frédéric Chopin")
    choose(page, "takes", "3")
    slide(page, "length", 1)
    page.click("#compose")
    until(page, "preludio.takes.open && !preludio.composing.on")
    until(page, "preludio.player.positionMs > 27500")


def themes(page: Page) -> None:
    theme(page, "Johann Sebastian Bach")
    until(page, "preludio.player.positionMs > 5000")
    page.evaluate("() => scrollTo(0, 300)")


def duet(page: Page) -> None:
    page.click("#duet")
    until(page, "preludio.duet.on && fakeInput.onmidimessage")
    for _ in range(2):
        page.evaluate(PHRASE)
        until(page, "preludio.duet.state === 'answering'")
        time.sleep(4)


def pieces(page: Page) -> None:
    page.click("#library-open")
    until(page, "document.querySelectorAll('#pieces li').length > 2")


def queued(page: Page) -> None:
    """Others compose: as many as there are slots, and one more."""
    long = "fetch('/api/compose', {method: 'POST', headers: {'content-type': 'application/json'}, body: '{\"seconds\": 600}'})"
    page.evaluate(f"() => {{ for (let i = 0; i < preludio.slots + 1; i += 1) {long}; }}".replace("preludio.slots", "2"))
    time.sleep(0.5)
    page.click("#compose")
    until(page, "document.getElementById('status').textContent.includes('before yours') || document.querySelector('#status.busy')")


def failed(page: Page) -> None:
    theme(page, "Scott Joplin")
    page.evaluate("() => preludio.player.pause()")
    page.set_input_files("#file", files=[{"name": "holiday.mid", "mimeType": "audio/midi", "buffer": b"not music"}])
    until(page, "document.querySelector('.notice')")


def offline(page: Page) -> None:
    composed(page)
    SERVER[0].kill()
    page.evaluate("() => dispatchEvent(new Event('offline-studio'))")
    time.sleep(0.5)


def counting(page: Page) -> None:
    choose(page, "begin", "play")
    page.click("#record")
    until(page, "document.getElementById('count').textContent === '3'")


STATES: list[tuple[Callable[[Page], None], str, str, dict[str, int]]] = [
    (empty, "en", "light", WIDE),
    (composing, "en", "light", WIDE),
    (piece, "es", "dark", WIDE),
    (loop, "en", "light", WIDE),
    (falling, "en", "dark", WIDE),
    (editing, "es", "light", WIDE),
    (downloads, "en", "light", WIDE),
    (takes, "en", "light", WIDE),
    (themes, "es", "light", WIDE),
    (counting, "en", "light", WIDE),
    (duet, "en", "dark", WIDE),
    (pieces, "en", "light", WIDE),
    (queued, "en", "light", WIDE),
    (failed, "es", "light", WIDE),
    (piece, "en", "light", PHONE),
    (loop, "es", "dark", PHONE),
    (offline, "en", "light", WIDE),  # the last: it has no server afterwards
]


def main(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    chromium = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    arguments = ["--autoplay-policy=no-user-gesture-required", "--mute-audio", "--no-sandbox"]
    with tempfile.TemporaryDirectory() as data, Server(Path(data), "small", "auto") as server, sync_playwright() as driver:
        SERVER.append(server)
        browser = driver.chromium.launch(executable_path=chromium, args=arguments)
        for state, language, colours, size in STATES:
            name = f"{state.__name__}{'-phone' if size == PHONE else ''}"
            if names and name not in names:
                continue
            how: Any = {"locale": language, "color_scheme": colours, "viewport": size, "device_scale_factor": 1}
            context = browser.new_context(**how)
            context.add_init_script(FAKE_MIDI)
            page = context.new_page()
            page.goto(server.address)
            page.wait_for_selector("html[data-ready]")
            time.sleep(0.5)
            state(page)
            if state is not themes:
                page.evaluate("() => scrollTo(0, 0)")
                time.sleep(0.1)
            page.screenshot(path=folder / f"{name}.png", timeout=120_000)
            print(name, flush=True)
            context.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
