"""A piece of many minutes, played by the page in Chromium in real time: does each note start when it should, the last as the first?

python benchmarks/studio.py --drift-minutes 10
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any

import httpx2
import numpy as np

import preludio
from preludio.performance import Performance

PITCHES = (48, 51, 54, 57, 60, 63, 66, 69, 72)  # recorded keys at a recorded strength: one source for each note
VELOCITY = 77
KEY_NOISE_SECONDS = 0.5  # recordings of keys that come up are shorter

# Each recording that is started: for when on the audio clock, what that clock shows, what the machine's shows, both in seconds.
RECORD = f"""
globalThis.started = [];
const {{ start }} = AudioBufferSourceNode.prototype;
AudioBufferSourceNode.prototype.start = function (when) {{
  if (this.buffer.duration > {KEY_NOISE_SECONDS}) started.push([when, this.context.currentTime, performance.now() / 1000]);
  return start.call(this, when);
}};
"""


def measure(address: str, minutes: float) -> None:
    """Plays it in Chromium, and says how far each note's start is from its onset."""
    from playwright.sync_api import sync_playwright

    onset_ms = _onsets(minutes)
    piece = _uploaded(address, onset_ms)
    chromium = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    arguments = ["--autoplay-policy=no-user-gesture-required", "--mute-audio", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=arguments)
        context = browser.new_context()
        context.add_init_script(RECORD)
        page = context.new_page()
        page.goto(f"{address}/p/{piece}")
        page.wait_for_selector("html[data-ready]")
        page.wait_for_timeout(3000)  # its recordings
        started = np.array(_played(page, len(onset_ms)))
        browser.close()
    _report(onset_ms, started)


def _onsets(minutes: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Some four notes a second, at no regular times."""
    onsets = np.cumsum(np.random.default_rng(0).integers(60, 440, int(minutes * 400)))
    return onsets[onsets <= minutes * 60_000]


def _uploaded(address: str, onset_ms: Any) -> str:
    notes = [(int(at), int(at) + 150, PITCHES[i % len(PITCHES)], VELOCITY) for i, at in enumerate(onset_ms)]
    answer = httpx2.post(f"{address}/api/pieces/midi", content=preludio.write_midi(Performance(notes)))
    answer.raise_for_status()
    piece: str = answer.json()["id"]
    return piece


def _played(page: Any, n: int) -> list[list[float]]:
    page.evaluate("() => preludio.player.play(0)")
    while (heard := page.evaluate("() => started.length")) < n and page.evaluate("() => preludio.player.playing"):
        print(f"\r{heard} of {n} notes", end="", file=sys.stderr, flush=True)
        time.sleep(2)
    print("\r\033[K", end="", file=sys.stderr)
    started: list[list[float]] = page.evaluate("() => started")
    return started


def _report(onset_ms: Any, started: Any) -> None:
    when_s, clock_s, machine_s = started.T
    sounded_ms = 1000 * (when_s - when_s[0]) + onset_ms[0]
    nearest_ms = onset_ms[np.abs(onset_ms[:, None] - sounded_ms).argmin(axis=0)]
    error_ms = sounded_ms - nearest_ms
    lead_ms = 1000 * (when_s - clock_s)
    late = lead_ms <= 0  # the page itself got no processor time: such a note begins at once
    minute = nearest_ms <= onset_ms[0] + 60_000, nearest_ms >= onset_ms[-1] - 60_000
    first, last = (np.abs(error_ms[chosen & ~late]).max() for chosen in minute)
    print(f"{len(when_s):,} of {len(onset_ms):,} notes in {onset_ms[-1] / 60_000:.1f} minutes; from onset to start on the audio clock:")
    print(f"at most {first:.2g} ms off in the first minute, {last:.2g} ms in the last, {np.abs(error_ms[~late]).max():.2g} ms anywhere")
    print(f"scheduled {np.median(lead_ms):.0f} ms ahead; too late: {np.count_nonzero(late)}, by at most {np.abs(error_ms).max():.0f} ms")
    drift = (clock_s[-1] - clock_s[0]) - (machine_s[-1] - machine_s[0])
    print(f"the audio clock against the machine's, over all: {1000 * drift:+.1f} ms")
