"""A second window looks on while the first composes."""

from __future__ import annotations

from studio_browser import Open, choose, paused, set_length, shown, stored, until
from studio_server import Server
from test_studio_tabs import both, second_of


def test_a_second_window_shows_what_is_composed_as_it_comes(visit: Open, server: Server) -> None:
    first = visit()
    set_length(first, 8)
    first.click("#compose")
    until(first, "preludio.player.notes.length > 10")
    second = second_of(first)
    until(second, "preludio.liveUpdates.on && preludio.player.notes.length > 10")
    before = len(shown(second))
    until(second, "document.getElementById('status').textContent.includes('another window')")
    assert second.is_disabled("#again")
    until(second, f"preludio.player.notes.length > {before + 20}")
    second.click("#play")  # it can be heard there too, as far as it is composed
    until(second, "preludio.player.positionMs > 200")
    first.click("#compose")  # now Stop
    until(first, "!preludio.composing.on && preludio.piece.version")
    until(second, "!preludio.liveUpdates.on && preludio.player.frontierMs === Infinity")
    until(second, "document.getElementById('status').textContent.includes('Stopped at')")
    until(first, "!preludio.piece.composing && document.getElementById('status').textContent.includes('Stopped at')")
    assert sorted(shown(second)) == sorted(shown(first)) == sorted(stored(server, second))


def test_a_second_window_that_is_open_already_goes_along(visit: Open) -> None:
    first, second = both(visit)
    set_length(first, 0)
    choose(first, "takes", "3")
    first.click("#compose")
    until(second, "preludio.liveUpdates.on && preludio.takes.open")
    until(first, "!preludio.composing.on")
    until(second, "!preludio.liveUpdates.on && preludio.takes.list.every((take) => take.notes.length)")
    takes = "() => preludio.takes.list.map((take) => take.notes.map(String).sort())"
    assert second.evaluate(takes) == first.evaluate(takes)
    paused(first)  # who listens is not disturbed
    second.get_by_role("button", name="Keep this one").nth(1).click()  # kept there, and here
    until(second, "!preludio.takes.open")
    until(first, "!preludio.takes.open && preludio.player.notes.length")
    assert sorted(shown(first)) == sorted(shown(second))
    assert "changed in another window" in first.inner_text("#notices")
