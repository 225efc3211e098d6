"""A training run: it learns, what it writes can be composed with and looked at, and what cannot be is one line and loses nothing."""

from __future__ import annotations

import json
import math
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from safetensors import SafetensorError
from training_runs import MODEL, arguments, config, open_data, rows, write_data

import preludio
from preludio import checkpoint, cli
from preludio.errors import OutputError, TrainError
from preludio.model.tables import checkpoint_arrays
from preludio.tokens import VOCABULARY_HASH
from preludio.train import curve, log, page, state
from preludio.train import loop as looping
from preludio.train.config import TrainConfig
from preludio.train.distributed_context import DistributedContext
from preludio.train.log import RunLog
from preludio.train.loop import batches
from preludio.train.muon import Muon, orthogonal
from preludio.train.observers import Console, StatusLine, clock
from preludio.train.optimisers import Optimisers
from preludio.train.training_run import TrainingRun

CPU = DistributedContext(0, 1, torch.device("cpu"))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"), train=4, validation=2)


def a_run(data: Path, **changes: Any) -> TrainingRun:
    return TrainingRun(config(**changes), open_data(data), CPU)


def losses(run: TrainingRun, n: int) -> list[float]:
    return [run.step(batch) for batch, _ in zip(batches(run), range(n), strict=False)]


# One step after another


def test_it_learns(data: Path) -> None:
    """200 steps on four made-up works: from the nothing of ln 391 = 5.97 to under what the frequencies of events alone would give."""
    run = a_run(data, steps=200, decay_steps=80)
    before = run.quick_validation()
    assert before is not None
    told = losses(run, 200)
    assert math.isclose(told[0], math.log(391), abs_tol=0.02)
    counts = np.bincount(run.train.split.ids)
    frequencies = counts[counts > 0] / counts.sum()
    assert np.mean(told[-10:]) < -(frequencies * np.log(frequencies)).sum() - 0.1
    after = run.quick_validation()
    assert after is not None
    assert after < before - 1
    assert run.progress.step == 200
    assert run.progress.tokens <= 200 * 256


@pytest.mark.parametrize("micro", [32, 64, 96, 1])
def test_a_batch_in_parts_is_the_batch(data: Path, monkeypatch: pytest.MonkeyPatch, micro: int) -> None:
    """In float32 the order of sums alone differs; 96 leaves a smaller last part, and PAD at a piece's end must not count."""
    monkeypatch.setattr("preludio.train.training_run.has_bfloat16", lambda _: False)
    whole = losses(a_run(data, optimiser="adamw"), 12)
    parts = losses(a_run(data, optimiser="adamw", micro_tokens=micro), 12)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-5)


def test_the_gradient_is_no_longer_than_asked(data: Path) -> None:
    run = a_run(data, clip=0.05, optimiser="adamw")
    losses(run, 1)
    length = math.sqrt(sum(float((p.grad**2).sum()) for p in run.model.parameters() if p.grad is not None))
    assert math.isclose(length, 0.05, rel_tol=1e-3)


def test_the_average_is_what_is_looked_at_and_kept(data: Path) -> None:
    """The checkpoint holds the average, its generated tables baked; after a look the run learns on from its own weights."""
    run = a_run(data, average=0.5)
    first = {name: p.detach().clone() for name, p in run.parameters.items()}
    losses(run, 1)
    kept = run.to_checkpoint()
    assert kept is not None
    plain = checkpoint_arrays(run.config.model, run.weights | {name: (first[name] + p.detach()) / 2 for name, p in run.parameters.items()})
    for name, array in kept.arrays.items():
        np.testing.assert_allclose(array, plain[name].detach().numpy(), rtol=1e-6, atol=1e-7)
    learning = {name: p.detach().clone() for name, p in run.parameters.items()}
    quick_validation = run.quick_validation()
    assert quick_validation is not None
    assert all(torch.equal(learning[name], p) for name, p in run.parameters.items())  # and given back to the last bit
    run._load(run.model.parameters_of(kept))
    run.average = {}
    assert run.quick_validation() == pytest.approx(quick_validation, abs=1e-5)


# Who updates what


@pytest.mark.parametrize(("rows_", "columns"), [(48, 16), (16, 16), (16, 64)])
def test_muon_is_the_published_one(monkeypatch: pytest.MonkeyPatch, rows_: int, columns: int) -> None:
    """torch.optim.Muon, which always computes in bfloat16, to the last bit, over steps with momentum and weight decay."""
    monkeypatch.setattr("preludio.train.muon.has_bfloat16", lambda _: True)
    generator = torch.Generator().manual_seed(1)
    ours = torch.nn.Parameter(torch.randn(rows_, columns, generator=generator))
    theirs = torch.nn.Parameter(ours.detach().clone())
    steppers = [Muon([ours], 0.02, 0.1), torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1)]
    for _ in range(4):
        gradient = torch.randn(rows_, columns, generator=generator)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        for each in steppers:
            each.step()
        assert torch.equal(ours, theirs)


def test_orthogonal_means_all_directions_are_equally_long() -> None:
    matrix = torch.randn(24, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lengths = torch.linalg.svdvals(orthogonal(matrix).double())
    assert 0.6 < float(lengths.min()) <= float(lengths.max()) < 1.3


def test_matrices_have_muon_and_the_rest_adamw(data: Path) -> None:
    optimisers = a_run(data).optimisers
    by_muon = {name for name, p in optimisers.parameters.items() if isinstance(optimisers._owner(p), Muon)}
    assert by_muon == {f"layers.{n}.{kind}" for n in (0, 1) for kind in ("qkv", "attention_out", "feed_forward_in", "feed_forward_out")}
    assert len(a_run(data, optimiser="adamw").optimisers.each) == 1


def test_optimisers_at_rest_go_on_as_if_awake(data: Path) -> None:
    one, other = a_run(data), a_run(data)
    losses(one, 5)
    other._load({name: tensor.detach().clone() for name, tensor in one.weights.items()})
    other.optimisers.restore(one.optimisers.tensors())
    other.progress = one.progress
    assert losses(one, 5) == losses(other, 5)


@pytest.mark.parametrize("key", ["layers.0.qkv/exp_avg", "embedding/momentum_buffer", "embedding/more"])
def test_another_optimisers_memory_is_refused_whole(data: Path, key: str) -> None:
    optimisers: Optimisers = a_run(data).optimisers
    good = optimisers.parameters["norm"]
    with pytest.raises((ValueError, KeyError)):
        optimisers.restore({"norm/exp_avg": torch.ones(16), key: torch.ones(3)})
    assert not optimisers._owner(good).state


# What is kept


def trained(data: Path, out: Path, *more: str, words: list[str] | None = None) -> int:
    return cli.run(arguments(data, out, *more, words=words))


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    assert trained(data, out, words=["sample_every=12"]) == 0
    return out


def test_what_a_run_leaves(finished: Path) -> None:
    names = {path.relative_to(finished).as_posix() for path in finished.rglob("*") if path.is_file()}
    pieces = {f"samples/step-{step:07}{suffix}" for step in (12, 24) for suffix in (".mid", ".svg")}
    files = {"state.safetensors", "before-decay.safetensors", "model.safetensors", "model.json", "log.jsonl", "curve.svg", "index.html"}
    assert names == pieces | files
    assert state.load(finished / "before-decay.safetensors")[1].step == 16


def test_every_step_is_in_the_log(finished: Path) -> None:
    told = rows(finished)
    assert [row["step"] for row in told] == list(range(1, 25))
    assert [row["step"] for row in told if "validation" in row] == [6, 12, 18, 24]
    assert [row["length"] for row in told] == [16] * 12 + [32] * 12
    assert told[0]["rate"] == pytest.approx(1 / 3)
    assert told[-1]["rate"] == pytest.approx(1 / 8)


def test_the_model_is_one_that_every_engine_reads(finished: Path) -> None:
    model = checkpoint.load(finished)
    assert model.config == MODEL
    assert model.about["steps"] == 24
    assert preludio.read_midi(finished / "samples" / "step-0000024.mid")


def test_a_run_goes_on_with_its_own_settings_and_new_ones(
    finished: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--resume needs no --config; steps, rates, lengths and averages may change."""
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    more = [text for word in ("steps=30", "average=0.9", "semitones=0", "lengths=[[8,1.0]]") for text in ("--set", word)]
    assert cli.run(["train", "--data", str(data), "--out", str(out), "--resume", "--json", *more]) == 0
    assert [row["length"] for row in rows(out)][-6:] == [8] * 6
    said = json.loads(capsys.readouterr().out)
    assert (said["step"], said["folder"]) == (30, str(out))
    assert {name.partition("/")[0] for name in state.load(out / state.FILE)[0]} == {"weights", "average", "optimiser"}


def test_a_run_that_is_complete_says_so(finished: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "log.jsonl").read_bytes()
    assert cli.run(["train", "--data", str(data), "--out", str(finished), "--resume"]) == 0
    assert "24 steps" in (said := capsys.readouterr().out)
    assert "no step was left to do" in said
    assert (finished / "log.jsonl").read_bytes() == before


def test_a_run_may_begin_with_a_models_weights(finished: Path, data: Path, tmp_path: Path) -> None:
    assert trained(data, tmp_path / "run", "--init", str(finished), words=["steps=6", "decay_steps=0"]) == 0
    assert rows(tmp_path / "run")[0]["loss"] < rows(finished)[0]["loss"] - 0.2


def test_a_handful_of_pieces_needs_no_validation_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one's own few pieces, preparing may put none aside."""
    few = write_data(tmp_path / "few", train=2)
    assert trained(few, tmp_path / "run", "--json", words=["steps=6", "decay_steps=0"]) == 0
    said = capsys.readouterr()
    assert "the validation split is empty" in said.err
    assert json.loads(said.out)["validation"] is None
    assert len(rows(tmp_path / "run")) == 6


# What cannot be


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The one line."""
    assert code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith(("preludio: step", "preludio: 37,968"))]
    assert len(lines) == 1, lines
    return lines[0]


def test_a_folder_that_holds_a_run(finished: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    assert "holds a run already: go on with --resume, or name another folder" in refused(capsys, trained(data, finished))
    assert {path: path.read_bytes() for path in finished.iterdir() if path.is_file()} == before


def test_nothing_to_resume(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no run to resume" in refused(capsys, trained(data, tmp_path / "run", "--resume"))
    assert "there is no run to resume" in refused(
        capsys, cli.run(["train", "--data", str(data), "--out", str(tmp_path / "run"), "--resume"])
    )
    assert not (tmp_path / "run").exists()


def test_resume_and_init_at_once(finished: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "leave one of them out" in refused(capsys, trained(data, finished, "--resume", "--init", "small"))


@pytest.mark.parametrize("word", ["model.d_model=32", "model.n_layers=3", "model.n_layers=1", "model.window=64", "optimiser=adamw"])
def test_a_state_of_another_model_or_optimiser(finished: Path, data: Path, capsys: pytest.CaptureFixture[str], word: str) -> None:
    line = refused(capsys, trained(data, finished, "--resume", words=[word]))
    assert "is another model's or optimiser's" in line
    assert str(finished / state.FILE) in line


def test_a_state_of_other_data(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_data(tmp_path / "other", train=3, validation=1)
    assert "was trained on other data" in refused(capsys, trained(other, finished, "--resume"))


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"half", b"other"])
def test_a_damaged_state(finished: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: bytes) -> None:
    out = tmp_path / "run"
    out.mkdir()
    whole = (finished / state.FILE).read_bytes()
    content = {b"half": whole[: len(whole) // 2], b"other": (finished / "model.safetensors").read_bytes()}.get(damage, damage)
    (out / state.FILE).write_bytes(content)
    for words in ([], ["--config", "tiny"]):
        line = refused(capsys, cli.run(["train", "--data", str(data), "--out", str(out), "--resume", *words]))
        assert re.search(r"state\.safetensors is damaged .*; begin anew in another folder, or go on from an older copy", line)


@pytest.mark.parametrize("change", ["hash", "format"])
def test_a_state_for_another_vocabulary(
    finished: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    old, new = {"hash": (VOCABULARY_HASH, "0" * 64), "format": ('"format": 1', '"format": 2')}[change]
    out = tmp_path / "run"
    out.mkdir()
    whole = (finished / state.FILE).read_bytes()
    (out / state.FILE).write_bytes(whole.replace(json.dumps(old)[1:-1].encode(), json.dumps(new)[1:-1].encode()))
    assert "another version, or for another vocabulary" in refused(capsys, trained(data, out, "--resume"))


def test_data_that_cannot_be_learned_from(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert "no training data there" in refused(capsys, trained(tmp_path / "nowhere", out))
    assert "there is nothing to learn from" in refused(capsys, trained(write_data(tmp_path / "empty"), out))
    assert "there is nothing to learn from" in refused(capsys, trained(write_data(tmp_path / "half", validation=2), out))
    broken = tmp_path / "broken"
    shutil.copytree(data, broken)
    whole = json.loads((data / "manifest.json").read_text())
    (broken / "manifest.json").write_text(json.dumps(whole | {"vocabulary_hash": "0" * 64}))
    assert "was made for another vocabulary" in refused(capsys, trained(broken, out))
    del whole["splits"]["validation"]
    (broken / "manifest.json").write_text(json.dumps(whole))
    assert "the data has no validation split; prepare it again" in refused(capsys, trained(broken, out))
    assert not out.exists()


def test_weights_of_another_shape_to_begin_with(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refused(capsys, trained(data, tmp_path / "run", "--init", "small"))
    assert "of another shape" in line
    assert "d_model=384" in line
    assert "no model" in refused(capsys, trained(data, tmp_path / "run", "--init", str(tmp_path / "none")))
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_written(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert "cannot write" in refused(capsys, trained(data, tmp_path / "file" / "run"))


def test_a_loss_that_is_no_number_is_one_line_and_nothing_of_it_is_kept(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, wild = tmp_path / "run", ["optimiser=adamw", "rate=1e30", "warmup_steps=0", "save_every=1"]
    line = refused(capsys, trained(data, out, words=wild))
    assert re.search(r"the loss is \S+ and its gradient \S+ at step \d+: nothing of this step was kept; lower the rates", line)
    tensors, progress, _ = state.load(out / state.FILE)
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert progress.step == len(rows(out))
    assert str(progress.step + 1) in line


def test_a_gradient_that_is_no_number_changes_no_weight(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss may still be finite. The weights became NaN then, and were saved before the next loss told."""
    run = a_run(data)
    before = {name: p.detach().clone() for name, p in run.parameters.items()}
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(math.inf))
    with pytest.raises(TrainError, match="its gradient inf at step 1"):
        losses(run, 1)
    assert all(torch.equal(before[name], p) for name, p in run.parameters.items())


def test_shard_needs_company(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "torchrun" in refused(capsys, trained(data, tmp_path / "run", "--shard"))


def test_a_state_that_finds_no_space_names_the_file_and_the_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """safetensors has an error of its own, with the number in its words."""

    def full(*_: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(state, "save_file", full)
    (tmp_path / "state.safetensors").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"state\.safetensors: No space left on device; choose another place or free some space$"):
        state.save(tmp_path / "state.safetensors", {}, state.TrainingProgress(), {})
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("state.safetensors", b"old")]


def test_a_step_that_is_its_last_is_not_called_stopped(data: Path, tmp_path: Path) -> None:
    """Ctrl-C in the very last step ended in "go on with --resume" though nothing was left."""
    from threading import Event

    class Quiet:
        def on_step(self, row: log.LogRow) -> None:
            if row["step"] == 3:
                stop.set()

        def on_saved(self, row: log.LogRow) -> None: ...

    stop = Event()
    result = looping.train(a_run(data, steps=3), tmp_path / "run", Quiet(), stop)
    assert result.progress.step == 3


# What people see


def a_log(n: int, every: int = 100) -> list[log.LogRow]:
    rng = np.random.default_rng(0)
    told: list[log.LogRow] = []
    for step in range(1, n + 1):
        row = {
            "step": step,
            "tokens": 1000 * step,
            "loss": 2 + 4 / (1 + step / 20) + rng.normal(0, 0.1),
            "length": 512 if step < n / 2 else 1024,
        }
        told.append(row | {"seconds": float(step)} | ({"validation": row["loss"] + 0.1} if step % every == 0 else {}))
    return told


@pytest.mark.parametrize("n", [0, 1, 2, 10, 1000, 100_000])
def test_a_curve_is_readable_however_long(n: int) -> None:
    picture = curve.curve_svg(a_log(n))
    root = ET.fromstring(picture)
    assert len(picture) < 120_000
    lines = {one.get("class"): one.get("points", "") for one in root.iter("{http://www.w3.org/2000/svg}polyline")}
    assert len(lines.get("train", "").split()) <= curve.MAX_POINTS
    for points in lines.values():
        for x, y in (map(float, point.split(",")) for point in points.split()):
            assert curve.LEFT <= x <= curve.RIGHT
            assert curve.TOP - 0.1 <= y <= curve.BASE + 0.1
    assert (">windows of 512<" in picture, ">1,024<" in picture) == (n >= 10, n >= 10)


def test_a_running_mean_is_one() -> None:
    points = np.stack([np.arange(500.0), np.random.default_rng(0).normal(3, 1, 500)], axis=1)
    means = curve.running_mean(points)
    assert means[0].tolist() == points[0].tolist()
    place = int(means[150, 0])
    assert means[150, 1] == pytest.approx(points[place - 12 : place + 13, 1].mean())
    assert np.ptp(means[20:-20, 1]) < np.ptp(points[:, 1]) / 2


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_curve_leaves_out_what_is_no_number(loss: float) -> None:
    assert "nan" not in (picture := curve.curve_svg([*a_log(10), {"tokens": 11_000, "loss": loss, "length": 512}]))
    assert "inf" not in picture


def test_the_page_stands_alone(finished: Path) -> None:
    text = (finished / "index.html").read_text()
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", text)
    assert text.count("data:image/svg+xml;base64,") == 2
    assert text.index("After 24 steps") < text.index("After 12 steps")
    for link in re.findall(r'href="([^"]+)"', text):
        assert (finished / link).is_file()
    assert "prefers-color-scheme: dark" in text
    assert (finished / "curve.svg").read_text() in text


def test_a_page_of_many_pieces_shows_some() -> None:
    assert page.evenly_spaced([5, 10]) == [5, 10]
    shown = page.evenly_spaced(list(range(0, 5000, 10)))
    assert len(shown) == page.MAX_PIECES
    assert (shown[0], shown[-1]) == (0, 4990)


def test_a_log_takes_back_what_lies_after_the_state(tmp_path: Path) -> None:
    told, first = a_log(5), RunLog(tmp_path, 0)
    for row in told:
        first.append(row)
    first.close()
    with (tmp_path / log.FILE).open("a") as file:
        file.write('{"step": 6, "los')
    second = RunLog(tmp_path, 3)
    second.append(told[4])
    second.close()
    assert log.read(tmp_path / log.FILE) == [*told[:3], told[4]]


def test_the_line_tells_loss_speed_and_time_left() -> None:
    said: list[str] = []
    line = StatusLine(100, Console(said.append))
    for step in range(1, 41):
        line.row({"step": step, "tokens": 1000 * step, "loss": 4.0, "length": 8, "seconds": 50.0 + 2 * step})
    assert said[0] == "step 1 of 100: loss 4.0000"
    assert said[-1].startswith("step 33 of 100: loss 4.0000, 500 tokens/s, 0:02:14 left")
    assert len(said) == 5  # 15 seconds apart
    assert clock(3725.9) == "1:02:05"


def test_on_a_terminal_the_line_is_in_place_and_glances_stay() -> None:
    stays: list[str] = []
    passes: list[str] = []
    line = StatusLine(10, Console(stays.append, passes.append))
    for step in range(1, 5):
        row: log.LogRow = {"step": step, "tokens": step, "loss": 4.0 + step, "length": 8, "seconds": 1e3 * step}
        line.row(row | ({"validation": 3.25} if step == 2 else {}))
    assert len(passes) == 4
    assert [text for text in stays if "validation 3.2500" in text] == stays
    assert "loss 5.5000" in stays[0]  # the mean since the last one that stayed


def test_tensorboard_is_an_extra(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    assert "pip install 'preludio[tensorboard]'" in refused(capsys, trained(data, tmp_path / "run", "--tensorboard"))
    assert not (tmp_path / "run").exists()


def test_tensorboard_has_the_figures_of_the_log(tmp_path: Path) -> None:
    """And none twice after a sitting that was killed."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="needs TensorBoard")
    for from_step, steps in ((0, range(1, 5)), (2, range(3, 7))):
        board = log.TensorBoardLog(tmp_path, from_step)
        for row in a_log(6, every=3):
            if row["step"] in steps:
                board.append(row)
        board.close()
    told = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    told.Reload()
    assert [event.step for event in told.Scalars("loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in told.Scalars("validation")] == [3, 6]
    np.testing.assert_allclose([event.value for event in told.Scalars("loss")], [row["loss"] for row in a_log(6)], rtol=1e-6)


def test_settings_of_a_state_are_those_of_the_run(finished: Path) -> None:
    told = TrainConfig.from_table(state.load_settings(finished / state.FILE), "the state")
    assert told.model == MODEL
    assert told.sample_every == 12
