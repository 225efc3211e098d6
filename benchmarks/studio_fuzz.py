"""Requests that nobody would think of, from the studio's own description of its API (schemathesis): no answer may be a fault of ours.
First at whatever comes to mind, then at a piece that is there.

pip install schemathesis
python benchmarks/studio_fuzz.py --examples 100
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from studio_server import Server, restless_model

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


AIMED = """[parameters]
"path.piece" = "{piece}"
"path.version" = {version}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=50, help="for each operation")
    wish = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder) / "data", restless_model(Path(folder) / "model", window=64)) as server,
    ):
        piece = server.post("/api/pieces", {"notes": [[0, 90, 60, 70, 0]]})
        config = Path(folder) / "aimed.toml"
        config.write_text(AIMED.format(piece=piece["id"], version=piece["head"]))
        options = ["--checks", CHECKS, "--max-examples", str(wish.examples), "--request-timeout", "60"]
        anywhere = [f"{server.address}/api/openapi.json", *options]
        return _run([], anywhere, folder) or _run(["--config-file", str(config)], [*anywhere, "--exclude-method", "DELETE"], folder)


def _run(before: list[str], options: list[str], folder: str) -> int:
    program = Path(sys.executable).with_name("schemathesis")
    return subprocess.run([str(program), *before, "run", *options], check=False, cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(main())
