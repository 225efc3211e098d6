"""Shards: what is written is what is read, the same input gives the same bytes, and damage is refused in one line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preludio.corpus.shards import MANIFEST, Encoded, ShardError, Shards, write_shards


def piece(split: str, number: int, n_tokens: int) -> Encoded:
    ids = np.random.default_rng(number).integers(0, 388, n_tokens).astype(np.uint16)
    return Encoded(split, "folder", f"{number}.mid", "Émile", f"Nº {number}", n_tokens // 4, ids)


def pieces(*lengths: int, split: str = "train") -> list[Encoded]:
    return [piece(split, number, length) for number, length in enumerate(lengths)]


@given(st.lists(st.tuples(st.sampled_from(["train", "validation", "test"]), st.integers(0, 50)), max_size=12))
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]]) -> None:
    folder = tmp_path_factory.mktemp("shards")
    written = [piece(split, number, n_tokens) for number, (split, n_tokens) in enumerate(rows)]
    write_shards(folder, written, {"seed": 1})
    shards = Shards.open(folder)
    for name, split in shards.splits.items():
        assert hashlib.sha256((folder / f"{name}.bin").read_bytes()).hexdigest() == shards.manifest["splits"][name]["sha256"]
        expected = [one for one in written if one.split == name]
        assert [info.name for info in split.pieces] == [one.name for one in expected]
        for number, one in enumerate(expected):
            assert np.array_equal(split.piece(number), one.ids)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_shards(tmp_path / name, pieces(100, 0, 30), {"b": 1, "a": 2})
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def damaged(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(manifest | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 2},
        {"vocabulary_hash": "another"},
        {"splits": None},
        {"splits": {"train": {}}},
        {"splits": {"train": {"file": "train.bin", "n_tokens": 10, "pieces": [{"start": 0}]}}},
        {"splits": {"train": {"file": "../../etc/passwd", "n_tokens": 13, "pieces": []}}},
    ],
)
def test_a_damaged_manifest_is_refused_in_one_line(tmp_path: Path, changes: dict[str, object]) -> None:
    write_shards(tmp_path, pieces(10, 3), {})
    damaged(tmp_path, **changes)
    with pytest.raises(ShardError) as refused:
        Shards.open(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_shard_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, pieces(10, 3), {})
    data = (tmp_path / "train.bin").read_bytes()
    (tmp_path / "train.bin").write_bytes(data[:-2])
    with pytest.raises(ShardError, match="size"):
        Shards.open(tmp_path)


def test_a_run_that_stops_midway_leaves_no_training_data_that_looks_whole(tmp_path: Path) -> None:
    """The manifest is taken away before the new files take the old ones' places: old places must not meet new ids."""
    write_shards(tmp_path, pieces(10, 3), {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def breaking() -> list[Encoded]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(tmp_path, (one for _ in range(2) for one in breaking()), {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
