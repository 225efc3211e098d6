"""What a run tells: one JSON object a line in `log.jsonl`, always; TensorBoard's files beside it where they were asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from preludio.errors import OutputError, TrainError
from preludio.files import write_atomically

FILE = "log.jsonl"
LogRow = dict[str, Any]


class RunLog:
    """Appends rows; a resumed run first takes back those that lie after its state."""

    def __init__(self, out: Path, after_step: int) -> None:
        """
        Raises:
            OutputError: the folder cannot be written.
        """
        self.path = out / FILE
        kept = [json.dumps(row) + "\n" for row in read(self.path) if row["step"] <= after_step]
        write_atomically(self.path, "".join(kept).encode())
        try:
            self._file = self.path.open("ab", buffering=0)  # a row is in the file, whole, or the error is raised here
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}; choose another place or free some space") from None

    def append(self, row: LogRow) -> None:
        """One line, there to be read at once.

        Raises:
            OutputError: it cannot be written.
        """
        line = (json.dumps(row) + "\n").encode()
        try:
            if self._file.write(line) != len(line):
                raise OutputError(f"cannot write {self.path}: there is no space left; free some and --resume")
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}; free some space and --resume") from None

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> list[LogRow]:
    """All whole rows of a log; of a run that was killed, the last line may be a part and is left out."""
    if not path.is_file():
        return []
    rows: list[LogRow] = []
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
            rows.append(row | {"step": int(row["step"])})
        except (ValueError, KeyError, TypeError):
            break
    return rows


class TensorBoardLog:
    """The same figures for TensorBoard, in `tensorboard/`."""

    SHOWN = ("loss", "validation", "rate", "length")

    def __init__(self, out: Path, after_step: int) -> None:
        """
        Raises:
            TrainError: TensorBoard is not installed.
        """
        self._writer: Any = tensorboard_writer()(str(out / "tensorboard"), purge_step=after_step + 1)

    def append(self, row: LogRow) -> None:
        """One point in each of its curves."""
        for name in self.SHOWN:
            if name in row:
                self._writer.add_scalar(name, row[name], row["step"])

    def close(self) -> None:
        self._writer.close()


def tensorboard_writer() -> Any:
    """PyTorch's class that writes TensorBoard's files.

    Raises:
        TrainError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainError("TensorBoard is not installed: pip install 'preludio[tensorboard]', or leave --tensorboard out") from None
    return SummaryWriter
