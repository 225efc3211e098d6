"""What goes into which split, and what stays out: duplicates, leaks, and the split of sources that have none.

In this order, for every entry that can be used:

1. *Duplicates.* Of one performance under several names (renamed, transposed, stretched, cut) one is kept: a held-out one before one to
   train on, an official split before none, then the whole before its parts, then the earlier.
2. *Leaks.* What is of a held-out composition does not train: from another source always, from the official training split
   (another pianist's performance of a work in the validation split) where asked.
3. *Splits.* An official split stays. Without one, all performances of a work go to one side, by a hash of the music: the same whatever the
   files are called and wherever they lie. What is of an official training work trains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from preludio.corpus.examination import HELD_OUT, EntryRecord
from preludio.corpus.fingerprint import Fingerprint
from preludio.corpus.matching import APART, Index, Similarity, compare
from preludio.corpus.works import LeakDetector

VALIDATION_SHARE = 20  # one work in twenty, of the sources without splits
_ORDER = {"test": 0, "validation": 1, "train": 2}  # None: 3

# A quick look before two performances with official splits are compared closely: most of MAESTRO's 3,900 pairs with something in common
# are other performances. What shares less of the smaller piece is a passage in common, no copy.
LEAST_SHARED = 0.25
LEAST_STEADY = 0.4  # of the time spans, at one speed to 2 %; copies agree nearly everywhere
FEWEST_SPANS = 12

Pair = tuple[int, int, Similarity]


@dataclass(frozen=True)
class SplitDecision:
    """What becomes of one entry."""

    split: str  # "" if it is left out
    reason: str = ""  # why it is left out; "" if it is kept
    kind: str = ""  # "unusable", "duplicate" or "leak"


@dataclass(frozen=True)
class SplitOptions:
    """Which of these rules are in force."""

    duplicates: bool = True  # leave out all but one of a performance's copies
    guard: bool = True  # leave out what other sources have of held-out works
    guard_own: bool = False  # and what the official training split has of them


def decide_splits(records: Sequence[EntryRecord], landmarks: Sequence[Fingerprint], choice: SplitOptions) -> list[SplitDecision]:
    """A verdict for each entry."""
    decisions = [SplitDecision("", one.fault, "unusable") for one in records]
    usable = [place for place, one in enumerate(records) if not one.fault]
    alike = list(_pairs(records, landmarks, usable))
    copies = _copies(records, landmarks, usable, alike) if choice.duplicates else {}
    drawn = _drawn_splits(records, landmarks, usable, alike)
    guard = _guard(records, landmarks) if choice.guard or choice.guard_own else None
    for place in usable:
        if place in copies:
            decisions[place] = SplitDecision("", f"the same performance as {_called(records[copies[place]])}", "duplicate")
        elif guard is not None and _guarded(records[place], choice) and (leak := _leak(guard, records[place], landmarks[place])):
            decisions[place] = SplitDecision("", leak, "leak")
        else:
            decisions[place] = SplitDecision(records[place].entry.split or drawn[place])
    return decisions


# --- what is like what ------------------------------------------------------------------------------------------------------------


def _pairs(records: Sequence[EntryRecord], landmarks: Sequence[Fingerprint], usable: Sequence[int]) -> Iterator[Pair]:
    """Every two of one work. Of two with official splits only copies matter, which is a quicker question."""
    index = Index([landmarks[place] for place in usable])
    official = {place: _outline(landmarks[place]) for place in usable if records[place].entry.split}
    for number, one in enumerate(usable):
        for candidate in index.candidates(landmarks[one]):
            other = usable[candidate]
            if candidate <= number or (one in official and other in official and not _may_be_copies(official[one], official[other])):
                continue
            similarity = compare(landmarks[one], landmarks[other])
            if similarity.same_work:
                yield one, other, similarity


class _Outline(NamedTuple):
    """What the quick look needs of a piece."""

    hashes: Any  # each once, rising
    single: Any  # those that come once, rising
    single_ms: Any  # when they come


def _outline(landmarks: Fingerprint) -> _Outline:
    hashes = landmarks["hash"]
    differ = np.concatenate([[True], hashes[1:] != hashes[:-1], [True]]) if len(hashes) else np.array([True])
    once = differ[1:] & differ[:-1]
    return _Outline(hashes[differ[:-1]], hashes[once], landmarks["onset_ms"][once].astype(np.float64))


def _may_be_copies(one: _Outline, other: _Outline) -> bool:
    """False where little is shared, or landmarks that both have once come at other distances in time. Too few of them say nothing."""
    smaller, larger = sorted((one, other), key=lambda outline: len(outline.hashes))
    if np.count_nonzero(_found(smaller.hashes, larger.hashes) >= 0) < LEAST_SHARED * len(smaller.hashes):
        return False
    place = _found(smaller.single, larger.single)
    shared = np.flatnonzero(place >= 0)
    if len(shared) < APART + FEWEST_SPANS:
        return True
    here, there = smaller.single_ms[shared], larger.single_ms[place[shared]]
    order = np.argsort(here)
    span, other_span = (times[order][APART:] - times[order][:-APART] for times in (here, there))
    speeds = np.sort(other_span / np.maximum(span, 1.0))
    speeds = speeds[np.searchsorted(speeds, 0.0, side="right") :]
    agree = np.searchsorted(speeds, speeds * 1.02, side="right") - np.arange(len(speeds))
    return bool(agree.max(initial=0) >= LEAST_STEADY * len(span))


def _found(some: Any, others: Any) -> Any:
    """The place of each hash among the others, -1 where it is not there. Both are rising."""
    if not len(others):
        return np.full(len(some), -1)
    place = np.searchsorted(others, some)
    place[place == len(others)] = 0
    return np.where(others[place] == some, place, -1)


def _copies(
    records: Sequence[EntryRecord], landmarks: Sequence[Fingerprint], usable: Sequence[int], alike: Sequence[Pair]
) -> dict[int, int]:
    """For each copy the one that is kept instead of it. Two parts of one whole are its copies, not each other's."""
    partners: dict[int, list[int]] = {}
    for one, other, similarity in alike:
        if similarity.same_performance:
            partners.setdefault(one, []).append(other)
            partners.setdefault(other, []).append(one)

    def rank(place: int) -> tuple[float, ...]:
        one = records[place]
        order = _ORDER.get(one.entry.split or "", 3)
        return order, -len(landmarks[place]), -one.n_notes, -one.n_tokens, one.seconds, one.checksum, place

    copies: dict[int, int] = {}
    for place in sorted(usable, key=rank):
        better = [other for other in partners.get(place, ()) if other not in copies and rank(other) < rank(place)]
        if better:
            copies[place] = min(better, key=rank)
    return copies


# --- splits -----------------------------------------------------------------------------------------------------------------------


def _drawn_splits(
    records: Sequence[EntryRecord], landmarks: Sequence[Fingerprint], usable: Sequence[int], alike: Sequence[Pair]
) -> dict[int, str]:
    """A split for each entry, as if there were no official ones: one for all of a work."""
    works = _Groups(len(records))
    for one, other, _ in alike:
        works.unite(one, other)
    smallest: dict[int, int] = {}
    for place in usable:
        hashes = landmarks[place]["hash"]
        least = int(hashes[0]) if len(hashes) else records[place].n_tokens  # landmarks are in the order of their hashes
        work = works.first(place)
        smallest[work] = min(least, smallest.get(work, least))
    trained = {works.first(place) for place in usable if records[place].entry.split == "train"}
    return {place: "train" if (work := works.first(place)) in trained else _drawn_split(smallest[work]) for place in usable}


def _drawn_split(work: int) -> str:
    """One work in `VALIDATION_SHARE`. The smallest of many hashes is small: its bits are spread again."""
    return "validation" if (work * 0x9E3779B97F4A7C15 >> 40) % (1 << 24) * VALIDATION_SHARE < 1 << 24 else "train"


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


# --- leaks ------------------------------------------------------------------------------------------------------------------------


def _guard(records: Sequence[EntryRecord], landmarks: Sequence[Fingerprint]) -> LeakDetector:
    """Over all that is held out, its music where it could be read, its title in any case."""
    held_out = [place for place, one in enumerate(records) if one.entry.split in HELD_OUT]
    return LeakDetector([(records[place].entry, None if records[place].fault else landmarks[place]) for place in held_out])


def _guarded(one: EntryRecord, choice: SplitOptions) -> bool:
    if one.entry.split in HELD_OUT:
        return False
    return choice.guard_own if one.entry.split == "train" else choice.guard


def _leak(guard: LeakDetector, one: EntryRecord, landmarks: Fingerprint) -> str:
    leaks = guard.leaks(one.entry, landmarks)
    if not leaks:
        return ""
    held_out = leaks[0].held_out
    called = f"{held_out.composer}, {held_out.title}" if held_out.composer else held_out.title or held_out.name
    return f"of a held-out work, by its {leaks[0].by}: {called} ({held_out.split})"


def _called(one: EntryRecord) -> str:
    return f"{one.entry.source}: {one.entry.name}"
