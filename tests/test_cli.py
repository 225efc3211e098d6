"""The program as people meet it: what it makes, and the one line that they read when something is wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import typer

import preludio
from preludio import checkpoint, cli
from preludio.checkpoint import CARD_FILE, SIZES, WEIGHTS_FILE, Checkpoint, array_shapes
from preludio.performance import Performance

WINDOW = 64
PROGRAM = [sys.executable, "-m", "preludio"]


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on stderr of a run that failed as it should."""
        assert self.out == ""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("preludio: ")
        assert self.err.endswith("\n")
        return self.err


Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model that strikes keys at random."""
    config = dataclasses.replace(SIZES["tiny"], window=WINDOW)
    rng = np.random.default_rng(0)
    arrays = {name: np.ones(shape) if name.endswith("norm") else rng.normal(0, 0.1, shape) for name, shape in array_shapes(config).items()}
    folder = tmp_path_factory.mktemp("model")
    checkpoint.save(folder, Checkpoint(config, {name: array.astype(np.float32) for name, array in arrays.items()}, {}))
    return str(folder)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and the program runs in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here: Path, capfd: pytest.CaptureFixture[str]) -> Run:  # noqa: ARG001 (runs there)
    def in_process(*arguments: object) -> Ran:
        capfd.readouterr()
        code = cli.run([str(argument) for argument in arguments])
        return Ran(code, *capfd.readouterr())

    return in_process


def program(*arguments: object, **options: Any) -> Ran:
    """A process of its own."""
    ran = subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def scale(seconds: float = 2.0) -> Performance:
    """Eight notes a second."""
    return Performance([(start, start + 100, 60 + start // 125 % 12, 64) for start in range(0, round(seconds * 1000), 125)])


@pytest.fixture
def prompt(here: Path) -> Path:
    preludio.write_midi(scale(), here / "prompt.mid")
    return here / "prompt.mid"


# What it makes


def test_compose_makes_a_piece_to_play_to_hear_and_to_see(run: Run, here: Path, model: str) -> None:
    ran = run("compose", "--model", model, "--seconds", 1, "--seed", 7, "--out", "new/folder/piece")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Made new/folder/piece.mid, new/folder/piece.wav, new/folder/piece.svg: ")
    assert "(seed 7)" in ran.out
    assert tree(here) == ["new", "new/folder", *(f"new/folder/piece.{suffix}" for suffix in ("mid", "svg", "wav"))]
    assert len(preludio.read_midi("new/folder/piece.mid")) > 0
    with wave.open("new/folder/piece.wav") as sound:
        assert sound.getnframes() > 44_100
    assert Path("new/folder/piece.svg").read_text(encoding="utf-8").startswith("<")


def test_render_makes_a_midi_file_heard_and_seen(run: Run, here: Path, prompt: Path) -> None:
    ran = run("render", prompt.name)
    assert (ran.code, ran.err) == (0, "")
    assert tree(here) == ["prompt.mid", "prompt.png", "prompt.svg", "prompt.wav"]
    assert Path("prompt.png").read_bytes().startswith(b"\x89PNG")
    ran = run("render", prompt.name, "--out", "else/where", "--json")
    result = json.loads(ran.out)
    assert result == {
        "command": "render",
        "files": ["else/where.wav", "else/where.svg", "else/where.png"],
        "seconds": 1.975,
        "prompt_seconds": 0.0,
        "notes": 16,
        "remarks": [],
    }
    assert all(Path(file).is_file() for file in result["files"])


def test_json_is_one_object_on_stdout_and_the_rest_goes_to_stderr(run: Run, model: str, prompt: Path) -> None:
    repaired = prompt.read_bytes()[:-6]  # the track is cut off, which is worth a note
    prompt.write_bytes(repaired)
    ran = run("compose", "--model", model, "--seconds", 1, "--prompt", prompt, "--variations", 2, "--out", "a", "--json")
    assert ran.code == 0
    assert ran.out.count("\n") == 1
    result = json.loads(ran.out)
    assert list(result) == ["command", "seed", "model", "engine", "licence", "pieces", "remarks"]
    assert result["licence"] is None  # the tiny model's makers say nothing
    assert [remark["kind"] for remark in result["remarks"]] == ["damage", "unclosed"]
    assert [piece["files"] for piece in result["pieces"]] == [[f"a-{n}.{kind}" for kind in ("mid", "wav", "svg")] for n in (1, 2)]
    assert all(piece["prompt_seconds"] > 1 and piece["seconds"] > piece["prompt_seconds"] for piece in result["pieces"])
    assert ran.err.startswith(f"preludio: note: {prompt}")
    assert ran.err.count("\n") == 1


def test_one_seed_gives_one_piece_to_the_byte(run: Run, model: str, prompt: Path) -> None:
    wish = ("compose", "--model", model, "--seconds", 1, "--seed", 3, "--prompt", prompt)
    for name in ("one", "two"):
        assert run(*wish, "--out", name).code == 0
    assert run(*wish[:5], "--seed", 4, *wish[7:], "--out", "other").code == 0
    for suffix in (".mid", ".wav", ".svg"):
        assert Path(f"one{suffix}").read_bytes() == Path(f"two{suffix}").read_bytes()
    assert Path("one.mid").read_bytes() != Path("other.mid").read_bytes()


def test_without_a_seed_each_piece_is_new_and_says_how_to_have_it_again(run: Run, model: str) -> None:
    first, second = (json.loads(run("compose", "--model", model, "--seconds", 1, "--out", name, "--json").out) for name in "ab")
    assert first["seed"] != second["seed"]
    again = run("compose", "--model", model, "--seconds", 1, "--seed", first["seed"], "--out", "c", "--json")
    assert again.code == 0
    assert Path("a.mid").read_bytes() == Path("c.mid").read_bytes() != Path("b.mid").read_bytes()


def test_three_variations_are_nine_files_and_the_first_is_the_piece_alone(run: Run, here: Path, model: str) -> None:
    wish = ("compose", "--model", model, "--seconds", 1, "--seed", 5)
    assert run(*wish, "--variations", 3, "--out", "v").code == 0
    assert tree(here) == sorted(f"v-{n}.{suffix}" for n in (1, 2, 3) for suffix in ("mid", "svg", "wav"))
    assert run(*wish, "--out", "alone").code == 0
    assert Path("v-1.mid").read_bytes() == Path("alone.mid").read_bytes() != Path("v-2.mid").read_bytes()


@pytest.mark.parametrize(
    ("out", "stem"),
    [
        ("name.mid", "name"),
        ("name.WAV", "name"),
        ("my.piece v1.2", "my.piece v1.2"),
        ("my.piece v1.2.svg", "my.piece v1.2"),
        ("op. 9", "op. 9"),
        ("Prélude nº1.mid", "Prélude nº1"),
        ("a.mid.mid", "a.mid"),
        ("-", "-"),
        (".hidden", ".hidden"),
        ("folder/../x", "folder/../x"),
    ],
)
def test_the_name_is_the_one_that_was_asked_for(run: Run, prompt: Path, out: str, stem: str) -> None:
    Path("folder").mkdir()
    ran = run("render", prompt, "--out", out, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["files"] == [f"{stem}{suffix}" for suffix in (".wav", ".svg", ".png")]
    assert all(Path(f"{stem}{suffix}").is_file() for suffix in (".wav", ".svg", ".png"))


def test_a_folder_of_the_same_name_is_no_hindrance_if_the_suffix_is_said(run: Run, prompt: Path) -> None:
    Path("name").mkdir()
    assert run("render", prompt, "--out", "name.mid").code == 0
    assert Path("name.wav").is_file()
    assert "names a folder" in run("render", prompt, "--out", "name").line


def test_a_prompt_longer_than_the_window_just_works(run: Run, model: str) -> None:
    """Its last part is what the model hears; the piece holds all of it."""
    preludio.write_midi(scale(60), "long.mid")  # 480 notes, 1,400 events, for a window of 64
    ran = run("compose", "--model", model, "--seconds", 1, "--prompt", "long.mid", "--out", "longer", "--json")
    assert (ran.code, ran.err) == (0, "")
    (piece,) = json.loads(ran.out)["pieces"]
    assert piece["prompt_seconds"] > 59
    assert preludio.read_midi("longer.mid").notes[:470].tolist() == scale(60).notes[:470].tolist()


def test_going_on_from_the_middle_of_a_prompt(run: Run, model: str, prompt: Path) -> None:
    ran = run("compose", "--model", model, "--seconds", 1, "--prompt", prompt, "--prompt-seconds", 1, "--out", "a", "--json")
    assert 0.8 < json.loads(ran.out)["pieces"][0]["prompt_seconds"] <= 1


def test_a_recording_is_never_overwritten(run: Run, here: Path, prompt: Path) -> None:
    """`render rec.mid` beside rec.wav, the recording that it was transcribed from: the recording was gone."""
    for name, content in (("prompt.wav", b"RIFF a recording"), ("prompt-2.png", b"a photograph")):
        Path(name).write_bytes(content)
    ran = run("render", prompt.name, "--json")
    assert ran.code == 0
    result = json.loads(ran.out)
    assert result["files"] == ["prompt-3.wav", "prompt-3.svg", "prompt-3.png"]  # together, none of them beside the photograph
    assert ran.err == "preludio: note: prompt.wav is there already, so the files are called prompt-3; --overwrite replaces what is there\n"
    assert [remark["kind"] for remark in result["remarks"]] == ["renamed"]
    assert (Path("prompt.wav").read_bytes(), Path("prompt-2.png").read_bytes()) == (b"RIFF a recording", b"a photograph")
    assert run("render", prompt.name, "--overwrite", "--out", "prompt").code == 0
    assert Path("prompt.wav").stat().st_size > 1000
    ours = [f"prompt{n}.{kind}" for n in ("", "-3") for kind in ("wav", "svg", "png")]
    assert tree(here) == sorted(["prompt.mid", "prompt-2.png", *ours])


def test_rendering_again_replaces_what_rendering_made(run: Run, here: Path, prompt: Path) -> None:
    """Known by a mark in the file, not by its name."""
    assert run("render", prompt).code == 0
    first = Path("prompt.wav").read_bytes()
    preludio.write_midi(scale(3), prompt)
    assert run("render", prompt).err == ""
    assert tree(here) == ["prompt.mid", "prompt.png", "prompt.svg", "prompt.wav"]
    assert Path("prompt.wav").read_bytes() != first
    Path("prompt.svg").write_text(Path("prompt.svg").read_text(encoding="utf-8").replace("Preludio render", "somebody"), encoding="utf-8")
    assert "prompt-2" in run("render", prompt).err


def test_a_second_piece_does_not_replace_the_first(run: Run, here: Path, model: str) -> None:
    """`compose` twice wrote both to piece.*: the first was gone."""
    wish = ("compose", "--model", model, "--seconds", 1)
    first = run(*wish)
    music = Path("piece.mid").read_bytes()
    assert "piece.mid is there already, so the files are called piece-2" in run(*wish).err
    assert run("render", "piece.mid").err.count("piece-3") == 1  # composed sound is no rendering
    assert first.err == ""
    assert Path("piece.mid").read_bytes() == music
    assert tree(here) == sorted(
        [*(f"piece{n}.{kind}" for n in ("", "-2") for kind in ("mid", "svg", "wav")), "piece-3.png", "piece-3.svg", "piece-3.wav"]
    )


def test_variations_stay_together_beside_earlier_ones(run: Run, here: Path, model: str) -> None:
    wish = ("compose", "--model", model, "--seconds", 1, "--variations", 2, "--out", "v", "--json")
    names = [[piece["files"][0] for piece in json.loads(run(*wish).out)["pieces"]] for _ in range(2)]
    assert names == [["v-1.mid", "v-2.mid"], ["v-2-1.mid", "v-2-2.mid"]]
    assert len(tree(here)) == 12


@pytest.mark.parametrize("kind", ["folder", "broken link", "link to itself", "pipe", "empty file"])
def test_whatever_is_in_the_way_stays(run: Run, here: Path, prompt: Path, kind: str) -> None:
    way: dict[str, Callable[[Path], Any]] = {
        "folder": Path.mkdir,
        "broken link": lambda path: path.symlink_to("nowhere"),
        "link to itself": lambda path: path.symlink_to(path.name),
        "pipe": os.mkfifo,
        "empty file": Path.touch,
    }
    way[kind](here / "out.svg")
    before = os.lstat("out.svg")[:3]  # kind, number, device
    ran = run("render", prompt, "--out", "out")
    assert (ran.code, ran.err.count("out-2")) == (0, 1)
    assert os.lstat("out.svg")[:3] == before
    assert {"out-2.wav", "out-2.svg", "out-2.png"} <= set(tree(here))


def test_a_name_that_is_taken_while_the_piece_is_made_stays_too(
    run: Run, here: Path, prompt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program wrote the file between the look and the renaming."""
    from preludio.cli import pieces

    written = pieces.write_one

    def and_another(path: Path, *more: Any) -> None:
        written(path, *more)
        (here / "out.png").write_bytes(b"theirs")

    monkeypatch.setattr(pieces, "write_one", and_another)
    ran = run("render", prompt, "--out", "out")
    assert (ran.code, (here / "out.png").read_bytes()) == (0, b"theirs")
    assert tree(here) == ["out-2.png", "out-2.svg", "out-2.wav", "out.png", "prompt.mid"]


def test_two_that_compose_at_once_both_keep_their_pieces(here: Path, model: str) -> None:
    command = [*PROGRAM, "compose", "--model", model, "--seconds", "1", "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=here) for _ in range(2)]
    files = [json.loads(process.communicate(timeout=120)[0])["pieces"][0]["files"] for process in both]
    assert sorted(files) == [[f"piece{n}.{kind}" for kind in ("mid", "wav", "svg")] for n in ("-2", "")]
    assert len(tree(here)) == 6


def test_a_prompt_goes_on_where_its_sound_ends_and_it_is_said(run: Run, model: str, prompt: Path) -> None:
    preludio.write_midi(Performance([(0, 500, 60, 64)], [(0, 60_000)]), prompt)
    wish = ("compose", "--model", model, "--seconds", 1, "--prompt", prompt, "--json")
    ran = run(*wish)
    assert json.loads(ran.out)["pieces"][0]["prompt_seconds"] == 8.41
    assert [remark["kind"] for remark in json.loads(ran.out)["remarks"]] == ["tail", "resumes"]
    assert "the piece goes on at 8.4 s, where the prompt's sound ends, not at 60.0 s; --keep-silence" in ran.err
    kept = run(*wish, "--keep-silence", "--out", "kept")
    assert json.loads(kept.out)["pieces"][0]["prompt_seconds"] == 60
    assert "goes on" not in kept.err


def test_what_a_prompt_is_read_as_is_said_on_stderr_and_in_json(run: Run, prompt: Path) -> None:
    data = prompt.read_bytes()
    prompt.write_bytes(data.replace(b"\0\xc0\0", b"\0\xc0\x28"))  # a violin
    ran = run("render", prompt, "--json")
    assert ran.err == f"preludio: note: {prompt}: 1 other instrument read as piano: Violin\n"
    assert json.loads(ran.out)["remarks"] == [{"kind": "instruments", "n": 1, "text": "1 other instrument read as piano: Violin"}]


def test_the_licence_of_the_weights_is_said(run: Run) -> None:
    ran = run("compose", "--seconds", 1, "--json")
    assert json.loads(ran.out)["licence"] == "CC BY-NC-SA 4.0"
    assert "the weights of the model small are under CC BY-NC-SA 4.0, so not for commercial use" in ran.err


# Help


def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(cli.app)
    return {"": group} | dict(group.commands)


@pytest.mark.parametrize("name", sorted(commands()))
@pytest.mark.parametrize("columns", ["80", "20", "1", "0", "-5", "many"])
def test_help_lists_each_option_whatever_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch, name: str, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "dumb")
    ran = run(*name.split(), "--help")
    assert (ran.code, ran.err) == (0, "")
    for parameter in commands()[name].params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            assert parameter.opts[0] in ran.out
            assert parameter.help
    for command in commands()[""].commands if not name else ():
        assert command in ran.out


def test_no_command_is_a_question_and_the_version_an_answer(run: Run) -> None:
    assert run() == run("--help")
    assert run("--version") == Ran(0, f"preludio {preludio.__version__}\n", "")


# Bad input: one line, code 2, nothing written


def not_midi(path: Path) -> None:
    path.write_text("once upon a time")


def no_notes(path: Path) -> None:
    preludio.write_midi(Performance(), path)


def broken_and_without_notes(path: Path) -> None:
    path.write_bytes(bytes.fromhex("4d546864 00000006 0001 0002 01e0 4d54726b 000000ff 00903c40"[:53]))  # cut off in the track's head


def under_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.touch()


BAD_FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda _: None, "no such file"),
    "not MIDI": (not_midi, ""),
    "empty": (Path.touch, ""),
    "no notes": (no_notes, "no piano notes"),
    "broken, no notes": (broken_and_without_notes, ""),
    "folder": (Path.mkdir, "folder"),
    "under a file": (under_a_file, "cannot be read"),
    "pipe": (os.mkfifo, "not a file"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
@pytest.mark.parametrize("command", ["compose", "render"])
def test_a_file_that_cannot_be_gone_on_from(run: Run, here: Path, model: str, command: str, kind: str) -> None:
    make, words = BAD_FILES[kind]
    path = here / "in" / "bad.mid"
    path.parent.mkdir()
    make(path)
    before = tree(here)
    ran = run(*(("compose", "--model", model, "--prompt") if command == "compose" else ("render",)), path, "--out", "new/out")
    assert ran.code == 2
    assert str(path) in ran.line
    assert words in ran.line
    assert tree(here) == before


BAD_WISHES: list[tuple[list[object], list[str]]] = [
    (["--seconds", 0], ["seconds", "over 0"]),
    (["--seconds", -1], ["seconds", "over 0"]),
    (["--seconds", "nan"], ["seconds", "over 0", "nan"]),
    (["--seconds", "inf"], ["seconds", "at most"]),
    (["--seconds", "-inf"], ["seconds", "over 0"]),
    (["--seconds", 1e300], ["seconds", "at most"]),
    (["--seconds", "1e999"], ["seconds", "at most"]),
    (["--seconds", "soon"], ["--seconds", "--help"]),
    (["--seconds", ""], ["--seconds", "--help"]),
    (["--seconds"], ["--seconds", "--help"]),
    (["--seconds", 20_000], ["20,000 seconds", "ask for fewer"]),
    (["--seed", -1], ["seed", "0 to 2^64 - 1"]),
    (["--seed", 1 << 64], ["seed", "0 to 2^64 - 1"]),
    (["--seed", "1.5"], ["--seed", "--help"]),
    (["--variations", 0], ["variations", "from 1"]),
    (["--variations", -3], ["variations", "from 1"]),
    (["--variations", 10**9], ["variations", "from 1"]),
    (["--temperature", -1], ["temperature", "from 0"]),
    (["--temperature", "nan"], ["temperature", "from 0"]),
    (["--top-p", 0], ["top_p", "over 0"]),
    (["--top-p", 1.5], ["top_p", "at most 1"]),
    (["--top-k", -1], ["top_k", "0"]),
    (["--min-p", 2], ["min_p", "from 0 to 1"]),
    (["--prompt-seconds", "nan"], ["prompt_seconds", "over 0"]),
    (["--prompt-seconds", 0], ["prompt_seconds", "over 0"]),
    (["--prompt-seconds", 20], ["prompt_seconds", "--prompt FILE"]),
    (["--engine", "abacus"], ["abacus", "numpy"]),
    (["--model", "nonesuch"], ["nonesuch", "bundled", CARD_FILE]),
    (["--model", "n" * 5000], ["no model"]),
    (["--unknown"], ["--unknown", "compose --help"]),
    (["--sceonds", 3], ["--sceonds", "--help"]),
    (["surplus"], ["surplus", "--help"]),
]


@pytest.mark.parametrize(("wish", "words"), BAD_WISHES, ids=lambda value: " ".join(map(str, value))[:30])
def test_a_wish_that_cannot_be_met(run: Run, here: Path, model: str, wish: list[object], words: list[str]) -> None:
    own_model = [] if "--model" in wish else ["--model", model]
    ran = run("compose", *own_model, "--out", "new/piece", "--json", *wish)
    assert ran.code == 2
    for word in words:
        assert word in ran.line
    assert tree(here) == []


def test_a_piece_too_long_to_be_heard_is_refused_before_it_is_composed(run: Run, here: Path, model: str, prompt: Path) -> None:
    """It was refused by the sound, after hours of composing, and all was lost. A prompt counts as far as it is used."""
    hours = Performance([(0, 100, 60, 64), (3 * 3_600_000, 3 * 3_600_000 + 100, 60, 64)])
    preludio.write_midi(hours, prompt)
    ran = run("compose", "--model", model, "--seconds", 60, "--prompt", prompt)
    assert ran.code == 2
    assert "its prompt included" in ran.line
    assert tree(here) == ["prompt.mid"]
    assert run("compose", "--model", model, "--seconds", 1, "--prompt", prompt, "--prompt-seconds", 5).code == 0


@pytest.mark.parametrize(
    "arguments", [["nonesuch"], ["--nonesuch"], ["render"], ["render", "a.mid", "b.mid"], [""], ["compose", "compose"]]
)
def test_a_command_line_that_makes_no_sense_says_where_help_is(run: Run, here: Path, arguments: list[str]) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert "--help explains" in ran.line
    assert tree(here) == []


BAD_PLACES: list[tuple[str, list[str]]] = [
    ("folder", ["names a folder", "folder/piece"]),
    ("folder/", ["names a folder"]),
    ("", ["folder"]),
    (".", ["names a folder"]),
    ("..", ["names a folder"]),
    ("/", ["names a folder"]),
    ("folder/..", ["names a folder"]),
    ("..mid", ["names a folder"]),
    ("file.txt/piece", ["file.txt/piece", "choose another place"]),
    ("file.txt/new/piece.mid", ["file.txt/new/piece", "choose another place"]),
    ("new/" + "n" * 300, ["File name too long"]),
    ("n" * 300 + "/x", ["File name too long"]),
    ("/proc/preludio/piece", ["/proc/preludio/piece", "choose another place"]),
]


@pytest.mark.parametrize(("out", "words"), BAD_PLACES, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("command", ["compose", "render"])
def test_a_place_that_cannot_be_written(run: Run, here: Path, model: str, prompt: Path, command: str, out: str, words: list[str]) -> None:
    (here / "folder").mkdir()
    (here / "file.txt").touch()
    before = tree(here)
    ran = run(*(("compose", "--model", model, "--seconds", 1) if command == "compose" else ("render", prompt)), "--out", out)
    assert ran.code == 2
    for word in words:
        assert word in ran.line
    assert tree(here) == before


def test_a_prompt_is_never_overwritten(run: Run, here: Path, model: str, prompt: Path) -> None:
    """`compose --prompt piece.mid` writes piece.mid, if nothing else is said: somebody's own music was gone."""
    music = prompt.read_bytes()
    Path("link.mid").symlink_to("prompt.mid")
    os.link("prompt.mid", "piece-2.mid")
    for wish in (["--out", "prompt"], ["--out", here / "prompt.mid"], ["--out", "link"], ["--variations", 2]):
        ran = run("compose", "--model", model, "--seconds", 1, "--prompt", prompt, "--overwrite", *wish)
        assert ran.code == 2
        assert "would be lost" in ran.line
    assert prompt.read_bytes() == music
    assert tree(here) == ["link.mid", "piece-2.mid", "prompt.mid"]


def damaged(folder: str, to: Path, **changes: bytes) -> Path:
    """A copy of the model with other bytes in one file."""
    to.mkdir()
    for name, key in ((CARD_FILE, "card"), (WEIGHTS_FILE, "weights")):
        (to / name).write_bytes(changes.get(key, Path(folder, name).read_bytes()))
    return to


def test_a_damaged_or_a_foreign_model(run: Run, here: Path, model: str) -> None:
    card, weights = (Path(model, name).read_bytes() for name in (CARD_FILE, WEIGHTS_FILE))
    foreign = json.dumps(json.loads(card) | {"vocabulary_hash": "0" * 64}).encode()
    bad = {
        "cut": (damaged(model, here / "cut", weights=weights[: len(weights) // 2]), WEIGHTS_FILE),
        "empty": (damaged(model, here / "empty", weights=b""), WEIGHTS_FILE),
        "foreign": (damaged(model, here / "foreign", card=foreign), "another vocabulary"),
        "no card": (damaged(model, here / "no card", card=b"not JSON"), CARD_FILE),
    }
    before = tree(here)
    for folder, words in bad.values():
        ran = run("compose", "--model", folder, "--out", "new/piece")
        assert ran.code == 2
        assert words in ran.line
        assert tree(here) == before


# Accidents


@pytest.mark.parametrize(
    ("accident", "code", "words"),
    [(KeyboardInterrupt(), 130, "stopped; nothing was written"), (MemoryError(), 2, "not enough memory"), (EOFError(), None, "")],
    ids=repr,
)
@pytest.mark.parametrize("where", ["preludio.compose.Composer.takes", "preludio.cli.pieces.write_one"])
def test_an_accident_while_working(
    run: Run, here: Path, model: str, monkeypatch: pytest.MonkeyPatch, accident: BaseException, code: int | None, words: str, where: str
) -> None:
    """What a person or the machine caused is said in a line. What we caused is not swallowed. Neither leaves a file."""

    def happen(*_: Any, **__: Any) -> None:
        raise accident

    monkeypatch.setattr(where, happen)
    if code is None:
        with pytest.raises(EOFError):
            run("compose", "--model", model, "--seconds", 1, "--out", "new/piece")
    else:
        ran = run("compose", "--model", model, "--seconds", 1, "--out", "new/piece")
        assert ran.code == code
        assert words in ran.line
    assert tree(here) == []


def test_a_fault_of_our_own_is_a_traceback_and_another_code(here: Path) -> None:
    load = "import sys, preludio.cli, preludio.cli.render as render"
    words = load, "render.read = None; sys.argv[1:] = ['render', 'x.mid']", "preludio.cli.main()"
    fault = "; ".join(words)
    ran = subprocess.run([sys.executable, "-c", fault], capture_output=True, text=True, cwd=here, check=False)
    assert ran.returncode == 1
    assert "Traceback" in ran.stderr


@pytest.fixture
def composing(here: Path, model: str) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of a long composition."""
    command = [*PROGRAM, "compose", "--model", model, "--seconds", "9000", "--out", "new/piece"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=here, env=os.environ) as process:
        try:
            start = time.monotonic()
            while process_seconds(process.pid) < 0.7 and time.monotonic() - start < 60:  # it starts within 0.3 of its own time
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


def process_seconds(pid: int) -> float:
    """How long the process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux how long a process has computed")
@pytest.mark.parametrize(
    ("signal_number", "code", "said"), [(signal.SIGINT, 130, "preludio: stopped; nothing was written\n"), (15, 143, "")]
)
def test_a_stop_while_composing_leaves_nothing(
    here: Path, composing: subprocess.Popen[str], signal_number: int, code: int, said: str
) -> None:
    """Ctrl-C went without a word, for typer took it; a plain `kill` left unfinished files behind."""
    composing.send_signal(signal_number)
    out, err = composing.communicate(timeout=60)
    assert (composing.returncode, out, err) == (code, "", said)
    assert tree(here) == []


def test_a_reader_that_goes_away(here: Path, model: str) -> None:
    """No traceback, and no complaint of Python's at its end; the files are there."""
    command = [*PROGRAM, "compose", "--model", model, "--seconds", "1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=here) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
    assert tree(here) == ["piece.mid", "piece.svg", "piece.wav"]


def test_a_stdout_that_is_full_or_closed(here: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run([*PROGRAM, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=here)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "No space left" in ran.stderr
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, "--version"], capture_output=True, text=True, check=False, cwd=here
    )
    assert (closed.returncode, closed.stderr) == (0, "")


def test_a_disk_that_fills_up_leaves_nothing(here: Path, prompt: Path) -> None:
    """Room for the check before, not for the sound."""

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    ran = program("render", prompt, "--out", "new/piece", cwd=here, preexec_fn=small_disk)
    assert ran.code == 2
    assert "new/piece.wav" in ran.line
    assert "free some space" in ran.line
    assert tree(here) == ["prompt.mid"]


@pytest.mark.parametrize(
    "locale",
    [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "latin-1"}],
    ids=lambda locale: " ".join(locale),
)
def test_names_beyond_what_the_terminal_can_show(here: Path, prompt: Path, locale: dict[str, str]) -> None:
    """The files were written, and then printing their names failed."""
    prompt.rename(here / "Prélude 前奏曲.mid")
    ran = subprocess.run([*PROGRAM, "render", "Prélude 前奏曲.mid"], capture_output=True, cwd=here, env=os.environ | locale, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert tree(here) == ["Prélude 前奏曲.mid", "Prélude 前奏曲.png", "Prélude 前奏曲.svg", "Prélude 前奏曲.wav"]
    missing = subprocess.run(
        [*PROGRAM, "render", os.fsdecode(b"caf\xe9.mid")], capture_output=True, cwd=here, env=os.environ | locale, check=False
    )
    assert missing.returncode == 2
    assert missing.stderr.count(b"\n") == 1
    assert b"no such file" in missing.stderr
