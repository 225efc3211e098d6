"""Killing a studio at work: what it had told before must be in the store afterwards."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from studio_server import Server

LONGEST_SECONDS = 1.5  # until it is killed
Notes = Counter[tuple[int, ...]]


@dataclass
class Told:
    """What a client heard of: notes by piece and version."""

    versions: dict[tuple[str, int], Notes] = field(default_factory=dict)

    def lost(self, server: Server) -> int:
        """How many of them are not in the store."""
        return sum((notes - self._kept(server, *place)).total() for place, notes in self.versions.items())

    @staticmethod
    def _kept(server: Server, piece: str, version: int) -> Notes:
        rows = server.get(f"/api/pieces/{piece}/versions/{version}")["notes"]
        return Counter(tuple(row) for row in rows)

    @property
    def n_notes(self) -> int:
        return sum(notes.total() for notes in self.versions.values())


Work = Callable[[Server, Told], None]


def compose(server: Server, told: Told, **wish: Any) -> None:
    body = json.dumps({"seconds": 600} | wish).encode()
    request = urllib.request.Request(f"{server.address}/api/compose", body, {"content-type": "application/json"})
    kind, piece, versions = "", "", []
    with urllib.request.urlopen(request, timeout=30) as stream:
        for line in stream:
            name, _, value = line.decode().strip().partition(": ")
            if name == "event":
                kind = value
            elif kind == "started" and value:
                event = json.loads(value)
                piece, versions = event["piece"]["id"], event["versions"]
                told.versions |= {(piece, version): Counter(tuple(row) for row in event["prefix"]) for version in versions}
            elif kind == "notes" and value:
                for take, rows in json.loads(value)["takes"].items():
                    told.versions[piece, versions[int(take)]].update(tuple(row) for row in rows)


def take(server: Server, told: Told) -> None:
    compose(server, told, takes=3)


def compose_again(server: Server, told: Told) -> None:
    begun = server.post("/api/pieces", {"theme": "bach"})
    told.versions[begun["id"], begun["head"]] = Counter(tuple(row) for row in begun["version"]["notes"])
    compose(server, told, piece=begun["id"], from_ms=9000)


def play(server: Server, told: Told, n: int = 100_000) -> None:
    """As the page sends what is played: each note when it ends."""
    begun = server.post("/api/pieces", {"notes": [[0, 90, 60, 70, 0]]})
    place = begun["id"], begun["head"]
    told.versions[place] = Counter(tuple(row) for row in begun["version"]["notes"])
    for number in range(1, n):
        note = [100 * number, 100 * number + 90, 40 + number % 40, 70, 0]
        server.post(f"/api/pieces/{place[0]}/notes", {"version": place[1], "place": number, "notes": [note]})
        told.versions[place][*note[:4], note[1], 0] += 1


KINDS: dict[str, Work] = {"composing": compose, "takes": take, "again": compose_again, "playing": play}


def crash(server: Server, kind: str, seed: int) -> Told:
    """Kills the studio with that under way and something being played into it, at a moment of the seed's; starts it again."""
    told = [Told(), Told()]
    works = [threading.Thread(target=_until_killed, args=pair) for pair in zip((KINDS[kind], play), (server, server), told, strict=True)]
    for work in works:
        work.start()
    time.sleep(random.Random(seed).uniform(0, LONGEST_SECONDS))
    server.kill()
    for work in works:
        work.join()
    server.start()
    return Told(told[0].versions | told[1].versions)


def _until_killed(work: Work, server: Server, told: Told) -> None:
    with suppress(OSError, http.client.HTTPException):
        work(server, told)
