"""Whose turn it is: work in threads beside the event loop, so many at once, the others in line and told their place."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

ServerEvent = dict[str, Any]
"""What the page is told: a kind and what belongs to it."""
Emit = Callable[[ServerEvent], None]
Work = Callable[[Emit, threading.Event], None]
"""Does the work, says what comes of it, and raises `JobCancelled` soon after the event is set."""
DescribeError = Callable[[BaseException], ServerEvent]

MAX_WAITING = 500
GRACE_SECONDS = 10.0  # in which a page that was reloaded listens again


class JobCancelled(Exception):
    """Nobody wants the result any longer."""


class QueueFull(Exception):
    """The line is too long."""


class Job:
    """One piece of work in the line."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.stop = threading.Event()
        self.events: asyncio.Queue[ServerEvent | None] = asyncio.Queue()
        self.subscribers: set[asyncio.Queue[ServerEvent | None]] = set()  # of others who look on
        self.piece: str | None = None  # what it works on, once it says so
        self.listened = True  # by whoever asked for it
        self.finished = False

    @property
    def is_alone(self) -> bool:
        return not self.listened and not self.subscribers

    def publish(self, event: ServerEvent | None) -> None:
        """Tells all who listen; None at the end."""
        if event is None:
            self.finished = True
        elif event["event"] == "started":
            self.piece = event["piece"]["id"]
        for queue in (self.events, *self.subscribers):
            queue.put_nowait(event)

    def subscribe(self) -> asyncio.Queue[ServerEvent | None]:
        """What it says from now on, for one more listener, who ends by leaving `subscribers`."""
        queue: asyncio.Queue[ServerEvent | None] = asyncio.Queue()
        self.subscribers.add(queue)
        return queue


class JobQueue:
    """At most `slots` at once. All methods belong to the event loop's thread."""

    def __init__(self, slots: int, explain: DescribeError) -> None:
        """explain: what the page is told of an exception."""
        self.slots = slots
        self._explain = explain
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="composing")
        self._running: set[Job] = set()
        self._waiting: deque[Job] = deque()

    @property
    def n_running(self) -> int:
        return len(self._running)

    @property
    def n_waiting(self) -> int:
        return len(self._waiting)

    def running_on(self, piece: str) -> Job | None:
        """Who works on a piece now; from any thread."""
        return next((job for job in list(self._running) if job.piece == piece and not job.finished), None)

    def submit(self, work: Work) -> Job:
        """Takes a place in the line.

        Raises:
            QueueFull: too many wait already.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise QueueFull
        job = Job(work)
        self._waiting.append(job)
        self._start_waiting()
        return job

    async def events(self, job: Job) -> AsyncIterator[ServerEvent]:
        """What comes of it, to its end."""
        while (event := await job.events.get()) is not None:
            yield event

    def left(self, job: Job) -> None:
        """Whoever asked for it has gone. What works on a piece is given a while, for the page may only have been reloaded."""
        job.listened = False
        self.look_after(job)

    def look_after(self, job: Job) -> None:
        """Stops the work if nobody listens: at once what has no piece, else after `GRACE_SECONDS`."""
        if not job.is_alone or job.finished:
            return
        if job.piece is None:
            self.stop(job)
        else:
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._stop_if_alone, job)

    def _stop_if_alone(self, job: Job) -> None:
        if job.is_alone:
            self.stop(job)

    def stop(self, job: Job) -> None:
        """Its result is not wanted any longer. A slot is free only when its thread has really stopped."""
        job.stop.set()
        if job in self._waiting:
            self._waiting.remove(job)
            self._report_positions()

    def close(self) -> None:
        for job in [*self._waiting, *self._running]:
            self.stop(job)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self.slots:
            self._begin(self._waiting.popleft())
        self._report_positions()

    def _report_positions(self) -> None:
        for position, job in enumerate(self._waiting, start=1):
            job.events.put_nowait({"event": "queued", "place": position})

    def _begin(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        self._running.add(job)

        def emit(event: ServerEvent | None) -> None:
            loop.call_soon_threadsafe(job.publish, event)

        def run() -> None:
            try:
                job.work(emit, job.stop)
            except JobCancelled:
                pass
            except BaseException as error:  # a thread has nobody above it
                emit(self._explain(error))
            finally:
                emit(None)

        def ended(_: Any) -> None:
            self._running.discard(job)
            if not loop.is_closed():
                self._start_waiting()

        loop.run_in_executor(self._threads, run).add_done_callback(ended)
