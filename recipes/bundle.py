"""Puts a trained model into the package, in float16 (half the size; the likelihood moves in the fifth place).

    python recipes/bundle.py --model runs/first --name small --about about.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from preludio import checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the directory of the trained model")
    parser.add_argument("--name", required=True, help="the bundled model's name")
    parser.add_argument("--about", type=Path, help="a JSON object: data, licence, likelihood ...")
    arguments = parser.parse_args()
    trained = checkpoint.load(arguments.model)
    about = dict(trained.about) | (json.loads(arguments.about.read_text(encoding="utf-8")) if arguments.about else {})
    checkpoint.save(checkpoint.BUNDLED / arguments.name, checkpoint.Checkpoint(trained.config, trained.arrays, about), np.float16)
    print(f"{checkpoint.BUNDLED / arguments.name}: {trained.config.n_parameters:,} parameters")


if __name__ == "__main__":
    main()
