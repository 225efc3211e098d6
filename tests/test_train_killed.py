"""Nothing is lost: a training run that is killed, stopped or out of space goes on with --resume, and its losses are those of a run that
never was, to the last bit. Real processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from safetensors import safe_open
from training_runs import (
    Started,
    arguments,
    full_disk,
    killed_at_write,
    killed_within_a_state,
    rows,
    slow_step,
    write_data,
)

from preludio.model import fused
from preludio.train import state

Row = dict[str, Any]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"), train=4, validation=2)


@pytest.fixture(scope="module")
def unkilled(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the run gives if nothing happens to it."""
    out = tmp_path_factory.mktemp("unkilled") / "run"
    assert Started(arguments(data, out), out.parent / "said").wait()[0] == 0
    return out


def start(data: Path, out: Path, **before: Any) -> Started:
    """Begins, or goes on if there is something to go on with."""
    resume = ["--resume"] if (out / state.FILE).exists() else []
    return Started(arguments(data, out, *resume), out.parent / "said", **before)


def assert_the_same(out: Path, unkilled: Path) -> None:
    """The log to the last bit (JSON keeps every bit of a float64), and the model to the last byte; nothing lies about."""
    assert rows(out) == rows(unkilled)
    assert (out / "model.safetensors").read_bytes() == (unkilled / "model.safetensors").read_bytes()
    assert not [path for path in out.iterdir() if path.name not in {one.name for one in unkilled.iterdir()} and path.name[0] != "."]


def test_killed_at_random_moments_it_ends_as_if_nothing_had_been(data: Path, unkilled: Path, tmp_path: Path) -> None:
    seed = time.time_ns()
    rng, out = np.random.default_rng(seed), tmp_path / "run"
    for _ in range(4):
        running, until = start(data, out), len(rows(out)) + int(rng.integers(0, 8))
        running.until(lambda until=until: len(rows(out)) > until and (out / state.FILE).exists())  # type: ignore[misc]
        time.sleep(rng.uniform(0, 0.03))
        running.kill()
    code, said = start(data, out).wait()
    assert code == 0, (seed, said)
    assert_the_same(out, unkilled)


def test_killed_while_writing_anything_it_ends_as_if_nothing_had_been(data: Path, unkilled: Path, tmp_path: Path) -> None:
    """In its first write, at the next start in the second, and so on: the log, the state, the weights, the card, the curve, the page."""
    out, kills = tmp_path / "run", 0
    for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 99):
        code, said = start(data, out, before=killed_at_write, n=n).wait()
        kills += code == -signal.SIGKILL
        if code == 0:
            break
        assert code == -signal.SIGKILL, said
    assert kills >= 6
    assert_the_same(out, unkilled)


@pytest.mark.parametrize("n", [1, 3])
def test_half_a_state_is_no_state(data: Path, unkilled: Path, tmp_path: Path, n: int) -> None:
    """Killed in the middle of a write: the file before it stands, or none."""
    out = tmp_path / "run"
    assert start(data, out, before=killed_within_a_state, n=n).wait()[0] == -signal.SIGKILL
    assert start(data, out).wait()[0] == 0
    assert_the_same(out, unkilled)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_it_finishes_the_step_and_saves_it(data: Path, unkilled: Path, tmp_path: Path, number: int) -> None:
    out = tmp_path / "run"
    running = start(data, out)
    running.until(lambda: len(rows(out)) >= 7)
    running.send(number)
    code, said = running.wait()
    assert code == 130
    assert said[-1] == f"preludio: stopped; what was learned is kept in {out}: go on with --resume"
    assert step_of(out) == len(rows(out)) < 24  # nothing of what the log tells is lost
    assert (out / "index.html").exists()
    assert start(data, out).wait()[0] == 0
    assert_the_same(out, unkilled)


def test_a_second_ctrl_c_does_not_wait(data: Path, unkilled: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    running = start(data, out, before=slow_step, at=8)
    running.until(lambda: len(rows(out)) >= 8)
    running.send(signal.SIGINT)
    time.sleep(0.7)
    assert running.process.is_alive()
    running.send(signal.SIGINT)
    assert running.wait()[0] == 130
    assert step_of(out) == 5
    assert start(data, out).wait()[0] == 0
    assert_the_same(out, unkilled)


def test_a_ctrl_c_that_comes_twice_at_once_is_one(data: Path, tmp_path: Path) -> None:
    """torchrun hands a terminal's Ctrl-C on to processes that have had it already; it broke off the step that was to be saved."""
    out = tmp_path / "run"
    running = start(data, out)
    running.until(lambda: len(rows(out)) >= 3)
    running.send(signal.SIGINT)
    running.send(signal.SIGINT)
    assert running.wait()[0] == 130
    assert step_of(out) == len(rows(out)) >= 3


def test_a_full_disk_is_one_line_and_the_state_before_stands(data: Path, unkilled: Path, tmp_path: Path) -> None:
    """The optimisers remember nothing at first, so the second state is the longer one, and does not fit."""
    out, room = tmp_path / "run", (unkilled / state.FILE).stat().st_size - 1
    code, said = start(data, out, before=full_disk, n_bytes=room).wait()
    assert code == 2
    assert said[-1] == f"preludio: cannot write {out / state.FILE}: File too large; choose another place or free some space"
    assert step_of(out) == 0
    assert start(data, out).wait()[0] == 0
    assert_the_same(out, unkilled)


def test_a_log_that_finds_no_space_is_one_line(data: Path, unkilled: Path, tmp_path: Path) -> None:
    """With its last row cut in two, which the next sitting takes back."""
    out = tmp_path / "run"
    running = start(data, out)
    running.until(lambda: len(rows(out)) >= 7)
    running.send(signal.SIGINT)
    running.wait()
    with (out / "log.jsonl").open("a") as file:
        file.write('{"step": 99, "tok')
    assert start(data, out).wait()[0] == 0
    assert_the_same(out, unkilled)


def test_a_state_is_a_file_like_the_others(unkilled: Path) -> None:
    """safetensors made it readable by its owner alone, which a shared folder's second machine is not."""
    mask = os.umask(0)
    os.umask(mask)
    assert (unkilled / state.FILE).stat().st_mode & 0o777 == 0o666 & ~mask


COMPILED = ["model.d_model=64", "model.window=128", "lengths=[[64,0.5],[128,1.0]]", "steps=12", "compile=true"]


def test_a_compiled_run_ends_as_if_nothing_had_been(data: Path, tmp_path: Path) -> None:
    """What trains by default: compiled arithmetic and the C++ attention, in bfloat16 where the processor has it. Killed where windows of
    another length, and so other code, have begun."""
    if why := fused.build():
        pytest.skip(f"needs a C++ compiler: {why}")
    runs = [tmp_path / name / "run" for name in ("unkilled", "killed")]
    for out in runs:
        out.parent.mkdir()
    unkilled, killed = (Started(arguments(data, out, words=COMPILED), out.parent / "said") for out in runs)
    killed.until(lambda: len(rows(runs[1])) >= 8)
    killed.kill()
    assert 8 <= len(rows(runs[1])) < 12
    resumed = Started(arguments(data, runs[1], "--resume", words=COMPILED), tmp_path / "said")
    assert [one.wait()[0] for one in (unkilled, resumed)] == [0, 0]
    assert_the_same(runs[1], runs[0])


def step_of(out: Path) -> int:
    with safe_open(out / state.FILE, framework="pt"):
        return state.load(out / state.FILE)[1].step
