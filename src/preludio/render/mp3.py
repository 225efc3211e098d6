"""Sound as MP3, a stream of bytes: 44.1 kHz, stereo, one bit rate throughout, so that players know its length without an index."""

from __future__ import annotations

import os
from collections.abc import Iterator

import soundfile

from preludio.errors import RequestError
from preludio.files import replacing
from preludio.performance import Performance
from preludio.render.grand import SAMPLE_RATE
from preludio.render.resample import Wave
from preludio.render.sound import blocks

CHANNELS = 2
COMPRESSION = 0.4  # of 0 to 1; 192 kbit/s
SLICE = 44_100  # frames given to the encoder at once


class _Outlet:
    """What the encoder writes to: bytes in order. At its end it goes back to write an index into the first frame, which has been sent by
    then; without it that frame is silence."""

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._position = 0
        self._end = 0

    def write(self, data: bytes) -> int:
        if self._position == self._end:
            self._pending.append(bytes(data))
            self._end += len(data)
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._end)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        data = b"".join(self._pending)
        self._pending.clear()
        return data


def write_mp3(performance: Performance, path: str | os.PathLike[str]) -> None:
    """Play the performance on the bundled piano into an MP3 file, which appears whole or not at all.

    Raises:
        RequestError: as `mp3_stream`.
        OutputError: the file cannot be written.
    """
    chunks = mp3_stream(performance)
    with replacing(path) as beside, beside.open("wb") as file:
        file.writelines(chunks)


def mp3_stream(performance: Performance) -> Iterator[bytes]:
    """Plays the performance on the bundled piano; memory does not grow with its length.

    Raises:
        RequestError: more than 3 hours or 300,000 notes, or this system's libsndfile writes no MP3.
    """
    if "MP3" not in soundfile.available_formats():
        raise RequestError("this system's libsndfile writes no MP3 (1.1 and later do): choose WAV")
    sound = blocks(performance)
    return _encoded(sound)


def _encoded(sound: Iterator[Wave]) -> Iterator[bytes]:
    outlet = _Outlet()
    how = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": COMPRESSION}
    with soundfile.SoundFile(outlet, "w", SAMPLE_RATE, CHANNELS, **how) as file:
        for block in sound:
            for begin in range(0, len(block), SLICE):
                file.write(block[begin : begin + SLICE])
            yield outlet.taken()
    yield outlet.taken()
