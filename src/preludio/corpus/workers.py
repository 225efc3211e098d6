"""One function over many tasks, on all cores: processes that start light, die with their parent, and say so if they are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from types import ModuleType
from typing import Any, TypeVar

from preludio.errors import PreludioError

WorkerContext = TypeVar("WorkerContext")
Task = TypeVar("Task")
Result = TypeVar("Result")

_context: Any = None  # in a worker: what it works with


def parallel_map(
    work: Callable[[WorkerContext, Task], Result], context: WorkerContext, tasks: Iterator[Task], processes: int
) -> Iterator[Result]:
    """`work(context, task)` for each task, in any order. Everything must be picklable, and `work` a function of a module.

    Few tasks are on their way at any time, so their number costs no memory. Left early (Ctrl-C), it ends what has begun.

    Raises:
        PreludioError: a process was killed. What `work` raises comes through.
    """
    if processes == 1:
        yield from (work(context, task) for task in tasks)
        return
    start_method = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, start_method, _initialise_worker, (context,)) as pool:
        try:
            with _light_start():
                running = {pool.submit(_call_work, work, task) for task in islice(tasks, processes + 1)}
            while running:
                yield from _finished(running)
                running |= {pool.submit(_call_work, work, task) for task in islice(tasks, processes + 1 - len(running))}
        except BrokenProcessPool:
            remedy = "run the same command again; fewer processes need less"
            raise PreludioError(f"a process was killed, perhaps for want of memory: {remedy}") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _finished(running: set[Future[Result]]) -> Iterator[Result]:
    """Takes what is done out of `running`."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    running -= done
    yield from (future.result() for future in done)


@contextmanager
def _light_start() -> Iterator[None]:
    """Around the start of processes.

    A spawned one imports the program that began it, again, with all that it imports: half of its start, and without end where that
    program has no `if __name__ == "__main__"`. Nothing of it is needed here. And Ctrl-C reaches the whole group, but the parent
    decides: a signal that is ignored at the start stays so.
    """
    main, in_main_thread = sys.modules["__main__"], threading.current_thread() is threading.main_thread()
    sys.modules["__main__"] = ModuleType("__main__")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if in_main_thread:
            signal.signal(signal.SIGINT, before)


def _initialise_worker(context: Any) -> None:
    global _context
    _context = context
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call_work(work: Callable[[Any, Task], Result], task: Task) -> Result:
    return work(_context, task)
