"""Requests that nobody would think of, from the studio's own description of its API (schemathesis): no answer may be a fault of ours.

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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=50, help="for each operation")
    wish = parser.parse_args()
    program = Path(sys.executable).with_name("schemathesis")
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder) / "data", restless_model(Path(folder) / "model", window=64)) as server,
    ):
        command = [str(program), "run", f"{server.address}/api/openapi.json", "--checks", CHECKS, "--max-examples", str(wish.examples)]
        return subprocess.run([*command, "--request-timeout", "60"], check=False, cwd=folder).returncode


if __name__ == "__main__":
    sys.exit(main())
