"""What a run is told: files and words become settings, or one line that says which of them cannot be."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st
from strategies import law
from training_runs import config

from preludio.checkpoint import SIZES, ModelConfig
from preludio.errors import TrainError
from preludio.train import TrainConfig, read_config
from preludio.train.config import CONFIG_FOLDER


@pytest.mark.parametrize("name", ["tiny", "small", "base", "large"])
def test_each_named_configuration_is_one(name: str) -> None:
    assert read_config(name).model == SIZES[name]
    assert {path.stem for path in CONFIG_FOLDER.glob("*.toml")} == {"tiny", "small", "base", "large"}


def test_settings_survive_json() -> None:
    """So they lie in the state, and --resume needs none."""
    for name in ("tiny", "small", "base", "large"):
        told = read_config(name)
        assert TrainConfig.from_table(json.loads(json.dumps(told.to_json())), "the state") == told


def test_words_change_settings() -> None:
    words = ["steps=7", "rate=1e-3", "optimiser=adamw", "model.n_layers=3", "lengths=[[128, 0.5], [256, 1]]", "compile=true", "seed = 4"]
    told = read_config("tiny", words)
    assert (told.steps, told.rate, told.optimiser, told.compile, told.seed) == (7, 1e-3, "adamw", True, 4)
    assert told.model == dataclasses.replace(SIZES["tiny"], n_layers=3)
    assert told.lengths == ((128, 0.5), (256, 1.0))
    assert read_config("tiny", ["model=small"]).model == SIZES["small"]
    assert read_config("tiny", ["rate=1"]).rate == 1.0


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        "steps = 5\nbatch_tokens = 64.0\nlengths = [[8, 1.0]]\n[model]\nd_model = 8\nn_heads = 2\nn_layers = 1\nd_ff = 8\nwindow = 8\n"
    )
    told = read_config(str(path), ["model.window=16"])
    assert told.model == ModelConfig(8, 2, 1, 8, 16)
    assert (told.batch_tokens, type(told.batch_tokens)) == (64, int)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("stpes=5", "no setting 'stpes'; choose among model, steps,"),
        ("steps", "a change is written name=value, not 'steps'"),
        ("steps=0", "steps must be above 0, not 0"),
        ("steps=2.5", "steps cannot be 2.5"),
        ("steps=many", "steps cannot be 'many'"),
        ("steps=inf", "steps cannot be inf"),
        ("steps=nan", "steps cannot be nan"),
        ("steps=true", "steps cannot be True"),
        ("steps=" + "9" * 400, "steps cannot be 999"),
        ("compile=1", "compile cannot be 1"),
        ("rate=nan", "rate must be above 0, not nan"),
        ("rate=-1", "rate must be above 0"),
        ("rate=inf", "rate must be above 0"),
        ("rate=fast", "rate cannot be 'fast'"),
        ("weight_decay=-0.1", "weight_decay must be 0 or more"),
        ("weight_decay=nan", "weight_decay must be 0 or more"),
        ("optimiser=sgd", "optimiser must be one of muon, adamw, not 'sgd'"),
        ("optimiser=3", "optimiser cannot be 3"),
        ("average=1", "average must be 0 or more and below 1"),
        ("semitones=13", "semitones must be 0 to 12"),
        ("stretches=[]", "stretches must be factors from 0.5 to 2"),
        ("stretches=[3.0]", "stretches must be factors from 0.5 to 2"),
        ("stretches=1.0", "stretches cannot be 1.0"),
        ('stretches="1"', "stretches cannot be '1'"),
        ("stretches=['a']", "stretches cannot be ['a']"),
        ("lengths=[[256, 0.5]]", "lengths must be (tokens, share) with rising shares up to 1"),
        ("lengths=[]", "lengths must be (tokens, share)"),
        ("lengths=[[256, 1.0], [128, 0.5]]", "lengths must be (tokens, share)"),
        ("lengths=[[256]]", "lengths cannot be [[256]]"),
        ("lengths=[[1.5, 1.0]]", "lengths cannot be [[1.5, 1.0]]"),
        ("lengths=[[4096, 1.0]]", "a length must be 2 to the model's window of 2048, not 4096"),
        ("lengths=[[100, 1.0]]", "batch_tokens (4096) must be a multiple of each length, so of 100"),
        ("model=huge", "no model size 'huge'; choose among tiny, small, base, large"),
        ("model=5", "model must be a size's name or a table of d_model, n_heads"),
        ("model.layers=5", "model must be a size's name or a table of d_model, n_heads"),
        ("model.d_model=31", "d_model (31) must be a multiple of n_heads (2)"),
        ("model.d_model=big", "d_model must be a whole number"),
        ("steps.a=5", "steps is no table"),
    ],
)
def test_what_cannot_be_is_one_line(word: str, said: str) -> None:
    with pytest.raises(TrainError) as caught:
        read_config("tiny", [word])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "name one of base, large, small, tiny, or a TOML file"),
        (b"steps = ", "name one of base, large, small, tiny, or a TOML file"),
        (b"\xff\xfe", "name one of base, large, small, tiny, or a TOML file"),
        (b"", "model, steps, batch_tokens must be set"),
        (b'model = "tiny"', "steps, batch_tokens must be set"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainError) as caught:
        read_config(str(path))
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# The schedule


@law
@given(steps=st.integers(1, 300), warmup=st.integers(0, 400), decay=st.integers(0, 400))
def test_rates_rise_stay_and_fall_and_are_never_nothing(steps: int, warmup: int, decay: int) -> None:
    told = config(steps=steps, warmup_steps=warmup, decay_steps=decay)
    rates = [told.rate_at(step) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    top = max(range(steps), key=rates.__getitem__)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if warmup + decay <= steps:
        assert rates[warmup : steps - decay] == [1.0] * (steps - warmup - decay)
    if decay:
        assert math.isclose(rates[-1], min(1 / decay, steps / warmup if warmup > steps else 1.0))


def test_a_longer_run_is_the_shorter_one_until_that_begins_to_decay() -> None:
    """A stable phase has no end in it: it can be resumed with more steps, and the decay put where one likes."""
    endless, short = config(steps=1000, decay_steps=0), config(steps=60, decay_steps=20)
    assert [endless.rate_at(step) for step in range(40)] == [short.rate_at(step) for step in range(40)]
    assert short.decay_from == 40


@law
@given(steps=st.integers(1, 200), shares=st.lists(st.floats(0.01, 0.99), max_size=3))
def test_windows_grow_at_their_shares_and_every_step_has_one(steps: int, shares: list[float]) -> None:
    lengths = tuple((2 ** (n + 1), share) for n, share in enumerate([*sorted(shares), 1.0]))
    told = config(steps=steps, lengths=lengths)
    seen = [told.length_at(step) for step in range(steps)]
    assert seen == sorted(seen)
    for length, share in lengths:
        assert all(one <= length for step, one in enumerate(seen) if step < share * steps)
    assert told.length_at(steps) == lengths[-1][0]  # a step beyond the end, should one ask
