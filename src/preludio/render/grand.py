"""The bundled piano: which recordings answer a key struck at a velocity, how loud, and their sound.

Thirty keys of a Yamaha C5 (every third, A0 to C8) were recorded at four strengths; see piano/ATTRIBUTION.md. The keys between are
resampled by one semitone. Neighbouring strengths are faded into one another, which is clean because the recordings were aligned to the
sample when the set was made (recipes/make_piano_samples.py): hardly any two strikes of a key correlate below 0.9.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from preludio.render.resample import REACH, Wave, resample, semitones_to_speed

SAMPLE_RATE = 44_100
FOLDER = Path(__file__).parent / "piano"
LOWEST, HIGHEST = 21, 108  # the keys of a piano, A0 to C8
LENGTHS_SECONDS = (1, 2, 4, 8, 12)  # a recording is decoded this far: most notes need only the first second; none lasts longer
LONGEST_SECONDS = 13  # no key rings longer: 12 s, played a semitone lower
CACHE_BYTES = 256 * 2**20
FULL_SCALE = 2**15 - 1

Recording = npt.NDArray[np.int16]
"""Stereo sound as it is kept, shape (frames, 2): half of float32's room, so that twice as many keys fit."""

DYNAMIC_RANGE_DB = 40.0  # from velocity 1 to 127: about what a concert grand has between the softest and the loudest stroke
MASTER_DB = 2.0  # so that loud passages of MAESTRO come near full scale, and only their highest peaks meet the limiter


def amplitude(velocity: int) -> float:
    """How strongly a velocity (1-127) sounds, 1 at 127: the square law of Dannenberg, "The Interpretation of MIDI Velocity" (2006)."""
    root = 10 ** (-DYNAMIC_RANGE_DB / 40)
    offset = (127 * root - 1) / 126
    return float(((1 - offset) / 127 * velocity + offset) ** 2)


class Grand:
    """The recordings, decoded when first needed and kept while `CACHE_BYTES` allow. Safe to share between threads."""

    def __init__(self, folder: Path = FOLDER) -> None:
        table = json.loads((folder / "levels.json").read_text(encoding="utf-8"))
        self.folder = folder
        self.layers: list[int] = sorted(int(velocity) for velocity in table["layers_db"])
        self._gains = {
            (layer, pitch): 10 ** ((balance + MASTER_DB - level) / 20)
            for layer in self.layers
            for pitch, level, balance in zip(table["pitches"], table["layers_db"][str(layer)], table["balance_db"], strict=True)
        }
        self._nearest = {pitch: min(table["pitches"], key=lambda key: abs(key - pitch)) for pitch in range(LOWEST, HIGHEST + 1)}
        self._cache: OrderedDict[tuple[int, int, int], Recording] = OrderedDict()
        self._cached_bytes = 0
        self._lock = threading.Lock()

    def mix(self, pitch: int, velocity: int) -> list[tuple[int, float]]:
        """One or two layers, and the gain of each one's `strike`: between two recorded strengths, both in proportion."""
        upper = int(np.searchsorted(self.layers, velocity))
        if upper in (0, len(self.layers)):
            parts = [(self.layers[min(upper, len(self.layers) - 1)], 1.0)]
        else:
            below, above = self.layers[upper - 1], self.layers[upper]
            share = (velocity - below) / (above - below)
            parts = [(below, 1 - share), (above, share)] if share < 1 else [(above, 1.0)]
        recorded = self._nearest[pitch]
        return [(layer, amplitude(velocity) * part * self._gains[layer, recorded] / FULL_SCALE) for layer, part in parts]

    def strike(self, layer: int, pitch: int, frames: int) -> Recording:
        """The sound of a key of the piano at a recorded strength, undamped: at least `frames` frames of it, or all there is.

        Each recording uses the whole range of 16 bits: multiply by the gain of `mix`.
        """
        recorded = self._nearest[pitch]
        speed = semitones_to_speed(pitch - recorded)
        needed = (frames + 1) * speed + REACH
        seconds = next((length for length in LENGTHS_SECONDS if needed <= length * SAMPLE_RATE), LENGTHS_SECONDS[-1])
        with self._lock:
            return self._sound(layer, pitch, recorded, seconds)

    def release(self, pitch: int) -> Wave:
        """The noise of the key coming up, peak 0.7."""
        return _decode(self.folder / f"{self._nearest[pitch]:03d}-release.ogg", -1)

    def _sound(self, layer: int, pitch: int, recorded: int, seconds: int) -> Recording:
        key = (layer, pitch, seconds)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        if pitch == recorded:
            wave = _to_int16(_decode(self.folder / f"{recorded:03d}-{layer:03d}.ogg", seconds * SAMPLE_RATE))
        else:
            wave = _neighbour(self._sound(layer, recorded, recorded, seconds), pitch - recorded)
        self._cache[key] = wave
        self._cached_bytes += wave.nbytes
        while self._cached_bytes > CACHE_BYTES:
            self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return wave


def _neighbour(recording: Recording, semitones: int) -> Recording:
    speed = semitones_to_speed(semitones)
    # The last frames would be interpolated with the silence after a recording that was decoded in part.
    whole = resample(recording.astype(np.float32) / np.float32(FULL_SCALE), speed)
    return _to_int16(whole[: int((len(recording) - REACH) / speed)])


def _to_int16(wave: Wave) -> Recording:
    recording: Recording = np.rint(np.clip(wave, -1, 1) * np.float32(FULL_SCALE)).astype(np.int16)
    return recording


def _decode(path: Path, frames: int) -> Wave:
    wave, rate = soundfile.read(path, frames=frames, dtype="float32", always_2d=True)
    assert rate == SAMPLE_RATE, f"{path.name} is not at {SAMPLE_RATE} Hz"
    result: Wave = wave
    return result


@lru_cache(maxsize=1)
def bundled() -> Grand:
    """The piano that comes with the program, one for the whole process."""
    return Grand()
