"""What goes into which split, and what stays out: duplicates, leaks, and the split of sources that have none.

In this order, for every entry that can be used:

1. *Duplicates.* Of one performance under several names (renamed, transposed, stretched, cut) one is kept: a held-out one before one to
   train on, then the earlier source, then the earlier name.
2. *Leaks.* What is of a held-out composition does not train: from another source always, from the official training split
   (another pianist's performance of a work in the validation split) where asked.
3. *Splits.* An official split stays. Without one, all performances of a work go to one side, by a hash of the music: the same whatever the
   files are called and wherever they lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from preludio.corpus.examine import HELD_OUT, Facts
from preludio.corpus.fingerprint import Fingerprint
from preludio.corpus.matching import pairs
from preludio.corpus.works import Guard

VALIDATION_SHARE = 20  # one work in twenty, of the sources without splits
_ORDER = {"test": 0, "validation": 1}


@dataclass(frozen=True)
class Verdict:
    """What becomes of one entry."""

    split: str  # "" if it is left out
    reason: str = ""  # why it is left out; "" if it is kept
    kind: str = ""  # "unusable", "duplicate" or "leak"


@dataclass(frozen=True)
class Choice:
    """Which of these rules are in force."""

    duplicates: bool = True  # leave out all but one of a performance's copies
    guard: bool = True  # leave out what other sources have of held-out works
    guard_own: bool = False  # and what the official training split has of them


def decide(facts: Sequence[Facts], landmarks: Sequence[Fingerprint], choice: Choice) -> list[Verdict]:
    """A verdict for each entry."""
    usable = [place for place, one in enumerate(facts) if not one.fault]
    verdicts = [Verdict("", one.fault, "unusable") for one in facts]
    works, copies = _related(facts, landmarks, usable)
    guard = _guard(facts, landmarks) if choice.guard or choice.guard_own else None
    for place in usable:
        entry = facts[place].entry
        original = copies[place]
        if choice.duplicates and original != place:
            verdicts[place] = Verdict("", f"the same performance as {_called(facts[original])}", "duplicate")
        elif guard is not None and _guarded(facts[place], choice) and (leak := _leak(guard, facts[place], landmarks[place])):
            verdicts[place] = Verdict("", leak, "leak")
        else:
            verdicts[place] = Verdict(entry.split or _drawn_split(works[place]))
    return verdicts


def _related(facts: Sequence[Facts], landmarks: Sequence[Fingerprint], usable: list[int]) -> tuple[dict[int, int], dict[int, int]]:
    """For each usable place: a number that all performances of its work share, and the place of the copy to keep."""
    by_rank = sorted(usable, key=lambda place: (_ORDER.get(facts[place].entry.split or "", 2), place))
    rank = {place: number for number, place in enumerate(by_rank)}
    works, copies = _Groups(len(by_rank)), _Groups(len(by_rank))
    for one, other, likeness in pairs([landmarks[place] for place in by_rank]):
        works.unite(one, other)
        if likeness.same_performance:
            copies.unite(one, other)
    smallest: dict[int, int] = {}
    for place in usable:
        hashes = landmarks[place]["hash"]
        least = int(hashes[0]) if len(hashes) else facts[place].n_tokens  # landmarks are sorted by hash
        group = works.first(rank[place])
        smallest[group] = min(least, smallest.get(group, least))
    return {place: smallest[works.first(rank[place])] for place in usable}, {place: by_rank[copies.first(rank[place])] for place in usable}


class _Groups:
    """Union-find; the first of a group is its smallest member."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def first(self, member: int) -> int:
        while self._parent[member] != member:
            self._parent[member] = self._parent[self._parent[member]]
            member = self._parent[member]
        return member

    def unite(self, one: int, other: int) -> None:
        low, high = sorted((self.first(one), self.first(other)))
        self._parent[high] = low


def _guard(facts: Sequence[Facts], landmarks: Sequence[Fingerprint]) -> Guard:
    """Over all that is held out, its music where it could be read, its title in any case."""
    held_out = [place for place, one in enumerate(facts) if one.entry.split in HELD_OUT]
    return Guard([(facts[place].entry, None if facts[place].fault else landmarks[place]) for place in held_out])


def _guarded(one: Facts, choice: Choice) -> bool:
    if one.entry.split in HELD_OUT:
        return False
    return choice.guard_own if one.entry.split == "train" else choice.guard


def _leak(guard: Guard, one: Facts, landmarks: Fingerprint) -> str:
    leaks = guard.leaks(one.entry, landmarks)
    if not leaks:
        return ""
    leak = leaks[0]
    by = "music" if leak.by == "music" else "title"
    return f"of a held-out work ({by}): {leak.held_out.composer}, {leak.held_out.title} ({leak.held_out.split})"


def _called(one: Facts) -> str:
    return f"{one.entry.source}: {one.entry.name}"


def _drawn_split(work: int) -> str:
    """One work in `VALIDATION_SHARE`. The hash's lowest bits are as random as any, but small hashes were chosen: spread them again."""
    return "validation" if work * 0x9E3779B1 % (1 << 32) >> 8 & 0xFFFF < 0x10000 // VALIDATION_SHARE else "train"
