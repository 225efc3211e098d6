"""Downloads against a server on this machine that breaks off, lies, stalls and sends what it should not."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import os
import random
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from preludio import cli
from preludio.corpus import download as fetching
from preludio.corpus.download import MAESTRO, PublishedDataset, RetryPolicy, download
from preludio.errors import OutputError, PreludioError

FOLDER = "maestro-v3.0.0"
PIECES = {f"{FOLDER}/2004/{i}.midi": random.Random(i).randbytes(40_000) for i in range(20)}  # 0.8 MB that cannot be packed
IMPATIENT = RetryPolicy(timeout_s=10, attempts=3, wait_s=0.001)  # in time even on a busy machine

Answer = Callable[["Server"], None]


def zipped(members: dict[str, bytes], **changes: Any) -> bytes:
    """A zip; `changes` are attributes of its first member."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for attribute, value in changes.items():
                setattr(info, attribute, value)
            changes = {}
            archive.writestr(info, data)
    return stream.getvalue()


GOOD = zipped({f"{FOLDER}/{FOLDER}.csv": b"a table", **PIECES})


def published(data: bytes) -> PublishedDataset:
    return dataclasses.replace(MAESTRO, n_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


class Server(BaseHTTPRequestHandler):
    """Answers as `answers` say, one after another; the last one stays. Keeps the ranges that were asked for."""

    answers: ClassVar[list[Answer]]
    asked: ClassVar[list[str | None]]
    etag = '"one"'

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Range"))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer(self)

    def log_message(self, *_: Any) -> None:
        pass

    def head(self, status: int, **headers: Any) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def begin(self) -> int:
        """Where the rest begins that is asked for: 0 if it is not the same file."""
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        return int(asked[6:-1]) if asked and condition in (None, self.etag) else 0

    def rest(self, data: bytes, most: int | None = None) -> None:
        """A sound answer, of which only `most` bytes arrive."""
        if begin := self.begin():
            self.head(206, ETag=self.etag, Content_Length=len(data) - begin, Content_Range=f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            self.head(200, ETag=self.etag, Content_Length=len(data))
        self.wfile.write(data[begin:] if most is None else data[begin : begin + most])
        self.wfile.flush()


def sends(data: bytes, most: int | None = None) -> Answer:
    return lambda server: server.rest(data, most)


def says(status: int, body: bytes = b"", **headers: Any) -> Answer:
    def answer(server: Server) -> None:
        server.head(status, **({"Content_Length": len(body)} | headers))
        server.wfile.write(body)

    return answer


Serve = Callable[..., str]


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/{FOLDER}-midi.zip"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def serve(running: str, monkeypatch: pytest.MonkeyPatch) -> Serve:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def start(*answers: Answer) -> str:
        Server.answers, Server.asked = list(answers), []
        return running

    return start


def get(url: str, to: Path, data: bytes = GOOD, **more: Any) -> Path:
    return download(published(data), to, url=url, **({"retry_policy": IMPATIENT} | more))


def fails(url: str, to: Path, data: bytes = GOOD, **more: Any) -> str:
    with pytest.raises(PreludioError) as caught:
        get(url, to, data, **more)
    text = str(caught.value)
    assert "\n" not in text
    assert not (to / FOLDER).exists()
    assert not list(to.glob(".*")), "nothing half unpacked"
    return text


def require_whole(folder: Path) -> None:
    assert {str(path.relative_to(folder.parent)): path.read_bytes() for path in folder.rglob("*.midi")} == PIECES
    assert [path.name for path in folder.parent.iterdir()] == [FOLDER], "no zip, no part, no folder in the making"


def test_the_published_file_is_the_official_one() -> None:
    """Length and sha256 as the data set's page, MusPy and TensorFlow's users have them."""
    assert MAESTRO.url == "https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0/maestro-v3.0.0-midi.zip"
    assert (MAESTRO.n_bytes, MAESTRO.sha256[:16], len(MAESTRO.sha256)) == (58_416_533, "70470ee253295c8d", 64)


def test_a_data_set_is_fetched_and_unpacked(serve: Serve, tmp_path: Path) -> None:
    seen: list[float] = []
    folder = get(serve(sends(GOOD)), tmp_path / "new" / "place", progress=seen.append)
    require_whole(folder)
    assert seen == sorted(seen)
    assert seen[-1] == len(GOOD)
    assert Server.asked == [None]


def test_what_is_there_is_not_fetched_again(serve: Serve, tmp_path: Path) -> None:
    url = serve(sends(GOOD))
    assert get(url, tmp_path) == get(url, tmp_path)
    assert len(Server.asked) == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / f"{FOLDER}-midi.zip").write_bytes(GOOD)
    require_whole(get(url, tmp_path / "other"))
    assert len(Server.asked) == 1, "a whole zip is unpacked as it is"


def test_a_broken_transfer_goes_on_where_it_was(serve: Serve, tmp_path: Path) -> None:
    folder = get(serve(sends(GOOD, 300_000), sends(GOOD, 1), sends(GOOD)), tmp_path)
    require_whole(folder)
    assert Server.asked == [None, "bytes=300000-", "bytes=300001-"]


def test_the_next_command_goes_on_too(serve: Serve, tmp_path: Path) -> None:
    """Each attempt may bring nothing: after the last one the part stays, and the message says so."""
    text = fails(serve(sends(GOOD, 500_000), sends(GOOD, 0)), tmp_path)
    assert "500,000 of" in text
    assert f"{FOLDER}-midi.zip.part: try again" in text
    url = serve(sends(GOOD))
    require_whole(get(url, tmp_path))
    assert Server.asked == ["bytes=500000-"]


def test_a_server_that_ignores_ranges_sends_the_whole_again(serve: Serve, tmp_path: Path) -> None:
    def whole(server: Server) -> None:
        says(200, GOOD)(server)

    require_whole(get(serve(sends(GOOD, 300_000), whole), tmp_path))


def test_a_file_that_changed_meanwhile_is_fetched_anew(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If-Range: the rest of another version is never put behind the first half of the old one."""
    fails(serve(sends(bytes(len(GOOD)), 300_000), sends(GOOD, 0)), tmp_path)
    monkeypatch.setattr(Server, "etag", '"two"')
    url = serve(sends(GOOD))
    require_whole(get(url, tmp_path))
    assert Server.asked == ["bytes=300000-"]


@pytest.mark.parametrize("content_range", ["", "bytes 0-9/10", f"bytes 300000-{len(GOOD) - 1}/*", "bytes 299999-5/6", "nonsense"])
def test_another_part_than_was_asked_for_is_not_taken(serve: Serve, tmp_path: Path, content_range: str) -> None:
    lie = says(206, GOOD[300_000:], Content_Range=content_range)
    require_whole(get(serve(sends(GOOD, 300_000), lie, sends(GOOD)), tmp_path))
    assert Server.asked == [None, "bytes=300000-", None]


def test_a_server_with_fewer_bytes_than_are_here_is_asked_for_the_whole(serve: Serve, tmp_path: Path) -> None:
    require_whole(get(serve(sends(GOOD, 300_000), says(416), sends(GOOD)), tmp_path))
    (tmp_path / FOLDER).rename(tmp_path / "aside")
    (tmp_path / f"{FOLDER}-midi.zip.part").write_bytes(GOOD + b"more")
    assert get(serve(sends(GOOD)), tmp_path).is_dir()


@pytest.mark.parametrize("length", [0, 5, len(GOOD) - 1, len(GOOD) + 1, 10**15])
def test_a_length_that_is_a_lie_is_refused(serve: Serve, tmp_path: Path, length: int) -> None:
    text = fails(serve(says(200, GOOD, Content_Length=length)), tmp_path)
    assert f"{length:,} bytes where {len(GOOD):,} are published" in text


def test_a_login_page_instead_of_the_file_does_not_cost_what_has_come(serve: Serve, tmp_path: Path) -> None:
    text = fails(serve(sends(GOOD, 300_000), says(200, b"<html>please log in</html>")), tmp_path)
    assert "300,000 of" in text
    require_whole(get(serve(sends(GOOD)), tmp_path))


def test_a_body_without_an_end_is_cut_where_it_should_end(serve: Serve, tmp_path: Path) -> None:
    def endless(server: Server) -> None:
        server.head(200)
        try:
            for _ in range(1000):
                server.wfile.write(bytes(2**16))
        except OSError:
            pass

    text = fails(serve(endless), tmp_path)
    assert "not the published file" in text
    assert not list(tmp_path.iterdir()), "what is wrong is not kept: it could never become right"


def test_another_file_is_not_taken(serve: Serve, tmp_path: Path) -> None:
    text = fails(serve(sends(bytes(len(GOOD)))), tmp_path)
    assert "sha256" in text
    require_whole(get(serve(sends(GOOD)), tmp_path))


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (403, 1), (410, 1), (500, 3), (503, 3), (429, 3), (204, 1), (304, 1)])
def test_errors_are_one_line_and_only_passing_ones_are_tried_again(serve: Serve, tmp_path: Path, status: int, attempts: int) -> None:
    text = fails(serve(says(status)), tmp_path)
    assert str(status) in text
    assert len(Server.asked) == attempts


def test_a_server_that_recovers(serve: Serve, tmp_path: Path) -> None:
    require_whole(get(serve(says(503), sends(GOOD, 10), sends(GOOD)), tmp_path))


def test_a_server_that_stalls_is_left(serve: Serve, tmp_path: Path) -> None:
    released = threading.Event()

    def stall(server: Server) -> None:
        server.rest(GOOD, 1000)
        released.wait(20)

    began = time.monotonic()
    text = fails(serve(stall, stall, stall), tmp_path, retry_policy=RetryPolicy(timeout_s=0.3, attempts=3, wait_s=0.001))
    released.set()
    assert time.monotonic() - began < 10
    assert "timed out" in text
    assert "of" in text


def test_a_server_that_hardly_sends_anything_is_left(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then never times out, and would take years."""
    monkeypatch.setattr(fetching, "_SLOWEST", 10**6)

    def drip(server: Server) -> None:
        server.rest(GOOD, 10)
        try:
            for _ in range(100):
                time.sleep(0.05)
                server.wfile.write(b"x")
        except OSError:
            pass

    assert "hardly sends" in fails(serve(drip), tmp_path, retry_policy=RetryPolicy(timeout_s=0.4, attempts=1))


def test_answers_that_are_no_http(serve: Serve, tmp_path: Path) -> None:
    def noise(server: Server) -> None:
        server.wfile.write(random.Random(1).randbytes(1000))

    def hang_up(server: Server) -> None:
        server.connection.close()

    for answer in (noise, hang_up, says(200, b"zz\r\n", Transfer_Encoding="chunked")):
        assert fails(serve(answer), tmp_path).count(" ")


def test_nobody_there(tmp_path: Path) -> None:
    text = fails("http://127.0.0.1:9/x.zip", tmp_path)
    assert "check the connection" in text


@pytest.mark.parametrize(
    "url",
    ["http://example.org/x.zip", "ftp://example.org/x.zip", "file:///etc/passwd", "x.zip", "http://[", "http://127.0.0.1.example.org/"],
)
def test_only_https_is_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(PreludioError, match="not an https address"):
        get(url, tmp_path)


@pytest.mark.parametrize("location", ["http://example.org/x.zip", "ftp://example.org/x", "file:///etc/passwd", "http://[", "data:,x"])
def test_a_redirect_to_elsewhere_than_https_is_not_followed(serve: Serve, tmp_path: Path, location: str) -> None:
    text = fails(serve(says(302, Location=location)), tmp_path)
    assert "not an https address" in text or "302" in text


def test_redirects_to_safe_places_are_followed_but_not_for_ever(serve: Serve, tmp_path: Path) -> None:
    require_whole(get(serve(says(302, Location="/elsewhere"), sends(GOOD)), tmp_path / "a"))
    assert "302" in fails(serve(says(302, Location="/round")), tmp_path / "b")
    with pytest.raises(PreludioError, match="not an https"):  # down from https: not even to this machine
        fetching._require_safe("http://127.0.0.1/", "https://example.org/")


BOMB = {f"{FOLDER}/bomb.mid": bytes(2**20)}


@pytest.mark.parametrize(
    ("members", "changes", "said"),
    [
        ({f"{FOLDER}/../../evil.mid": b"x"}, {}, "leads out"),
        ({"/evil.mid": b"x"}, {}, "leads out"),
        ({"C:/evil.mid": b"x"}, {}, "leads out"),
        ({"..\\evil.mid": b"x"}, {}, "leads out"),
        ({f"{FOLDER}/link": b"/etc/passwd"}, {"external_attr": (stat.S_IFLNK | 0o777) << 16}, "a link"),
        ({f"{FOLDER}/pipe": b""}, {"external_attr": (stat.S_IFIFO | 0o777) << 16}, "special file"),
        ({f"{FOLDER}/A.mid": b"1", f"{FOLDER}/a.mid": b"2"}, {}, "twice"),
        ({f"{FOLDER}/a\x1b[2J.mid": b"1"}, {}, "odd"),
        ({"elsewhere/a.mid": b"1"}, {}, "no folder"),
        ({FOLDER: b"a file"}, {}, "no folder"),
        (BOMB, {}, "larger than"),
        ({f"{FOLDER}/{i}.mid": bytes(2**18) for i in range(5)}, {}, "larger than"),
        ({f"{FOLDER}/a": b"1", f"{FOLDER}/a/b": b"2"}, {}, "cannot write"),
    ],
)
def test_zips_that_would_harm_are_not_unpacked(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes], changes: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr(fetching, "MAX_UNPACKED", 2**20 - 1)
    data = zipped(members, **changes)
    assert said in fails(serve(sends(data)), tmp_path / "to", data)
    assert {path.name for path in tmp_path.rglob("*")} <= {"to", f"{FOLDER}-midi.zip"}


def test_damaged_zips_are_one_line(tmp_path: Path) -> None:
    rng = random.Random(3)
    small = zipped({f"{FOLDER}/{i}.mid": rng.randbytes(50) for i in range(3)})
    for trial in range(60):
        data = bytearray(small)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if trial % 4 == 0:
            del data[rng.randrange(len(data)) :]
        to = tmp_path / str(trial)
        to.mkdir()
        (to / f"{FOLDER}-midi.zip").write_bytes(data)
        try:
            get("http://127.0.0.1:9/", to, bytes(data))
        except PreludioError as error:
            assert "\n" not in str(error)
            assert not (to / FOLDER).exists()
    assert {path.name for path in tmp_path.iterdir()} == {str(trial) for trial in range(60)}


def test_a_full_disk_is_one_line_and_what_came_is_kept(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full stands for the disk."""
    part = tmp_path / f"{FOLDER}-midi.zip.part"
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    part.symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left on device; free some space") as caught:
        get(serve(sends(GOOD)), tmp_path)
    assert "\n" not in str(caught.value)
    part.unlink()
    copied = fetching._copy

    def fill(response: Any, file: io.BufferedWriter, *_: Any) -> None:
        file.write(response.read1(1000))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fetching, "_copy", fill)
    with pytest.raises(OutputError, match="free some space"):
        get(serve(sends(GOOD)), tmp_path)
    monkeypatch.setattr(fetching, "_copy", copied)
    assert part.stat().st_size > 0
    require_whole(get(serve(sends(GOOD)), tmp_path))


def test_places_that_cannot_be_written(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / FOLDER).write_text("")
    url = serve(sends(GOOD))
    for to in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "taken", tmp_path / "nul\0", Path("/proc/nothing")):
        with pytest.raises(OutputError):
            get(url, to)


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.run(arguments)
    return code, *capsys.readouterr()


def test_the_command(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(fetching, "MAESTRO", published(GOOD))
    monkeypatch.setenv("PRELUDIO_MAESTRO_URL", serve(sends(GOOD)))
    code, out, err = run(["download", "maestro", "--to", str(tmp_path)], capsys)
    assert (code, err) == (0, "")
    for said in (str(tmp_path / FOLDER), "CC BY-NC-SA 4.0", "Hawthorne"):
        assert said in out
    code, out, err = run(["download", "maestro", "--to", str(tmp_path), "--json"], capsys)
    assert json.loads(out)["folder"] == str(tmp_path / FOLDER)
    code, out, err = run(["download", "maestro", "--to", str(tmp_path / "b"), "--url", serve(says(404))], capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    code, out, err = run(["download", "chopin"], capsys)
    assert (code, out) == (2, "")
    assert "maestro or giantmidi" in err


def test_giantmidi_is_explained_and_not_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(["download", "giantmidi", "--to", "there"], capsys)
    assert (code, out) == (2, "")
    for said in ("disclaimer.md", "at your own risk", "there/midis_v1.2.zip", "CC BY 4.0", "2010.07061"):
        assert said in err


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_keeps_what_has_come(serve: Serve, tmp_path: Path) -> None:
    released = threading.Event()

    def slow(server: Server) -> None:
        server.rest(GOOD, 300_000)
        released.wait(30)

    code = f"""
import dataclasses, sys
from preludio import cli
from preludio.corpus import download as fetching
fetching.MAESTRO = dataclasses.replace(fetching.MAESTRO, n_bytes={len(GOOD)}, sha256="{published(GOOD).sha256}")
sys.exit(cli.run(["download", "maestro", "--to", {str(tmp_path)!r}, "--url", {serve(slow)!r}]))
"""
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        part = tmp_path / f"{FOLDER}-midi.zip.part"
        deadline = time.monotonic() + 20
        while not (part.exists() and part.stat().st_size >= 200_000) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(2)
        _, err = process.communicate(timeout=20)
        released.set()
    assert process.returncode == 130
    assert err == f"preludio: stopped; what has come is kept in {tmp_path}: the same command goes on from there\n"
    url = serve(sends(GOOD))
    require_whole(get(url, tmp_path))
    assert Server.asked[0] is not None
