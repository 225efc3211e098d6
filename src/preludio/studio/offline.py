"""What makes the page installable: its manifest, and the service worker that opens it while the server is not there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

STATIC = Path(__file__).parent / "static"
SUFFIXES = {".css", ".html", ".js", ".json", ".png", ".svg"}
WORKER = STATIC / "serviceworker.js"

router = APIRouter()


@router.get("/manifest.webmanifest", include_in_schema=False)
def manifest() -> FileResponse:
    return FileResponse(STATIC / "manifest.webmanifest", media_type="application/manifest+json")


@router.get("/service-worker.js", include_in_schema=False)
def service_worker() -> Response:
    """With the list of the page's files and a name for this state of them, so that a browser takes another state as a new worker."""
    files = sorted(path for path in STATIC.rglob("*") if path.suffix in SUFFIXES and path != WORKER)
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    paths = ["/", *(f"/static/{path.relative_to(STATIC).as_posix()}" for path in files)]
    text = f'const STATE = "{digest.hexdigest()[:16]}";\nconst FILES = {json.dumps(paths)};\n{WORKER.read_text(encoding="utf-8")}'
    return Response(text, media_type="text/javascript")
