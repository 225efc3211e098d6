"""A studio in a process of its own, for the tests that a browser or a killed process is needed for."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from preludio import checkpoint
from preludio.checkpoint import SIZES, Checkpoint, array_shapes

STARTED_SECONDS = 60


def restless_model(folder: Path, size: str = "tiny", window: int = 256) -> Path:
    """A model that strikes keys at random."""
    config = dataclasses.replace(SIZES[size], window=window)
    rng = np.random.default_rng(0)
    arrays = {name: np.ones(shape) if name.endswith("norm") else rng.normal(0, 0.1, shape) for name, shape in array_shapes(config).items()}
    checkpoint.save(folder, Checkpoint(config, {name: array.astype(np.float32) for name, array in arrays.items()}, {}))
    return folder


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Server:
    """Can be killed, and started again on the same port with the same pieces."""

    def __init__(self, data: Path, model: Path | str, engine: str = "numpy", prefix: Sequence[str] = ()) -> None:
        """prefix: a command that runs the studio's command, which follows it."""
        self.data, self.model, self.engine, self.port, self.prefix = data, model, engine, free_port(), prefix
        self.process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        command = [*self.prefix, sys.executable, "-m", "preludio", "studio", "--no-browser", "--port", str(self.port)]
        command += ["--data", str(self.data), "--model", str(self.model), "--engine", self.engine]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ)
        start = time.monotonic()
        while True:
            try:
                self.get("/api/state")
                return
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, self.process.stdout and self.process.stdout.read()
                assert time.monotonic() - start < STARTED_SECONDS, "the studio did not start"
                time.sleep(0.05)

    def kill(self) -> None:
        """As a crash does: it is told nothing."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.address}{path}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}{path}", data, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


SMALL_DISK = 'mount -t tmpfs -o size="$1" preludio "$2" && shift 2 && exec "$@"'


def small_disk(folder: Path, size: str = "2m") -> list[str] | None:
    """A command that runs another one where `folder` is a disk of its own; None where this system lets nobody make one."""
    folder.mkdir(parents=True, exist_ok=True)
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, "sh", size, str(folder)]
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return prefix


@contextmanager
def full_disk(server: Server) -> Iterator[None]:
    """Not a byte is free on the small disk of a studio."""
    assert server.process is not None
    filler = Path(f"/proc/{server.process.pid}/root{server.data}/filler")
    try:
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        yield
    finally:
        filler.unlink()
