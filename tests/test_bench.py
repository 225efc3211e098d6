"""The benchmark's own arithmetic, by players whose times are written down; and the command, on a model of no size."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from test_engine import TINY, assert_equal_logits, needs_native, random_checkpoint

from preludio.bench import Bench, Row, list_candidates, picture, table
from preludio.bench.decoders import EngineDecoder, random_ids
from preludio.bench.measure import read_rate
from preludio.cli.program import run
from preludio.engine.native import NativeEngine
from preludio.engine.numpy_engine import NumpyEngine


class Metronome:
    """Takes as long as it is told for an event, twice as long from the context of 1,000 on."""

    def __init__(self, name: str, seconds: float, batch: int = 1) -> None:
        self.name, self.threads, self.batch, self.seconds = name, 1, batch, seconds

    def decode(self, n: int) -> np.ndarray:
        return np.where(np.arange(n) < 1000, 1.0, 2.0) * self.seconds


def rows() -> list[Row]:
    bench = Bench([Metronome("quick", 0.001), Metronome("slow", 0.5), Metronome("eight", 0.002, batch=8)])
    for _ in range(3):
        bench.repeat()
    return bench.rows


def test_events_a_second_over_a_piece_and_at_a_context() -> None:
    quick, slow, eight = rows()
    assert quick.piece(512).median == pytest.approx(1000)
    assert quick.piece(2048).median == pytest.approx(2048 / (1.000 + 2 * 1.048))
    assert (quick.at(100).median, slow.at(2000).median, eight.at(100).median) == pytest.approx((1000, 1, 4000))


def test_the_share_of_the_limit_is_reading_time_by_step_time() -> None:
    """A step of 1 ms that must read 1 MB where 2 GB/s are read: half of what could be."""
    row = rows()[0]
    row.step_bytes, row.read = {100: 10**6}, {100: [2e9, 2e9, 1e9]}
    share = row.share(100)
    assert share is not None
    assert (share.low, share.median, share.high) == pytest.approx((0.5, 0.5, 1.0))
    assert row.share(2000) is None


def test_the_table_and_the_picture_have_everybody() -> None:
    lines = table(rows(), 2048).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["quick", "slow", "eight"]
    tree = ElementTree.fromstring(picture(rows(), 2048, "Speed & more"))
    curves = tree.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(curves) == 2  # one take at a time
    heights = [[float(point.split(",")[1]) for point in curve.attrib["points"].split()] for curve in curves]
    assert all(quick < slow for quick, slow in zip(*heights, strict=True))


@needs_native
def test_a_native_player_is_held_against_the_limit() -> None:
    bench = Bench([EngineDecoder(NativeEngine(random_checkpoint(TINY), "int8", 1), 1)], 120)
    bench.repeat()
    (row,) = bench.rows
    assert row.share(100) is not None
    assert len(row.prompts) == 1
    assert read_rate(1 << 20, threads=2, seconds=0) > 0


@needs_native
@pytest.mark.parametrize(("precision", "size"), [("int8", 1), ("bfloat16", 2), ("float32", 4)])
def test_a_batch_reads_weights_once_and_each_sequence_s_keys_and_values(precision: str, size: int) -> None:
    engine = NativeEngine(random_checkpoint(TINY), precision, 1)
    one, eight = (EngineDecoder(engine, 1, batch).step_bytes(10) for batch in (1, 8))
    assert one is not None
    a_position = size * TINY.d_model + (4 * TINY.n_heads if precision == "int8" else 0)  # its keys in a layer, with their scales
    assert eight == one + 7 * 2 * TINY.n_layers * 10 * a_position


def test_the_graph_for_onnx_is_the_same_model() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from preludio.bench.onnx_decoder import OnnxDecoder

    checkpoint, ids = random_checkpoint(TINY), random_ids(TINY.window)
    logits, _ = OnnxDecoder("ONNX", checkpoint, threads=1).logits(ids)
    assert_equal_logits(logits, NumpyEngine(checkpoint).session().feed(ids[None]))


@pytest.mark.parametrize("relative_per_head", [False, True])
@pytest.mark.parametrize("n", [1, 7, TINY.window])
def test_the_textbook_attention_is_the_same_model(n: int, relative_per_head: bool) -> None:
    torch = pytest.importorskip("torch")
    from preludio.bench.uncached_decoders import SkewedTransformer

    checkpoint, ids = random_checkpoint(dataclasses.replace(TINY, relative_per_head=relative_per_head)), random_ids(2, n)
    with torch.no_grad():
        logits = SkewedTransformer.from_checkpoint(checkpoint)(torch.from_numpy(ids)).numpy()
    assert_equal_logits(logits, NumpyEngine(checkpoint).session(2).feed_all(ids))


def test_recomputing_costs_more_the_more_was_heard_or_always_the_whole_window() -> None:
    pytest.importorskip("torch")
    from preludio.bench.uncached_decoders import PaddedDecoder, PrefixDecoder

    checkpoint = random_checkpoint(TINY)
    padded, so_far = PaddedDecoder("padded", checkpoint, 1).decode(20), PrefixDecoder("so far", checkpoint, 1).decode(20)
    assert padded.shape == so_far.shape == (20,)
    assert (padded == padded[0]).all()
    assert (so_far > 0).all()


def test_everyone_is_known_by_name_before_coming() -> None:
    guests = list_candidates(TINY, threads=2, batch=3, others=True)
    assert len({(guest.name, guest.threads, guest.batch) for guest in guests}) == len(guests)
    for guest in guests:
        player = guest.build()
        assert (player.name, player.threads, player.batch) == guest[:3]


def test_the_command_without_others(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = run(
        [
            "bench",
            "--size",
            "tiny",
            "--events",
            "100",
            "--repeats",
            "1",
            "--alone",
            "--takes",
            "2",
            "--out",
            str(tmp_path / "a.svg"),
            "--json",
        ]
    )
    assert code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["command"] == "bench"
    assert found["rows"][-1]["engine"] == "numpy"
    ElementTree.parse(tmp_path / "a.svg")


def test_an_unknown_size_names_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "--size", "huge"]) == 2
    assert "base" in capsys.readouterr().err


def test_the_command_line_loads_no_benchmark() -> None:
    program = "import sys, preludio.cli.program; print('preludio.bench' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
