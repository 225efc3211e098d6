"""Kills the studio (kill -9) at random moments while it composes, takes several takes, composes again and keeps what is played.

python benchmarks/studio_kills.py --kills 20
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from studio_crash import KINDS, crash
from studio_server import Server, restless_model


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    wish = parser.parse_args()
    lost = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder) / "data", restless_model(Path(folder) / "model")) as server,
    ):
        for number in range(wish.kills):
            kind = list(KINDS)[number % len(KINDS)]
            told = crash(server, kind, wish.seed + number)
            lost += (missing := told.lost(server))
            print(f"{number + 1:3d}  {kind:9s}  {told.n_notes:5d} notes told, {missing} lost", flush=True)
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
