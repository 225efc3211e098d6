"""The studio under load: many pages that compose, many that rest, and the server's part of a duet's answer.

python benchmarks/studio.py --minutes 3            # 50 streaming, 200 idle: is a note lost, does memory grow, how long does one wait
python benchmarks/studio.py --answers 30           # from a phrase to its answer, alone and beside a composition
python benchmarks/studio.py --drift-minutes 10     # a long piece in Chromium: does each note start when it should
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import studio_drift

IDLE_SECONDS = 10  # how often a resting page asks whether the studio is there
PHRASE = [[i * 220, i * 220 + 190, 60 + (0, 4, 7, 12, 11, 7)[i % 6], 76, 0] for i in range(12)]


@dataclass
class Seen:
    """What all clients met."""

    pieces: int = 0
    notes: int = 0
    lost: int = 0
    untold: int = 0
    faults: list[str] = field(default_factory=list)
    first_note_s: list[float] = field(default_factory=list)  # from the click
    begun_s: list[float] = field(default_factory=list)  # from the turn
    idle_s: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streaming", type=int, default=50)
    parser.add_argument("--idle", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="of music, each piece")
    parser.add_argument("--answers", type=int, default=0, help="measure so many answers of a duet instead")
    parser.add_argument("--drift-minutes", type=float, default=0, help="play a piece of so many minutes in Chromium instead")
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        command = [sys.executable, "-m", "preludio", "studio", "--no-browser", "--port", str(port), "--data", folder]
        server = subprocess.Popen(command, env=os.environ, stderr=subprocess.DEVNULL)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address)
            if wish.drift_minutes:
                studio_drift.measure(address, wish.drift_minutes)
            else:
                asyncio.run(_answers(address, wish.answers) if wish.answers else _load(address, server.pid, wish))
        finally:
            server.kill()
            server.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait(address: str) -> None:
    while True:
        try:
            httpx2.get(f"{address}/api/state")
            return
        except httpx2.TransportError:
            time.sleep(0.1)


async def _events(client: httpx2.AsyncClient, path: str, wish: dict[str, Any]) -> Any:
    kind = ""
    async with client.stream("POST", path, json=wish) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: "):
                yield kind, json.loads(line[6:])


async def _composes(client: httpx2.AsyncClient, seen: Seen, seconds: float, until: float) -> None:
    """One page after the other."""
    while time.monotonic() < until:
        try:
            await _compose(client, seen, seconds)
        except (httpx2.HTTPError, ValueError, KeyError) as error:
            seen.faults.append(repr(error))


async def _compose(client: httpx2.AsyncClient, seen: Seen, seconds: float) -> None:
    """What was told, note by note, must be what is kept: nothing less, nothing more."""
    clicked, begun, piece, ended = time.monotonic(), 0.0, "", False
    told: Counter[tuple[int, ...]] = Counter()
    async for kind, event in _events(client, "/api/compose", {"seconds": seconds}):
        if kind == "started":
            begun, piece = time.monotonic(), event["piece"]["id"]
        elif kind == "notes":
            if event["takes"] and not told:
                seen.first_note_s.append(time.monotonic() - clicked)
                seen.begun_s.append(time.monotonic() - begun)
            told.update(tuple(note) for notes in event["takes"].values() for note in notes)
        elif kind == "error":
            seen.faults.append(event["code"])
        ended = kind == "done"
    if not ended:
        seen.faults.append("a stream without an end")
    answer = (await client.get(f"/api/pieces/{piece}")).raise_for_status().json()
    kept = Counter(tuple(note) for note in answer["version"]["notes"])
    seen.lost += (told - kept).total()
    seen.untold += (kept - told).total()
    seen.pieces += 1
    seen.notes += told.total()


async def _rests(client: httpx2.AsyncClient, seen: Seen, number: int, until: float) -> None:
    await asyncio.sleep(IDLE_SECONDS * number / 200)
    while time.monotonic() < until:
        begin = time.monotonic()
        try:
            (await client.get("/api/state")).raise_for_status()
            seen.idle_s.append(time.monotonic() - begin)
        except httpx2.HTTPError as error:
            seen.faults.append(repr(error))
        await asyncio.sleep(IDLE_SECONDS)


async def _watches(pid: int, seen: Seen, until: float) -> None:
    while time.monotonic() < until:
        status = Path(f"/proc/{pid}/status").read_text()
        seen.memory_mib.append(int(status.split("VmRSS:")[1].split()[0]) / 1024)
        await asyncio.sleep(1)


async def _load(address: str, pid: int, wish: argparse.Namespace) -> None:
    seen, until = Seen(), time.monotonic() + 60 * wish.minutes
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=address, timeout=None, limits=limits) as client, asyncio.TaskGroup() as group:
        for _ in range(wish.streaming):
            group.create_task(_composes(client, seen, wish.seconds, until))
        for number in range(wish.idle):
            group.create_task(_rests(client, seen, number, until))
        group.create_task(_watches(pid, seen, until))
    quarter = max(1, len(seen.memory_mib) // 4)
    print(f"{wish.streaming} streaming, {wish.idle} idle, {wish.minutes:g} minutes: {seen.pieces} pieces, {seen.notes:,} notes")
    print(f"notes told and not kept: {seen.lost}; kept and not told: {seen.untold}; faults: {dict(Counter(seen.faults)) or 'none'}")
    print(f"click to first note, all in line: {_spread(seen.first_note_s)}; from one's turn: {_spread(seen.begun_s)}")
    print(f"an idle page's question: {_spread(seen.idle_s)}")
    first, last = statistics.median(seen.memory_mib[quarter : 2 * quarter]), statistics.median(seen.memory_mib[-quarter:])
    print(f"memory of the server: {first:.0f} MiB in the second quarter, {last:.0f} in the last, {max(seen.memory_mib):.0f} at most")
    if seen.lost or seen.untold or seen.faults:
        sys.exit(1)


async def _answers(address: str, n: int) -> None:
    """In turn on a quiet server and beside a composition, which is then left: how long does it go on for nobody?"""
    alone_s, beside_s, closed_s = [], [], []
    async with httpx2.AsyncClient(base_url=address, timeout=None) as client:
        for _ in range(n):
            alone_s.append(await _answered(client))
            composing = _events(client, "/api/compose", {"seconds": 600})
            async for kind, event in composing:
                if kind == "notes" and event["seconds"] > 5:
                    break
            reading = asyncio.create_task(_read(composing))
            beside_s.append(await _answered(client))
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await composing.aclose()
            begin = time.monotonic()
            while (await client.get("/api/state")).json()["running"]:
                await asyncio.sleep(0.01)
            closed_s.append(time.monotonic() - begin)
    print(f"from a phrase to the first note of its answer, server's part: {_spread(alone_s)}")
    print(f"the same beside a composition: {_spread(beside_s)}")
    print(f"from a page's going to the end of its work: {_spread(closed_s)}")


async def _answered(client: httpx2.AsyncClient) -> float:
    begin = time.monotonic()
    async for kind, _event in _events(client, "/api/answer", {"notes": PHRASE, "seconds": 5}):
        if kind == "notes":
            break
    return time.monotonic() - begin


async def _read(events: Any) -> None:
    async for _ in events:
        pass


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    ordered = sorted(1000 * value for value in seconds)
    most = ordered[int(0.95 * (len(ordered) - 1))]
    return f"median {statistics.median(ordered):.0f} ms, 95 % under {most:.0f} ms, at most {ordered[-1]:.0f} ms"


if __name__ == "__main__":
    main()
