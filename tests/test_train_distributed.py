"""Several processes are one run: the losses of two that share each batch are those of one that has it all, copied or sharded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file
from training_runs import Started, arguments, config, free_port, in_float32, one_of, open_data, rows, write_data

from preludio.errors import TrainError
from preludio.train import state
from preludio.train.distributed_context import DistributedContext
from preludio.train.training_run import TrainingRun

# With AdamW in float32 only the order of sums differs, 1e-7 of them: measured after 24 steps, 1e-6 nats.
ADAMW_NATS = 1e-5
# Muon rounds its directions to bfloat16, where so small a difference now and then moves a number to its neighbour, 2^-8 away: measured
# 8e-5 nats of a fall of 0.42.
MUON_NATS = 1e-3
# Under bfloat16 autocast each process rounds its own half of a gradient: measured 1.2e-3 nats.
BFLOAT16_NATS = 1e-2
ADAMW = ["optimiser=adamw", "rate=0.01"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"), train=4, validation=2)


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, float32, Muon."""
    out = tmp_path_factory.mktemp("alone") / "run"
    assert Started(arguments(data, out), out.parent / "said", in_float32).wait()[0] == 0
    return out


@pytest.fixture(scope="module")
def alone_with_adamw(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adamw") / "run"
    assert Started(arguments(data, out, words=ADAMW), out.parent / "said", in_float32).wait()[0] == 0
    return out


def together(data: Path, out: Path, *more: str, words: list[str] | None = None) -> list[tuple[int, list[str]]]:
    """Two processes, started as torchrun does; what came of each."""
    port = free_port()
    both = [
        Started(arguments(data, out, *more, words=words), out.parent / f"said{rank}", one_of, rank=rank, size=2, port=port)
        for rank in (0, 1)
    ]
    return [one.wait() for one in both]


def assert_one_curve(out: Path, other: Path, nats: float) -> None:
    ours, theirs = rows(out), rows(other)
    assert [{**row, "loss": 0, "validation": 0} for row in ours] == [{**row, "loss": 0, "validation": 0} for row in theirs]
    for name in ("loss", "validation"):
        np.testing.assert_allclose(
            [row[name] for row in ours if name in row], [row[name] for row in theirs if name in row], rtol=0, atol=nats
        )
    assert ours[-1]["loss"] < ours[0]["loss"] - 10 * nats  # it learned far more than they differ


@pytest.mark.parametrize("shard", [[], ["--shard"]], ids=["copied", "sharded"])
def test_two_processes_are_one(data: Path, alone_with_adamw: Path, tmp_path: Path, shard: list[str]) -> None:
    """DistributedDataParallel or FSDP2, with gradients added up over parts of the batch."""
    words = [*ADAMW, "micro_tokens=64"]
    assert [code for code, _ in together(data, tmp_path / "run", *shard, words=words)] == [0, 0]
    assert_one_curve(tmp_path / "run", alone_with_adamw, ADAMW_NATS)


def test_two_halves_of_a_model_are_one_and_their_state_is_whole(data: Path, alone: Path, tmp_path: Path) -> None:
    """FSDP2: stopped half-way, resumed in halves, and what it leaves is resumed by one process."""
    out = tmp_path / "run"
    assert [code for code, _ in together(data, out, "--shard", words=["steps=12", "decay_steps=0", "lengths=[[16,1.0]]"])] == [0, 0]
    shapes = {name: tensor.shape for name, tensor in load_file(out / state.FILE).items()}
    assert shapes == {name: tensor.shape for name, tensor in load_file(alone / state.FILE).items()}
    assert [code for code, _ in together(data, out, "--shard", "--resume", words=["steps=18", "lengths=[[16,0.67],[32,1.0]]"])] == [0, 0]
    assert Started(arguments(data, out, "--resume"), tmp_path / "said", in_float32).wait()[0] == 0
    assert [row["step"] for row in rows(out)] == list(range(1, 25))
    assert all(torch.isfinite(tensor).all() for tensor in load_file(out / state.FILE).values())


def test_muon_sees_sharded_matrices_whole(data: Path, alone: Path, tmp_path: Path) -> None:
    """Half a matrix made orthogonal is not half of the matrix made orthogonal."""
    assert [code for code, _ in together(data, tmp_path / "run", "--shard")] == [0, 0]
    assert_one_curve(tmp_path / "run", alone, MUON_NATS)


def test_torchrun_starts_it(data: Path, alone: Path, tmp_path: Path) -> None:
    """The command of the documents, in bfloat16 where the processor has it."""
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port()), "-m", "preludio"]
    ran = subprocess.run(
        [*program, *arguments(data, tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("24 steps") == 1  # one of them speaks
    assert_one_curve(tmp_path / "run", alone, BFLOAT16_NATS)


def test_processes_that_were_told_different_things_say_so(data: Path, tmp_path: Path) -> None:
    """Two machines with different settings would each wait for the other, or learn nonsense."""
    port = free_port()
    words: list[list[str]] = [[], ["rate=0.001"]]
    both = [
        Started(arguments(data, tmp_path / "run", words=words[rank]), tmp_path / f"said{rank}", one_of, rank=rank, size=2, port=port)
        for rank in (0, 1)
    ]
    for code, said in (one.wait() for one in both):
        assert code == 2
        assert "the processes of this run differ in their settings" in said[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("changes", "words"), [({"batch_tokens": 96}, "3 windows of 32 cannot be shared by 2 processes")])
def test_a_batch_that_cannot_be_shared(data: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TrainError, match=words):
        TrainingRun(config(**changes), open_data(data), DistributedContext(0, 2, torch.device("cpu")))
