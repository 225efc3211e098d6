"""Standard MIDI Files written down byte by byte, for tests."""

from __future__ import annotations

import random
import re
import warnings

from preludio.errors import PreludioWarning
from preludio.midi import read_midi
from preludio.performance import Performance

END_OF_TRACK = b"\0\xff\x2f\0"


def dump(text: str) -> bytes:
    """A hex dump with comments -> its bytes."""
    return bytes.fromhex(re.sub(r"#.*", "", text))


def quantity(value: int) -> bytes:
    """A variable-length quantity, spelled out for up to four bytes."""
    groups = [value >> 21 & 127, value >> 14 & 127, value >> 7 & 127, value & 127]
    while len(groups) > 1 and groups[0] == 0:
        groups.pop(0)
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


def chunk(kind: bytes, content: bytes) -> bytes:
    return kind + len(content).to_bytes(4) + content


def smf(*tracks: str | bytes, kind: int | None = None, division: int = 500, said: int | None = None) -> bytes:
    """A file of tracks (dumps or bytes), each with its end-of-track event. At division 500 and the default tempo a tick is 1 ms."""
    contents = [dump(track) if isinstance(track, str) else track for track in tracks]
    kind = int(len(tracks) > 1) if kind is None else kind
    header = kind.to_bytes(2) + (len(tracks) if said is None else said).to_bytes(2) + division.to_bytes(2)
    return chunk(b"MThd", header) + b"".join(chunk(b"MTrk", content) for content in contents)


def mutated(data: bytes, generator: random.Random) -> bytes:
    """With some bytes changed, lost, doubled or cut off; the first bytes, where the lengths are, more often."""
    mutant = bytearray(data)
    for _ in range(generator.randint(1, 8)):
        place = generator.randrange(min(len(mutant), generator.choice([30, len(mutant)]))) if mutant else 0
        match generator.randrange(5):
            case 0:
                mutant[place : place + 1] = bytes([generator.choice([0, 1, 0x7F, 0x80, 0x90, 0xFF, generator.randrange(256)])])
            case 1:
                del mutant[place : place + generator.randint(1, 9)]
            case 2:
                mutant[place:place] = mutant[place : place + generator.randint(1, 40)]
            case 3:
                mutant[place:place] = generator.randbytes(generator.randint(1, 5))
            case _ if generator.random() < 0.2:
                del mutant[place:]
            case _:
                pass
    return bytes(mutant)


def read(data: bytes) -> tuple[Performance, str]:
    """The performance, and what `read_midi` warned of ("" if it did not)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        performance = read_midi(data)
    assert all(issubclass(warning.category, PreludioWarning) for warning in caught)
    assert len(caught) <= 1
    return performance, str(caught[0].message) if caught else ""


def rows(performance: Performance) -> list[tuple[int, int, int, int]]:
    notes: list[tuple[int, int, int, int]] = performance.notes.tolist()
    return notes


def pedals(performance: Performance) -> list[list[int]]:
    intervals: list[list[int]] = performance.pedals.tolist()
    return intervals
