"""Training: a configuration, data, a folder -> a model.

config    what a run is told            runs      a run: one step of it, and all that it must remember
windows   what each step reads          loop      all the steps
muon      how matrices are updated      state     a run at rest
world     the processes of a run        session   from the command's words to the loop

log, seen, sample, curve, page          what people see of it
"""

from preludio.train.config import TrainConfig, read_config
from preludio.train.seen import Voice
from preludio.train.session import Setup, resumed_config, run

__all__ = ["Setup", "TrainConfig", "Voice", "read_config", "resumed_config", "run"]
