"""The studio in Chromium, for the tests that meet it as a person does."""

from __future__ import annotations

import base64
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from studio_server import Server, restless_model

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
ARGUMENTS = ["--autoplay-policy=no-user-gesture-required", "--mute-audio"] + (
    ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
)
PATIENCE_SECONDS = 120  # only a machine that is busy with much else needs so long

Page = Any
Open = Callable[..., Page]

# A MIDI keyboard that the test plays, unplugs and plugs in again.
FAKE_MIDI = """
globalThis.fakeInput = { name: "Test piano", state: "connected", onmidimessage: null };
globalThis.fakeAccess = { inputs: new Map([["1", fakeInput]]), onstatechange: null };
globalThis.pressed = (...data) => fakeInput.onmidimessage({ data: Uint8Array.from(data), timeStamp: performance.now() });
globalThis.turn = (state, change) => { fakeInput.state = state; change(); fakeAccess.onstatechange?.({ port: fakeInput }); };
globalThis.unplug = () => turn("disconnected", () => fakeAccess.inputs.delete("1"));
globalThis.plug = () => turn("connected", () => fakeAccess.inputs.set("1", fakeInput));
navigator.requestMIDIAccess = async () => fakeAccess;
"""
# Four keys, one after another, on the MIDI keyboard of FAKE_MIDI.
PHRASE = """async () => {
  for (const pitch of [60, 64, 67, 72]) {
    pressed(0x90, pitch, 80);
    await new Promise((done) => setTimeout(done, 60));
    pressed(0x80, pitch, 0);
  }
}"""


def slow_model(folders: pytest.TempPathFactory) -> Path:
    """Slow enough to be met at work, however slow the browser is: ten minutes of music take it a quarter of one."""
    return restless_model(folders.mktemp("model"), "base")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    model = slow_model(tmp_path_factory)
    with Server(tmp_path_factory.mktemp("data"), model) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, server: Server) -> Iterator[Open]:
    """Opens the studio in a browser of its own; whatever the page complains of in its console is a fault."""
    contexts, faults = [], []

    def opened(path: str = "/", *, script: str = "", locale: str = "en-GB", expect_faults: bool = False, **options: Any) -> Page:
        options = {"viewport": {"width": 1000, "height": 800}, "service_workers": "block"} | options
        context = browser.new_context(locale=locale, reduced_motion="reduce", **options)
        context.set_default_timeout(1000 * PATIENCE_SECONDS)
        contexts.append(context)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        if not expect_faults:
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("response", lambda answer: faults.append(refused(answer)) if answer.status >= 400 else None)
            page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.goto(server.address + path)
        page.wait_for_selector("html[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults, faults


def refused(answer: Any) -> str:
    """What was asked for, so that a fault that is seen once in ten runs can be understood."""
    return f"{answer.status} {answer.request.method} {answer.url} {answer.request.post_data}"


def until(page: Page, condition: str) -> None:
    """Waits for it by asking: the page's policy forbids the polling that playwright would inject."""
    start = time.monotonic()
    while not page.evaluate(f"async () => Boolean({condition})"):
        assert time.monotonic() - start < PATIENCE_SECONDS, f"not within {PATIENCE_SECONDS} s: {condition}"
        time.sleep(0.05)


def shown(page: Page) -> list[list[int]]:
    notes: list[list[int]] = page.evaluate("() => preludio.player.notes")
    return notes


def stored(server: Server, page: Page) -> list[list[int]]:
    piece = page.evaluate("() => preludio.piece.id")
    notes: list[list[int]] = server.get(f"/api/pieces/{piece}")["version"]["notes"]
    return notes


def set_length(page: Page, place: int) -> None:
    """By the slider's place: 0 is 15 seconds, 8 ten minutes."""
    page.evaluate(f"() => {{ const s = document.getElementById('length'); s.value = {place}; s.dispatchEvent(new Event('input')); }}")


def choose(page: Page, name: str, value: str) -> None:
    """Not by the mouse: on a phone the round Compose button may lie over it until one scrolls."""
    page.locator(f'input[name="{name}"][value="{value}"]').evaluate("(radio) => radio.click()")


def composed(page: Page, button: str = "#compose") -> None:
    """Presses a button that composes, and waits until all is there."""
    head = page.evaluate("() => preludio.piece?.head ?? 0")
    page.click(button)
    there = "preludio.piece?.version?.finished && preludio.piece.version.id === preludio.piece.head"
    until(page, f"!preludio.composing.on && preludio.piece?.head !== {head} && {there}")


def paused(page: Page) -> None:
    """Where it plays, and where it has only been asked to: a slow machine takes its time to open the sound."""
    page.evaluate("async () => { await preludio.sampler.wake(); preludio.player.pause(); }")


def going_round(page: Page) -> None:
    """Plays from the beginning, and so on for ever: no machine is too slow to meet it playing."""
    page.evaluate("async () => { preludio.player.setLoop(true); await preludio.player.play(0); }")


def duet_ended(page: Page) -> None:
    page.click("#duet")
    until(page, "!preludio.duet.on && preludio.piece?.kind === 'duet' && !preludio.duet.outbox.waiting")


def recording_ended(page: Page) -> None:
    """It has arrived, and the page has opened it as a piece to go on from."""
    page.click("#record")
    kept(page)


def kept(page: Page) -> None:
    until(page, "!preludio.recorder.on && !preludio.recorder.outbox.waiting && !document.getElementById('use-row').hidden")


# The loudest sample that goes to the loudspeaker, for half a second.
LISTEN = """async () => {
  const { context, output } = preludio.sampler;
  const ear = new AnalyserNode(context, { fftSize: 2048 });
  output.connect(ear);
  const samples = new Float32Array(ear.fftSize);
  let loudest = 0;
  const end = performance.now() + 500;
  while (performance.now() < end) {
    ear.getFloatTimeDomainData(samples);
    loudest = Math.max(loudest, ...samples.map(Math.abs));
    await new Promise((done) => setTimeout(done, 20));
  }
  output.disconnect(ear);
  return loudest;
}"""


def loudness(page: Page) -> float:
    loudest: float = page.evaluate(LISTEN)
    return loudest


def heard(page: Page) -> bool:
    """Sound comes out: soft notes and rests may come first."""
    return any(loudness(page) > 0.005 for _ in range(20))


def silent(page: Page) -> bool:
    """Soon: what is hushed dies away by the audio clock, which is late where the machine is."""
    return any(loudness(page) < 0.001 for _ in range(20))


def dropped(page: Page, data: bytes, name: str = "My tune.mid", zeros: int = 0) -> None:
    """A file, with so many zeros after its bytes, on the page."""
    page.evaluate(
        """([text, name, zeros]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), new Uint8Array(zeros)], name));
          const how = { dataTransfer: transfer, bubbles: true, cancelable: true };
          for (const kind of ["dragenter", "drop"]) document.body.dispatchEvent(new DragEvent(kind, how));
        }""",
        [base64.b64encode(data).decode(), name, zeros],
    )


def server_pieces(page: Page) -> list[Any]:
    pieces: list[Any] = page.evaluate("async () => (await fetch('/api/pieces')).json()")
    return pieces
