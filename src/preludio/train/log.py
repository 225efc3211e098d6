"""What a run tells: one JSON object a line in `log.jsonl`, always; TensorBoard's files beside it where that is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from preludio.errors import OutputError

FILE = "log.jsonl"
Row = dict[str, Any]


class Log:
    """Appends rows; a resumed run first takes back those that lie after its state."""

    def __init__(self, out: Path, after_step: int) -> None:
        """
        Raises:
            OutputError: the folder cannot be written.
        """
        self.path = out / FILE
        kept = [row for row in read(self.path) if row["step"] <= after_step]
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8")
            for row in kept:
                self._file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}; choose another place or free some space") from None

    def append(self, row: Row) -> None:
        """One line, there to be read at once."""
        try:
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}; free some space and --resume") from None

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> list[Row]:
    """All whole rows of a log; of a run that was killed, the last line may be a part and is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
