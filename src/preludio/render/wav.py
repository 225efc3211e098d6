"""Sound as WAV: 44.1 kHz, stereo, 16 bits, block by block, into a file or as a stream of bytes."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from preludio.files import replacing
from preludio.performance import Performance, sustain
from preludio.render.grand import SAMPLE_RATE
from preludio.render.resample import Wave
from preludio.render.sound import Progress, blocks, n_frames

FULL_SCALE = 2**15 - 1
CHANNELS, BYTES = 2, 2  # a sample has so many bytes
FRAME_BYTES = CHANNELS * BYTES


class WavStream(NamedTuple):
    """A WAV file as bytes, about 6 s of sound at a time; `n_bytes` altogether, the header included."""

    n_bytes: int
    chunks: Iterator[bytes]


def wav_stream(performance: Performance, *, progress: Progress | None = None) -> WavStream:
    """Plays the performance on the bundled piano; memory does not grow with its length.

    Raises:
        RequestError: more than 3 hours or 300,000 notes.
    """
    sound = blocks(performance, progress=progress)
    n_data = n_frames(sustain(performance)) * FRAME_BYTES
    return WavStream(44 + n_data, _chunks(n_data, sound))


def write_wav(performance: Performance, path: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
    """Plays the performance on the bundled piano into a WAV file, which appears whole or not at all.

    Args:
        progress: called now and then with the part done, 0 to 1.

    Raises:
        RequestError: more than 3 hours or 300,000 notes.
        OutputError: the file cannot be written.
    """
    stream = wav_stream(performance, progress=progress)
    with replacing(path) as beside, beside.open("wb") as file:
        file.writelines(stream.chunks)


def _chunks(n_data: int, sound: Iterator[Wave]) -> Iterator[bytes]:
    noise = np.random.default_rng(0)
    yield _header(n_data)
    for block in sound:
        yield _to_int16(block, noise).tobytes()


def _header(n_data: int) -> bytes:
    """RIFF, the format chunk (PCM) and the data chunk's head."""
    rate = SAMPLE_RATE * FRAME_BYTES
    head = struct.pack("<4sI4s", b"RIFF", 36 + n_data, b"WAVE")
    return head + struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, CHANNELS, SAMPLE_RATE, rate, FRAME_BYTES, 8 * BYTES, b"data", n_data)


def _to_int16(block: Wave, noise: np.random.Generator) -> npt.NDArray[np.int16]:
    """With triangular dither of one step, so that a note dies away into faint hiss and not into gravel; silence stays silence."""
    dither = noise.random(block.shape, dtype=np.float32) - noise.random(block.shape, dtype=np.float32)
    dither[block == 0] = 0
    return np.rint(block * np.float32(FULL_SCALE) + dither).astype("<i2")
