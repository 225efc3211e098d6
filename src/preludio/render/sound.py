"""A performance as sound: every note is a recording, cut short by the damper, laid over the others.

The loudness is the piano's: a velocity sounds equally strong in every piece, so a soft piece stays soft. The master level is set so
that loud passages of real performances come near full scale; what would go over -1 dBFS is turned down by a limiter and never clipped.
One performance gives one sound, to the byte (on one machine; another CPU may round the last bit otherwise).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.errors import RequestError
from preludio.performance import Performance, next_strike_ms, sustain
from preludio.render.grand import HIGHEST, LONGEST_SECONDS, LOWEST, SAMPLE_RATE, Grand, amplitude, bundled
from preludio.render.limiter import HOP, limited
from preludio.render.resample import Wave

TAIL_SECONDS = 1.5  # after the last damper has fallen
END_FADE_SECONDS = 0.4  # of the tail, for undamped strings that ring on
MAX_SECONDS = 3 * 3600
MAX_NOTES = 300_000
BLOCK = 2**18  # frames worked on at a time, 6 s; memory does not grow with the piece

FIRST_UNDAMPED = 90  # F#6: a grand has no dampers from about here up
SHORTEST_MS = 20  # a key cannot go down and up faster
DAMPER_SECONDS = 0.06  # the time in which a damper takes the sound of middle C to 1/e; longer below, shorter above
DAMPER_HALVING_SEMITONES = 36  # ... by a factor of 2 in so many semitones
RESTRIKE_SECONDS = 0.02  # a hammer on a sounding string stops the old sound nearly at once
FADE_CONSTANTS = 7  # a fade lasts so many time constants (-61 dB) and is brought to exact silence
RELEASE_GAIN = 0.008  # of the key's noise (peak 0.7) after a key struck at 127: about -45 dBFS

Frames = npt.NDArray[np.int64]
Progress = Callable[[float], None]


class Strikes(NamedTuple):
    """What the hammers do, by start: columns of equal length, in frames."""

    start: Frames
    held: Frames  # how long the string sounds freely
    restruck: npt.NDArray[np.bool_]  # ended by the next hammer and not by the damper
    pitch: npt.NDArray[np.uint8]
    velocity: npt.NDArray[np.uint8]


class Releases(NamedTuple):
    """Keys that come up, by time."""

    start: Frames
    pitch: npt.NDArray[np.uint8]
    velocity: npt.NDArray[np.uint8]


def synthesise(performance: Performance, *, progress: Progress | None = None) -> Wave:
    """The whole sound, float32 of shape (frames, 2) at `SAMPLE_RATE`, within -1 dBFS: 21 MB a minute. `blocks` needs less.

    It begins at time 0 of the performance and ends `TAIL_SECONDS` after the last sound, the pedal resolved.

    Args:
        progress: called now and then with the part done, 0 to 1.

    Raises:
        RequestError: more than 3 hours or 300,000 notes.
    """
    return np.concatenate(list(blocks(performance, progress=progress)))


def blocks(performance: Performance, *, progress: Progress | None = None) -> Iterator[Wave]:
    """The sound of `synthesise` piece by piece, about 6 s each; the process stays below 500 MB however long the performance.

    Raises:
        RequestError: as `synthesise`, at once and not at the first block.
    """
    resolved = sustain(performance)
    frames = n_frames(resolved)
    _check(frames, len(performance))
    return limited(_blocks(_strikes(resolved), _releases(performance), frames, progress))


def n_frames(resolved: Performance) -> int:
    """How long the sound of a performance without pedals is; a multiple of the limiter's `HOP`, which is 1.5 ms.

    It ends with the last sound, not with a key or a pedal that is held for longer than its string sounds.
    """
    silent_ms = np.minimum(resolved.notes["offset_ms"], resolved.notes["onset_ms"].astype(np.int64) + LONGEST_SECONDS * 1000)
    return math.ceil((int(silent_ms.max(initial=0)) / 1000 + TAIL_SECONDS) * SAMPLE_RATE / HOP) * HOP


def _check(frames: int, n_notes: int) -> None:
    hours = (frames / SAMPLE_RATE - TAIL_SECONDS) / 3600
    if frames > (MAX_SECONDS + TAIL_SECONDS) * SAMPLE_RATE + HOP:
        raise RequestError(f"the performance lasts {hours:.1f} hours; sound is made for at most {MAX_SECONDS // 3600}: crop it first")
    if n_notes > MAX_NOTES:
        raise RequestError(f"the performance has {n_notes:,} notes; sound is made of at most {MAX_NOTES:,}: crop it first")


def _to_frames(ms: npt.NDArray[np.int32]) -> Frames:
    return np.round(ms * (SAMPLE_RATE / 1000)).astype(np.int64)


def _strikes(resolved: Performance) -> Strikes:
    notes = resolved.notes
    restrike_ms = next_strike_ms(notes)
    damper_ms = np.maximum(notes["offset_ms"], notes["onset_ms"] + SHORTEST_MS)
    damper_ms[notes["pitch"] >= FIRST_UNDAMPED] = np.iinfo(np.int32).max
    end_ms = np.minimum(restrike_ms, damper_ms)
    sounding = end_ms > notes["onset_ms"]  # of several strikes of one key at one instant the last stays
    start = _to_frames(notes["onset_ms"])
    columns = (start, _to_frames(end_ms) - start, restrike_ms <= damper_ms, notes["pitch"], notes["velocity"])
    return Strikes(*(column[sounding] for column in columns))


def _releases(performance: Performance) -> Releases:
    notes = performance.notes[np.argsort(performance.notes["offset_ms"], kind="stable")]
    return Releases(_to_frames(notes["offset_ms"]), notes["pitch"], notes["velocity"])


def _blocks(strikes: Strikes, releases: Releases, frames: int, progress: Progress | None) -> Iterator[Wave]:
    """Overlap and add: a note is laid down whole where it begins, into a buffer that reaches past the block."""
    grand = bundled()
    buffer: Wave = np.zeros((BLOCK + (LONGEST_SECONDS + 1) * SAMPLE_RATE, 2), dtype=np.float32)
    for begin in range(0, frames, BLOCK):
        for index in _within(strikes.start, begin):
            _add_strike(buffer[strikes.start[index] - begin :], grand, strikes, index)
        for index in _within(releases.start, begin):
            _add_release(buffer[releases.start[index] - begin :], grand, int(releases.pitch[index]), int(releases.velocity[index]))
        block = buffer[:BLOCK].copy()
        _fade_end(block, frames - begin)
        yield block if begin + BLOCK <= frames else block[: frames - begin]
        buffer[:-BLOCK] = buffer[BLOCK:]
        buffer[-BLOCK:] = 0
        if progress is not None:
            progress(min(1.0, (begin + BLOCK) / frames))


def _within(start: Frames, begin: int) -> range:
    return range(*np.searchsorted(start, [begin, begin + BLOCK]).tolist())


def _add_strike(buffer: Wave, grand: Grand, strikes: Strikes, index: int) -> None:
    pitch = key_of(int(strikes.pitch[index]))
    fade = _fade(RESTRIKE_SECONDS if strikes.restruck[index] else damper_seconds(pitch))
    held = min(int(strikes.held[index]), LONGEST_SECONDS * SAMPLE_RATE)
    frames = held + len(fade)
    (layer, gain), *rest = grand.mix(pitch, int(strikes.velocity[index]))
    sound = grand.strike(layer, pitch, frames)[:frames] * np.float32(gain)
    for layer, gain in rest:
        other = grand.strike(layer, pitch, frames)[:frames]
        shorter, longer = sorted((sound, other * np.float32(gain)), key=len)
        longer[: len(shorter)] += shorter
        sound = longer
    damped = sound[held:]
    damped *= fade[: len(damped)]
    buffer[: len(sound)] += sound


def _add_release(buffer: Wave, grand: Grand, pitch: int, velocity: int) -> None:
    # A key's way up is much alike however it was struck, so the root: 20 dB between the softest and the loudest.
    noise = _release_noise(grand, key_of(pitch))
    buffer[: len(noise)] += noise * np.float32(RELEASE_GAIN * amplitude(velocity) ** 0.5)


@lru_cache(maxsize=128)
def _release_noise(grand: Grand, pitch: int) -> Wave:
    return grand.release(pitch)


def key_of(pitch: int) -> int:
    """The key of a piano that plays a MIDI pitch: beyond the ends of the keyboard, the same tone some octaves inside."""
    if pitch > HIGHEST:
        return pitch - 12 * -((HIGHEST - pitch) // 12)
    return pitch + 12 * -((pitch - LOWEST) // 12) if pitch < LOWEST else pitch


def damper_seconds(pitch: int) -> float:
    """The time constant with which a damper quietens a key: heavy bass strings take longer."""
    return float(DAMPER_SECONDS * 2 ** ((60 - pitch) / DAMPER_HALVING_SEMITONES))


@lru_cache(maxsize=256)
def _fade(seconds: float) -> Wave:
    """An exponential fade of that time constant, bent to end at exact silence; shape (frames, 1)."""
    progress = np.linspace(0, 1, round(FADE_CONSTANTS * seconds * SAMPLE_RATE), dtype=np.float32)[:, None]
    fade: Wave = np.exp(-FADE_CONSTANTS * progress) * (1 - progress)
    return fade


def _fade_end(block: Wave, remaining: int) -> None:
    """Fades the end of the whole sound, which is `remaining` frames from the block's begin, in place."""
    fade = round(END_FADE_SECONDS * SAMPLE_RATE)
    if remaining - fade < len(block):
        left = (remaining - np.arange(len(block))) / fade
        block *= (0.5 - 0.5 * np.cos(np.pi * np.clip(left, 0, 1))).astype(np.float32)[:, None]
