"""Sound into a WAV file: 44.1 kHz, stereo, 16 bits, block by block."""

from __future__ import annotations

import os
import wave

import numpy as np
import numpy.typing as npt

from preludio.files import replacing
from preludio.performance import Performance
from preludio.render.grand import SAMPLE_RATE
from preludio.render.resample import Wave
from preludio.render.sound import Progress, blocks

FULL_SCALE = 2**15 - 1


def write_wav(performance: Performance, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
    """Plays the performance on the bundled piano into a WAV file, which appears whole or not at all.

    Args:
        progress: called now and then with the part done, 0 to 1.

    Raises:
        RequestError: more than 3 hours or 300,000 notes.
        OutputError: the file cannot be written.
    """
    sound = blocks(performance, progress=progress)
    noise = np.random.default_rng(0)
    with replacing(path) as beside, wave.open(str(beside), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        for block in sound:
            file.writeframesraw(_to_int16(block, noise).tobytes())


def _to_int16(block: Wave, noise: np.random.Generator) -> npt.NDArray[np.int16]:
    """With triangular dither of one step, so that a note dies away into faint hiss and not into gravel; silence stays silence."""
    dither = noise.random(block.shape, dtype=np.float32) - noise.random(block.shape, dtype=np.float32)
    dither[block == 0] = 0
    return np.rint(block * np.float32(FULL_SCALE) + dither).astype("<i2")
