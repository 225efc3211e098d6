"""The page's keys: Space plays and pauses wherever the focus is, each key does one thing, and all are listed."""

from __future__ import annotations

import pytest
from studio_browser import Open, Page, choose, composed, dropped, paused, set_length, until

import preludio
from preludio.performance import Performance

FOCUSABLE = (
    "a[href], button:not(:disabled), summary, select, [tabindex='0'], input:is([type=range], [type=radio], [type=checkbox]):not(:disabled)"
)
# What a press of Space changes of the page besides playing.
STATE = """() => JSON.stringify({
  path: location.pathname,
  forms: [...document.querySelectorAll("input, select")].filter((e) => e.id !== "seek").map((e) => e.value + e.checked),
  open: [...document.querySelectorAll("details, dialog")].map((e) => e.open),
  pressed: [...document.querySelectorAll("[aria-pressed]")].map((e) => e.ariaPressed),
  busy: preludio.busy, held: preludio.hands.held.size, notes: preludio.player.notes.length, theme: document.documentElement.dataset.theme,
})"""


def with_a_tune(visit: Open, n: int = 200) -> Page:
    page = visit()
    dropped(page, preludio.write_midi(Performance([(i * 250, i * 250 + 200, 48 + i % 24, 70) for i in range(n)])))
    until(page, "preludio.piece?.kind === 'midi'")
    return page


def test_space_plays_and_pauses_on_every_control_and_does_nothing_else(visit: Open) -> None:
    """A button that had the focus was pressed too: after a click on Compose, Space composed anew."""
    page = with_a_tune(visit)
    choose(page, "begin", "play")
    page.evaluate("() => { for (const fold of document.querySelectorAll('details')) fold.open = true; }")
    page.click("#loop")
    controls = page.locator(FOCUSABLE)
    tried = 0
    for place in range(controls.count()):
        control = controls.nth(place)
        if not control.is_visible():
            continue
        control.focus()
        before = page.evaluate(STATE)
        playing = page.evaluate("() => preludio.player.playing")
        page.keyboard.press(" ")
        until(page, f"preludio.player.playing !== {str(playing).lower()}")
        name = control.evaluate("(element) => element.outerHTML.slice(0, 100)")
        after = page.evaluate(STATE)
        assert after == before, name
        tried += 1
    assert tried > 40


def test_in_a_text_field_space_is_a_space(visit: Open) -> None:
    page = with_a_tune(visit)
    page.fill("#title", "My")
    page.keyboard.press(" ")
    page.keyboard.type("tune? -+")
    assert page.input_value("#title") == "My tune? -+"
    assert not page.evaluate("() => preludio.player.playing || document.getElementById('shortcuts').open")


def test_after_composing_by_a_click_space_pauses(visit: Open) -> None:
    page = visit()
    set_length(page, 0)
    composed(page)
    until(page, "preludio.player.playing")
    page.keyboard.press(" ")
    assert not page.evaluate("() => preludio.player.playing || preludio.composing.on")


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_question_mark_lists_the_keys(visit: Open, language: str) -> None:
    page = visit(locale=language)
    page.keyboard.press("?")
    assert page.locator("#shortcuts").is_visible()
    assert page.locator("#shortcuts dt").count() == page.locator("#shortcuts dd").count() >= 9
    page.keyboard.press("Escape")
    assert page.locator("#shortcuts").is_hidden()
    page.click("#shortcuts-open")
    assert page.locator("#shortcuts").is_visible()


def test_a_box_is_ticked_by_enter_for_space_is_taken(visit: Open) -> None:
    page = visit()
    choose(page, "begin", "play")
    page.focus("#count-in")
    page.keyboard.press("Enter")
    assert not page.is_checked("#count-in")


def test_no_shortcut_is_also_a_key_of_the_piano(visit: Open) -> None:
    """While the computer's keys are a piano."""
    page = with_a_tune(visit)
    choose(page, "begin", "play")
    page.evaluate("() => document.activeElement.blur()")
    zoom = page.evaluate("() => preludio.roll.zoom")
    page.keyboard.press("Control+z")
    page.keyboard.press("+")
    page.keyboard.press("Shift+?")
    page.keyboard.press("Shift+?")
    assert page.evaluate("() => [preludio.hands.octave, preludio.hands.held.size]") == [4, 0]
    assert page.evaluate("() => preludio.roll.zoom") > zoom
    page.keyboard.press("CapsLock")
    page.keyboard.press("Z")  # as z
    assert page.evaluate("() => preludio.hands.octave") == 3
    paused(page)
