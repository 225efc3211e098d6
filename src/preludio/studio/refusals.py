"""How a request is told that it failed: a page for whoever opened an address in a browser, JSON for programs."""

from __future__ import annotations

import json
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import Headers

LANG = Path(__file__).parent / "static" / "lang"
LANGUAGES = ("en", "es")
PAGE = """<!doctype html>
<html lang="{language}">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Preludio</title>
  <link rel="icon" href="/static/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/static/studio.css">
  <script src="/static/js/theme.js"></script>
</head>
<body class="refusal">
  <main>
    <h1>Preludio</h1>
    <p>{words}</p>
    <p><a href="/">{back}</a></p>
    <p class="hint">{status}</p>
  </main>
</body>
</html>
"""


class Told(NamedTuple):
    """The body of an answer, and its headers."""

    body: bytes
    media_type: str
    code: str

    def headers(self) -> dict[str, str]:
        # A HEAD request is answered without a body: the page reads the code here.
        return {"content-type": self.media_type, "content-length": str(len(self.body)), "x-preludio-code": self.code}


def told(request: Headers, status: int, code: str, message: str) -> Told:
    """request: its headers, which say whether a person looks at the answer, and in which language."""
    if "text/html" in request.get("accept", ""):
        return Told(_page(request, status, code).encode(), "text/html; charset=utf-8", code)
    return Told(json.dumps({"code": code, "message": message}).encode(), "application/json", code)


def _page(request: Headers, status: int, code: str) -> str:
    language = _language(request.get("accept-language", ""))
    words = _words(language)
    text = words["nothingHere"] if code == "gone" else words.get(f"e_{code}", words["e_our_fault"])
    text = text.replace("{message}", "")
    return PAGE.format(language=language, words=escape(text), back=escape(words["apiBack"]), status=status)


def _language(accepted: str) -> str:
    wanted = (part.strip()[:2].lower() for part in accepted.split(","))
    return next((name for name in wanted if name in LANGUAGES), LANGUAGES[0])


@lru_cache(maxsize=len(LANGUAGES))
def _words(language: str) -> dict[str, str]:
    words: dict[str, str] = json.loads((LANG / f"{language}.json").read_text(encoding="utf-8"))
    return words
