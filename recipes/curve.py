"""Draws a training log, as the page beside it shows it: `python recipes/curve.py runs/first/log.jsonl docs/first-model.svg`."""

from __future__ import annotations

import argparse
from pathlib import Path

from preludio.files import write_atomically
from preludio.train import curve, log


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    write_atomically(arguments.picture, curve.curve_svg(log.read(arguments.log)).encode())


if __name__ == "__main__":
    main()
