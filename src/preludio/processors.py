"""How many processors this process may use: those of its affinity mask, and no more than its control group's quota."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")


def usable_processors(root: Path = ROOT) -> int:
    """Return the number of logical processors (hardware threads), at least 1. `root` is where /proc and /sys are."""
    return _within_quota(len(_affinity()), root)


def usable_cores(root: Path = ROOT) -> int:
    """Return the number of physical cores, at least 1: the hardware threads of one core count once."""
    siblings = (root / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list" for number in _affinity())
    try:
        return _within_quota(len({file.read_text() for file in siblings}), root)
    except OSError:
        return usable_processors(root)


def _affinity() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _within_quota(n: int, root: Path) -> int:
    """Return n, or the whole processors that the quota allows if they are fewer."""
    return max(1, min([n, *(math.floor(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the processor time per time of each control group that limits this process: its own, and those around it."""
    top = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = top / controllers if controllers else top  # each controller has a hierarchy of its own in version 1
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            yield from _quota(folder)
            if folder == mount:
                break


def _quota(folder: Path) -> Iterator[float]:
    """Yield the quota of one group, if it has one: of version 2 ("max 100000" is none), or of version 1 (-1 is none)."""
    try:
        file = folder / "cpu.max"
        words = file.read_text().split() if file.exists() else [(folder / f"cpu.cfs_{part}_us").read_text() for part in ("quota", "period")]
        quota, period = (int(word) for word in words)
    except (OSError, ValueError):
        return
    if quota > 0:
        yield quota / period
