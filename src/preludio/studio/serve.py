"""Opening the studio: a port, a server, a browser."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import uvicorn

from preludio.errors import RequestError
from preludio.processors import usable_processors
from preludio.studio.app import LOOPBACK, create_app
from preludio.studio.models import Models
from preludio.studio.store import Store, data_folder

PORT = 7388
NEXT_PORTS = 20  # that are tried where none was asked for
FILE = "studio.db"
GRACE_SECONDS = 1


@dataclass(frozen=True)
class Settings:
    """How the studio is opened.

    Raises:
        RequestError: a port out of range.
    """

    port: int | None = None  # None: 7388, or the next free one
    host: str = "127.0.0.1"  # beyond this machine a token is needed
    browser: bool = True
    data: Path | None = None  # where pieces are kept
    models: tuple[str, ...] = ()  # names or directories, beside the bundled ones; the first is the page's first choice
    engine: str = "auto"

    def __post_init__(self) -> None:
        if self.port is not None and not 0 <= self.port <= 65535:
            raise RequestError(f"port must be from 0 to 65535, not {self.port}")

    @property
    def is_local(self) -> bool:
        return self.host in LOOPBACK


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Opens the studio and stays until it is ended with Ctrl-C.

    Raises:
        RequestError: the port that was asked for is taken, or the host is not one of this machine.
        CheckpointError: a model cannot be opened.
        OutputError: pieces cannot be kept where they should be.
    """
    listener = _listener(settings)
    if isinstance(listener, int):
        address = f"http://127.0.0.1:{listener}/?already"
        say(f"a studio is open already: {address}")
        _open(settings, address)
        return
    token = None if settings.is_local else secrets.token_urlsafe(24)
    with listener:
        models = Models(settings.models, settings.engine)
        models.composer()  # that it cannot be read is said now, and not at the first click
        store = Store((settings.data or data_folder()) / FILE)
        app = create_app(models, store, slots=slots(), hosts=LOOPBACK | {settings.host, socket.gethostname()}, token=token)
        address = _address(settings, listener.getsockname()[1], token)
        if token is not None:
            say("others on the network can reach this studio: only who has the token in this address may come in")
        say(f"the studio is open at {address} (Ctrl-C closes it; pieces are kept in {store.path.parent})")
        _open(settings, address)
        config = uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=GRACE_SECONDS, server_header=False)
        uvicorn.Server(config).run([listener])
        store.close()


def slots() -> int:
    """How many compositions this machine bears at once: each is several times faster than it is played, and uses two cores."""
    return max(1, usable_processors() // 2)


def _listener(settings: Settings) -> socket.socket | int:
    """A socket to listen on; or the port where a studio with the same pieces listens already, if none was asked for.

    Raises:
        RequestError: the port is taken.
    """
    ports = [settings.port] if settings.port is not None else range(PORT, PORT + NEXT_PORTS)
    for port in ports:
        try:
            return _bound(settings.host, port)
        except OSError as error:
            if error.errno is not None and not _is_taken(error):
                raise RequestError(f"cannot listen on {settings.host}: {error.strerror}; choose another --host") from None
            if not settings.is_local or not _is_studio(port):
                continue
            if settings.port is not None:
                raise RequestError(
                    f"a studio is open on port {port} already: use it at http://127.0.0.1:{port}/, or choose another with --port"
                ) from None
            if settings.data is None:
                return port
    raise RequestError(f"port {ports[0]} is taken by another program, or may not be used: choose another with --port")


def _bound(host: str, port: int) -> socket.socket:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    # By its name: of a socket without a protocol asyncio does not ask that small writes be sent at once, and each note waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(512)
    except OSError:
        listener.close()
        raise
    return listener


def _is_taken(error: OSError) -> bool:
    return error.errno in (98, 48, 10048, 13)  # EADDRINUSE on Linux, macOS, Windows; EACCES: not ours to take


def _is_studio(port: int) -> bool:
    here = build_opener(ProxyHandler({}))  # not by way of a proxy that the surroundings name
    try:
        with here.open(f"http://127.0.0.1:{port}/api/state", timeout=2) as answer:
            return "studio" in json.load(answer)
    except (OSError, ValueError):
        return False


def _address(settings: Settings, port: int, token: str | None) -> str:
    host = settings.host
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"?token={token}" if token else "")


def _open(settings: Settings, address: str) -> None:
    """The browser, beside the server, which it will ask in a moment."""
    if settings.browser:
        threading.Timer(0.3, webbrowser.open, [address]).start()
