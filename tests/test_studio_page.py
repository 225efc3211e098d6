"""The studio in a real browser: what a person does, and what they see and hear of it."""

from __future__ import annotations

import time

import pytest
from studio_browser import (
    FAKE_MIDI,
    PATIENCE_SECONDS,
    PHRASE,
    Open,
    choose,
    composed,
    dropped,
    duet_ended,
    going_round,
    heard,
    loudness,
    paused,
    recording_ended,
    server_pieces,
    set_length,
    shown,
    silent,
    stored,
    until,
)
from studio_server import Server

import preludio
from preludio.performance import Performance


def test_one_click_composes_and_it_sounds_while_it_is_composed(visit: Open, server: Server) -> None:
    page = visit()
    assert page.locator("#empty").is_visible()
    assert loudness(page) == 0
    set_length(page, 8)
    page.click("#compose")
    until(page, "preludio.player.playing && preludio.player.positionMs > 300")
    assert page.evaluate("() => preludio.composing.on")
    assert heard(page)
    until(page, "document.querySelectorAll('.key.lit').length")
    assert page.locator("#empty").is_hidden()
    assert "/p/" in page.url
    page.click("#compose")  # now Stop
    until(page, "!preludio.composing.on && preludio.piece.version")
    assert {tuple(note) for note in shown(page)} <= {tuple(note) for note in stored(server, page)}
    until(page, "document.getElementById('status').textContent.includes('Stopped at')")
    going_round(page)
    page.click("#play")  # now Pause
    assert not page.evaluate("() => preludio.player.playing")
    assert silent(page)


def test_the_transport_seeks_loops_and_changes_speed(visit: Open) -> None:
    page = visit()
    set_length(page, 0)
    composed(page)
    end_ms = page.evaluate("() => preludio.player.endMs")
    paused(page)
    box = page.locator("#canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 40)
    assert abs(page.evaluate("() => preludio.player.positionMs") - 1.02 * end_ms / 2) < 100
    page.click("#loop")
    page.select_option("#speed", "2")
    page.focus("#seek")
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    page.click("#play")
    until(page, f"preludio.player.positionMs > 200 && preludio.player.positionMs < {end_ms} / 2")  # round again
    begin = page.evaluate("() => [preludio.player.positionMs, preludio.player.seconds]")
    time.sleep(0.5)
    end = page.evaluate("() => [preludio.player.positionMs, preludio.player.seconds]")
    assert (end[0] - begin[0]) / (end[1] - begin[1]) == pytest.approx(2000, rel=0.02)  # of the audio clock


def melody() -> Performance:
    """With a pedal, so that notes sound on past their keys."""
    return Performance([(beat * 400, beat * 400 + 200, 60 + 2 * beat, 70) for beat in range(10)], [(100, 900)])


def test_a_dropped_file_goes_on_from_where_one_chooses(visit: Open, server: Server) -> None:
    page = visit()
    dropped(page, preludio.write_midi(melody()))
    until(page, "preludio.piece?.kind === 'midi'")
    assert page.input_value("#title") == "My tune"
    notes = shown(page)
    assert len(notes) == 10
    assert notes[0][4] == 900  # the pedal holds it
    page.evaluate("() => { const use = document.getElementById('use'); use.value = 2000; use.dispatchEvent(new Event('input')); }")
    assert "0:02" in page.inner_text("#use-out")
    set_length(page, 0)
    composed(page)
    after = shown(page)
    assert [note[:4] for note in after if note[5] == 0] == [note[:4] for note in notes if note[0] < 2000]
    assert len([note for note in after if note[5] == 1]) > 5
    assert sorted(after) == sorted(stored(server, page))
    page.click("#undo")
    until(page, "preludio.player.notes.length === 10")
    assert shown(page) == notes


def broken_file() -> bytes:
    """One track more said than there is, two notes that never end, three strokes of a drum."""
    track = bytes.fromhex(
        "00 90 3C 50  83 60 80 3C 00"  # one sound note
        "00 90 40 50  00 90 43 50"  # no end
        "00 99 24 50  10 99 26 50  10 99 24 50"  # channel 10
        "83 60 FF 2F 00"
    )
    return bytes.fromhex("4D54 6864 0000 0006 0001 0002 01E0") + b"MTrk" + len(track).to_bytes(4) + track


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "en",
            "Read, with a little mending: a wrong label in the file was set right, 3 drum strokes were left out, and 2 notes without an "
            "end were given one.",
        ),
        (
            "es",
            "Leído, con algún arreglo: se corrigió una etiqueta equivocada del archivo, se dejaron fuera 3 golpes de batería y a 2 notas "
            "sin final se les puso uno.",
        ),
    ],
)
def test_what_was_mended_in_a_file_is_told_kindly(visit: Open, language: str, said: str) -> None:
    page = visit(locale=language)
    dropped(page, broken_file())
    until(page, "preludio.piece?.kind === 'midi' && document.querySelector('.notice')")
    assert page.inner_text("#notices") == said
    assert [note[2] for note in shown(page)] == [60, 64, 67]
    page.evaluate("() => document.getElementById('notices').replaceChildren()")
    dropped(page, preludio.write_midi(melody()))  # a sound file: nothing to say
    until(page, "preludio.player.notes.length === 10")
    assert page.inner_text("#notices") == ""


def test_a_theme_sounds_and_goes_on(visit: Open) -> None:
    page = visit()
    choose(page, "begin", "theme")
    page.get_by_label("Erik Satie").check(force=True)
    until(page, "preludio.player.playing && preludio.player.notes.length > 30")
    before = len(server_pieces(page))
    assert page.input_value("#title") == "Erik Satie: Gymnopédie No. 1"
    set_length(page, 0)
    composed(page)
    assert len(server_pieces(page)) == before + 1  # looking at a theme keeps nothing
    assert page.evaluate("() => preludio.player.notes.some((note) => note[5] === 1)")


def test_a_double_click_composes_one_piece(visit: Open) -> None:
    """The second click came while the first was still making a piece of the theme, and made another."""
    page = visit()
    before = len(server_pieces(page))
    choose(page, "begin", "theme")
    page.get_by_label("Erik Satie").check(force=True)
    until(page, "preludio.player.notes.length > 30")
    set_length(page, 0)
    page.evaluate("() => { const button = document.getElementById('compose'); button.click(); button.click(); }")
    until(page, "preludio.piece?.history?.length === 2 && preludio.piece.version?.finished && !preludio.composing.on")
    assert len(server_pieces(page)) == before + 1


def test_three_takes_are_heard_in_turn_and_one_is_kept(visit: Open, server: Server) -> None:
    page = visit()
    choose(page, "begin", "theme")
    page.get_by_label("Scott Joplin").check(force=True)
    until(page, "preludio.player.notes.length > 30")
    set_length(page, 0)
    choose(page, "takes", "3")
    page.click("#compose")
    until(page, "preludio.takes.open && !preludio.composing.on")
    lengths = page.evaluate("() => preludio.takes.list.map((take) => take.notes.length)")
    assert len(lengths) == 3
    page.get_by_role("button", name="Play take 3").click()
    until(page, "preludio.takes.heard === 2 && preludio.player.playing")
    assert len(shown(page)) == lengths[2]
    page.reload()  # the choice is still there
    page.wait_for_selector("html[data-ready]")
    until(page, "preludio.takes.open && preludio.takes.list[2].notes.length")
    assert page.evaluate("() => preludio.takes.list.map((take) => take.notes.length)") == lengths
    page.get_by_role("button", name="Keep this one").nth(1).click()
    until(page, "!preludio.takes.open")
    assert len(shown(page)) == lengths[1]
    page.keyboard.press("Control+z")
    until(page, "!preludio.player.notes.some((note) => note[5] === 1)")
    page.keyboard.press("Control+Shift+z")
    until(page, f"preludio.player.notes.length === {lengths[1]}")
    assert sorted(shown(page)) == sorted(stored(server, page))


def test_from_here_on_again_and_the_old_ending_is_one_undo_away(visit: Open) -> None:
    page = visit()
    set_length(page, 0)
    composed(page)
    before = shown(page)
    paused(page)
    page.evaluate("() => preludio.player.seek(6000)")
    assert "0:06" in page.inner_text("#again")
    composed(page, "#again")
    after = shown(page)
    assert [note[:1] + note[2:4] for note in after if note[0] < 5500] == [note[:1] + note[2:4] for note in before if note[0] < 5500]
    assert [note for note in after if note[0] > 7000] != [note for note in before if note[0] > 7000]
    page.click("#undo")
    until(page, f"preludio.player.notes.length === {len(before)}")
    assert shown(page) == before
    page.click("#redo")
    until(page, f"preludio.player.notes.length === {len(after)}")
    assert sorted(shown(page)) == sorted(after)


def test_a_killed_server_loses_no_note_that_was_shown(visit: Open, server: Server) -> None:
    page = visit(expect_faults=True)
    set_length(page, 8)
    page.click("#compose")
    until(page, "preludio.player.notes.length > 30")
    server.kill()
    until(page, "!document.getElementById('banner').hidden")
    assert "does not answer" in page.inner_text("#banner")
    seen = shown(page)
    server.start()
    until(page, "document.getElementById('banner').hidden && preludio.piece.version")
    assert {tuple(note) for note in seen} <= {tuple(note) for note in stored(server, page)}
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert {tuple(note) for note in seen} <= {tuple(note) for note in shown(page)}
    assert page.evaluate("() => preludio.player.frontierMs === Infinity || preludio.player.frontierMs === null")


def test_closing_the_page_stops_the_work(visit: Open, server: Server) -> None:
    page = visit()
    set_length(page, 8)
    page.click("#compose")
    until(page, "preludio.player.notes.length > 10")
    assert server.get("/api/state")["running"] == 1
    page.close()
    start = time.monotonic()
    while server.get("/api/state")["running"]:
        assert time.monotonic() - start < PATIENCE_SECONDS
        time.sleep(0.02)


def test_the_language_is_the_browsers_until_one_switches(visit: Open) -> None:
    page = visit(locale="es-MX")
    assert page.inner_text("#compose") == "Componer"
    assert page.get_attribute("html", "lang") == "es"
    wordless = "[...document.querySelectorAll('[data-t]')].filter((e) => e.dataset.t && e.textContent === e.dataset.t).length"
    assert page.evaluate(f"() => {wordless}") == 0
    page.select_option("#language", "en")
    until(page, "document.documentElement.lang === 'en'")
    assert page.inner_text("#compose") == "Compose"
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.inner_text("#compose") == "Compose"


def test_a_duet_answers_and_is_silent_when_one_plays_again(visit: Open, server: Server) -> None:
    page = visit(script=FAKE_MIDI)
    page.click("#duet")
    until(page, "preludio.duet.on && fakeInput.onmidimessage")
    page.evaluate(PHRASE)
    until(page, "preludio.duet.state === 'answering' && preludio.player.notes.some((note) => note[5] === 1)")
    assert "I am answering" in page.inner_text("#duet-state")
    assert heard(page)
    page.evaluate("() => pressed(0x90, 48, 90)")
    assert page.evaluate("() => preludio.duet.state") == "listening"
    assert page.evaluate("() => preludio.duet.answer") is None
    page.evaluate("() => pressed(0x80, 48, 0)")
    until(page, "preludio.duet.latencies.length >= 2")
    duet_ended(page)
    notes = stored(server, page)
    assert [note[2] for note in notes if note[5] == 0] == [60, 64, 67, 72, 48]
    assert any(note[5] == 1 for note in notes)


def test_what_is_played_is_recorded_pedal_and_all_and_goes_on(visit: Open, server: Server) -> None:
    page = visit(script=FAKE_MIDI)
    choose(page, "begin", "play")
    until(page, "document.getElementById('midi-state').textContent.includes('Test piano')")
    page.evaluate("() => { document.getElementById('count-in').checked = false; }")
    page.click("#record")
    until(page, "preludio.recorder.on")
    page.evaluate("() => { pressed(0xb0, 64, 127); pressed(0x90, 60, 80); pressed(0x80, 60, 0); }")
    time.sleep(0.3)
    page.evaluate("() => pressed(0xb0, 64, 0)")
    page.keyboard.press("a", delay=60)  # C4 on the computer's keys
    page.evaluate("() => document.activeElement.blur()")
    page.locator('.key[data-pitch="64"]').click()
    recording_ended(page)
    notes = stored(server, page)
    assert sorted(note[2] for note in notes) == [60, 60, 64]
    assert notes[0][0] == 0
    assert notes[0][1] >= 290  # the pedal
    set_length(page, 0)
    composed(page)
    assert sum(note[5] == 1 for note in shown(page)) > 5


def test_counting_in_is_seen_and_nothing_played_keeps_nothing(visit: Open) -> None:
    page = visit()
    before = len(server_pieces(page))
    choose(page, "begin", "play")
    page.fill("#tempo", "60")  # four seconds
    page.click("#record")
    until(page, "!document.getElementById('count').hidden")
    page.click("#record")
    until(page, "!preludio.recorder.on && document.getElementById('notices').textContent.includes('nothing was kept')")
    assert len(server_pieces(page)) == before


def test_pieces_are_found_starred_renamed_deleted_and_brought_back(visit: Open) -> None:
    page = visit()
    dropped(page, preludio.write_midi(melody()))
    until(page, "preludio.player.notes.length === 10")
    page.fill("#title", "Lluvia de otoño")
    page.press("#title", "Enter")
    page.click("#star")
    until(page, "preludio.piece.starred && preludio.piece.title.startsWith('Lluvia')")
    page.click("#library-open")
    page.fill("#search", "otono")  # without the tilde
    until(page, "document.querySelectorAll('#pieces li').length === 1")
    page.check("#only-starred")
    until(page, "document.querySelectorAll('#pieces li').length === 1")
    page.get_by_role("button", name="Delete this piece: Lluvia de otoño").click()
    until(page, "document.querySelectorAll('#pieces li').length === 0 && preludio.piece === null")
    page.click("#library-close")
    page.locator("#notices").get_by_text("Undo", exact=True).click()
    until(page, "preludio.piece?.title === 'Lluvia de otoño'")
    with page.expect_download() as downloading:
        page.click("#download summary")
        page.click("[data-format=mid]")
    assert downloading.value.suggested_filename == "Lluvia de otoño.mid"
    assert len(preludio.read_midi(downloading.value.path())) == len(shown(page))


def test_everything_can_be_done_by_the_keyboard(visit: Open) -> None:
    page = visit()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the first stop skips to Compose
    set_length(page, 0)
    page.keyboard.press("Enter")
    until(page, "!preludio.composing.on && preludio.piece?.version")
    going_round(page)
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press(" ")
    assert not page.evaluate("() => preludio.player.playing")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.activeElement.id || document.activeElement.name || document.activeElement.className"))
    wanted = {
        "library-open",
        "language",
        "theme",
        "title",
        "star",
        "seek",
        "play",
        "loop",
        "speed",
        "volume",
        "again",
        "compose",
        "begin",
        "surprise",
    }
    assert wanted | {"length", "takes", "duet"} <= reached
    page.locator('.key[data-pitch="60"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.down("Enter")
    assert page.evaluate("() => [...preludio.keyInput.held.keys()]") == [61]
    page.keyboard.up("Enter")
    assert page.evaluate("() => preludio.keyInput.resting")
