"""The page's audio graph: what is struck, damped and lifted, when, and how it sounds beside the written sound."""

from __future__ import annotations

import base64
import bisect
import itertools
import time
from typing import Any, NamedTuple

import numpy as np
import pytest
from studio_browser import FAKE_MIDI, Open, Page, dropped, heard, paused, until

import preludio
from preludio.performance import Performance
from preludio.render import sound

NOISE_SECONDS = 0.5  # recordings of keys that come up are shorter, all others longer
STEP_MS = 40  # about how often the page looks ahead
LEAST_VELOCITY = 77  # recorded as it is: one source for each note, and it is there from the beginning

# Every recording that is started, and when it stops. `hurry` runs the player by a clock of its own, as fast as the machine can.
RECORD = """
globalThis.sources = [];
const { start, stop } = AudioBufferSourceNode.prototype;
let clock = null;
AudioBufferSourceNode.prototype.start = function (when = 0) {
  sources.push({ node: this, when, stops: Infinity, seconds: this.buffer.duration, rate: this.playbackRate.value });
  if (clock === null) start.call(this, when);
};
AudioBufferSourceNode.prototype.stop = function (when = 0) {
  const source = sources.find((each) => each.node === this);
  source.stops = Math.max(when, clock ?? 0);
  if (clock === null) stop.call(this, when);
};
globalThis.hurry = async (from, seconds) => {
  const { player, sampler } = preludio;
  const tick = player.worker.onmessage;
  player.worker.onmessage = null;
  Object.defineProperty(sampler.context, "currentTime", { get: () => clock, configurable: true });
  clock = 100;
  await player.play(from);
  let waiting = sources;
  for (let step = 0; clock < 100 + seconds; step += 1) {
    clock += (20 + (step * 37) % 40) / 1000; // now sooner, now later, as timers are
    tick();
    for (const source of sources.slice(-400)) {
      if (source.node.onended && clock > Math.min(source.stops, source.when + source.seconds)) {
        source.node.onended();
        source.node.onended = null;
      }
    }
  }
  return sources.map(({ when, stops, seconds, rate }) => [when, stops === Infinity ? null : stops, seconds, rate]);
};
"""


class Source(NamedTuple):
    """A recording that was started, in seconds of the audio clock."""

    when: float
    stops: float | None
    seconds: float
    rate: float

    @property
    def is_noise(self) -> bool:
        return self.seconds < NOISE_SECONDS


def hurried(page: Page, from_ms: float, seconds: float) -> list[Source]:
    return [Source(*values) for values in page.evaluate("([from, seconds]) => hurry(from, seconds)", [from_ms, seconds])]


def opened(visit: Open, performance: Performance, **options: Any) -> Page:
    """The studio with a piece, its recordings there."""
    page = visit(script=RECORD, **options)
    dropped(page, preludio.write_midi(performance))
    until(page, "preludio.piece?.kind === 'midi' && preludio.sampler.recordings.keysUp.size === 30")
    until(page, "!preludio.sampler.recordings.loading.size")
    return page


def even(n: int, every_ms: int = 250, velocity: int = LEAST_VELOCITY) -> Performance:
    """Quiet eighths, each let go before the next."""
    return Performance([(i * every_ms, i * every_ms + every_ms // 2, 48 + 3 * (i % 8), velocity) for i in range(n)])


def test_ten_minutes_without_drift(visit: Open) -> None:
    """Each of 2,600 notes of eleven minutes starts at its own time on the audio clock, the last as exactly as the first."""
    rng = np.random.default_rng(3)
    onset = np.cumsum(rng.integers(60, 440, 2600)).tolist()
    page = opened(visit, Performance([(at, at + 150, 48 + 3 * (i % 9), LEAST_VELOCITY) for i, at in enumerate(onset)]))
    assert onset[-1] > 10.5 * 60_000
    sources = [source for source in hurried(page, 0, onset[-1] / 1000 + 1) if not source.is_noise]
    assert len(sources) == 2600
    error_ms = np.array([1000 * source.when for source in sources]) - np.array(onset)
    assert np.abs(error_ms - error_ms[0]).max() < 1e-3
    assert abs(error_ms[-100:].mean() - error_ms[:100].mean()) < 1e-4


def test_a_key_is_heard_when_it_comes_up_and_not_when_the_pedal_does(visit: Open) -> None:
    page = opened(visit, Performance([(0, 300, 60, LEAST_VELOCITY), (500, 2000, 63, LEAST_VELOCITY)], [(100, 1500)]))
    sources = hurried(page, 0, 3)
    (first, second), noises = [s for s in sources if not s.is_noise], [s for s in sources if s.is_noise]
    assert [noise.when - first.when for noise in noises] == pytest.approx([0.3, 2.0])
    assert first.stops == pytest.approx(first.when + 1.5 + 7 * sound.damper_seconds(60))  # held by the pedal
    assert second.stops == pytest.approx(first.when + 2.0 + 7 * sound.damper_seconds(63))


def test_a_crowd_of_keys_that_come_up_is_bounded(visit: Open) -> None:
    chords = [(1000 * beat, 1000 * beat + 400, pitch, LEAST_VELOCITY) for beat in range(4) for pitch in range(30, 80)]
    noises = [source.when for source in hurried(opened(visit, Performance(chords)), 0, 5) if source.is_noise]
    assert 4 <= len(noises) <= 4 * 24
    assert all(bisect.bisect_right(noises, at + 0.01) - bisect.bisect_left(noises, at - 0.39) <= 24 for at in noises)


# One note as the page sounds it, with the noise of its key and without: the left ear's samples.
OFFLINE = """async () => {
  const { Sampler } = await import("/static/js/sampler.js");
  const rendered = async (lifts) => {
    const context = new OfflineAudioContext(2, 44100 * 2, 44100);
    const piano = new Sampler(context);
    await piano.prepare();
    const voice = piano.strike(60, 77, 0.25);
    piano.release(voice, 1.25);
    if (lifts) piano.lift(voice, 1.25);
    const bytes = new Uint8Array((await context.startRendering()).getChannelData(0).buffer);
    let text = "";
    for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    return btoa(text);
  };
  return [await rendered(true), await rendered(false)];
}"""


def test_it_sounds_as_the_written_sound_keys_and_all(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """One note in both: the same wave but for one gain, the same for string and key, and a limiter's few milliseconds of looking ahead."""
    page = visit()
    whole, string = (np.frombuffer(base64.b64decode(text), dtype="<f4").astype(float) for text in page.evaluate(OFFLINE))
    note = Performance([(250, 1250, 60, 77)])
    written = sound.synthesise(note)[:, 0].astype(float)
    monkeypatch.setattr(sound, "RELEASE_GAIN", 0)
    written_string = sound.synthesise(note)[:, 0].astype(float)
    free = slice(11_025, 55_000)  # until the damper falls
    lag = max(range(600), key=lambda shift: float(string[free.start + shift : free.stop + shift] @ written[free]))
    key = slice(55_125, 55_125 + 17_000)
    pairs = [(string[lag:][free], written[free]), ((whole - string)[lag:][key], (written - written_string)[key])]
    gains = [(ours @ theirs) / (theirs @ theirs) for ours, theirs in pairs]
    assert gains[1] == pytest.approx(gains[0], rel=0.02)
    for gain, (ours, theirs) in zip(gains, pairs, strict=True):
        assert np.linalg.norm(ours / gain - theirs) < 0.05 * np.linalg.norm(theirs)


LOOP_MS = (1100, 2350)


def looping(page: Page, from_ms: float, to_ms: float) -> None:
    page.evaluate("([from, to]) => { preludio.player.setLoop(true); preludio.player.setRegion({ from, to }); }", [from_ms, to_ms])


def test_a_loop_jumps_back_at_its_very_end(visit: Open) -> None:
    """Twenty rounds: each begins one loop's length after the one before, to the sample, and has the same notes."""
    page = opened(visit, even(16))
    looping(page, *LOOP_MS)
    strikes = [source for source in hurried(page, LOOP_MS[0], 25) if not source.is_noise]
    seconds = (LOOP_MS[1] - LOOP_MS[0]) / 1000
    rounds = [list(group) for _, group in itertools.groupby(strikes, lambda s: int((s.when - strikes[0].when + 0.2) / seconds))]
    assert len(rounds) >= 20
    offsets = [[source.when - number * seconds - strikes[0].when for source in each] for number, each in enumerate(rounds[:20])]
    expected = [(onset - 1250) / 1000 for onset in range(1250, 2350, 250)]
    for each in offsets:
        assert each == pytest.approx(expected, abs=1e-9)


def test_what_sounds_at_the_loops_end_is_let_go_there_pedal_or_not(visit: Open) -> None:
    notes = [(0, 3900, 48, LEAST_VELOCITY), (1500, 1700, 60, LEAST_VELOCITY), (2200, 3000, 63, LEAST_VELOCITY)]
    page = opened(visit, Performance(notes, [(1400, 3500)]))
    looping(page, 1000, 2500)
    sources = hurried(page, 1000, 4.2)
    strikes = sorted((source for source in sources if not source.is_noise), key=lambda source: source.when)
    begin = strikes[0].when
    # What is held across the beginning is struck anew, as wherever one seeks to.
    struck = [begin + jump + after for jump in (0, 1.5, 3.0) for after in (0, 0.5, 1.2)]
    assert [source.when for source in strikes] == pytest.approx(struck[: len(strikes)])
    for source in strikes[:6]:
        jump = begin + 1.5 * (1 + int((source.when - begin + 1e-9) / 1.5))
        pitch = round(60 + 12 * np.log2(source.rate))
        assert source.stops is not None
        assert source.stops <= jump + 7 * sound.damper_seconds(48) + 1e-6, pitch
    noises = [source.when - begin for source in sources if source.is_noise and (source.stops is None or source.stops > source.when)]
    # Of one round: the short note's key comes up by itself (0.7), the two that are held at the end by the jump (1.5).
    assert sorted(round(when % 1.5, 6) for when in noises if when < 2.9) == pytest.approx([0, 0, 0.7, 0.7], abs=1e-6)


def test_a_seek_past_the_loop_plays_to_the_end_and_comes_back_to_it(visit: Open) -> None:
    page = opened(visit, even(16))
    looping(page, *LOOP_MS)
    strikes = [source.when for source in hurried(page, 2999, 4) if not source.is_noise]
    end_s = (15 * 250 + 125 - 3000) / 1000
    expected = [(onset - 3000) / 1000 for onset in range(3000, 4000, 250)] + [end_s + (onset - LOOP_MS[0]) / 1000 for onset in (1250, 1500)]
    assert [when - strikes[0] for when in strikes[:6]] == pytest.approx(expected)


# Where it plays once the player has been woken: a page that is given no time jumps back late, and nobody sees it before.
AFTER_A_TICK = "() => { preludio.player.worker.onmessage(); return preludio.player.positionMs; }"


def test_a_loop_is_drawn_on_the_times_and_heard(visit: Open) -> None:
    page = opened(visit, even(40))
    box = page.locator("#canvas").bounding_box()
    strip = box["y"] + box["height"] - 8

    scale = box["width"] / page.evaluate("() => preludio.roll.shownMs")

    def drag(start_ms: float, stop_ms: float) -> None:
        page.mouse.move(box["x"] + start_ms * scale, strip)
        page.mouse.down()
        page.mouse.move(box["x"] + stop_ms * scale, strip, steps=4)
        page.mouse.up()

    drag(5040, 2970)
    region = page.evaluate("() => preludio.player.region")
    assert region == {"from": 3000, "to": 5000}  # at notes' beginnings
    assert page.get_attribute("#loop", "aria-pressed") == "true"
    assert page.evaluate("() => preludio.player.positionMs") == region["from"]
    assert "Loop: 0:0" in page.inner_text("#loop-out")
    drag(5040, 7010)  # by its edge
    longer = page.evaluate("() => preludio.player.region")
    assert longer == {"from": 3000, "to": 7000}
    page.select_option("#speed", "2")
    page.click("#play")
    assert heard(page)
    seen = set()
    for _ in range(40):
        seen.add(int(page.evaluate(AFTER_A_TICK)) // 500)
        page.wait_for_timeout(100)
    assert longer["from"] // 500 <= min(seen) <= max(seen) <= longer["to"] // 500
    paused(page)
    page.mouse.click(box["x"] + 5, strip)  # a click there seeks, as everywhere
    assert page.evaluate("() => preludio.player.positionMs") < 1000
    assert page.evaluate("() => preludio.player.region.to") == longer["to"]


def test_a_loop_is_chosen_by_the_keyboard_alone(visit: Open) -> None:
    page = opened(visit, even(40))

    def at(ms: int, button: str) -> None:
        page.evaluate(f"() => preludio.player.seek({ms})")
        page.focus(button)
        page.keyboard.press("Enter")

    page.focus("#loop")
    page.keyboard.press("Enter")
    assert "the whole piece" in page.inner_text("#loop-out")
    at(4000, "#loop-from")
    assert page.inner_text("#loop-out") == "Loop: 0:04.0 to 0:09.9"
    at(6500, "#loop-to")
    assert page.inner_text("#loop-out") == "Loop: 0:04.0 to 0:06.5"
    assert page.evaluate("() => preludio.player.positionMs") == 4000  # it is heard from its beginning
    at(3000, "#loop-to")  # before its beginning: from the piece's
    assert page.evaluate("() => preludio.player.region") == {"from": 0, "to": 3000}
    at(3000, "#loop-all")
    assert page.evaluate("() => [preludio.player.region, document.activeElement.id]") == [None, "loop-from"]
    page.focus("#loop")
    page.keyboard.press("Enter")
    assert page.locator("#looping").is_hidden()


def test_keys_that_a_person_lets_go_are_heard_too(visit: Open) -> None:
    page = opened(visit, even(4))
    page.evaluate(FAKE_MIDI)
    page.evaluate("async () => { sources.length = 0; await preludio.sampler.wake(); await preludio.hands.connect(); }")
    page.evaluate("() => { pressed(0xb0, 64, 127); pressed(0x90, 60, 80); pressed(0x80, 60, 0); }")
    lengths = page.evaluate("() => sources.map((source) => source.seconds)")
    assert sum(seconds < NOISE_SECONDS for seconds in lengths) == 1
    assert page.evaluate("() => preludio.hands.held.size") == 1  # the pedal holds the string


# Sixty keys at once, each as loud as can be, and what comes to the loudspeaker: its peak, and how many samples in a row lie at it.
CROWD = """async (withWorklet) => {
  const { Sampler } = await import("/static/js/sampler.js");
  const context = new OfflineAudioContext(2, 44100 * 2, 44100);
  if (!withWorklet) Object.defineProperty(context, "audioWorklet", { value: undefined });
  const piano = new Sampler(context);
  await piano.prepare();
  for (let pitch = 30; pitch < 90; pitch += 1) await piano.want(pitch, 127);
  for (let pitch = 30; pitch < 90; pitch += 1) piano.strike(pitch, 127, 0.1);
  const rendered = await context.startRendering();
  const result = { peak: 0, flat: 0, before: piano.limiter.constructor.name };
  for (let channel = 0; channel < 2; channel += 1) {
    const samples = rendered.getChannelData(channel).map(Math.abs);
    result.peak = samples.reduce((a, b) => Math.max(a, b), result.peak);
    let run = 0;
    for (let i = 1; i < samples.length; i += 1) {
      run = samples[i] > 0.5 && samples[i] === samples[i - 1] ? run + 1 : 0;
      result.flat = Math.max(result.flat, run);
    }
  }
  return result;
}"""


def test_sixty_keys_at_127_do_not_go_over_full_scale(visit: Open) -> None:
    """Nor are they clipped, which is what kept them from it before. Where a browser has no place for the limiter, they are bounded too."""
    page = visit()
    limited = page.evaluate(CROWD, True)
    assert limited["before"] == "AudioWorkletNode"
    assert 0.5 < limited["peak"] <= 10 ** (-1 / 20)
    assert limited["flat"] < 2
    bounded = page.evaluate(CROWD, False)
    assert bounded["before"] == "DynamicsCompressorNode"
    assert 0.5 < bounded["peak"] <= 1


def test_soft_music_passes_the_limiter_as_it_is(visit: Open) -> None:
    """Six milliseconds later, and to the bit."""
    page = visit()
    difference = page.evaluate(
        """async () => {
          const context = new OfflineAudioContext(2, 44100, 44100);
          await context.audioWorklet.addModule("/static/js/limiter.js");
          const noise = Float32Array.from({ length: 44100 }, (_, i) => 0.8 * Math.sin(i * i * 1e-4));
          const buffer = context.createBuffer(2, 44100, 44100);
          buffer.copyToChannel(noise, 0);
          buffer.copyToChannel(noise, 1);
          const source = new AudioBufferSourceNode(context, { buffer });
          const how = { outputChannelCount: [2], channelCount: 2, channelCountMode: "explicit" };
          source.connect(new AudioWorkletNode(context, "limiter", how)).connect(context.destination);
          source.start();
          const out = (await context.startRendering()).getChannelData(1);
          return out.slice(256).reduce((most, sample, i) => Math.max(most, Math.abs(sample - noise[i])), 0);
        }"""
    )
    assert difference == 0


def test_the_first_note_asks_for_its_recording_first(visit: Open) -> None:
    """It once waited behind fifty others, and sounded as a far key slowed down or sped up."""
    page = visit(script=RECORD)
    asked: list[str] = []

    def slowly(route: Any) -> None:
        asked.append(route.request.url.rpartition("/")[2])
        time.sleep(0.03)
        route.continue_()

    page.route("**/piano/*.ogg", slowly)
    tune = [(0, 400, 96, LEAST_VELOCITY), (500, 900, 24, LEAST_VELOCITY), (1000, 1400, 27, LEAST_VELOCITY)]
    dropped(page, preludio.write_midi(Performance(tune)))
    until(page, "preludio.piece?.kind === 'midi'")
    until(page, "!preludio.sampler.recordings.loading.size")
    asked.clear()
    page.reload()
    page.wait_for_selector("html[data-ready]")
    page.click("#play")
    until(page, "sources.length >= 2")
    assert page.evaluate("() => sources[0].rate") == 1  # its own recording
    files = [f"{pitch:03}-077.ogg" for pitch in (96, 24, 27)]
    places = [asked.index(name) for name in files]
    assert places == sorted(places)
    assert places[-1] < 8


def metrics(session: Any) -> dict[str, float]:
    session.send("HeapProfiler.collectGarbage")
    found = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    return {name: found[name] for name in ("AudioHandlers", "JSHeapUsedSize", "Nodes", "JSEventListeners")}


ANOTHER = """async (number) => {
  const { player } = preludio;
  player.pause();
  const notes = Array.from({ length: 40 }, (_, i) => [i * 10, i * 10 + 200, 40 + ((i * 7 + number) % 50), 77, i * 10 + 200, 1]);
  preludio.show({ id: `piece-${number}`, version: { notes, prompt_ms: 0, from_ms: 0 }, history: [], choosing: [], finished: true });
  await player.play(0);
  await new Promise((done) => setTimeout(done, 700));
}"""


def test_memory_does_not_grow_with_the_pieces_one_listens_to(visit: Open) -> None:
    """Fifty pieces, played to their ends: as many audio nodes, elements and listeners after the last as after the tenth."""
    page = visit()
    until(page, "!preludio.sampler.recordings.loading.size")
    page.evaluate("() => { preludio.begin.follow = () => {}; preludio.following.look = () => {}; }")  # the store does not know them
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    after: list[dict[str, float]] = []
    for number in range(50):
        page.evaluate(ANOTHER, number)
        if number in (9, 49):
            page.wait_for_timeout(13_000)  # what rings may ring out
            after.append(metrics(session))
    for name, before in after[0].items():
        assert after[1][name] <= 1.1 * before + 20, (name, after)
    assert page.evaluate("() => preludio.sampler.recordings.bytes") <= 200e6
    assert page.evaluate("() => preludio.sampler.voices.size") == 0
