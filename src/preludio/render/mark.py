"""The mark that a rendered file bears: which program made it. So the program knows its own files from those that it must not replace."""

from __future__ import annotations

import os
import re
from pathlib import Path

MADE_BY = "Preludio"

_HEAD = 4_096  # bytes: each mark stands at the beginning of its file
_PATTERNS = {
    ".wav": re.compile(rb"RIFF.{4}WAVEfmt .{20}LIST.{4}INFOISFT.{4}([^\0]*)\0", re.DOTALL),
    ".svg": re.compile(rb"<svg [^>]*>\s*<metadata>([^<]*)</metadata>"),
    ".png": re.compile(rb"\x89PNG\r\n\x1a\n.{25}.{4}tEXtSoftware\0([ -~]*)", re.DOTALL),
}


def maker(path: str | os.PathLike[str]) -> str:
    """What made a WAV, SVG or PNG file, as `made_by` was when it was written; "" for any other file, and for what is no file."""
    file = Path(path)
    pattern = _PATTERNS.get(file.suffix.lower())
    if pattern is None or file.is_symlink() or not file.is_file():  # what a link leads to is not looked at
        return ""
    try:
        with file.open("rb") as stream:
            found = pattern.match(stream.read(_HEAD))
    except OSError:
        return ""
    return found[1].decode("ascii", "replace") if found else ""
