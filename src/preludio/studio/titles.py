"""Titles: whatever comes in becomes one line that shows what it is, and a file's name that every system takes."""

from __future__ import annotations

import unicodedata
from typing import Any

MAX_TITLE = 120
MAX_NAME_BYTES = 200  # of a file: systems take 255
JOINERS = "\u200c\u200d\u200e\u200f"  # unprintable, and part of words and of pictures


def one_line(text: str) -> str:
    """Without line breaks, control characters and what turns the direction of all that follows (U+202E and its like)."""
    plain = (" " if letter.isspace() else letter for letter in text if letter.isprintable() or letter.isspace() or letter in JOINERS)
    return " ".join("".join(plain).encode("utf-8", "replace").decode().split())


def title_from_file_name(name: str) -> str:
    """A file's name as a title."""
    stem = name.replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or name
    return one_line(stem.replace("_", " "))[:MAX_TITLE]


def file_name(piece: dict[str, Any], suffix: str) -> str:
    """A download's, from a piece's title: letters, figures and spaces."""
    title = piece["title"] or f"Preludio {piece['number']}"
    plain = "".join(c if unicodedata.category(c)[0] in "LMN" or c in " -" else " " for c in title)
    short = " ".join(plain.split()).encode()[:MAX_NAME_BYTES].decode(errors="ignore").strip()
    return f"{short or 'Preludio'}.{suffix}"
