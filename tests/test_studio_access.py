"""The studio for everyone: axe's rules of WCAG 2.1 AA and its best practices, in each state that the page can be in.

On a phone's width nothing is wider than the window, and what is fixed below covers nothing that has the focus.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from studio_browser import FAKE_MIDI, Open, Page, choose, until
from studio_server import Server

import preludio
from preludio.performance import Performance

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], "resultTypes": ["violations"]}
LOOKS = [("en", "light", 1000), ("es", "dark", 1000), ("es", "light", 375), ("en", "dark", 375)]


class Pieces(NamedTuple):
    """Paths of their links."""

    tune: str
    takes: str


@pytest.fixture(scope="module")
def pieces(server: Server) -> Pieces:
    """A tune, and a piece of whose takes one is to be chosen."""
    notes = [(beat * 300, beat * 300 + 250, 60 + 2 * (beat % 6), 40 + beat) for beat in range(60)]
    tune = posted(server, "/api/pieces/midi?name=tune.mid", preludio.write_midi(Performance(notes)), "audio/midi")
    takes = json.dumps({"seconds": 3, "takes": 3}).encode()
    started = next(line for line in posted(server, "/api/compose", takes, "application/json") if line.startswith(b'data: {"piece"'))
    return Pieces(f"/p/{json.loads(b''.join(tune))['id']}", f"/p/{json.loads(started[6:])['piece']['id']}")


def posted(server: Server, path: str, data: bytes, kind: str) -> list[bytes]:
    with urllib.request.urlopen(urllib.request.Request(server.address + path, data, {"content-type": kind}), timeout=60) as answer:
        return list(answer)


def ready(page: Page) -> None:
    """A piece, its menu and its numbers."""
    page.evaluate("() => { document.getElementById('download').open = true; document.querySelector('.more').open = true; }")


def a_loop(page: Page) -> None:
    page.evaluate("() => { document.getElementById('download').open = false; document.querySelector('.more').open = false; }")
    page.evaluate("() => { preludio.player.setLoop(true); preludio.player.setRegion({ from: 2000, to: 5000 }); }")
    until(page, "!document.getElementById('loop-all').hidden")


def a_loop_of_all(page: Page) -> None:
    page.locator("#loop-all").press("Enter")


def editing(page: Page) -> None:
    """With falling notes, and the menu of the piece."""
    page.locator("#edit").press("Enter")
    page.locator("#falling-on").press("Enter")
    page.evaluate("() => { preludio.editing.chosen = preludio.player.notes[3]; document.getElementById('piece-menu').open = true; }")
    until(page, "preludio.editing.on && preludio.falling.on")


def shortcuts(page: Page) -> None:
    page.evaluate("() => { document.getElementById('piece-menu').open = false; document.getElementById('shortcuts').showModal(); }")


def from_a_file(page: Page) -> None:
    page.evaluate("() => { document.getElementById('shortcuts').close(); preludio.editing.turn(false); }")
    choose(page, "begin", "file")


def from_a_theme(page: Page) -> None:
    choose(page, "begin", "theme")


def counting_in(page: Page) -> None:
    choose(page, "begin", "play")
    page.fill("#tempo", "60")
    page.locator("#record").press("Enter")
    until(page, "!document.getElementById('count').hidden")


def nothing_played(page: Page) -> None:
    page.locator("#record").press("Enter")
    until(page, "!preludio.recorder.on && document.querySelector('.notice')")


def duet(page: Page) -> None:
    page.locator("#duet").press("Enter")
    until(page, "preludio.duet.on && fakeInput.onmidimessage")
    page.evaluate("() => pressed(0x90, 60, 80)")


def offline(page: Page) -> None:
    page.evaluate("() => { pressed(0x80, 60, 0); document.getElementById('duet').click(); }")
    until(page, "!preludio.duet.on && preludio.piece?.kind === 'duet' && !preludio.duet.outbox.waiting")
    page.evaluate("() => { preludio.lost = -1; document.getElementById('banner').hidden = false; }")
    page.evaluate("async () => (await import('/static/js/notices.js')).banner('offline')")


def my_pieces(page: Page) -> None:
    page.evaluate("async () => { preludio.lost = null; (await import('/static/js/notices.js')).banner(null); }")
    page.click("#library-open")
    until(page, "document.querySelectorAll('#pieces li').length > 1")


def none_found(page: Page) -> None:
    page.fill("#search", "no such piece")
    until(page, "!document.getElementById('no-pieces').hidden")


STATES: list[Callable[[Page], None]] = [
    ready, a_loop, a_loop_of_all, editing, shortcuts, from_a_file, from_a_theme, counting_in, nothing_played, duet, offline, my_pieces,
    none_found,
]  # fmt: skip


def states(page: Page, pieces: Pieces) -> Iterator[str]:
    """Goes from state to state."""
    yield "empty"
    page.goto(page.url.rstrip("/") + pieces.tune)
    page.wait_for_selector("html[data-ready]")
    for state in STATES:
        state(page)
        yield state.__name__
    page.goto(page.url.split("/p/")[0] + pieces.takes)
    page.wait_for_selector("html[data-ready]")
    until(page, "preludio.takes.open && preludio.takes.list[2].notes.length")
    yield "takes"


@pytest.mark.parametrize(("language", "theme", "width"), LOOKS)
def test_accessible_by_the_rules_of_wcag(visit: Open, pieces: Pieces, language: str, theme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python").Axe()
    page = visit(script=FAKE_MIDI, locale=language, color_scheme=theme, bypass_csp=True)  # axe itself is put in by a script
    page.set_viewport_size({"width": width, "height": 800})
    faults: list[Any] = []
    for state in states(page, pieces):
        found = axe.run(page, options=RULES).response["violations"]
        faults += [(state, rule["id"], node["html"][:120], node["any"][:1]) for rule in found for node in rule["nodes"][:3]]
        if not page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"):
            faults.append((state, "wider than the window"))
    assert faults == []


def test_on_a_phone_the_bar_below_hides_nothing_that_has_the_focus(visit: Open, pieces: Pieces) -> None:
    page = visit(pieces.tune)
    page.set_viewport_size({"width": 375, "height": 700})
    hidden = """() => {
      const [focus, bar] = [document.activeElement.getBoundingClientRect(), document.querySelector('.act').getBoundingClientRect()];
      const within = document.activeElement === document.body || document.activeElement.closest('.act') !== null;
      return within || focus.bottom <= bar.top + 1 ? null : document.activeElement.outerHTML.slice(0, 80);
    }"""
    reached = []
    for _ in range(45):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("() => document.activeElement.id"))
        assert page.evaluate(hidden) is None, reached
    assert {"compose", "again", "surprise", "length", "duet"} <= set(reached)
