"""`preludio evaluate --music`: a tiny model's pieces, composed, measured and shown; stopped and resumed; folders that are not its own."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import MAESTRO, needs_datasets
from music import played
from studio_server import restless_model

from preludio import cli
from preludio.compose import Composer
from preludio.corpus.shards import Encoded, write_shards
from preludio.errors import PreludioError, PreludioWarning, RequestError
from preludio.evaluate import open_pieces
from preludio.evaluate.music import Settings, charts, classifier, compare, jobs, real_music
from preludio.evaluate.music.composed import INDEX, measured_part
from preludio.midi import read_midi
from preludio.performance import Performance, crop, quantise, sustain
from preludio.tokens import encode

N_CHORDS = 160  # about 40 s
SMALL = ["--from-nothing", 2, "--prompts", 2, "--takes", 2, "--seconds", 8, "--prompt-seconds", 3, "--long", 2, "--long-seconds", 20]

Run = Callable[..., tuple[int, str, str]]


CONSTANTS = (compare, "OVERLAP_DRAWS", 3), (compare, "SPLITS", 3), (classifier, "STEPS", 40), (classifier, "DRAWS", 1)
FULL = [(module, name, getattr(module, name)) for module, name, _ in CONSTANTS]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Fewer resamples and steps of learning than the command has: tests measure everything several times. The test on MAESTRO has all."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in CONSTANTS:
            patch.setattr(module, name, value)
        yield


def encoded(split: str, work: int) -> Encoded:
    performance = played(work, n_chords=N_CHORDS)
    return Encoded(split, "folder", f"{work}.mid", "", "", len(performance), encode(performance))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared shards: four pieces in validation, three in training."""
    folder = tmp_path_factory.mktemp("data")
    write_shards(folder, [encoded("validation" if work < 4 else "train", work) for work in range(7)], {})
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return restless_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def run(model: Path, data: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    def in_process(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        words = ["evaluate", "--music", *SMALL, *arguments]
        words += [word for name, value in (("--model", model), ("--data", data)) if name not in arguments for word in (name, value)]
        code = cli.run([*map(str, words), "--processes", "1"])
        return (code, *capfd.readouterr())

    return in_process


@pytest.fixture(scope="module")
def measured(model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a whole measurement; not to be changed."""
    out = tmp_path_factory.mktemp("measured") / "out"
    words = ["evaluate", "--music", *SMALL, "--model", model, "--data", data, "--out", out, "--processes", 1]
    assert cli.run([*map(str, words)]) == 0
    return out


def figures(out: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    found: dict[str, Any] = json.loads((out / "music.json").read_text(), parse_constant=refuse)
    return {name: value for name, value in found.items() if name != "out"}


# --- what comes out ---------------------------------------------------------------------------------------------------------------


def test_every_figure_is_there(measured: Path) -> None:
    found = figures(measured)
    assert found["settings"]["pieces"] == found["from_nothing"]["pieces"] == 2
    assert found["continued"]["pieces"] == 4
    for kind in ("from_nothing", "continued"):
        assert len(found[kind]["overlap_of_values"]) == 1 + 18
        assert len(found[kind]["overlap_of_distances"]) == 1 + 18 + 7
        assert 0 < found[kind]["overlap_of_values"]["mean"]["area"]["value"] < 1
        assert found[kind]["figures"]["notes a second"]["ours"]["value"] > 0
        assert found["copying"][kind]["longest_run"]["real"]["value"] >= 0
        assert 0 <= found["classifier_auc"][kind]["value"] <= 1
    assert found["let_gos"]["all"]["value"] > 0
    assert found["drift"]["ours"]["keys sounding"]["ratio"]["value"] > 0
    assert found["drift"]["real_pieces"] == 4


class Images(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.links: list[str] = []
        self.charts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "img":
            assert named["alt"]
            self.sources.append(named["src"] or "")
        elif tag == "a":
            self.links.append(named["href"] or "")
        elif tag == "svg":
            assert named["aria-label"]
            self.charts += 1
        assert tag not in ("script", "link", "iframe")


def test_the_page_stands_alone_and_its_links_lead_to_pieces(measured: Path) -> None:
    text = (measured / "index.html").read_text()
    page = Images()
    page.feed(text)
    assert len(page.sources) == 2 + 2 + 2  # from nothing, continued, real beginnings
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert sorted(page.links) == [f"pieces/{name}.mid" for name in ("continued-0000-0", "continued-0001-0", "nothing-0000", "nothing-0001")]
    assert all((measured / link).is_file() for link in page.links)
    assert page.charts > 60
    assert "nan" not in re.sub("base64,[^\"]*", "", text).lower()


def test_pieces_are_those_of_compose(measured: Path, model: Path) -> None:
    """What the page shows can be made again: variation v of seed s."""
    takes = Composer.from_pretrained(model).takes(next(iter(jobs(Settings(pieces=2, seconds=8), []))).request)
    for number, take in enumerate(takes):
        assert read_midi(measured / "pieces" / f"nothing-{number:04}.mid") == take.performance


def test_continuations_begin_with_their_prompts(measured: Path, data: Path) -> None:
    real = real_music(open_pieces(data, "validation"), Settings(prompts=2, pieces=2, seconds=8, prompt_seconds=3, long_pieces=0))
    prompts = json.loads((measured / INDEX).read_text())["pieces"]
    for number, excerpt in enumerate(real.continuations[0]):
        assert prompts[f"continued-{number:04}-1"] == excerpt.name
        piece, prompted = read_midi(measured / "pieces" / f"continued-{number:04}-1.mid"), excerpt.prompted
        assert prompted is not None
        begun = [notes[notes["onset_ms"] < 2500] for notes in (piece.notes, prompted.notes)]
        assert begun[0][["onset_ms", "pitch"]].tolist() == begun[1][["onset_ms", "pitch"]].tolist()


# --- again, and resumed -----------------------------------------------------------------------------------------------------------


def test_one_seed_one_report_and_the_pieces_are_not_composed_again(
    run: Run, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "out"
    shutil.copytree(measured, copied)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("composed again")

    monkeypatch.setattr(Composer, "takes", refuse)
    code, out, err = run("--out", copied, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert figures(copied) == figures(measured)
    assert {name: value for name, value in json.loads(out).items() if name != "out"} == figures(measured)


def test_stopped_it_keeps_what_it_has_and_goes_on(run: Run, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    takes, n = Composer.takes, 0

    def stopped(self: Composer, *arguments: Any, **named: Any) -> Any:
        nonlocal n
        n += 1
        if n == 3:  # after the pieces from nothing and the first prompt
            raise KeyboardInterrupt
        return takes(self, *arguments, **named)

    out = tmp_path / "out"
    monkeypatch.setattr(Composer, "takes", stopped)
    code, _, err = run("--out", out)
    assert code == 130
    assert err == f"preludio: stopped; the pieces so far are kept in {out}: the same command goes on\n"
    first = {path.name: path.stat().st_mtime_ns for path in (out / "pieces").iterdir()}
    assert sorted(first) == ["continued-0000-0.mid", "continued-0000-1.mid", "nothing-0000.mid", "nothing-0001.mid"]
    assert run("--out", out)[0] == 0
    assert figures(out) == figures(measured)
    assert {name: (out / "pieces" / name).stat().st_mtime_ns for name in first} == first


def test_a_piece_that_was_removed_is_composed_anew(run: Run, measured: Path, tmp_path: Path) -> None:
    copied = tmp_path / "out"
    shutil.copytree(measured, copied)
    lost = copied / "pieces" / "long-0001.mid"
    before = lost.read_bytes()
    lost.unlink()
    assert run("--out", copied)[0] == 0
    assert lost.read_bytes() == before


# --- what cannot be ---------------------------------------------------------------------------------------------------------------


def foreign(folder: Path) -> Path:
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    return folder


def damaged(measured: Path, folder: Path, text: str) -> Path:
    shutil.copytree(measured, folder)
    (folder / INDEX).write_text(text)
    return folder


def test_what_is_wrong_is_one_line_and_nothing_is_touched(run: Run, measured: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    write_shards(few, [encoded("validation", work) for work in range(3)], {})
    cases: list[tuple[Sequence[object], str]] = [
        (["--out", foreign(tmp_path / "foreign")], "is not a folder of measured pieces"),
        (["--out", tmp_path / "foreign" / "thesis.txt"], "is not a folder"),
        (["--out", measured, "--temperature", 0.9], "another sampling"),
        (["--out", measured, "--seed", 1], "another seed"),
        (["--out", measured, "--model", restless_model(tmp_path / "other", window=128)], "another model"),
        (["--out", damaged(measured, tmp_path / "damaged", "{")], "is damaged"),
        (["--out", damaged(measured, tmp_path / "list", "[1]")], "is damaged"),
        (["--out", tmp_path / "new", "--data", few], "3 performances last 11 s; four are needed"),
        (["--out", tmp_path / "new", "--split", "test"], "nothing of a split 'test'"),
        (["--out", tmp_path / "new", "--from-nothing", 1], "pieces must be from 2 to"),
        (["--out", tmp_path / "new", "--temperature", -1], "temperature must be"),
        (["--out", tmp_path / "new", "--engine", "abacus"], "no engine 'abacus'"),
    ]
    before = {path: path.read_bytes() for path in measured.rglob("*") if path.is_file()}
    for arguments, words in cases:
        code, out, err = run(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), (arguments, err)
        assert words in err, arguments
    assert not (tmp_path / "new").exists()
    assert {path: path.read_bytes() for path in measured.rglob("*") if path.is_file()} == before
    assert (tmp_path / "foreign" / "thesis.txt").read_text() == "mine"


def test_without_training_music_the_rest_is_measured_and_that_is_said(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_shards(data, [encoded("validation", work) for work in range(4)], {})
    code, out, _ = run("--data", data, "--out", tmp_path / "out", "--long", 0)
    assert code == 0
    assert "has no train split, so copying and the classifier are left out" in out
    found = figures(tmp_path / "out")
    assert found["copying"] is found["classifier_auc"] is found["drift"] is None


def test_fewer_performances_than_asked_for_are_said(data: Path) -> None:
    with pytest.warns(PreludioWarning, match="4 performances last 11 s, and 6 are wanted: 2 in each half"):
        real = real_music(open_pieces(data, "validation"), Settings(prompts=3, pieces=3, seconds=8, prompt_seconds=3))
    assert [len(half) for half in real.continuations] == [2, 2]


@pytest.mark.parametrize("change", [{"prompts": 1}, {"takes": 0}, {"seconds": 1}, {"long_seconds": 5}, {"prompt_seconds": 0}, {"seed": -1}])
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="must be from"):
        Settings(**change)


# --- excerpts ---------------------------------------------------------------------------------------------------------------------


def test_a_larger_measurement_begins_with_the_excerpts_of_a_smaller_one(tmp_path: Path) -> None:
    write_shards(tmp_path, [encoded("validation", work) for work in range(10)], {})
    pieces = open_pieces(tmp_path, "validation")
    small, large = (real_music(pieces, Settings(prompts=n, pieces=n, seconds=8, prompt_seconds=3, long_pieces=0)) for n in (2, 5))
    assert [one.name for one in large.continuations[0][:2]] == [one.name for one in small.continuations[0]]
    assert [one.name for one in large.beginnings[0][:2]] == [one.name for one in small.beginnings[0]]
    for real in (small, large):
        for halves in (real.beginnings, real.continuations):
            names = [one.name.partition(" from ")[0] for half in halves for one in half]
            assert len(set(names)) == len(names)  # no performance on both sides


def test_a_composer_that_plays_what_was_played_is_measured_as_real_music(data: Path) -> None:
    settings = Settings(prompts=2, pieces=2, seconds=8, prompt_seconds=3, long_pieces=0)
    real = real_music(open_pieces(data, "validation"), settings)
    for excerpt in (one for half in real.continuations for one in half):
        assert excerpt.prompted is not None
        assert measured_part(excerpt.prompted, settings, settings.seconds, prompted=True) == excerpt.music
        assert 0 < excerpt.music.duration_ms <= 8000
    for excerpt in real.beginnings[0]:
        work = int(excerpt.name.partition(".")[0])
        whole = quantise(sustain(played(work, n_chords=N_CHORDS)))
        assert excerpt.music == crop(whole, 0, 8000)


def test_charts_of_nothing_and_of_one_value() -> None:
    one = np.array([2.0, 2.0])
    assert charts.distribution("x", "", np.array([]), one) == ""
    assert 'class="ours outline"' in charts.distribution("x", "s", one, one)


# --- real music -------------------------------------------------------------------------------------------------------------------


@needs_datasets
def test_two_pieces_of_the_bundled_model_beside_maestro(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model that ships, real prompts, the whole training split as known music, every resample and step; on two pieces."""
    for module, name, value in FULL:
        monkeypatch.setattr(module, name, value)
    words = ["evaluate", "--music", *SMALL[:6], "--seconds", 15, "--long", 0, "--data", MAESTRO, "--out", tmp_path / "out", "--json"]
    assert cli.run([*map(str, words)]) == 0
    found = json.loads(capfd.readouterr().out)
    assert 2 < found["continued"]["figures"]["notes a second"]["ours"]["value"] < 40
    assert 0.8 < found["let_gos"]["under 25"]["value"] < 1.2
    assert found["copying"]["continued"]["known_runs"]["8"]["real"]["value"] > 0
    assert Performance(read_midi(tmp_path / "out" / "pieces" / "nothing-0000.mid").notes).duration_ms > 0


def test_a_split_without_readable_music_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(b"no music")
    with pytest.raises(PreludioError, match="none of 1 performances can be read"):
        real_music(open_pieces(tmp_path, "all"), Settings())
