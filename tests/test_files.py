"""Whole or not at all: after a crash, a full disk or an exception the old file stands, and nothing lies beside it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from preludio.errors import OutputError
from preludio.files import replace_atomically, require_writable, write_atomically


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@contextmanager
def refused(*words: str) -> Iterator[None]:
    """An OutputError of one line with these words."""
    with pytest.raises(OutputError) as caught:
        yield
    said = str(caught.value)
    assert "\n" not in said
    for word in words:
        assert word in said


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def python(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_new_file_an_old_file_and_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "piece.mid"
    for data in (b"first", b"", b"second" * 100_000):
        write_atomically(path, data)
        assert path.read_bytes() == data
        assert tree(tmp_path) == ["deep", "deep/er", "deep/er/piece.mid"]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "piece.mid"
    path.write_bytes(b"old")
    with replace_atomically(path) as beside:
        assert (beside.parent, beside.suffix) == (tmp_path, ".mid")
        beside.write_bytes(b"half")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"half"
    assert tree(tmp_path) == ["piece.mid"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "piece.mid"
    path.write_bytes(b"old")
    with pytest.raises(error), replace_atomically(path) as beside:
        beside.write_bytes(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert tree(tmp_path) == ["piece.mid"]


def test_an_exception_takes_the_folders_that_were_made_with_it(tmp_path: Path) -> None:
    """They used to stay: a mistyped --out left empty folders behind."""
    (tmp_path / "there").mkdir()
    with pytest.raises(ValueError), replace_atomically(tmp_path / "there" / "new" / "newer" / "piece.mid"):
        raise ValueError
    assert tree(tmp_path) == ["there"]


def test_a_file_that_someone_else_put_into_a_new_folder_stays(tmp_path: Path) -> None:
    with pytest.raises(ValueError), replace_atomically(tmp_path / "new" / "piece.mid"):
        (tmp_path / "new" / "theirs.txt").touch()
        raise ValueError
    assert tree(tmp_path) == ["new", "new/theirs.txt"]


def test_trying_changes_nothing(tmp_path: Path) -> None:
    old = tmp_path / "old.mid"
    old.write_bytes(b"old")
    require_writable(old)
    require_writable(tmp_path / "new" / "newer" / "piece.mid")
    assert tree(tmp_path) == ["old.mid"]
    assert old.read_bytes() == b"old"


KILLED_WRITER = """
import sys, time
from preludio.files import replace_atomically
with replace_atomically(sys.argv[1]) as beside, beside.open("wb") as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "piece.mid"
    path.write_bytes(b"old")
    with python(KILLED_WRITER, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == b"old"
    write_atomically(path, b"new")  # what the dead process left beside it is in nobody's way
    assert path.read_bytes() == b"new"


FULL_DISK = """
import resource, sys
from preludio.errors import OutputError
from preludio.files import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # Python ignores SIGXFSZ
try:
    write_atomically(sys.argv[1], bytes(1001))
except OutputError as error:
    print(error)
"""


def test_a_full_disk_is_one_line_and_the_old_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "piece.mid"
    path.write_bytes(b"old")
    with python(FULL_DISK, path) as process:
        out, err = process.communicate()
    assert err == ""
    assert out.splitlines() == [f"cannot write {path}: File too large; choose another place or free some space"]
    assert path.read_bytes() == b"old"
    assert tree(tmp_path) == ["piece.mid"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    with umask(mask):
        write_atomically(tmp_path / "piece.mid", b"new")
    assert stat.S_IMODE((tmp_path / "piece.mid").stat().st_mode) == mode


def test_the_umask_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was read by setting it to 0 for a moment, and files that another thread made in that moment were open to everybody."""
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("umask set"))
    write_atomically(tmp_path / "piece.mid", b"new")


def test_a_symbolic_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    """The link itself used to become a file, and what it pointed to grew old."""
    for name, content in (("there.mid", b"old"), ("not-yet.mid", None)):
        if content:
            (tmp_path / name).write_bytes(content)
        link = tmp_path / f"link-{name}"
        link.symlink_to(name)
        write_atomically(link, b"new")
        assert link.is_symlink()
        assert (tmp_path / name).read_bytes() == b"new"


def test_a_link_that_points_to_itself_is_refused_or_replaced_but_never_followed_for_ever(tmp_path: Path) -> None:
    link = tmp_path / "loop.mid"
    link.symlink_to("loop.mid")
    write_atomically(link, b"new")
    assert link.read_bytes() == b"new"


@pytest.mark.parametrize("device", ["/dev/null", "/dev/full", "/dev/stdout"])
def test_a_device_is_not_replaced_by_a_file(device: str) -> None:
    """As root, writing to /dev/null used to rename a file over it."""
    if not Path(device).is_char_device():
        pytest.skip(f"{device} is no device here")
    with refused(device, "device", "name a file"):
        write_atomically(device, b"new")
    assert Path(device).is_char_device()


def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mid")
    with refused("pipe.mid", "name a file"):
        write_atomically(tmp_path / "pipe.mid", b"new")


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomically("piece.mid", b"1")
    write_atomically(Path("a/../b/./piece.mid"), b"2")
    assert tree(tmp_path) == ["b", "b/piece.mid", "piece.mid"]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("", ["folder", "name a file"]),
        (".", ["folder", "name a file"]),
        ("folder.mid", ["folder.mid", "folder", "name a file"]),
        ("file.txt/piece.mid", ["file.txt/piece.mid", "choose another place"]),
        ("file.txt/deeper/piece.mid", ["file.txt/deeper/piece.mid", "choose another place"]),
        ("n" * 256, ["File name too long", "choose another place"]),
        ("new/" + "n" * 256, ["File name too long", "choose another place"]),
        ("nul\0l.mid", [r"nul\x00l.mid", "choose another name"]),
        ("/proc/preludio/piece.mid", ["/proc/preludio/piece.mid", "choose another place"]),
    ],
)
@pytest.mark.parametrize("attempt", [lambda path: write_atomically(path, b"new"), require_writable], ids=["write", "try"])
def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, words: list[str], attempt) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    Path("folder.mid").mkdir()
    Path("file.txt").touch()
    with refused("cannot write", *words):
        attempt(place)
    assert tree(tmp_path) == ["file.txt", "folder.mid"]


@pytest.mark.parametrize("name", ["n" * 251 + ".mid", "前奏曲" * 27 + ".mid", "n." + "s" * 253, "Prélude nº1.mid", " ", "a\nb.mid", ".mid"])
def test_any_name_that_a_file_may_have(tmp_path: Path, name: str) -> None:
    """A name of 255 bytes left no room for a longer one beside it; two deep, as writers within writers go, even 240 were too many."""
    with replace_atomically(tmp_path / name) as beside, replace_atomically(beside) as deeper:
        deeper.write_bytes(b"new")
    assert tree(tmp_path) == [name]


def test_a_writer_that_knows_only_the_file_beside_still_names_the_file(tmp_path: Path) -> None:
    """The command line hands the file beside to writers that replace it in turn; their errors named something like .piece.1a2b.mid."""
    path = tmp_path / "piece.mid"
    with refused(str(path)), replace_atomically(path) as beside:
        beside.unlink()
        beside.mkdir()
        try:
            write_atomically(beside, b"new")
        finally:
            beside.rmdir()


def test_the_disk_is_asked_before_the_old_file_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems notice only then that they are full."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "piece.mid"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with refused(str(path), "No space left on device", "free some space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert tree(tmp_path) == ["piece.mid"]


def test_many_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    program = """
import sys
from preludio.files import write_atomically
for _ in range(100):
    write_atomically(sys.argv[1], sys.argv[2].encode() * 10_000)
"""
    path = tmp_path / "piece.mid"
    writers = [python(program, path, letter) for letter in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            seen.add(path.read_bytes())
        time.sleep(0.01)
    assert [writer.communicate() for writer in writers] == [("", "")] * 2
    assert seen <= {b"a" * 10_000, b"b" * 10_000}
    assert tree(tmp_path) == ["piece.mid"]
