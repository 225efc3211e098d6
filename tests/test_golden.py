"""Files of version 0.1.0 still open: shards, a model, a run that was stopped, its settings. Made once, never made anew.

`golden/run` is the state after step 4 of 6 (`before-decay.safetensors`) of a run on `golden/shards` with `golden/config.toml`, and the log
of all six steps; `golden/model` is the model after the last one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from music import played

from preludio import checkpoint
from preludio.checkpoint import ModelConfig
from preludio.corpus.shards import Shards
from preludio.engine import open_engine
from preludio.tokens import START, encode

GOLDEN = Path(__file__).parent / "golden"
MODEL = ModelConfig(d_model=4, n_heads=1, n_layers=1, d_ff=4, window=16)
LOGITS = [-0.0065394, 0.0058885, 0.0117341, 0.0120118]  # the first four, after START and a middle C


def test_shards_open_and_hold_the_ids_that_were_written() -> None:
    shards = Shards.open(GOLDEN / "shards")
    assert {name: len(split) for name, split in shards.splits.items()} == {"train": 2, "validation": 1, "test": 1}
    for work, (split, number) in enumerate([("train", 0), ("train", 1), ("validation", 0), ("test", 0)]):
        assert np.array_equal(shards.splits[split].piece(number), encode(played(work)))
        assert shards.splits[split].pieces[number].title == f"Étude {work}"
    for name, split in shards.manifest["splits"].items():
        assert hashlib.sha256((GOLDEN / "shards" / split["file"]).read_bytes()).hexdigest() == split["sha256"], name


def test_a_model_opens_and_predicts() -> None:
    loaded = checkpoint.load(GOLDEN / "model")
    assert loaded.config == MODEL
    assert sum(array.size for array in loaded.arrays.values()) == MODEL.n_parameters
    logits = open_engine(loaded, "numpy").session().feed(np.array([[START, 60]]))
    assert np.allclose(logits[0, :4], LOGITS, atol=1e-6)


def test_settings_open() -> None:
    pytest.importorskip("torch")
    from preludio.train import read_config, resumed_config

    settings = read_config(str(GOLDEN / "config.toml"))
    assert settings.model == MODEL
    assert (settings.batch_tokens, settings.lengths, settings.stretches) == (64, ((8, 0.5), (16, 1.0)), (0.95, 1.0, 1.05))
    assert resumed_config(GOLDEN / "run") == settings


def test_a_run_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from preludio import cli

    shutil.copytree(GOLDEN / "run", tmp_path / "run")
    assert cli.run(["train", "--data", str(GOLDEN / "shards"), "--out", str(tmp_path / "run"), "--resume"]) == 0
    texts = [(folder / "log.jsonl").read_text() for folder in (GOLDEN / "run", tmp_path / "run")]
    before, after = ([json.loads(line) for line in text.splitlines()] for text in texts)
    assert [row["step"] for row in after] == [1, 2, 3, 4, 5, 6]
    assert [row["rate"] for row in after] == [row["rate"] for row in before]
    assert np.allclose([row["loss"] for row in after], [row["loss"] for row in before], atol=0.05)  # its tables are generated from now on
