"""Requests that nobody would think of, from the API's own description: each answer is one that it describes. benchmarks/studio_fuzz.py
sends more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from studio_server import restless_model

import preludio
from preludio.performance import Performance

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")
checks = pytest.importorskip("schemathesis.specs.openapi.checks", reason="needs schemathesis")
pytest.importorskip("fastapi", reason="needs preludio[studio]")

from fastapi.testclient import TestClient  # noqa: E402

from preludio.studio import create_app  # noqa: E402
from preludio.studio.models import Models  # noqa: E402
from preludio.studio.store import Store  # noqa: E402

HERE = "http://127.0.0.1:7388"
EXAMPLES = 6  # of each operation
LONGEST_SECONDS = 3  # that is composed: what is asked for is tried elsewhere, and takes its time


CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
HASTE = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def aimed(case: Any, there: bool, known: dict[str, Any]) -> Any:
    """A request at what is there, and for no more music than a moment's."""
    if there and case.method != "DELETE":
        case.path_parameters = {name: known.get(name, value) for name, value in (case.path_parameters or {}).items()}
    if isinstance(case.body, dict) and isinstance(case.body.get("seconds"), int | float):
        case.body["seconds"] = min(case.body["seconds"], LONGEST_SECONDS)
    return case


def test_no_request_is_a_fault_of_ours(tmp_path: Path) -> None:
    """Half of those that name a piece name one that is there."""
    models = Models([str(restless_model(tmp_path / "model", window=64))], "numpy")
    store = Store(tmp_path / "studio.db")
    app = create_app(models, store, slots=1)
    tune = preludio.write_midi(Performance([(i * 250, i * 250 + 200, 60 + i, 70) for i in range(8)]))
    with TestClient(app, base_url=HERE) as client:
        piece = client.post("/api/pieces/midi", content=tune).json()
        known = {"piece": piece["id"], "version": piece["head"]}
        schema = schemathesis.openapi.from_dict(client.get("/api/openapi.json").json())
        schema.app = app
        statuses: Counter[int] = Counter()
        for result in schema.get_all_operations():

            @HASTE
            @given(case=result.ok().as_strategy(), there=st.booleans())
            def ask(case: Any, there: bool) -> None:
                response = aimed(case, there, known).call(base_url=HERE, session=client)
                case.validate_response(response, checks=CHECKS)
                statuses[response.status_code] += 1

            ask()
    store.close()
    assert statuses[200] > 20  # it comes further than the door
    assert statuses.total() > 90
