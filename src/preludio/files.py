"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from preludio.errors import OutputError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a path beside `path` to write to; on leaving it is renamed into place, on any exception it is removed.

    Missing parent folders are made.

    Raises:
        OutputError: the place cannot be written; the text names it, the fault and the remedy.
    """
    target = Path(path)
    with _beside(target) as beside:
        yield beside
        beside.replace(target)


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A new empty file beside the target, gone at the end if it was not renamed."""
    beside: Path | None = None
    try:
        if target.is_dir():
            raise OutputError(f"cannot write {target}: it is a folder; name a file")
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        beside = Path(name)
        beside.chmod(0o666 & ~_umask())  # mkstemp makes private files
        yield beside
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}; choose another place or free some space") from error
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes `data` to `path`: afterwards the file is the old one or the new one, never a part.

    Raises:
        OutputError: as `replacing`.
    """
    with replacing(path) as beside:
        beside.write_bytes(data)


def require_writable(path: str | os.PathLike[str]) -> None:
    """Tries whether `path` could be written, and leaves it as it is.

    Raises:
        OutputError: as `replacing`.
    """
    with _beside(Path(path)):
        pass


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
