"""One performance -> a file: MIDI, sound (WAV) or a picture (piano roll as SVG or PNG). Each renderer stands alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from preludio.errors import RequestError
from preludio.midi import write_midi
from preludio.performance import Performance
from preludio.render.grand import SAMPLE_RATE
from preludio.render.mark import maker
from preludio.render.mp3 import mp3_stream, write_mp3
from preludio.render.png import roll_png, write_png
from preludio.render.sound import blocks, synthesise
from preludio.render.svg import roll_svg, write_svg
from preludio.render.wav import wav_stream, write_wav

__all__ = [
    "FORMATS",
    "SAMPLE_RATE",
    "blocks",
    "maker",
    "mp3_stream",
    "roll_png",
    "roll_svg",
    "synthesise",
    "wav_stream",
    "write",
    "write_mp3",
    "write_png",
    "write_svg",
    "write_wav",
]


class Format(NamedTuple):
    """An export format: everything that the command line, the studio and the documentation need to know of it."""

    name: str
    suffix: str
    media_type: str
    writer: Callable[..., object]  # writer(performance, path, **options)
    options: tuple[str, ...] = ()  # that the writer takes, of `write`'s


_PICTURE = ("prompt_ms", "title", "made_by")
FORMATS = {
    one.suffix: one
    for one in (
        Format("MIDI", ".mid", "audio/midi", write_midi),
        Format("sound", ".wav", "audio/wav", write_wav, ("progress", "made_by")),
        Format("sound", ".mp3", "audio/mpeg", write_mp3),
        Format("piano roll", ".svg", "image/svg+xml", write_svg, _PICTURE),
        Format("piano roll", ".png", "image/png", write_png, _PICTURE),
    )
}
"""Suffix -> format. A new format is one row here."""


def write(performance: Performance, path: str | os.PathLike[str], **options: Any) -> None:
    """Writes the format of the path's suffix.

    Args:
        options: progress (of sound: called with the share that is done, 0 to 1), prompt_ms and title (of pictures), made_by (the mark
            that says which command made it; of sound and pictures). What the format does not take is left out.

    Raises:
        RequestError: another suffix, or a performance beyond the writer's limits.
        MidiError: a performance beyond the limits of a MIDI file.
        OutputError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise RequestError(f"{path}: cannot write {suffix or 'a file without a suffix'}; choose {', '.join(FORMATS)}")
    chosen = FORMATS[suffix]
    chosen.writer(performance, path, **{name: value for name, value in options.items() if name in chosen.options})
