"""Whose turn it is: work in threads beside the event loop, so many at once, the others in line and told their place."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Event = dict[str, Any]
"""What the page is told: a kind and what belongs to it."""
Tell = Callable[[Event], None]
Work = Callable[[Tell, threading.Event], None]
"""Does the work, says what comes of it, and raises `Stopped` soon after the event is set."""
Explain = Callable[[BaseException], Event]

MOST_WAITING = 500
GRACE_SECONDS = 10.0  # in which a page that was reloaded listens again


class Stopped(Exception):
    """Nobody wants the result any longer."""


class Busy(Exception):
    """The line is too long."""


class Ticket:
    """One piece of work in the line."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.stop = threading.Event()
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()
        self.followers: set[asyncio.Queue[Event | None]] = set()  # of others who look on
        self.piece: str | None = None  # what it works on, once it says so
        self.listened = True  # by whoever asked for it
        self.over = False

    @property
    def is_alone(self) -> bool:
        return not self.listened and not self.followers

    def put(self, event: Event | None) -> None:
        """Tells all who listen; None at the end."""
        if event is None:
            self.over = True
        elif event["event"] == "started":
            self.piece = event["piece"]["id"]
        for queue in (self.events, *self.followers):
            queue.put_nowait(event)

    def follow(self) -> asyncio.Queue[Event | None]:
        """What it says from now on, for one more listener, who ends by leaving `followers`."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self.followers.add(queue)
        return queue


class Turns:
    """At most `slots` at once. All methods belong to the event loop's thread."""

    def __init__(self, slots: int, explain: Explain) -> None:
        """explain: what the page is told of an exception."""
        self.slots = slots
        self._explain = explain
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="composing")
        self._running: set[Ticket] = set()
        self._waiting: deque[Ticket] = deque()

    @property
    def n_running(self) -> int:
        return len(self._running)

    @property
    def n_waiting(self) -> int:
        return len(self._waiting)

    def working_on(self, piece: str) -> Ticket | None:
        """Who works on a piece now; from any thread."""
        return next((ticket for ticket in list(self._running) if ticket.piece == piece and not ticket.over), None)

    def enter(self, work: Work) -> Ticket:
        """Takes a place in the line.

        Raises:
            Busy: too many wait already.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise Busy
        ticket = Ticket(work)
        self._waiting.append(ticket)
        self._go_on()
        return ticket

    async def events(self, ticket: Ticket) -> AsyncIterator[Event]:
        """What comes of it, to its end."""
        while (event := await ticket.events.get()) is not None:
            yield event

    def left(self, ticket: Ticket) -> None:
        """Whoever asked for it has gone. What works on a piece is given a while, for the page may only have been reloaded."""
        ticket.listened = False
        self.look_after(ticket)

    def look_after(self, ticket: Ticket) -> None:
        """Stops the work if nobody listens: at once what has no piece, else after `GRACE_SECONDS`."""
        if not ticket.is_alone or ticket.over:
            return
        if ticket.piece is None:
            self.stop(ticket)
        else:
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._stop_if_alone, ticket)

    def _stop_if_alone(self, ticket: Ticket) -> None:
        if ticket.is_alone:
            self.stop(ticket)

    def stop(self, ticket: Ticket) -> None:
        """Its result is not wanted any longer. A slot is free only when its thread has really stopped."""
        ticket.stop.set()
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            self._say_places()

    def close(self) -> None:
        for ticket in [*self._waiting, *self._running]:
            self.stop(ticket)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _go_on(self) -> None:
        while self._waiting and len(self._running) < self.slots:
            self._begin(self._waiting.popleft())
        self._say_places()

    def _say_places(self) -> None:
        for place, ticket in enumerate(self._waiting, start=1):
            ticket.events.put_nowait({"event": "queued", "place": place})

    def _begin(self, ticket: Ticket) -> None:
        loop = asyncio.get_running_loop()
        self._running.add(ticket)

        def tell(event: Event | None) -> None:
            loop.call_soon_threadsafe(ticket.put, event)

        def run() -> None:
            try:
                ticket.work(tell, ticket.stop)
            except Stopped:
                pass
            except BaseException as error:  # a thread has nobody above it
                tell(self._explain(error))
            finally:
                tell(None)

        def ended(_: Any) -> None:
            self._running.discard(ticket)
            if not loop.is_closed():
                self._go_on()

        loop.run_in_executor(self._threads, run).add_done_callback(ended)
