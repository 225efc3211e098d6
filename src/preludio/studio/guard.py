"""What stands between the network and the studio: who may ask, how much they may send, and what the browser may load.

A page on the internet can make a visitor's browser send requests to 127.0.0.1, and can give its own name that address (DNS rebinding).
So the Host must be ours, and whatever names another Origin is refused. Beyond this machine only a token opens the door.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preludio.studio.refusals import told

Explain = Callable[[BaseException], tuple[int, str, str]]
"""The status, the code and the message of a fault."""
COOKIE = "preludio_token"
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; worker-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "midi=(self), camera=(), microphone=(), geolocation=()",
}


class Guard:
    """Refuses strangers, and sets the security headers on every answer, be it of a fault of ours."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], token: str | None, explain: Explain) -> None:
        """hosts: the names under which the studio may be called, without a port. token: what a visitor must show, or None."""
        self.app, self.hosts, self.token, self.explain = app, hosts, token, explain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        begun = False

        async def with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await answer(scope, with_headers, *refusal)
        elif self._shows_token(scope):
            await _welcome(scope, with_headers, self.token or "")
        else:
            try:
                await self.app(scope, receive, with_headers)
            except ClientDisconnect:
                return  # in the middle of an upload: nobody is left to be told
            except Exception as error:
                if begun:
                    raise
                await answer(scope, with_headers, *self.explain(error))

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, "wrong_host", "this is not a name of the studio: open the address that preludio studio printed"
        origin = headers.get("origin")
        if origin is not None and not _is_of(origin, host):
            return 403, "wrong_origin", "another site's page may not use the studio"
        site = headers.get("sec-fetch-site", "none")
        if site not in ("same-origin", "none") and not (scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"):
            return 403, "wrong_origin", "another site's page may not use the studio"
        if self.token is not None and not self._shows_token(scope) and not self._knows_token(headers):
            return 401, "no_token", "open the address with the token that preludio studio printed"
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self.hosts or (self.token is not None and _is_address(name))

    def _shows_token(self, scope: Scope) -> bool:
        """In the address, on the first visit."""
        if self.token is None or scope["method"] != "GET" or scope["path"].startswith("/api/"):
            return False
        shown = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return _equal(shown, self.token)

    def _knows_token(self, headers: Headers) -> bool:
        assert self.token is not None
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _equal(bearer, self.token):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and _equal(cookie.value, self.token)


class BodyLimit:
    """Refuses what is too large before it is read."""

    def __init__(self, app: ASGIApp, most_bytes: int, larger: dict[str, int]) -> None:
        """larger: paths that take more."""
        self.app, self.most_bytes, self.larger = app, most_bytes, larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        most_bytes = self.larger.get(scope["path"], self.most_bytes)
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length[:19]) > most_bytes:
            await answer(scope, send, 413, "too_big", f"more than {most_bytes:,} bytes are not taken")
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most_bytes:  # sent in chunks, without a length
                raise HTTPException(413)
            return message

        await self.app(scope, counted, send)


async def answer(scope: Scope, send: Send, status: int, code: str, message: str) -> None:
    said = told(Headers(scope=scope), status, code, message)
    headers = [(name.encode(), value.encode()) for name, value in said.headers().items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": said.body})


async def _welcome(scope: Scope, send: Send, token: str) -> None:
    """The token goes from the address, where others might read it, into a cookie."""
    cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000"
    headers = [(b"location", f"/{quote(scope['path'].lstrip('/'))}".encode()), (b"set-cookie", cookie.encode())]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _is_of(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host  # "null" is of none
    except ValueError:
        return False


def _equal(shown: str, token: str) -> bool:
    return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), token.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
