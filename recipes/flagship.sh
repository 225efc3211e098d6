#!/bin/sh
# The commands that made the bundled model `small` on two CPU cores, in four hours beside other work.
#
#     recipes/flagship.sh path/to/maestro-v3.0.0
#
# First the first model's own loop (32 M tokens; windows that grow). From its weights the rates go up again and stay up (the stable phase:
# 27 M tokens, windows of 1,024); then they fall to nothing over 20 M more, in windows of 2,048. One thing was less tidy than this: the stable phase
# was begun anew after 551 of its steps, without what the optimisers remembered.
set -eu
maestro=${1:?name the folder of MAESTRO v3.0.0}
cd "$(dirname "$0")/.."
run="preludio train --data runs/data --out runs/flagship --config recipes/flagship.toml"

# Large pieces of memory stay with the process, instead of going back to the system and coming again as pages of zeros: a tenth of the time.
export MALLOC_MMAP_THRESHOLD_=8589934592 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456 OMP_WAIT_POLICY=PASSIVE

preludio prepare "$maestro" --out runs/data
python recipes/first_model.py --data "$maestro" --out runs/first --minutes 120
$run --init runs/first --set steps=1636
$run --resume --set steps=2836 --set decay_steps=1200 --set "lengths=[[2048, 1.0]]"
preludio evaluate --model runs/flagship --data runs/data
python recipes/bundle.py --model runs/flagship --name small
