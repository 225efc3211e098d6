"""How many threads a step is worth."""

from __future__ import annotations

import os
from pathlib import Path

MOST_USEFUL = 4  # a step waits for memory, and a few cores read all that it gives


def default_threads() -> int:
    """One for each core, not counting twins on one core, that this process may use; at most four."""
    return max(1, min(MOST_USEFUL, len(_cores()), _quota()))


def _cores() -> set[str]:
    """The cores of the processors that we may run on, each by the list of its twins."""
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    topology = Path("/sys/devices/system/cpu")
    try:
        return {(topology / f"cpu{number}/topology/thread_siblings_list").read_text() for number in processors}
    except OSError:
        return {str(number) for number in processors}


def _quota() -> int:
    """Whole processors that a container grants us."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # no container, or "max"
        return os.cpu_count() or 1
