"""Likelihood: the papers' protocol against sums done by hand, whatever computes them and however the work is divided."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from datasets import MAESTRO, needs_datasets
from hypothesis import given
from hypothesis import strategies as st
from music import played

from preludio import checkpoint, cli
from preludio.checkpoint import SIZES, Checkpoint, ModelConfig, array_shapes
from preludio.corpus.shards import EncodedPiece, Shards, write_shards
from preludio.engine import exact_engine
from preludio.errors import PreludioError, PreludioWarning, RequestError
from preludio.evaluate import EngineScore, Likelihood, Segmentation, TokenisedPiece, likelihood, likelihoods, open_pieces, pieces_of, table
from preludio.evaluate.figures import KINDS
from preludio.midi import write_midi
from preludio.tokens import END, PAD, START, TIME_SHIFT, VELOCITY, VOCAB_SIZE, encode

TINY = ModelConfig(d_model=16, n_heads=2, n_layers=2, d_ff=32, window=24)
LN2 = math.log(2)

Ids = npt.NDArray[np.int64]


def random_checkpoint(config: ModelConfig = TINY, seed: int = 0) -> Checkpoint:
    rng = np.random.default_rng(seed)
    arrays = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in array_shapes(config).items()}
    return Checkpoint(config, arrays, {})


def random_piece(n: int, seed: int = 0) -> TokenisedPiece:
    return TokenisedPiece(f"{seed}", np.random.default_rng([n, seed]).integers(0, 388, n).astype(np.uint16))


def by_kind(ids: Ids) -> npt.NDArray[np.floating[Any]]:
    """A model that gives a note-on 1/2, a note-off 1/4, a shift 1/8, a velocity 1/16, whatever was before."""
    return (1.0 + np.digitize(ids[:, 1:], [128, 256, 356])) * np.float64(LN2)


def by_context(ids: Ids) -> npt.NDArray[np.float64]:
    """As many nats as there are tokens before."""
    return np.broadcast_to(np.arange(1.0, ids.shape[1]), (len(ids), ids.shape[1] - 1))


# --- done by hand -----------------------------------------------------------------------------------------------------------------

# Velocity; C4 down; half a second; C4 up; E4 down; a second; E4 up. Two notes, 1.5 seconds.
BY_HAND = TokenisedPiece(
    "by hand", np.array([VELOCITY + 10, 60, TIME_SHIFT + 49, 128 + 60, 64, TIME_SHIFT + 99, 128 + 64], dtype=np.uint16)
)


def test_segments_of_four_by_hand() -> None:
    """Cut after four: scored are C4 down (1 bit), the half second (3), C4 up (2) | the second (3), E4 up (2). E4 down begins a segment."""
    found = likelihood(by_kind, [BY_HAND], Segmentation(4, 4))
    assert found.n_tokens == 5
    assert found.nats_per_token.value == pytest.approx(11 * LN2 / 5)
    assert found.nats_per_note.value == pytest.approx(11 * LN2 / 2)
    assert found.bits_per_second.value == pytest.approx(11 / 1.5)
    assert {kind: one.value / LN2 for kind, one in found.by_kind.items()} == pytest.approx({"note-on": 1, "note-off": 2, "time-shift": 3})
    assert found.share_of_tokens == pytest.approx({"note-on": 1 / 5, "note-off": 2 / 5, "time-shift": 2 / 5, "velocity": 0})
    assert found.share_of_nats == pytest.approx({"note-on": 1 / 11, "note-off": 4 / 11, "time-shift": 6 / 11, "velocity": 0})
    # after one token: 1 and 3 bits; after two or three: 3, 2 and 2
    assert {ends: one.value / LN2 for ends, one in found.by_context.items()} == pytest.approx({(1, 1): 4 / 2, (2, 3): 7 / 3})


def test_a_sliding_context_by_hand() -> None:
    """Windows of four, two further each time: all but the first token are scored; E4 down now has two tokens before it."""
    found = likelihood(by_kind, [BY_HAND], Segmentation(4, 2))
    assert found.n_tokens == 6
    assert found.nats_per_token.value == pytest.approx(12 * LN2 / 6)
    # after one token: 1 bit; after two or three: 3, 2, 1, 3, 2
    assert {ends: one.value / LN2 for ends, one in found.by_context.items()} == pytest.approx({(1, 1): 1, (2, 3): 11 / 5})
    assert likelihood(by_context, [BY_HAND], Segmentation(4, 2)).nats_per_token.value == pytest.approx((1 + 2 + 3 + 2 + 3 + 2) / 6)


def test_sums_are_divided_once() -> None:
    """A mean of the pieces' means would give the short piece as much weight as the long one."""
    loud, quiet = TokenisedPiece("loud", np.full(3, VELOCITY, dtype=np.uint16)), TokenisedPiece("on", np.full(101, 60, dtype=np.uint16))
    found = likelihood(by_kind, [loud, quiet])
    assert found.nats_per_token.value == pytest.approx((2 * 4 + 100 * 1) * LN2 / 102)


def test_a_model_that_knows_nothing_needs_the_logarithm_of_the_vocabulary() -> None:
    """All 391 ids share the probability, PAD, START and END too: what a model gives them is lost."""
    zeros = {name: np.zeros(shape, dtype=np.float32) for name, shape in array_shapes(TINY).items()}
    score = EngineScore(Checkpoint(TINY, zeros, {}))
    for found in likelihoods(score, [random_piece(100)], [Segmentation(32, 32), Segmentation(32, 8)]):
        assert found.nats_per_token.value == pytest.approx(math.log(391), rel=1e-6)
        assert [one.value for one in found.by_kind.values()] == pytest.approx([math.log(391)] * 4, rel=1e-6)


def test_start_end_and_pad_are_neither_predicted_nor_seen() -> None:
    """A trainer's pieces have START and END: its figure must be the command's."""
    piece = random_piece(70)
    wrapped = TokenisedPiece(piece.name, np.concatenate([[START], piece.ids, [END, PAD, PAD]]).astype(np.uint16))
    score = EngineScore(random_checkpoint())
    plain, dressed = (likelihood(score, [one], Segmentation(32, 32)) for one in (piece, wrapped))
    assert plain.to_json() == dressed.to_json()
    assert plain.n_tokens == 70 - 3


# --- cuts -------------------------------------------------------------------------------------------------------------------------

cuts = st.integers(2, 40).flatmap(lambda window: st.builds(Segmentation, st.just(window), st.integers(1, window)))


@given(cuts, st.integers(0, 200))
def test_each_token_counts_once_with_the_context_that_was_promised(cut: Segmentation, n: int) -> None:
    context: dict[int, int] = {}
    for start, stop, first in cut.spans(n):
        assert 0 <= start < first < stop <= min(n, start + cut.window)
        assert not context.keys() & set(range(first, stop))
        context |= {place: place - start for place in range(first, stop)}
    starts = set() if cut.slides else set(range(0, n, cut.window))
    assert set(context) == set(range(1, n)) - starts
    for place, length in context.items():
        assert length >= min(place, cut.window - cut.stride)


@given(cuts, st.integers(0, 40))
def test_a_piece_within_the_window_is_one_pass_whatever_the_stride(cut: Segmentation, n: int) -> None:
    n = min(n, cut.window)
    assert list(cut.spans(n)) == list(Segmentation(cut.window, cut.window).spans(n)) == ([(0, n, 1)] if n > 1 else [])


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (0, 1), (8, 0), (8, 9), (8, -1), (1 << 21, 1)])
def test_a_cut_that_makes_no_sense_is_refused(window: int, stride: int) -> None:
    with pytest.raises(RequestError, match="choose"):
        Segmentation(window, stride)


def test_two_cuts_share_what_they_have_in_common() -> None:
    seen: list[tuple[int, int]] = []

    def spy(ids: Ids) -> npt.NDArray[np.float64]:
        seen.append(ids.shape)
        return by_context(ids)

    piece = random_piece(160)
    both = likelihoods(spy, [piece], [Segmentation(32, 32), Segmentation(32, 16)])
    assert seen == [(1, 32)] * 9  # five segments are five of the nine windows
    assert [one.to_json() for one in both] == [
        likelihood(by_context, [piece], cut).to_json() for cut in (Segmentation(32, 32), Segmentation(32, 16))
    ]


# --- whatever computes, however divided -------------------------------------------------------------------------------------------


def torch_score(of: Checkpoint) -> Callable[[Ids], npt.NDArray[np.float32]]:
    torch = pytest.importorskip("torch")
    from preludio.model import Transformer

    model = Transformer.from_checkpoint(of)

    def score(ids: Ids) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            logits = model(torch.from_numpy(ids[:, :-1]))
            nats = torch.nn.functional.cross_entropy(logits.transpose(1, 2), torch.from_numpy(ids[:, 1:]), reduction="none")
        return np.asarray(nats.numpy())

    return score


@pytest.mark.parametrize("engine", sorted({"numpy", exact_engine()}))
@pytest.mark.parametrize(
    ("cut", "lengths"), [(Segmentation(64, 64), (150, 2, 64)), (Segmentation(64, 24), (150, 2, 64)), (Segmentation(4096, 4096), (2500,))]
)
def test_the_engines_and_the_model_that_trains_agree(cut: Segmentation, lengths: tuple[int, ...], engine: str) -> None:
    """Also where a segment is longer than the model's window (24) and than what the engine takes at once."""
    pieces = [random_piece(n) for n in lengths]
    scores = EngineScore(random_checkpoint(), engine), torch_score(random_checkpoint())
    ours, reference = (likelihood(score, pieces, cut) for score in scores)
    assert np.array_equal(ours.tokens, reference.tokens)
    np.testing.assert_allclose(ours.nats, reference.nats, rtol=1e-5)


def test_the_batch_does_not_matter() -> None:
    pieces = [random_piece(n) for n in (300, 65, 129)]
    for score, rtol in ((by_kind, 0.0), (EngineScore(random_checkpoint()), 1e-6)):
        one, *others = (likelihood(score, pieces, Segmentation(32, 20), batch=batch) for batch in (1, 3, 100))
        for other in others:
            np.testing.assert_allclose(other.nats, one.nats, rtol=rtol)


def test_processes_give_the_same_bits() -> None:
    pieces = [random_piece(n) for n in (300, 65, 129)]
    alone, shared = (likelihood(EngineScore(random_checkpoint()), pieces, Segmentation(32, 20), processes=n) for n in (1, 2))
    assert np.array_equal(alone.nats, shared.nats)
    assert alone.names == shared.names


def test_results_that_come_out_of_order_are_put_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def everywhere(work: Any, hands: Any, tasks: Iterator[Any], processes: int) -> Iterator[Any]:
        waiting = list(tasks)
        for place in np.random.default_rng(processes).permutation(len(waiting)):
            yield work(hands, waiting[place])

    monkeypatch.setattr("preludio.evaluate.protocol.parallel_map", everywhere)
    pieces = [random_piece(n) for n in (300, 65, 129)]
    alone, shuffled = (likelihood(by_context, pieces, Segmentation(32, 20), processes=n) for n in (1, 2))
    assert np.array_equal(alone.nats, shuffled.nats)


def test_progress_rises_to_the_number_of_pieces() -> None:
    seen: list[float] = []
    likelihoods(by_kind, [random_piece(n) for n in (100, 5, 70)], [Segmentation(32, 32)], progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 3
    assert len(seen) > 3


# --- the interval -----------------------------------------------------------------------------------------------------------------


def test_the_interval_is_the_same_each_time_and_holds_the_figure() -> None:
    pieces = [random_piece(n, seed) for seed, n in enumerate((300, 65, 129, 80, 40))]
    score = EngineScore(random_checkpoint())
    first, again = (likelihood(score, pieces).nats_per_token for _ in range(2))
    assert first == again
    assert first.low is not None
    assert first.high is not None
    assert first.low < first.value < first.high


def test_the_interval_of_two_performances_is_between_them() -> None:
    """Each is drawn twice in a quarter of the resamples."""
    pieces = [TokenisedPiece("on", np.full(11, 60, dtype=np.uint16)), TokenisedPiece("loud", np.full(31, VELOCITY, dtype=np.uint16))]
    found = likelihood(by_kind, pieces)
    assert tuple(found.nats_per_token) == pytest.approx(((10 + 30 * 4) * LN2 / 40, LN2, 4 * LN2))
    assert tuple(found.by_kind["velocity"]) == pytest.approx([4 * LN2] * 3)  # a draw without velocities says nothing of them


def test_one_performance_has_no_interval() -> None:
    found = likelihood(by_kind, [BY_HAND])
    assert found.nats_per_token[1:] == (None, None)
    assert found.to_json()["nats_per_token"]["low"] is None
    assert "bootstrap" not in table([found])


def test_models_are_compared_on_the_same_performances() -> None:
    """Performances differ by more than models do: in pairs, a model that is better on each one is better for certain."""
    pieces = [random_piece(n, seed) for seed, n in enumerate((300, 65, 129, 80, 40))]
    score = EngineScore(random_checkpoint())
    found, worse = likelihood(score, pieces), likelihood(lambda ids: score(ids) + 0.001, pieces)
    assert tuple(worse.difference(found)) == pytest.approx([0.001] * 3, abs=1e-5)
    assert worse.difference(found).value == pytest.approx(-found.difference(worse).value)
    with pytest.raises(RequestError, match="other performances"):
        found.difference(likelihood(score, pieces[1:]))


def test_music_without_notes_or_time_has_no_such_figure() -> None:
    found = likelihood(by_kind, [TokenisedPiece("loud", np.full(9, VELOCITY, dtype=np.uint16))] * 2)
    assert found.to_json()["nats_per_note"] == found.to_json()["bits_per_second"] == {"value": None, "low": None, "high": None}
    assert "| bits a second of music " in table([found])
    json.dumps(found.to_json(), allow_nan=False)


def test_the_table_says_what_the_figures_are() -> None:
    both = likelihoods(by_kind, [random_piece(400), random_piece(100)], [Segmentation(64, 64), Segmentation(64, 32)])
    text = table(both)
    for words in ("2 performances", "first token not scored", "at least 32 tokens", "START, END and PAD take no part", *KINDS):
        assert words in text
    assert text.startswith(table(both[:1])[:20])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1
    assert f"{both[1].nats_per_token}" in rows[2]


# --- where the music comes from ---------------------------------------------------------------------------------------------------


def encoded(split: str, work: int) -> EncodedPiece:
    performance = played(work)
    return EncodedPiece(split, "folder", f"{work}.mid", "", "", len(performance), encode(performance))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared shards: three pieces in validation, one in training, none in test."""
    folder = tmp_path_factory.mktemp("data")
    write_shards(folder, [encoded("validation", 0), encoded("train", 1), encoded("validation", 2), encoded("validation", 3)], {})
    return folder


def test_shards_and_the_files_behind_them_are_the_same_pieces(data: Path, tmp_path: Path) -> None:
    for work in (0, 2, 3):
        write_midi(played(work), tmp_path / f"{work}.mid")
    from_files, from_shards = list(open_pieces(tmp_path, "all")), list(open_pieces(data, "validation"))
    assert [piece.name for piece in from_shards] == [piece.name for piece in from_files] == ["0.mid", "2.mid", "3.mid"]
    for one, other in zip(from_files, from_shards, strict=True):
        assert np.array_equal(one.ids, other.ids)
    assert [piece.name for piece in open_pieces(data, "all")] == ["1.mid", "0.mid", "2.mid", "3.mid"]
    assert [piece.name for piece in pieces_of(Shards.open(data).splits["train"])] == ["1.mid"]


def test_a_glance_is_the_beginning_of_a_larger_glance(data: Path) -> None:
    whole = open_pieces(data, "validation")
    drawn = [[piece.name for piece in whole.drawn(n, seed=4)] for n in (1, 2)]
    assert drawn[0] == drawn[1][:1]
    assert len(set(drawn[1])) == 2
    assert {whole.drawn(1, seed).numbers[0] for seed in range(20)} == {0, 1, 2}
    assert whole.drawn(3, 0) is whole.drawn(None, 0) is whole


def test_a_file_that_cannot_be_read_is_named_and_left_out(tmp_path: Path) -> None:
    write_midi(played(0), tmp_path / "a.mid")
    (tmp_path / "b.mid").write_bytes(b"no music")
    with pytest.warns(PreludioWarning, match=r"left out: .*b\.mid"):
        assert [piece.name for piece in open_pieces(tmp_path, "all")] == ["a.mid"]


def test_nothing_to_score_and_what_cannot_be_is_said() -> None:
    for pieces in ([], [TokenisedPiece("", np.empty(0, np.uint16))], [TokenisedPiece("one", np.array([60], np.uint16))]):
        with pytest.raises(PreludioError, match="nothing to score"):
            likelihood(by_kind, pieces)
    with pytest.raises(PreludioError, match="odd: holds the id 391"):
        likelihood(by_kind, [TokenisedPiece("odd", np.array([60, VOCAB_SIZE], np.uint16))])
    with pytest.raises(PreludioError, match="by hand: the model gives no finite probabilities"):
        likelihood(lambda ids: by_kind(ids) * math.nan, [BY_HAND])


# --- the command ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    checkpoint.save(folder, random_checkpoint(dataclasses.replace(SIZES["tiny"], window=64)))
    return folder


@pytest.fixture
def run(model: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def in_process(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        named = [] if "--model" in arguments else ["--model", model]
        code = cli.run([str(argument) for argument in ("evaluate", *named, "--processes", 1, *arguments)])
        return (code, *capfd.readouterr())

    return in_process


Run = Callable[..., tuple[int, str, str]]


def test_the_command_says_what_the_library_finds(run: Run, model: Path, data: Path) -> None:
    code, out, err = run("--data", data, "--segment", 128, "--stride", 64, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    facts = json.loads(out)
    expected = likelihoods(
        EngineScore(checkpoint.load(model)), open_pieces(data, "validation"), [Segmentation(128, 128), Segmentation(128, 64)]
    )
    assert [facts["segments"], facts["sliding"]] == [one.to_json() for one in expected]
    assert (facts["command"], facts["split"], facts["performances"], facts["seed"]) == ("evaluate", "validation", 3, None)
    assert facts["engine"] == exact_engine()
    assert facts["notes"] == sum(int(one.notes.sum()) for one in expected[:1])
    code, out, err = run("--data", data, "--segment", 128, "--stride", 64)
    assert (code, err) == (0, "")
    assert out.endswith(table(expected) + "\n")


def test_a_glance_says_that_it_is_one(run: Run, data: Path) -> None:
    code, out, _ = run("--data", data, "--pieces", 2, "--seed", 5, "--stride", 0)
    assert code == 0
    assert "an estimate from 2 of its 3 performances (drawn with seed 5), not the protocol's figure" in out
    assert "sliding" not in out
    facts = json.loads(run("--data", data, "--pieces", 2, "--seed", 5, "--stride", 0, "--json")[1])
    assert (facts["performances"], facts["drawn_from"], facts["seed"]) == (2, 3, 5)
    assert "sliding" not in facts


def foreign_shards(folder: Path) -> Path:
    write_shards(folder, [encoded("validation", 0)], {})
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"vocabulary_hash": "another"}))
    return folder


def maestro_without_its_test_files(folder: Path) -> Path:
    write_midi(played(0), folder / "2004" / "0.midi")
    rows = ["canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration"]
    rows += [f"A,B{n},{split},2004,2004/{n}.midi,x,1" for n, split in enumerate(("validation", "test", "test"))]
    (folder / "maestro-v3.0.0.csv").write_text("\n".join(rows))
    return folder


def test_what_is_wrong_is_one_line(run: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    flat = tmp_path / "flat"
    write_midi(played(0), flat / "a.mid")
    maestro = maestro_without_its_test_files(tmp_path / "maestro")
    cases: list[tuple[list[object], str]] = [
        (["--data", data, "--model", "nonesuch"], "no model 'nonesuch'"),
        (["--data", tmp_path / "nowhere"], "no such file"),
        (["--data", tmp_path / "nothing"], "no MIDI file in it"),
        (["--data", data, "--split", "test"], "nothing of a split 'test'; choose train, validation, all"),
        (["--data", data, "--split", "dev"], "nothing of a split 'dev'"),
        (["--data", flat], "its music has no splits: choose all"),
        (["--data", maestro, "--split", "test"], "none of 2 performances can be read; the first: "),
        (["--data", maestro, "--split", "train"], "choose test, validation, all"),
        (["--data", foreign_shards(tmp_path / "foreign")], "another vocabulary"),
        (["--data", data, "--engine", "abacus"], "no engine 'abacus'"),
        (["--data", data, "--segment", 1], "choose 2 to"),
        (["--data", data, "--stride", 4096], "choose 1 to 2,048"),
        (["--data", data, "--stride", -1], "choose 1 to 2,048"),
        (["--data", data, "--pieces", 0], "--help explains"),
        ([], "--help explains"),
    ]
    for arguments, words in cases:
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), arguments
        assert err.startswith("preludio: ")
        assert words in err, arguments


# --- real music -------------------------------------------------------------------------------------------------------------------


@needs_datasets
def test_the_protocols_counts_on_maestros_validation_split() -> None:
    """137 performances, 2,593,086 tokens, of which 1,339 begin a segment."""
    found: Likelihood = likelihood(by_kind, open_pieces(MAESTRO, "validation"))
    assert len(found.names) == 137
    assert found.n_tokens == 2_591_747
    assert 638_000 < found.notes.sum() <= 639_425
    assert found.nats_per_token.value == pytest.approx(sum(found.share_of_tokens[kind] * (1 + k) * LN2 for k, kind in enumerate(KINDS)))


@needs_datasets
def test_a_real_piece_by_the_bundled_model_is_the_torch_models() -> None:
    (piece,) = open_pieces(MAESTRO, "validation").drawn(1, seed=1)
    start = TokenisedPiece(piece.name, piece.ids[:1500])
    small = checkpoint.load("small")
    ours, reference = (likelihood(score, [start], Segmentation(1024, 1024)) for score in (EngineScore(small), torch_score(small)))
    assert 1 < ours.nats_per_token.value < 3.5
    np.testing.assert_allclose(ours.nats, reference.nats, rtol=1e-4)


# --- with the grammar -------------------------------------------------------------------------------------------------------------


def test_with_the_grammar_by_hand() -> None:
    """A model without weights gives each of 391 ids the same: with the grammar it is the mean logarithm of how many ids are allowed."""
    silent = Checkpoint(TINY, {name: np.zeros(shape, dtype=np.float32) for name, shape in array_shapes(TINY).items()}, {})
    found = likelihood(EngineScore(silent, "numpy"), [BY_HAND], Segmentation(2048, 2048))
    # after: velocity (any key of 128), C4 down (67 higher keys, 100 shifts, 31 velocities), a shift under 1 s (127 keys that are not down,
    # 128 that may be released, 31 velocities: the row does not know what was before it), C4 up (128 keys, 67 releases, 100, 31, END),
    # E4 down (63, 100, 31), a full second (127, 127 as C4 is up, 31, 100)
    allowed = [128, 67 + 100 + 31, 127 + 128 + 31, 128 + 67 + 100 + 31 + 1, 63 + 100 + 31, 127 + 127 + 31 + 100]
    assert found.nats_per_token.value == pytest.approx(math.log(391), rel=1e-6)
    assert found.nats_per_token_with_grammar.value == pytest.approx(np.log(allowed).mean(), rel=1e-6)
    assert "nats a token with the grammar" in table([found])


@given(st.integers(0, 100))
def test_the_grammar_never_makes_canonical_music_less_likely(seed: int) -> None:
    piece = TokenisedPiece("played", encode(played(seed, n_chords=8)))
    both = EngineScore(random_checkpoint(), "numpy")(piece.ids[None].astype(np.int64))
    assert (both[..., 1] <= both[..., 0] + 1e-5).all()


def test_music_that_breaks_the_grammar_has_no_such_figure() -> None:
    found = likelihood(EngineScore(random_checkpoint(), "numpy"), [random_piece(50)], Segmentation(24, 24))
    assert math.isnan(found.nats_per_token_with_grammar.value)
    assert found.to_json()["nats_per_token_with_grammar"]["value"] is None
