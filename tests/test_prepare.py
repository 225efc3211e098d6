"""From sources to training data as laws: the same bytes for any number of processes and after any kill, every file accounted for, and the
one line for what is wrong. The files are made here."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import GIANTMIDI, MAESTRO, needs_datasets
from music import played

import preludio
from preludio import cli
from preludio.cli.prepare import CLEANING
from preludio.corpus import examine as examining
from preludio.corpus import prepare as preparing
from preludio.corpus.clean import Rule
from preludio.corpus.entry import Entry, Source
from preludio.corpus.prepare import Choice, Options, Prepared, prepare, rules_without
from preludio.corpus.shards import Shards
from preludio.errors import OutputError, PreludioError, PreludioWarning
from preludio.performance import Performance, transpose
from preludio.tokens import encode

pytestmark = pytest.mark.filterwarnings("ignore:nothing fell to validation")

SMALL = 24  # chords: 60 notes or so, for tests that look at files, not at music


def write(folder: Path, name: str, performance: Performance) -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    preludio.write_midi(performance, folder / name)
    return folder / name


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve works, and what else lies in such folders."""
    folder = tmp_path_factory.mktemp("music")
    for work in range(12):
        write(folder, f"{'abc'[work % 3]}/{work:02}.mid", played(work))
    (folder / "a" / "broken.mid").write_bytes(b"MThd\0\0\0\6\0\1")
    (folder / "empty.mid").write_bytes(b"")
    (folder / "notes.txt").write_text("not music")
    return folder


@pytest.fixture(scope="module")
def prepared(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What comes of it in one process."""
    out = tmp_path_factory.mktemp("prepared") / "data"
    prepare([music], out, processes=1)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "report.csv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def command(*arguments: object, script: str = "") -> list[str]:
    """The program, with batches of three files; `script` is run before it."""
    main = f"import preludio.corpus.examine as examine; examine.BATCH = 3\n{script}\nfrom preludio.cli import main; main()"
    return [sys.executable, "-c", main, "prepare", *map(str, arguments)]


def run(*arguments: object, script: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own."""
    return subprocess.run(command(*arguments, script=script), capture_output=True, text=True, timeout=120, **options)


# --- the same bytes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processes", [2, 3])
def test_the_bytes_do_not_depend_on_the_number_of_processes(music: Path, prepared: Path, tmp_path: Path, processes: int) -> None:
    examining_batch, examining.BATCH = examining.BATCH, 4
    try:
        prepare([music], tmp_path / "out", processes=processes)
    finally:
        examining.BATCH = examining_batch
    assert contents(tmp_path / "out") == contents(prepared)


def test_the_bytes_do_not_depend_on_where_the_music_lies_nor_on_what_was_there(music: Path, prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(music, tmp_path / "elsewhere" / "deep")
    prepare([tmp_path / "elsewhere" / "deep" / "a"], tmp_path / "out", processes=1)
    prepare([tmp_path / "elsewhere" / "deep"], tmp_path / "out", processes=1)
    assert contents(tmp_path / "out") == contents(prepared)


def test_a_zip_gives_what_its_folder_gives(music: Path, prepared: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "music"), "zip", music)
    prepare([archive], tmp_path / "out", processes=1)
    assert contents(tmp_path / "out") == contents(prepared)


def test_splits_do_not_depend_on_names_or_order(music: Path, prepared: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(music.rglob("*.mid"), key=lambda path: path.stat().st_size)):
        target = tmp_path / "renamed" / f"{number % 2}" / f"Sonata {99 - number}.MIDI"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    prepare([tmp_path / "renamed"], tmp_path / "out", processes=1)

    def pieces(out: Path) -> dict[str, set[bytes]]:
        return {name: {split.piece(n).tobytes() for n in range(len(split))} for name, split in Shards.open(out).splits.items()}

    assert pieces(tmp_path / "out") == pieces(prepared)


KILLED_AT_WRITE = """
import os, signal
sync, left = os.fsync, [{n}]
def fsync(handle):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(handle)
os.fsync = fsync
"""


def test_killed_while_writing_anything_it_goes_on_and_ends_with_the_same_bytes(music: Path, prepared: Path, tmp_path: Path) -> None:
    """Killed with -9 in its first write, then the third start in the next ones and so on, until one gets through."""
    out = tmp_path / "out"
    kills = 0
    for n in (1, 3, 2, 1, 2, 3, 4, 99):  # five batches, three shards, the manifest, the table, the page
        ran = run(music, "--out", out, "--processes", 1, script=KILLED_AT_WRITE.format(n=n))
        if ran.returncode == 0:
            break
        assert ran.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 5
    assert contents(out) == contents(prepared)


def test_killed_with_its_workers_at_any_moment_it_ends_with_the_same_bytes(music: Path, prepared: Path, tmp_path: Path) -> None:
    for n_batches in (0, 1):
        with subprocess.Popen(command(music, "--out", tmp_path / "out", "--processes", 2), stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and len(list((tmp_path / "out").glob(".examined/*/*.npz"))) < n_batches:
                time.sleep(0.01)
            process.kill()
    assert run(music, "--out", tmp_path / "out", "--processes", 2).returncode == 0
    assert contents(tmp_path / "out") == contents(prepared)


class Stopped(Exception):
    pass


def stopping_after(n: int, seen: list[int]) -> Callable[[int, int], None]:
    def progress(done: int, _: int) -> None:
        seen.append(done)
        if done >= n:
            raise Stopped

    return progress


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(examining, "BATCH", 3)
    yield


@pytest.mark.usefixtures("small_batches")
def test_it_goes_on_where_it_was(music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    with pytest.raises(Stopped):
        prepare([music], tmp_path / "out", processes=1, progress=stopping_after(7, seen))
    assert seen == [0, 3, 6, 9]
    read: list[str] = []
    once = examining.examine

    def counted(source: Source, entry: Entry, rules: Sequence[Rule]) -> examining.Examined:
        read.append(entry.name)
        return once(source, entry, rules)

    monkeypatch.setattr(examining, "examine", counted)
    seen.clear()
    prepare([music], tmp_path / "out", processes=1, progress=lambda done, _: seen.append(done))
    assert seen == [9, 12, 14]
    assert len(read) == 5


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("change", ["a file", "a rule", "a batch"])
def test_what_has_changed_meanwhile_is_examined_anew(music: Path, tmp_path: Path, change: str) -> None:
    """A batch's results were gone on from though one of its files had been replaced in the meantime."""
    shutil.copytree(music, tmp_path / "music")
    with pytest.raises(Stopped):
        prepare([tmp_path / "music"], tmp_path / "out", processes=1, progress=stopping_after(7, []))
    options = Options()
    if change == "a file":
        write(tmp_path / "music", "a/00.mid", played(99))
    elif change == "a rule":
        options = Options(rules_without(["silence"]))
    else:
        next((tmp_path / "out").rglob("0000001.npz")).write_bytes(b"PK torn")
    seen: list[int] = []
    prepare([tmp_path / "music"], tmp_path / "out", options, processes=1, progress=lambda done, _: seen.append(done))
    assert seen[0] == (6 if change == "a batch" else 0)
    prepare([tmp_path / "music"], tmp_path / "fresh", options, processes=1)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


# --- every file accounted for -----------------------------------------------------------------------------------------------------


def damage(folder: Path) -> int:
    """About one file in twenty of a hundred as they come in the wild; returns how many."""
    whole = (folder / "00.mid").read_bytes()
    bad = {
        "cut.mid": whole[:14],
        "empty.mid": b"",
        "text.mid": b"hello, world\n" * 50,
        "zero.mid": bytes(4000),
        "division.mid": whole[:12] + b"\0\0" + whole[14:],
        "huge.mid": b"MThd\0\0\0\6\0\1\xff\xff\0\x60MTrk\xff\xff\xff\xff",
    }
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    (folder / "folder.mid").mkdir()
    (folder / "dangling.mid").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.mid")
    preludio.write_midi(Performance(), folder / "silent.mid")
    return len(bad) + 3


def test_damaged_and_hostile_files_cost_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    for work in range(100):
        write(folder, f"{work:02}.mid", played(work, 0, SMALL))
    options = Options(rules_without(["too short"]))
    sound = prepare([folder], tmp_path / "sound", options, processes=1)
    n_bad = damage(folder)
    result = prepare([folder], tmp_path / "out", options, processes=1)
    assert len(sound.facts) == 100
    assert len(result.facts) == len(rows(tmp_path / "out")) == 100 + n_bad
    for split in ("train", "validation"):
        assert (tmp_path / "out" / f"{split}.bin").read_bytes() == (tmp_path / "sound" / f"{split}.bin").read_bytes()
    left_out = {name: row for name, row in rows(tmp_path / "out").items() if row["kept"] == "no"}
    assert len(left_out) == n_bad
    assert all(row["kind"] == "unusable" and row["reason"] and "\n" not in row["reason"] for row in left_out.values())
    assert left_out["silent.mid"]["reason"] == "no notes"
    assert str(tmp_path) not in (tmp_path / "out" / "report.csv").read_text(encoding="utf-8")


def maestro(folder: Path, splits: dict[int, str], missing: tuple[int, ...] = ()) -> Path:
    """A folder as MAESTRO's with works by number."""
    lines = ["canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration"]
    for work, split in splits.items():
        lines.append(f"Composer {work},Work {work},{split},2004,2004/{work}.midi,2004/{work}.wav,60")
        if work not in missing:
            write(folder, f"2004/{work}.midi", played(work))
    (folder / "maestro-v3.0.0.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_official_splits_stay_and_missing_files_are_said(tmp_path: Path) -> None:
    source = maestro(tmp_path / "maestro", {0: "train", 1: "train", 2: "validation", 3: "test", 4: "test"}, missing=(4,))
    with pytest.warns(PreludioWarning, match="1 of 2 test files are missing"):
        prepare([source], tmp_path / "out", processes=1)
    shards = Shards.open(tmp_path / "out")
    assert {name: [piece.title for piece in split.pieces] for name, split in shards.splits.items()} == {
        "train": ["Work 0", "Work 1"],
        "validation": ["Work 2"],
        "test": ["Work 3"],
    }
    assert rows(tmp_path / "out")["2004/4.midi"]["reason"].startswith("missing")


def test_what_leaks_from_another_folder_and_what_comes_twice_stay_out(tmp_path: Path) -> None:
    source = maestro(tmp_path / "maestro", {0: "train", 1: "validation", 2: "test"})
    other = tmp_path / "other"
    write(other, "other hands.mid", transpose(played(1, hand=1), 4))
    write(other, "copy of a test piece.mid", transpose(played(2), -2))
    write(other, "copy of a training piece.mid", played(0))
    write(other, "new.mid", played(5))

    def kinds(**choice: bool) -> dict[str, str]:
        out = tmp_path / "out"
        prepare([source, other], out, Options(choice=Choice(**choice)), processes=1)
        return {name: row["kind"] for name, row in rows(out).items() if row["source"] == "folder"}

    assert kinds() == {
        "other hands.mid": "leak", "copy of a test piece.mid": "duplicate", "copy of a training piece.mid": "duplicate", "new.mid": "",
    }  # fmt: skip
    assert kinds(duplicates=False) == {
        "other hands.mid": "leak", "copy of a test piece.mid": "leak", "copy of a training piece.mid": "", "new.mid": "",
    }  # fmt: skip
    assert set(kinds(duplicates=False, guard=False).values()) == {""}


def test_cleaning_does_not_touch_what_is_held_out(tmp_path: Path) -> None:
    flat = Performance([(start, start + 90, 60 + start // 100 % 12, 64) for start in range(20_000, 60_000, 100)])  # silence, one velocity
    source = maestro(tmp_path / "maestro", {0: "train", 1: "validation", 2: "train"})
    for work in (1, 2):
        write(source, f"2004/{work}.midi", flat)
    prepare([source], tmp_path / "out", Options(choice=Choice(duplicates=False)), processes=1)
    shards = Shards.open(tmp_path / "out")
    assert np.array_equal(shards.splits["validation"].piece(0), encode(flat))
    assert rows(tmp_path / "out")["2004/2.midi"]["reason"].startswith("constant velocity: ")
    prepare([source], tmp_path / "out", Options((), Choice(duplicates=False)), processes=1)
    assert len(Shards.open(tmp_path / "out").splits["train"]) == 2


def test_two_sources_of_one_kind_are_told_apart(tmp_path: Path) -> None:
    for folder, work in (("one", 0), ("two", 1), ("three", 0)):
        write(tmp_path / folder, "a.mid", played(work))
    result = prepare([tmp_path / name for name in ("one", "two", "three")], tmp_path / "out", processes=1)
    assert [one.entry.source for one in result.facts] == ["folder", "folder 2", "folder 3"]
    assert result.verdicts[2].reason == "the same performance as folder: a.mid"


def test_the_manifest_the_table_and_the_music_agree(music: Path, prepared: Path) -> None:
    shards = Shards.open(prepared)
    kept = {name: row for name, row in rows(prepared).items() if row["kept"] == "yes"}
    assert {piece.name for split in shards.splits.values() for piece in split.pieces} == set(kept)
    for split in shards.splits.values():
        for number, piece in enumerate(split.pieces):
            assert np.array_equal(split.piece(number), encode(preludio.read_midi(music / piece.name)))
            assert (str(piece.n_notes), str(piece.n_tokens)) == (kept[piece.name]["notes"], kept[piece.name]["tokens"])


def test_exported_token_files_read_back_to_the_same_ids(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "out")
    exported = preparing.export_npz(tmp_path / "out")
    options = Options((), Choice(duplicates=False))
    prepare(exported, tmp_path / "again", options, processes=1)
    for split, ids in Shards.open(prepared).splits.items():
        assert np.array_equal(Shards.open(tmp_path / "again").splits[split].ids, ids.ids)


def test_a_token_file_is_not_exported_over_itself(prepared: Path, tmp_path: Path) -> None:
    shutil.copytree(prepared, tmp_path / "out")
    source = preparing.export_npz(tmp_path / "out")[0]
    before = source.read_bytes()
    prepare([source], tmp_path / "out", processes=1)
    with pytest.raises(OutputError, match="the very file that was read"):
        preparing.export_npz(tmp_path / "out", [source])
    assert source.read_bytes() == before


# --- the program ------------------------------------------------------------------------------------------------------------------


def program(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capfd.readouterr()
    code = cli.run(["prepare", *map(str, arguments)])
    return code, *capfd.readouterr()


def test_a_last_line_says_what_was_made(music: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = program(capfd, music, "--out", tmp_path / "out", "--processes", 1)
    assert (code, err.count("\n")) == (0, err.count("preludio: note: "))
    assert re.search(r"train \d+ pieces, 0\.\d hours, [\d,]+ tokens; .*left out of 14 files: 2 unusable\. See .*report\.html\n$", out)
    code, out, _ = program(capfd, music, "--out", tmp_path / "out", "--processes", 1, "--json", "--export", "npz")
    facts = json.loads(out)
    assert facts["left_out"] == {"unusable": 2}
    assert sum(split["pieces"] for split in facts["splits"].values()) == 12
    assert all(Path(path).is_file() for path in facts["exported"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere", "--out", "out"], "no such file"),
        (["nothing", "--out", "out"], "no MIDI file in it"),
        (["broken", "--out", "out"], "none of 1 files can be used; the first: a.mid: "),
        (["broken", "--out", "broken/a.mid"], "choose another place"),
        (["broken", "--out", "broken/a.mid/deeper"], "choose another place"),
        (["broken", "--out", "/proc/out"], "choose another place"),
        (["broken", "--out", "out", "--without", "noise"], "no cleaning rule 'noise'; choose among silence, "),
        (["broken", "--out", "out", "--export", "pickle"], "choose npz"),
        (["broken", "--out", "out", "--processes", "0"], "--help explains"),
        (["broken"], "--help explains"),
        (["--out", "out"], "--help explains"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nothing").mkdir()
    Path("broken").mkdir()
    Path("broken/a.mid").write_bytes(b"no music")
    code, out, err = program(capfd, *arguments)
    assert (code, out) == (2, "")
    assert (err.count("\n"), err.startswith("preludio: ")) == (1, True)
    assert words in err
    assert not Path("out").exists()


def test_the_cleaning_rules_that_the_help_names_are_those_that_there_are() -> None:
    assert ", ".join(Options().rules) == CLEANING


def test_two_at_once_into_one_folder_the_second_is_refused(music: Path, prepared: Path, tmp_path: Path) -> None:
    def second(done: int, _: int) -> None:
        if done == 0:
            with pytest.raises(PreludioError, match="another preludio prepare is writing there"):
                prepare([music], tmp_path / "out", processes=1)

    prepare([music], tmp_path / "out", processes=1, progress=second)
    assert contents(tmp_path / "out") == contents(prepared)


INTERRUPTED = """
import os, signal, preludio.corpus.examine as examine
save, left = examine.save_batch, [3]
def save_batch(path, examined):
    save(path, examined)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGINT)
examine.save_batch = save_batch
"""
FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))
"""


@pytest.mark.parametrize(("script", "code", "words"), [(INTERRUPTED, 130, "stopped; "), (FULL, 2, "too large; choose another place")])
def test_stopped_or_the_disk_full_it_says_that_it_goes_on(
    music: Path, prepared: Path, tmp_path: Path, script: str, code: int, words: str
) -> None:
    out = tmp_path / "out"
    ran = run(music, "--out", out, "--processes", 1, script=script)
    assert (ran.returncode, ran.stdout) == (code, "")
    assert ran.stderr.count("\n") == 1 + ran.stderr.count("preludio: note: ")
    assert words in ran.stderr.lower()
    assert "the same command goes on from there" in ran.stderr
    assert run(music, "--out", out, "--processes", 1).returncode == 0
    assert contents(out) == contents(prepared)


def in_workers(folder: Path, script: str) -> dict[str, str]:
    """An environment in which worker processes run `script` first: they do not import the program that began them."""
    lines = "\n    ".join(script.splitlines())
    (folder / "sitecustomize.py").write_text(f"import sys\nif '--multiprocessing-fork' in sys.orig_argv:\n    {lines}\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


SLOW = """
import time
from preludio.corpus import folder
read = folder.read_midi
folder.read_midi = lambda *data: (time.sleep(0.15), read(*data))[1]
"""
CTRL_C = """
import glob, os, signal, threading, time
def press():
    while not glob.glob("{out}/.examined/*/*.npz"):
        time.sleep(0.01)
    os.killpg(0, signal.SIGINT)
threading.Thread(target=press, daemon=True).start()
"""


def test_ctrl_c_in_the_terminal_is_one_line_though_all_processes_hear_it(music: Path, prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    environment = in_workers(tmp_path, SLOW)
    ran = run(music, "--out", out, "--processes", 2, script=CTRL_C.format(out=out), start_new_session=True, env=environment)
    assert (ran.returncode, ran.stdout) == (130, "")
    assert ran.stderr == f"preludio: stopped; what has been examined is kept in {out}: the same command goes on from there\n"
    assert run(music, "--out", out, "--processes", 2).returncode == 0
    assert contents(out) == contents(prepared)


def test_a_worker_that_is_killed_is_said_and_nothing_hangs(music: Path, tmp_path: Path) -> None:
    """As the system does when memory runs out. A pool that waits for the dead one's result would wait for ever."""
    killed = "import os, signal; from preludio.corpus import folder; folder.read_midi = lambda *data: os.kill(os.getpid(), signal.SIGKILL)"
    ran = run(music, "--out", tmp_path / "out", "--processes", 2, env=in_workers(tmp_path, killed))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "a process was killed" in ran.stderr


def test_no_process_outlives_a_parent_that_was_killed(music: Path, tmp_path: Path) -> None:
    arguments = command(music, "--out", tmp_path / "out", "--processes", 2)
    with subprocess.Popen(arguments, env=in_workers(tmp_path, SLOW), start_new_session=True, stderr=subprocess.DEVNULL) as process:
        while not list(tmp_path.glob("out/.examined/*/*.npz")):
            time.sleep(0.01)
        process.kill()
    for _ in range(200):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail("a worker lives on")


# --- real music -------------------------------------------------------------------------------------------------------------------


@needs_datasets
def test_the_giantmidi_sample_beside_maestros_table_is_found_to_be_held_out(tmp_path: Path) -> None:
    """MAESTRO's table alone, its music missing: titles tell what is of its validation and test splits."""
    (tmp_path / "maestro").mkdir()
    shutil.copy(MAESTRO / "maestro-v3.0.0.csv", tmp_path / "maestro")
    with pytest.warns(PreludioWarning, match="962 of 962 train files are missing"):
        result: Prepared = prepare([tmp_path / "maestro", GIANTMIDI], tmp_path / "out", processes=1)
    assert len(result.facts) == 1276 + 56
    assert result.left_out()["leak"] >= 45


def test_nothing_to_prepare_is_an_error_of_ours_to_name(tmp_path: Path) -> None:
    write(tmp_path / "music", "short.mid", played(0, 0, 3))
    with pytest.raises(PreludioError, match=r"none of 1 files can be used; the first: short\.mid: too short: "):
        prepare([tmp_path / "music"], tmp_path / "out", processes=1)
    assert not (tmp_path / "out").exists()
