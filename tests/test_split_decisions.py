"""What is decided of each file, by its music: what is held out never trains, of copies one is kept, and names decide nothing."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music import played

from preludio.corpus.entry import Entry
from preludio.corpus.examination import HELD_OUT, EntryRecord
from preludio.corpus.fingerprint import Fingerprint, fingerprint
from preludio.corpus.split_decisions import SplitDecision, SplitOptions, decide_splits
from preludio.performance import Performance, crop, stretch, transpose


class Piece(NamedTuple):
    """What a file truly is, which `decide_splits` has to find out."""

    work: int
    hand: int = 0
    semitones: int = 0
    part: str = "whole"
    split: str | None = None

    @property
    def performance(self) -> tuple[int, int]:
        return self.work, self.hand


pieces = st.builds(
    Piece,
    work=st.integers(0, 5),
    hand=st.integers(0, 2),
    semitones=st.sampled_from([0, 0, 3, -5]),
    part=st.sampled_from(["whole", "whole", "most", "slow"]),
    split=st.sampled_from([None, None, None, "train", "validation", "test"]),
)


@cache
def music(piece: Piece) -> Performance:
    performance = transpose(played(piece.work, piece.hand), piece.semitones)
    if piece.part == "most":
        return crop(performance, performance.duration_ms // 4, performance.duration_ms * 15 // 16)
    if piece.part == "half":
        return crop(performance, performance.duration_ms // 2)
    return stretch(performance, 1.25) if piece.part == "slow" else performance


@cache
def landmarks(piece: Piece) -> Fingerprint:
    return fingerprint(music(piece))


def record_of(piece: Piece, name: str) -> EntryRecord:
    source = "folder" if piece.split is None else "maestro"
    n_notes, seconds = len(music(piece)), music(piece).duration_ms / 1000
    return EntryRecord(Entry(source, name, piece.split), "", "", n_notes, 4 * n_notes, seconds, checksum=piece.semitones + 5)


def decided(files: list[Piece], choice: SplitOptions | None = None) -> list[SplitDecision]:
    return decide_splits(
        [record_of(one, f"{n}.mid") for n, one in enumerate(files)], [landmarks(one) for one in files], choice or SplitOptions()
    )


def kept(files: list[Piece], verdicts: list[SplitDecision]) -> list[tuple[Piece, str]]:
    return [(one, verdict.split) for one, verdict in zip(files, verdicts, strict=True) if verdict.split]


@given(st.lists(pieces, max_size=8), st.booleans())
@settings(max_examples=80, deadline=None)
def test_what_is_held_out_never_trains(files: list[Piece], duplicates: bool) -> None:
    """However the files lie: no other source trains on a held-out work, and what was drawn for validation is of no work that trains."""
    verdicts = decided(files, SplitOptions(duplicates=duplicates))
    official = {one.work for one in files if one.split in HELD_OUT}
    drawn = {one.work for one, split in kept(files, verdicts) if split in HELD_OUT and one.split is None}
    for one, split in kept(files, verdicts):
        if split == "train":
            assert one.work not in drawn
            assert one.split == "train" or one.work not in official


@given(st.lists(pieces, max_size=8))
@settings(max_examples=50, deadline=None)
def test_asked_to_guard_the_official_split_too_nothing_trains_on_a_held_out_work(files: list[Piece]) -> None:
    verdicts = decided(files, SplitOptions(guard_own=True))
    held_out = {one.work for one in files if one.split in HELD_OUT}
    held_out |= {one.work for one, split in kept(files, verdicts) if split in HELD_OUT}
    assert not held_out & {one.work for one, split in kept(files, verdicts) if split == "train"}


@given(st.lists(pieces, max_size=8))
@settings(max_examples=80, deadline=None)
def test_of_every_performance_one_is_kept_and_an_official_split_stays(files: list[Piece]) -> None:
    verdicts = decided(files, SplitOptions(guard=False))
    for performance in {one.performance for one in files}:
        places = [place for place, one in enumerate(files) if one.performance == performance]
        stayed = [place for place in places if verdicts[place].split]
        assert len(stayed) == 1
        order = [files[place].split for place in places]
        best = next(split for split in ("test", "validation", "train", None) if split in order)
        assert files[stayed[0]].split == best
        assert best is None or verdicts[stayed[0]].split == best
        assert all(verdicts[place].kind == "duplicate" for place in places if place not in stayed)


@given(st.lists(pieces.map(lambda one: one._replace(split=None)), max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_names_and_order_decide_nothing(files: list[Piece], shuffle: random.Random) -> None:
    files = list(dict.fromkeys(files))
    plain = dict(zip(files, decided(files), strict=True))
    order = shuffle.sample(files, len(files))
    renamed = decide_splits(
        [record_of(one, f"elsewhere/{n:03} copy.mid") for n, one in enumerate(order)], [landmarks(one) for one in order], SplitOptions()
    )
    for one, verdict in zip(order, renamed, strict=True):
        assert (plain[one].split, plain[one].kind) == (verdict.split, verdict.kind)


@given(st.lists(pieces.map(lambda one: one._replace(split=None)), max_size=8))
@settings(max_examples=50, deadline=None)
def test_all_performances_of_a_work_fall_to_one_side(files: list[Piece]) -> None:
    verdicts = decided(files, SplitOptions(duplicates=False))
    sides = {(one.work, split) for one, split in kept(files, verdicts)}
    assert len(sides) == len({one.work for one in files})


def test_a_half_falls_to_the_side_of_its_whole() -> None:
    """A work's side is drawn by the smallest of its hashes, and a half may lack it."""
    files = [Piece(work, hand, part=part) for work in range(100) for hand, part in ((0, "whole"), (1, "half"))]
    splits = [verdict.split for verdict in decided(files, SplitOptions(duplicates=False))]
    assert splits[::2] == splits[1::2]
    assert splits != [verdict.split for file in files for verdict in decided([file])]  # alone, some halves fall to the other side


def test_about_one_work_in_twenty_is_drawn_for_validation() -> None:
    files = [Piece(work) for work in range(300)]
    drawn = [verdict.split for verdict in decided(files)]
    assert 6 <= drawn.count("validation") <= 26
    assert drawn.count("train") == 300 - drawn.count("validation")


@pytest.mark.parametrize("copy", [Piece(0, 0, 3), Piece(0, 0, 0, "most"), Piece(0, 0, -5, "slow"), Piece(0, 1)])
def test_the_guard_knows_a_work_in_another_key_cut_slower_or_under_other_hands(copy: Piece) -> None:
    files = [Piece(0, split="validation"), Piece(1, split="train"), copy, Piece(2)]
    verdicts = decided(files, SplitOptions(duplicates=False))
    assert [verdict.kind for verdict in verdicts] == ["", "", "leak", ""]
    assert "0.mid (validation)" in verdicts[2].reason
    assert decided(files, SplitOptions(duplicates=False, guard=False))[2].split


def test_the_whole_is_kept_and_its_parts_go_whatever_their_order() -> None:
    for files in ([Piece(0, part="most"), Piece(0)], [Piece(0), Piece(0, part="most")]):
        verdicts = decided(files)
        assert [one.part for one, _ in kept(files, verdicts)] == ["whole"]
        assert any(f"the same performance as folder: {files.index(Piece(0))}.mid" == verdict.reason for verdict in verdicts)


def test_of_copies_with_official_splits_the_held_out_one_is_kept() -> None:
    files = [Piece(0, split="train"), Piece(0, semitones=3, split="validation"), Piece(1, split="train"), Piece(1, 1, split="validation")]
    assert [verdict.split for verdict in decided(files)] == ["", "validation", "train", "validation"]


def test_a_held_out_file_that_is_missing_guards_by_its_title() -> None:
    missing = EntryRecord(Entry("maestro", "a.midi", "test", "Domenico Scarlatti", "Sonata in D Minor, K. 9"), "missing", "")
    other = record_of(Piece(0), "b.mid")
    other = replace(other, entry=Entry("giantmidi", "b.mid", None, "Domenico Scarlatti", "Keyboard Sonata in D minor, K.9"))
    verdicts = decide_splits([missing, other], [landmarks(Piece(0))[:0], landmarks(Piece(0))], SplitOptions())
    assert [verdict.kind for verdict in verdicts] == ["unusable", "leak"]
    assert verdicts[1].reason == "of a held-out work, by its title: Domenico Scarlatti, Sonata in D Minor, K. 9 (test)"


def test_what_cannot_be_used_stays_out_with_its_reason() -> None:
    broken = EntryRecord(Entry("folder", "a.mid"), "not MIDI", "")
    assert decide_splits([broken], [landmarks(Piece(0))[:0]], SplitOptions()) == [SplitDecision("", "not MIDI", "unusable")]
    assert decide_splits([], [], SplitOptions()) == []
