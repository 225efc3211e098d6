#!/bin/sh
# The commands that made the bundled model `small` on a CPU.
#
#     recipes/flagship.sh path/to/maestro-v3.0.0 path/to/an/earlier/model
#
# It goes on from the model that was bundled before it (78.5 million tokens; docs/LOG.md tells how that one was made; its files are
# src/preludio/models/small at commit e4c4de4) and learns the relations, which begin at zero. Stopped, `--resume` goes on. To train from nothing, leave
# --init out and give it a hundred times the steps.
set -eu
maestro=${1:?name the folder of MAESTRO v3.0.0}
earlier=${2:?name the folder of the model to begin with}
cd "$(dirname "$0")/.."

# Large pieces of memory stay with the process, instead of going back to the system and coming again as pages of zeros: a tenth of the time.
export MALLOC_MMAP_THRESHOLD_=8589934592 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456 OMP_WAIT_POLICY=PASSIVE

preludio prepare "$maestro" --out runs/data
preludio train --data runs/data --out runs/flagship --config recipes/flagship.toml --init "$earlier"
preludio evaluate --model runs/flagship --data runs/data
preludio evaluate --music --model runs/flagship --data runs/data --out runs/music
python recipes/bundle.py --model runs/flagship --name small
