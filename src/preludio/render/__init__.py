"""One performance -> sound (WAV) or a picture (piano roll as SVG or PNG). Each renderer stands alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from preludio.errors import RequestError
from preludio.performance import Performance
from preludio.render.grand import SAMPLE_RATE
from preludio.render.mp3 import mp3_stream
from preludio.render.png import roll_png, write_png
from preludio.render.sound import blocks, synthesise
from preludio.render.svg import roll_svg, write_svg
from preludio.render.wav import wav_stream, write_wav

__all__ = [
    "SAMPLE_RATE",
    "WRITERS",
    "blocks",
    "mp3_stream",
    "roll_png",
    "roll_svg",
    "synthesise",
    "wav_stream",
    "write",
    "write_png",
    "write_svg",
    "write_wav",
]

WRITERS: dict[str, Callable[..., None]] = {".wav": write_wav, ".svg": write_svg, ".png": write_png}
"""What can be written, by suffix: `writer(performance, path, **options)`."""


def write(performance: Performance, path: str | os.PathLike[str], **options: Any) -> None:
    """Writes what the path's suffix asks for.

    Args:
        options: of `write_wav` (progress), or of `write_svg` and `write_png` (prompt_ms, title).

    Raises:
        RequestError: another suffix, or a performance beyond the writer's limits.
        OutputError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise RequestError(f"{path}: cannot write {suffix or 'a file without a suffix'}; choose {', '.join(WRITERS)}")
    WRITERS[suffix](performance, path, **options)
