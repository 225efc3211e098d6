"""Playing in the page: what is recorded is what was played, whatever becomes of the keyboard meanwhile."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from studio_browser import FAKE_MIDI, PHRASE, Open, Page, choose, duet_ended, recording_ended, stored, until
from studio_server import Server

SAME_PAGE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Events [milliseconds, status, key, value] on the MIDI keyboard, by their own time stamps; the notes that the page then has.
PLAY = """async (events) => {
  const { recorder } = preludio;
  preludio.player.set([]);
  await recorder.start({ bpm: 120, beatsInBar: 4, countIn: false, ticks: false });
  const start = performance.now() + 100;
  for (const [ms, ...data] of events) fakeInput.onmidimessage({ data: Uint8Array.from(data), timeStamp: start + ms });
  const notes = preludio.player.notes.map((note) => note.slice(0, 4));
  await recorder.stop();
  return notes;
}"""

Event = list[int]
KEYS = st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 2000), st.integers(48, 54), st.integers(1, 127)), min_size=1, max_size=12)
PEDALS = st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 2000)), max_size=3)


def struck(keys: list[tuple[int, int, int, int]], pedals: list[tuple[int, int]]) -> tuple[list[Event], list[Event]]:
    """The events of keys that go down and come up, and the notes that they are: each ends when its key is up and the pedal too, or when its
    key goes down again. The pedal is up between two of its times only if neither overlaps the other."""
    keys, pedals = sorted(keys), sorted(pedals)
    keys = [key for n, key in enumerate(keys) if not any(other[2] == key[2] and overlaps(other, key) for other in keys[:n])]
    down = [(pedal[0], sum(pedal)) for n, pedal in enumerate(pedals) if not any(overlaps(other, pedal) for other in pedals[:n])]
    events = [[at, 0x90, pitch, velocity] for at, _, pitch, velocity in keys] + [
        [at + lasts, 0x80, pitch, 0] for at, lasts, pitch, _ in keys
    ]
    events += [[at, 0xB0, 64, 127] for at, _ in down] + [[until, 0xB0, 64, 0] for _, until in down]
    origin = min(key[0] for key in keys)
    notes = []
    for at, lasts, pitch, velocity in keys:
        end = next((until for begin, until in down if begin < at + lasts < until), at + lasts)
        again = min((other[0] for other in keys if other[2] == pitch and other[0] > at), default=end)
        notes.append([at - origin, min(end, again) - origin, pitch, velocity])
    return sorted(events), sorted(notes)


def overlaps(one: Any, other: Any) -> bool:
    """Or touch: two events at one moment have no order."""
    return bool(one[0] <= other[0] + other[1] and other[0] <= one[0] + one[1])


def at_one_moment(keys: list[tuple[int, int, int, int]], pedals: list[tuple[int, int]]) -> bool:
    moments = [at for at, *_ in keys] + [at + lasts for at, lasts, *_ in keys]
    changes = [at for at, _ in pedals] + [at + lasts for at, lasts in pedals]
    return bool(set(moments) & set(changes))


@pytest.fixture
def played(visit: Open) -> Page:
    page = visit(script=FAKE_MIDI)
    choose(page, "begin", "play")
    until(page, "fakeInput.onmidimessage")
    return page


@SAME_PAGE
@given(keys=KEYS, pedals=PEDALS)
def test_what_is_kept_is_what_was_played(played: Page, keys: list[tuple[int, int, int, int]], pedals: list[tuple[int, int]]) -> None:
    """To the millisecond, from the first key that is pressed. Time 0 once was the first note that *ended*: a bass that was held under it
    began before the piece, and was moved and cut."""
    if at_one_moment(keys, pedals):
        return
    events, notes = struck(keys, pedals)
    assert sorted(played.evaluate(PLAY, events)) == notes


def test_a_held_bass_keeps_its_place(played: Page) -> None:
    """The story of it: a bass for two seconds, a melody over it that begins later and ends sooner."""
    events = [[0, 0x90, 36, 70], [500, 0x90, 60, 80], [700, 0x80, 60, 0], [2000, 0x80, 36, 0]]
    assert sorted(played.evaluate(PLAY, events)) == [[0, 2000, 36, 70], [500, 700, 60, 80]]


def start_recording(page: Page) -> None:
    page.evaluate("() => { document.getElementById('count-in').checked = false; }")
    page.click("#record")
    until(page, "preludio.recorder.on")


def test_a_keyboard_that_is_unplugged_lets_go_and_goes_on_when_it_is_back(played: Page, server: Server) -> None:
    """With a key and the pedal down. The note went on for ever, and the keyboard was dead until one reloaded the page."""
    page = played
    start_recording(page)
    page.evaluate("() => { pressed(0xb0, 64, 127); pressed(0x90, 60, 80); unplug(); }")
    assert page.evaluate("() => [preludio.hands.resting, preludio.hands.pedal]") == [True, False]
    until(page, "document.getElementById('notices').textContent.includes('Test piano was unplugged')")
    assert "No MIDI keyboard" in page.inner_text("#midi-state")
    page.evaluate("() => plug()")
    until(page, "document.getElementById('midi-state').textContent.includes('Test piano')")
    page.evaluate("() => { pressed(0x90, 62, 80); pressed(0x80, 62, 0); }")
    recording_ended(page)
    assert [note[2] for note in stored(server, page)] == [60, 62]


def test_a_duet_answers_a_keyboard_that_is_unplugged_in_a_phrase(visit: Open) -> None:
    page = visit(script=FAKE_MIDI)
    page.click("#duet")
    until(page, "preludio.duet.on && fakeInput.onmidimessage")
    page.evaluate("() => { pressed(0x90, 60, 80); pressed(0x80, 60, 0); pressed(0xb0, 64, 127); pressed(0x90, 64, 80); unplug(); }")
    until(page, "preludio.duet.state === 'answering'")
    page.evaluate("() => plug()")
    page.evaluate(PHRASE)
    until(page, "preludio.duet.said.filter((row) => row[4] === 0).length === 6")
    duet_ended(page)


def test_a_keyboard_that_arrives_later_is_met(visit: Open) -> None:
    page = visit(script=FAKE_MIDI + "fakeAccess.inputs.clear();")
    choose(page, "begin", "play")
    until(page, "fakeAccess.onstatechange && document.getElementById('midi-state').textContent.includes('No MIDI')")
    page.evaluate("() => { plug(); pressed(0x90, 60, 80); }")
    assert page.evaluate("() => [...preludio.hands.held.keys()]") == [60]
    assert "Test piano is connected" in page.inner_text("#notices")


def test_a_window_that_loses_the_focus_lets_go_of_the_computers_keys_and_not_of_a_midi_keyboard(played: Page) -> None:
    page = played
    page.keyboard.down("d")
    page.evaluate("() => { pressed(0x90, 48, 80); dispatchEvent(new Event('blur')); }")
    assert page.evaluate("() => [...preludio.hands.held.keys()]") == [48]
    page.keyboard.up("d")


@pytest.mark.parametrize("controller", [120, 123])
def test_a_keyboard_that_says_that_all_is_off_is_believed(played: Page, controller: int) -> None:
    played.evaluate("(controller) => { pressed(0xb0, 64, 127); pressed(0x90, 48, 80); pressed(0xb0, controller, 0); }", controller)
    assert played.evaluate("() => preludio.hands.resting")


# When each tick of the metronome sounds, in seconds of the audio clock, and whether it is strong.
TICKS = """
globalThis.ticks = [];
const { start } = OscillatorNode.prototype;
OscillatorNode.prototype.start = function (when) { ticks.push([when, this.frequency.value > 1000]); start.call(this, when); };
"""


def test_the_metronome_counts_in_and_goes_on_evenly(visit: Open) -> None:
    page = visit(script=FAKE_MIDI + TICKS)
    choose(page, "begin", "play")
    page.fill("#tempo", "200")
    page.select_option("#beats", "3")
    page.check("#metronome")
    page.click("#record")
    until(page, "ticks.length >= 9")
    page.click("#record")
    ticks = page.evaluate("() => ticks")
    assert [strong for _, strong in ticks[:9]] == 3 * [True, False, False]
    gaps = [(later[0] - sooner[0]) * 1000 for sooner, later in itertools.pairwise(ticks)]
    assert sum(gaps[:8]) / 8 == pytest.approx(300, abs=15)  # one by one, the page's clock and the audio's are read a few ms apart
    assert not page.evaluate("() => preludio.recorder.metronome.on")


def test_a_tempo_that_cannot_be_becomes_one_that_can(visit: Open) -> None:
    page = visit(script=FAKE_MIDI)
    choose(page, "begin", "play")
    page.fill("#tempo", "9000")
    page.click("#record")
    until(page, "preludio.recorder.on")
    assert page.input_value("#tempo") == "240"
    page.click("#record")
