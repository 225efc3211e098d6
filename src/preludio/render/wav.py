"""Sound into a WAV file: 44.1 kHz, stereo, 16 bits, block by block."""

from __future__ import annotations

import os
import struct

import numpy as np
import numpy.typing as npt

from preludio.files import replacing
from preludio.performance import Performance, sustain
from preludio.render.grand import SAMPLE_RATE
from preludio.render.mark import MADE_BY
from preludio.render.resample import Wave
from preludio.render.sound import Progress, blocks, n_frames

FULL_SCALE = 2**15 - 1


def write_wav(
    performance: Performance, path: str | os.PathLike[str], *, progress: Progress | None = None, made_by: str = MADE_BY
) -> None:
    """Plays the performance on the bundled piano into a WAV file, which appears whole or not at all.

    Args:
        progress: called now and then with the part done, 0 to 1.
        made_by: the program's name, which the file bears; see `maker`.

    Raises:
        RequestError: more than 3 hours or 300,000 notes.
        OutputError: the file cannot be written.
    """
    sound = blocks(performance, progress=progress)
    noise = np.random.default_rng(0)
    with replacing(path) as beside, beside.open("wb") as file:
        file.write(_header(n_frames(sustain(performance)), made_by))
        for block in sound:
            file.write(_to_int16(block, noise).tobytes())


def _header(frames: int, made_by: str) -> bytes:
    """RIFF (Multimedia Programming Interface and Data Specifications 1.0, "WAVE"): format, software, where sound begins."""
    n_channels, n_bytes = 2, 2
    frame = n_channels * n_bytes
    software = made_by.encode("ascii", "replace") + b"\0"
    info = b"INFO" + _chunk(b"ISFT", software)
    form = struct.pack("<HHIIHH", 1, n_channels, SAMPLE_RATE, SAMPLE_RATE * frame, frame, 8 * n_bytes)  # 1: integers
    head = b"WAVE" + _chunk(b"fmt ", form) + _chunk(b"LIST", info) + b"data" + struct.pack("<I", frames * frame)
    return b"RIFF" + struct.pack("<I", len(head) + frames * frame) + head


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _to_int16(block: Wave, noise: np.random.Generator) -> npt.NDArray[np.int16]:
    """With triangular dither of one step, so that a note dies away into faint hiss and not into gravel; silence stays silence."""
    dither = noise.random(block.shape, dtype=np.float32) - noise.random(block.shape, dtype=np.float32)
    dither[block == 0] = 0
    return np.rint(block * np.float32(FULL_SCALE) + dither).astype("<i2")
