"""Fetching a published data set: resumed where it broke off, checked against its sha256, unpacked whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import http.client
import io
import json
import os
import secrets
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from preludio.corpus.archive import printable, unpack
from preludio.errors import OutputError, PreludioError

ProgressCallback = Callable[[float], None]


@dataclass(frozen=True)
class PublishedDataset:
    """A file that its authors publish, and what they ask of those who use it."""

    url: str
    n_bytes: int
    sha256: str
    folder: str  # the one that the zip holds
    licence: str
    citation: str


MAESTRO = PublishedDataset(
    url="https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0/maestro-v3.0.0-midi.zip",
    n_bytes=58_416_533,
    sha256="70470ee253295c8d2c71e6d9d4a815189e35c89624b76d22fce5a019d5dde12c",
    folder="maestro-v3.0.0",
    licence="CC BY-NC-SA 4.0 (Creative Commons Attribution Non-Commercial Share-Alike): name its authors, do not sell what you make of it, "
    "and share under the same licence",
    citation="Curtis Hawthorne, Andriy Stasyuk, Adam Roberts, Ian Simon, Cheng-Zhi Anna Huang, Sander Dieleman, Erich Elsen, Jesse Engel, "
    'Douglas Eck: "Enabling Factorized Piano Music Modeling and Generation with the MAESTRO Dataset", ICLR 2019',
)

GIANTMIDI_NOTICE = """\
GiantMIDI-Piano is not fetched for you: its authors ask that you read and accept their disclaimer first.
1. Read https://github.com/bytedance/GiantMIDI-Piano/blob/master/disclaimer.md. In short: the set comes as it is, with no warranty of any
   kind, also none of non-infringement; you use it at your own risk, and its authors answer for no losses.
2. If you accept it, that page leads to the files: midis_v1.2.zip (193 MB, 10,855 pieces), or surname_checked_midis_v1.2.zip, the subset
   of 7,236 whose recordings name the composer.
3. Put the zip into {folder}, packed as it is, and go on with: preludio prepare {folder}/midis_v1.2.zip --out DIR
Licence: CC BY 4.0. Cite: Qiuqiang Kong, Bochen Li, Jitong Chen, Yuxuan Wang: "GiantMIDI-Piano: A large-scale MIDI dataset for classical
piano music", arXiv:2010.07061, 2020."""
"""What to tell someone who asks for GiantMIDI-Piano."""

MAX_UNPACKED = 2**29  # MAESTRO is 81 MB
_TIMEOUT_S = 30.0
_ATTEMPTS = 5
_WAIT_S = 1.0  # before the second attempt, then twice as long each time
_SLOWEST = 500  # bytes a second, below which a transfer is taken for dead
_CHUNK = 2**16
_WORTH_RETRYING = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class RetryPolicy:
    """How long a server may be slow, and how often it may fail without giving anything."""

    timeout_s: float = _TIMEOUT_S
    attempts: int = _ATTEMPTS
    wait_s: float = _WAIT_S


class _Broken(Exception):
    """A transfer that ended too soon, and may go on; from the beginning if what is here does not fit what the server has."""

    def __init__(self, reason: str, misfit: bool = False) -> None:
        super().__init__(reason)
        self.misfit = misfit


def download(
    published: PublishedDataset,
    to: Path,
    *,
    url: str | None = None,
    progress: ProgressCallback | None = None,
    retry_policy: RetryPolicy = RetryPolicy(),
) -> Path:
    """Fetches and unpacks a data set into the folder `to`; returns its folder there, at once if it is there already.

    What has come stays in `to` as `.part` until the whole is there, so that the next call goes on from it, whether the transfer broke, was
    interrupted (`KeyboardInterrupt` passes through) or the disk was full.

    Args:
        url: a mirror; the sha256 stays that of the original.
        progress: called with the bytes that have come, of `published.n_bytes`.

    Raises:
        PreludioError: the server fails or is not to be reached, or what it sends is not the published file.
        OutputError: the disk does not take it.
    """
    target, archive = to / published.folder, to / Path(urlsplit(published.url).path).name
    with _writing(to):
        if target.is_dir():
            return target
        if os.path.lexists(target):
            raise OutputError(f"cannot write {target}: something else is there; move it, or choose another folder")
        to.mkdir(parents=True, exist_ok=True)
        if not (archive.is_file() and _sha256(archive) == published.sha256):
            _fetch(url or published.url, archive, published, progress or (lambda _: None), retry_policy)
        _unpack_whole(archive, target)
        archive.unlink()
    return target


def _fetch(url: str, path: Path, published: PublishedDataset, progress: ProgressCallback, retry_policy: RetryPolicy) -> None:
    """Gets one file, whose length and sha256 are known, to `path`."""
    _require_safe(url)
    part, fails = path.with_name(path.name + ".part"), 0
    for last in [*[False] * 99, True]:
        before = _size(part)
        try:
            _transfer(url, part, published.n_bytes, progress, retry_policy.timeout_s)
            break
        except _Broken as error:
            fails = 1 if _size(part) >= before + 2**20 else fails + 1  # who gives something is asked again
            if error.misfit:
                _forget(part)
            if last or fails >= retry_policy.attempts:
                raise PreludioError(_given_up(url, part, published.n_bytes, error)) from None
            time.sleep(retry_policy.wait_s * 2 ** (fails - 1))
    if (got := _sha256(part)) != published.sha256:
        _forget(part)
        raise PreludioError(f"{url}: not the published file (its sha256 is {got[:12]}..., not {published.sha256[:12]}...); try again later")
    part.replace(path)
    _forget(part)


def _transfer(url: str, part: Path, n_bytes: int, progress: ProgressCallback, timeout_s: float) -> None:
    """One attempt: appends to `part` what is missing, or writes it anew where the server has no more of the same file."""
    begin = _size(part)
    if begin > n_bytes:
        raise _Broken("more bytes are here than are published", misfit=True)
    if begin == n_bytes:
        return
    with _opened(url, _resuming(part, begin, url), timeout_s) as response:
        if response.status == 206 and not _goes_on(response, begin, n_bytes):
            raise _Broken("the server sent another part than was asked for", misfit=True)
        begin = begin if response.status == 206 else 0
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) != n_bytes - begin:
            raise _Broken(f"the server has {begin + int(length):,} bytes where {n_bytes:,} are published")
        _note_version(part, url, response)
        with part.open("ab" if begin else "wb") as file:
            _copy(response, file, begin, n_bytes, progress, timeout_s)


def _copy(response: Any, file: io.BufferedWriter, done: int, n_bytes: int, progress: ProgressCallback, timeout_s: float) -> None:
    """Bytes as they come; the file never grows beyond `n_bytes`."""
    since, least = time.monotonic(), done
    progress(done)
    while done < n_bytes:
        data = _received(response, min(_CHUNK, n_bytes - done))
        file.write(data)
        done += len(data)
        progress(done)
        if time.monotonic() - since > timeout_s:
            if done - least < _SLOWEST * timeout_s:
                raise _Broken("the server hardly sends anything")
            since, least = time.monotonic(), done


def _received(response: Any, most: int) -> bytes:
    try:
        data: bytes = response.read1(most)
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_reason(error)) from None
    if not data:
        raise _Broken("the transfer broke off")
    return data


def _opened(url: str, headers: dict[str, str], timeout_s: float) -> Any:
    """The server's answer, 200 or 206."""
    request = urllib.request.Request(url, headers={"User-Agent": "preludio", "Accept-Encoding": "identity"} | headers)
    try:
        response = urllib.request.build_opener(_SafeRedirects).open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _WORTH_RETRYING or error.code == 416:  # 416: it has fewer bytes than are here
            raise _Broken(f"the server answered {error.code}", misfit=error.code == 416) from None
        raise PreludioError(f"{url}: the server answered {error.code} ({printable(str(error.reason))}); the file may have moved") from None
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise _Broken(_reason(error)) from None
    if response.status not in (200, 206):
        response.close()
        raise PreludioError(f"{url}: the server answered {response.status}; try again later")
    return response


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return printable(str(getattr(reason, "strerror", None) or reason)) or type(reason).__name__


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """As urllib follows them, to safe addresses alone."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:  # no address at all
            raise PreludioError(f"{req.full_url}: leads to something that is not an https address; try again later") from None
        finally:
            fp.close()

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _require_safe(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_safe(url: str, redirected_from: str = "") -> None:
    """https alone; plain http only on this machine, for mirrors and tests, and not by way of elsewhere."""
    try:
        parts = urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
        allowed = parts.scheme == "https" or (local and (not redirected_from or urlsplit(redirected_from).scheme == "http"))
    except ValueError:
        allowed = False
    if not allowed:
        by = f"{redirected_from} leads to {printable(url)[:200]}" if redirected_from else printable(url)[:200]
        raise PreludioError(f"{by}: not an https address; nothing was fetched from there")


def _resuming(part: Path, begin: int, url: str) -> dict[str, str]:
    """Headers that ask for the rest, if the server still has the file that the part is of. (If it cannot tell, the sha256 will.)"""
    if not begin:
        return {}
    version: Any = None
    with suppress(OSError, ValueError, RecursionError):
        version = json.loads(_version_of(part).read_text(encoding="utf-8"))
    known = version.get("version") if isinstance(version, dict) and version.get("url") == url else None
    same = {"If-Range": known} if isinstance(known, str) and known.isascii() and known.isprintable() and known else {}
    return {"Range": f"bytes={begin}-"} | same


def _note_version(part: Path, url: str, response: Any) -> None:
    etag = response.headers.get("ETag", "")
    version = response.headers.get("Last-Modified", "") if etag.startswith("W/") or not etag else etag
    _version_of(part).write_text(json.dumps({"url": url, "version": version}), encoding="utf-8")


def _goes_on(response: Any, begin: int, n_bytes: int) -> bool:
    return str(response.headers.get("Content-Range", "")).strip() == f"bytes {begin}-{n_bytes - 1}/{n_bytes}"


def _given_up(url: str, part: Path, n_bytes: int, error: _Broken) -> str:
    if _size(part):
        return f"{url}: {error}; {_size(part):,} of {n_bytes:,} bytes are kept in {part}: try again, and it goes on from there"
    return f"{url}: {error}; check the connection and try again"


def _unpack_whole(archive: Path, target: Path) -> None:
    """The zip's one folder -> `target`, by way of a folder beside it that is renamed at the end."""
    beside = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        unpack(archive, beside, MAX_UNPACKED)
        if not (beside / target.name).is_dir():
            raise PreludioError(f"{archive}: no folder {target.name} in it; get the official zip")
        (beside / target.name).rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def _writing(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "free some space and try again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose another folder"
        raise OutputError(f"cannot write {to}: {error.strerror or error}; {remedy}") from error
    except ValueError as error:  # a null character
        raise OutputError(f"cannot write {str(to)!r}: {error}; choose another folder") from None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _version_of(part: Path) -> Path:
    """Where it is noted which version of the file a part is of."""
    return part.with_name(part.name + ".json")


def _forget(part: Path) -> None:
    for path in (part, _version_of(part)):
        path.unlink(missing_ok=True)
