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
from preludio.render.mark import MADE_BY
from preludio.render.resample import Wave
from preludio.render.sound import Progress, blocks, n_frames

FULL_SCALE = 2**15 - 1
CHANNELS, BYTES = 2, 2  # a sample has so many bytes
FRAME_BYTES = CHANNELS * BYTES


class WavStream(NamedTuple):
    """A WAV file as bytes, about 6 s of sound at a time; `n_bytes` altogether, the header included."""

    n_bytes: int
    chunks: Iterator[bytes]


def wav_stream(performance: Performance, *, progress: Progress | None = None, made_by: str = MADE_BY) -> WavStream:
    """Play the performance on the bundled piano; memory does not grow with its length.

    Args:
        progress: called now and then with the part done, 0 to 1.
        made_by: what the file says of its origin (INFO chunk ISFT).

    Raises:
        RequestError: more than 3 hours or 300,000 notes.
    """
    sound = blocks(performance, progress=progress)
    n_data = n_frames(sustain(performance)) * FRAME_BYTES
    header = _header(n_data, made_by)
    return WavStream(len(header) + n_data, _chunks(header, sound))


def write_wav(
    performance: Performance, path: str | os.PathLike[str], *, progress: Progress | None = None, made_by: str = MADE_BY
) -> None:
    """Play the performance on the bundled piano into a WAV file, which appears whole or not at all.

    Args and raises: as `wav_stream`.

    Raises:
        OutputError: the file cannot be written.
    """
    stream = wav_stream(performance, progress=progress, made_by=made_by)
    with replacing(path) as beside, beside.open("wb") as file:
        file.writelines(stream.chunks)


def _chunks(header: bytes, sound: Iterator[Wave]) -> Iterator[bytes]:
    noise = np.random.default_rng(0)
    yield header
    for block in sound:
        yield _to_int16(block, noise).tobytes()


def _header(n_data: int, made_by: str) -> bytes:
    """RIFF (Multimedia Programming Interface and Data Specifications 1.0, "WAVE"): format, software, where sound begins."""
    software = made_by.encode("ascii", "replace") + b"\0"
    info = b"INFO" + _chunk(b"ISFT", software)
    form = struct.pack("<HHIIHH", 1, CHANNELS, SAMPLE_RATE, SAMPLE_RATE * FRAME_BYTES, FRAME_BYTES, 8 * BYTES)  # 1: integers
    head = b"WAVE" + _chunk(b"fmt ", form) + _chunk(b"LIST", info) + b"data" + struct.pack("<I", n_data)
    return b"RIFF" + struct.pack("<I", len(head) + n_data) + head


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _to_int16(block: Wave, noise: np.random.Generator) -> npt.NDArray[np.int16]:
    """With triangular dither of one step, so that a note dies away into faint hiss and not into gravel; silence stays silence."""
    dither = noise.random(block.shape, dtype=np.float32) - noise.random(block.shape, dtype=np.float32)
    dither[block == 0] = 0
    return np.rint(block * np.float32(FULL_SCALE) + dither).astype("<i2")
